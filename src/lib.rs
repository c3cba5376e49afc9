//! anyhop: a routing daemon for anycast.
//!
//! The roof of the house: configuration, wiring, API, command line, health checks and the anycast controller over the
//! `bgpd`, `rib` and `fib_sync` machines.

pub mod anycast;
pub mod api;
pub mod bfd;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod health;
