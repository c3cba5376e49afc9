//! Why packets and LSAs were not taken, counted by reason: what an operator asks first when an adjacency does not form.

macro_rules! reasons {
    ($($name:ident = $text:literal,)*) => {
        /// A reason not to take a packet or an LSA.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // the words beside each name are its documentation
        pub(crate) enum Drop { $($name,)* }

        impl Drop {
            const ALL: &[(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

reasons! {
    NoInterface = "the interface is not configured, down or passive",
    Malformed = "malformed packet",
    MalformedLsa = "malformed LSA",
    Checksum = "wrong checksum",
    Version = "other OSPF version",
    InstanceId = "other instance id",
    Area = "other area",
    AuthKind = "other kind of authentication",
    AuthKey = "authentication key is not configured",
    Auth = "authentication failed",
    Replay = "sequence number of authentication is not above the last one",
    Ttl = "TTL below 255",
    OwnPacket = "our own packet",
    DuplicateRouterId = "another router has our router id",
    Subnet = "source is not on the subnet",
    NotDesignated = "for designated routers only",
    HelloInterval = "other hello interval",
    DeadInterval = "other dead interval",
    Mask = "other network mask",
    AreaKind = "area is stub or NSSA on one side only",
    NotConfigured = "not among the configured neighbors",
    TooManyNeighbors = "too many neighbors on the interface",
    UnknownNeighbor = "not from a neighbor",
    WrongState = "neighbor is not ready for it",
    Mtu = "neighbor's MTU is larger",
    UnknownScope = "LSA is not for this kind of area",
    TooSoon = "LSA came again within MinLSArrival",
    Limit = "LSA beyond a limit",
    Flushed = "LSA that was flushed a moment ago",
    ForeignOwn = "LSA in our name",
}

const COUNT: usize = Drop::ALL.len();

/// Counts by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drops([u64; COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

impl Drops {
    pub(crate) fn count(&mut self, reason: Drop) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&mut self, reason: Drop, times: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += times;
        }
    }

    /// The reasons that occurred.
    pub(crate) fn rows(&self) -> Vec<(&'static str, u64)> {
        Drop::ALL.iter().zip(self.0).filter(|(_, count)| *count > 0).map(|((_, text), count)| (*text, count)).collect()
    }
}
