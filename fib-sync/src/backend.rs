//! The one trait a data plane implements.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rib::{FibFault, FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp};

/// Next-hop objects are numbered below this, from 1.
pub const MAX_NEXT_HOPS: u32 = 1 << 22;

/// What a data plane can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Most routes over both families; `None` if only memory bounds it.
    pub routes: Option<usize>,
    /// Most legs of one next-hop object.
    pub legs: usize,
}

/// Something a data plane refused, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A route was not written; the others of the batch were.
    Route(IpNet, FibFault),
    /// A next-hop object was not written; routes that use it fail too.
    NextHop(NextHopId, FibFault),
}

/// A route of ours that the data plane holds, as its own dump says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The destination.
    pub prefix: IpNet,
    /// How it forwards: compared with what is desired, so that equal routes are adopted untouched.
    pub forwarding: Forwarding,
    /// The next-hop object it refers to, if the data plane has such objects and the number is one of ours.
    pub next_hop: Option<NextHopId>,
}

/// What a data plane says of itself beside its routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Interfaces it forwards by, if it has interfaces of its own, in configuration order.
    pub ports: Vec<Port>,
    /// Counts of packets and octets since its tables were made, by reason.
    pub counters: Vec<(&'static str, u64)>,
}

/// An interface that a data plane uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The interface.
    pub name: String,
    /// How it is used: `native`, `generic`; empty if it is not.
    pub mode: &'static str,
    /// Why it is not used, or not as wished; for people.
    pub remark: Option<String>,
}

/// Why a whole batch could not be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The privilege is missing; says which and how to do without.
    #[error("{0}")]
    Privilege(String),
    /// The connection to the data plane is lost: everything must be dumped and sent anew.
    #[error("connection to the data plane lost: {0}")]
    Lost(String),
}

/// A data plane. Owned by one thread; calls may block in the kernel but not wait for peers.
///
/// The [`NextHopId`]s here are numbers that [`crate::sync::Sync`] chose, below [`MAX_NEXT_HOPS`]; after a restart it takes up
/// again those that the data plane still holds, whatever numbers the RIB gives now.
pub trait FibBackend: Send {
    /// The name in configuration, API and metrics: `kernel`, `xdp`, `dpdk`, `fpm`, `memory`.
    fn name(&self) -> &'static str;

    /// What it can hold.
    fn capacity(&self) -> Capacity;

    /// Creates or replaces next-hop objects, then writes routes, then removes unused objects, in that order, and appends
    /// to `refused` what was not done. On return everything else is in force. A route of this batch whose object could not be
    /// written is refused by itself as well; routes of earlier batches are not named. Removing what is not there succeeds.
    ///
    /// # Errors
    /// When nothing can be said about the batch as a whole.
    fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError>;

    /// Calls `each` for every route of ours that the data plane holds.
    ///
    /// # Errors
    /// When the data plane could not be read.
    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError>;

    /// What it says of itself; cheap, asked for whenever somebody looks.
    fn facts(&self) -> Facts {
        Facts::default()
    }

    /// Told of every address that became local to this host or ceased to be: local routes are acknowledged by it.
    fn local_address(&mut self, addr: IpAddr, present: bool);

    /// True if the data plane knows nothing of the host's own routes, so that connected and kernel routes must be told as well.
    fn standalone(&self) -> bool {
        false
    }

    /// True if replacing an object that means `old` by one that means `new` takes the routes on it along; if not, they are
    /// sent again in the same batch.
    fn carries(&self, old: &Forwarding, new: &Forwarding) -> bool {
        let _ = (old, new);
        true
    }

    /// Given a way to say, from any thread, that the data plane was lost or has come back while nothing was written: it is
    /// read again then.
    fn when_lost(&mut self, tell: Arc<dyn Fn() + Send + Sync>) {
        let _ = tell;
    }

    /// Told of links that went down or came up. Appends to `lost` the objects which the data plane has dropped for that, with
    /// all routes on them.
    fn link(&mut self, index: IfIndex, up: bool, lost: &mut Vec<NextHopId>) {
        let _ = (index, up, lost);
    }

    /// Removes every object of ours that a dump found and `used` does not confirm.
    ///
    /// # Errors
    /// When the data plane could not be written.
    fn sweep_next_hops(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        let _ = used;
        Ok(())
    }
}
