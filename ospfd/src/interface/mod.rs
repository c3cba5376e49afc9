//! One of our interfaces: RFC 2328 §9.

/// What an interface is doing (RFC 2328 §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InterfaceState {
    /// Not there, or without what it needs.
    #[default]
    Down,
    /// Announced as a host, nothing spoken.
    Loopback,
    /// Listening who is Designated Router.
    Waiting,
    /// Speaking, without Designated Router: point-to-point, point-to-multipoint, virtual.
    PointToPoint,
    /// Neither Designated Router nor Backup.
    DrOther,
    /// Backup Designated Router.
    Backup,
    /// Designated Router.
    Dr,
}
