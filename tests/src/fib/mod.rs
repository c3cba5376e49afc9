//! What every data plane must do, in two steps.
//!
//! [`conformance`] holds one [`FibBackend`](fib_sync::backend::FibBackend) to its trait: writes, moves, refusals, dumps. [`suite`] puts
//! the machine on top and lives through what happens in a life: churn, crashes, lost connections, refusals, a full plane,
//! others' hands. A new backend is right when it passes both, which takes an implementation of [`Subject`]:
//! `tests/tests/fib_conformance.rs` has the one of the memory plane, `fib_kernel.rs` the kernel's, `fib_xdp.rs` that of XDP,
//! `fib_dpdk.rs` that of a DPDK process. [`FpmListener`] is the other end of the one plane that cannot be asked.

mod conformance;
mod life;
mod listener;
pub mod namespace;
pub mod router;
mod run;
mod tamper;
pub mod triangle;

pub use conformance::{Ground, conformance, gone, held, net, object, route};
pub use life::{Subject, suite};
pub use listener::{FpmListener, Heard, Said, Way};
pub use router::Router;
pub use run::{Run, wait_for};
pub use tamper::{Tamper, Tampered};
