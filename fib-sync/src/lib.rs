//! Keeps data planes equal to the RIB, and tells the RIB about the host it runs on.
//!
//! [`sync::Sync`] is the machine between the RIB's stream of changes and one [`backend::FibBackend`]; [[`thread`]] carries it.
//! [`netlink`] is the Linux kernel, [`dpdk`] an agent in a DPDK process, [`fpm`] whoever listens for forwarding tables, [`memory`] a data plane and host without any kernel. [`host::HostTable`] turns what happens
//! on the host into routes and interface states for the RIB.

pub mod backend;
mod backlog;
pub mod dpdk;
pub mod fpm;
pub mod host;
pub mod memory;
mod mirror;
pub mod netlink;
mod retry;
mod slots;
pub mod sync;
pub mod thread;
pub mod xdp;
