//! Stories of adjacencies, databases and restarts, each in a world of a few instances.

mod adjacency;
mod auth;
mod database;
mod features;
mod forwarding;
mod hostile;
mod restart;
mod routing;
mod scale;
mod world;
