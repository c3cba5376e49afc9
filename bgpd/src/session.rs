//! One neighbor's session: connections, FSM, collision, framing.

/// The number of a TCP connection, never reused while the speaker lives. The speaker numbers those it asks for, the carrier
/// those it accepts: the top bit tells them apart, so neither has to ask the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl ConnId {
    const ACCEPTED: u64 = 1 << 63;

    /// The `n`th connection that a carrier accepted.
    #[must_use]
    pub fn accepted(n: u64) -> Self {
        Self(n | Self::ACCEPTED)
    }

    /// True if a carrier accepted it; the speaker asked for all others.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }
}

/// Why a session fell or could not be established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The connection was closed or failed.
    ConnectionLost,
}
