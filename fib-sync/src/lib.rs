//! Keeps data planes equal to the RIB, and tells the RIB about the host it runs on.

pub mod backend;
pub mod host;
