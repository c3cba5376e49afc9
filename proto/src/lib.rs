//! The gRPC contract of anyhop: messages, clients and server traits of package `anyhop.v1`, generated from
//! `anyhop/v1/*.proto`. Nothing is written by hand here; conversion from and to the types of the machines stands in
//! the daemon's `api` module.

/// Package `anyhop.v1`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("anyhop.v1");
}

/// The encoded `FileDescriptorSet` of the package and everything it imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("anyhop.v1");
