//! The speaker: sessions, import, Loc-RIB and export wired together.

pub mod message;
