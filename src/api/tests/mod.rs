//! Stories for the API: values first, then the whole server over a Unix socket.

mod convert;
mod events;
mod feed;
mod listen;
mod lsdb;
mod request;
mod server;
