//! Stories of adjacencies, databases and restarts, each in a world of a few instances.

mod adjacency;
mod database;
mod restart;
mod world;
