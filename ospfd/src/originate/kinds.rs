//! Numbers of LSA types by version (RFC 2328 §A.4.1, RFC 3101 §2.3, RFC 5340 §A.4.2.1).

use crate::id::LsaType;

/// LSA types that both versions have, and what is v3's alone.
#[derive(Debug)]
pub(crate) struct Kinds {
    pub(crate) router: LsaType,
    pub(crate) network: LsaType,
    /// Summary, inter-area-prefix.
    pub(crate) summary: LsaType,
    /// ASBR-summary, inter-area-router.
    pub(crate) asbr: LsaType,
    pub(crate) external: LsaType,
    pub(crate) nssa: LsaType,
    pub(crate) link: Option<LsaType>,
    pub(crate) prefixes: Option<LsaType>,
}

pub(crate) const V2: Kinds = Kinds {
    router: LsaType(1),
    network: LsaType(2),
    summary: LsaType(3),
    asbr: LsaType(4),
    external: LsaType(5),
    nssa: LsaType(7),
    link: None,
    prefixes: None,
};

pub(crate) const V3: Kinds = Kinds {
    router: LsaType(0x2001),
    network: LsaType(0x2002),
    summary: LsaType(0x2003),
    asbr: LsaType(0x2004),
    external: LsaType(0x4005),
    nssa: LsaType(0x2007),
    link: Some(LsaType(0x0008)),
    prefixes: Some(LsaType(0x2009)),
};
