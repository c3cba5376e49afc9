//! The rig and the cases.

mod octets;
mod peer;
mod rig;

mod borders;
mod ceases;
mod errors_header;
mod errors_update;
mod export;
mod long_lived;
mod machine;
mod operation;
mod restarts;
mod route_server;
mod selection;
mod sessions;
mod transport;
