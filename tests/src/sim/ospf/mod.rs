//! OSPF networks in virtual time: many instances of the engine, of either version, on wires that misbehave by seed.
//!
//! - [`plan`]: what routers, wires and areas are configured to be, in words that the oracle reads too;
//! - [`world`]: the network as it runs; [`carry`]: packets on wires, and forwarded by the routers' own tables;
//! - [`random`]: random networks; [`fault`]: random misfortune;
//! - [`oracle`]: the tables that must come out, computed naively from the plan, never from a database; [`truth`]: who can
//!   hear whom;
//! - [`checker`]: compares, after quiet, and looks for loops before.

pub mod carry;
pub mod checker;
pub mod fault;
pub mod oracle;
pub mod plan;
pub mod random;
pub mod truth;
pub mod world;

pub use world::World;
