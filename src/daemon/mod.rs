//! The daemon: every part of a node started, wired and stopped.

pub mod handles;
