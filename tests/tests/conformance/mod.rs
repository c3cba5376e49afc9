//! The rig and the cases.

mod octets;
mod peer;
mod rig;

mod borders;
mod errors_header;
mod errors_update;
mod export;
mod machine;
mod operation;
mod restarts;
mod selection;
mod sessions;
mod transport;
