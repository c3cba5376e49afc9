//! The OSPF speaker's place in the house. Nothing is claimed here yet: no code of this crate runs in the daemon.
//!
//! What will stand here is one sans-I/O engine for OSPFv2 (RFC 2328) and OSPFv3 (RFC 5340), with a `Version` trait at
//! the edge for wire format and addresses; it will feed the shared RIB as the sources [`rib::Source::OspfV2`] and
//! [`rib::Source::OspfV3`], beside `bgpd` and without knowing of it.
