//! The carrier of an [`Instance`](crate::instance::Instance): a thread with its clock, raw sockets of IP protocol 89 and the
//! ways in and out. `socket` knows the kernel, `thread` moves values, `handle` is what others hold.

mod handle;
mod socket;
mod thread;

pub use handle::{Counters, Handle, LsdbChange, Notice, Stop};
pub use thread::{RouteSink, spawn};
