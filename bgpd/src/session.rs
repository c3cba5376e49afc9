//! One neighbor's session: connections, FSM, collision, framing.

/// The carrier's number for a TCP connection, never reused while the speaker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Why a session fell or could not be established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The connection was closed or failed.
    ConnectionLost,
}
