//! The rig and the cases.

mod octets;
mod peer;
mod rig;

mod borders;
mod errors_header;
mod errors_update;
mod export;
mod selection;
mod sessions;
