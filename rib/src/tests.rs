//! Stories: one network, one event, the expected words. `Node` is the only helper that touches the machine.

mod dataplanes;
mod node;
mod random;
mod resolution;
mod selection;
mod tables;
