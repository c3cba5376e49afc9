//! The daemon: every part of a node started, wired and stopped.
//!
//! Every queue between the parts, with its bound and what happens when it is full:
//!
//! | queue | bound | full |
//! |---|---|---|
//! | BGP, host -> RIB (`handles::RIB_INPUTS`) | 64 batches | the BGP thread stops reading, TCP slows the peers |
//! | questions, services, API routes, acknowledgements -> RIB (`handles::RIB_URGENT`) | 256 | the asker waits |
//! | RIB -> a data plane (`fib_sync::thread::DELTAS`) | 4 batches, more while they are swallowed | the change stays in the RIB's journal and is folded |
//! | RIB -> BGP next hops, own routes -> BGP | one per address or prefix | the latest wins |
//! | RIB -> anycast acknowledgements | one per prefix | the latest wins |
//! | API -> its routes' owner (`api_routes`) | 64 | the caller waits |
//! | reload -> configured routes (`host::STATICS`) | 1 | the reload waits |
//! | asks -> BFD (`bfd::thread`) | 256 | the asker waits |
//! | BFD -> a client | the status | the latest wins; failures are counted |
//! | events -> a watcher (`handles::EVENTS`) | 1024 | it loses the oldest and is told how many |
//!
//! Threads: `rib` owns the RIB, `bgp` the speaker, one `fib-*` each data plane, `bfd` watches paths, `fib-monitor` reads the kernel's news;
//! the API, the anycast controller with its checks, and the host's follower are tasks. Nobody waits for somebody who may be
//! waiting for him: the RIB never waits, data planes and BGP wait for the RIB only.

mod added;
mod api_routes;
pub mod handles;
mod host;
mod kept;
mod log;
mod node;
pub(crate) mod ospf;
mod paths;
mod planes;
mod process;
mod redistribute;
mod rib_thread;
mod statics;
mod sweep;
#[cfg(test)]
mod tests;

pub use node::{Platform, Running, StartError, start};
pub use process::run;
