//! The lab: network namespaces joined by veth pairs, with real daemons in them.
//!
//! Needs root. Every namespace has a name that no other test has, every process is killed by its own number when its
//! owner is dropped (also by a panic), and leftovers of test runs that were killed are removed by the next.

#![allow(clippy::disallowed_methods, reason = "the lab runs in real time, with real daemons")]

pub mod anyhop;
pub mod bird;
pub mod frr;
pub mod gobgp;
pub mod net;
pub mod openbgpd;
pub mod process;
pub mod route;
pub mod services;
pub mod speakers;
pub mod wait;

pub use anyhop::{Anyhop, anyhop_bin};
pub use bird::Bird;
pub use frr::Frr;
pub use gobgp::GoBgp;
pub use net::{Lab, Node};
pub use openbgpd::OpenBgpd;
pub use process::Process;
pub use route::PeerRoute;
pub use wait::{eventually, never, wait_for};

/// A lab for the test named, or `None`, said loudly, without the privilege.
#[must_use]
pub fn lab(test: &str) -> Option<Lab> {
    if nix::unistd::geteuid().is_root() {
        return Some(Lab::new());
    }
    eprintln!("\n*** {test}: skipped: needs root (network namespaces) ***\n");
    None
}
