//! The rig and the cases.

mod octets;
mod peer;
mod rig;

mod borders;
mod capabilities;
mod ceases;
mod errors_header;
mod errors_update;
mod export;
mod framing;
mod lengths;
mod long_lived;
mod machine;
mod next_hops;
mod operation;
mod paths;
mod refreshes;
mod restarts;
mod route_server;
mod selection;
mod sessions;
mod transport;
