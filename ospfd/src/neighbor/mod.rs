//! A neighbor on one interface: RFC 2328 §10.

/// How far the conversation with a neighbor has come (RFC 2328 §10.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NeighborState {
    /// Nothing heard.
    #[default]
    Down,
    /// NBMA: asked, nothing heard.
    Attempt,
    /// It is heard, but does not hear us.
    Init,
    /// Both hear each other.
    TwoWay,
    /// Master and slave are being settled.
    ExStart,
    /// Databases are being described.
    Exchange,
    /// Its newer LSAs are being asked for.
    Loading,
    /// Databases are equal.
    Full,
}
