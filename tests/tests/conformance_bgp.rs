//! What a neighbor sees of the daemon: it is started as a whole on a host in memory, scripted neighbors speak raw octets to it
//! over loopback TCP, and what comes back is read by an independent reader that accepts valid messages only.
//!
//! One file per part of the protocol. Cases stand in tables; a test starts one daemon for many of them.

#![allow(unreachable_pub, reason = "the suite is one crate: pub is between its files")]

mod conformance;
