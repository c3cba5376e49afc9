//! Octets on the wire and their values; knows nothing of sessions, tables or policy.

pub mod attr;
