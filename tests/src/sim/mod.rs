//! The deterministic simulator: whole routers — speaker, RIB, data plane — in virtual time, over links that misbehave by seed.
//!
//! A [`World`] is a seed, a queue of events and some [`node::Node`]s. Equal seeds and equal calls give equal traces, down to the
//! octet; [`World::trace`] says so in one number. Nothing in the product knows that it is being simulated: nodes are the machines of the
//! daemon, wired as the daemon wires them.
//!
//! - [`clock`]: virtual time and the event queue;
//! - [`tcp`]: connections in octets that arrive in chunks of any size, stall, break, and are read slowly;
//! - [`node`]: one router; [`plan`]: what it is configured to do;
//! - [`interior`]: what an IGP would say within an AS;
//! - [`internet`]: random ASes, sessions and policies; [`mishaps`]: what can befall a network; [`fault`]: at random;
//! - [`world`]: the network, its verbs, and how it runs; [`carry`] does what the speakers ask for;
//! - [`ospf`]: networks that speak OSPF, with an oracle and checkers of their own;
//! - [`oracle`]: what must be true, computed naively;
//! - [`checker`]: compares, after quiet; `unrest`: what must be true at any time.

pub mod carry;
pub mod checker;
pub mod clock;
pub mod fault;
pub mod interior;
pub mod internet;
pub mod mishaps;
pub mod node;
pub mod oracle;
pub mod ospf;
pub mod plan;
pub mod tcp;
mod unrest;
pub mod world;

pub use world::World;
