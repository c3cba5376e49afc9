//! The `tcp` probe: a connection, and if wished some octets sent and some expected.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most octets read while waiting for the expected ones.
const READ_LIMIT: usize = 64 * 1024;

/// A TCP connection and what must be seen on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpProbe {
    /// The local server.
    pub target: SocketAddr,
    /// Sent once connected.
    pub send: Option<Vec<u8>>,
    /// Must appear in what the server sends.
    pub expect: Option<Vec<u8>>,
}

impl TcpProbe {
    /// A probe that passes once connected.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        Self { target, send: None, expect: None }
    }

    pub(super) async fn run(&self) -> Result<String, String> {
        let target = self.target;
        let mut stream =
            TcpStream::connect(target).await.map_err(|error| format!("cannot connect {target}: {error}"))?;
        if let Some(octets) = &self.send {
            stream.write_all(octets).await.map_err(|error| format!("cannot send to {target}: {error}"))?;
        }
        let Some(expected) = self.expect.as_deref().filter(|expected| !expected.is_empty()) else {
            return Ok("connected".to_owned());
        };
        let mut seen = Vec::new();
        let mut chunk = vec![0_u8; 4096];
        while seen.len() < READ_LIMIT {
            let count = stream.read(&mut chunk).await.map_err(|error| format!("cannot read from {target}: {error}"))?;
            if count == 0 {
                return Err(format!("{target} closed after {:?}", super::excerpt(&seen, 80)));
            }
            // The expected octets may straddle two reads.
            let from = seen.len().saturating_sub(expected.len() - 1);
            seen.extend_from_slice(chunk.get(..count).unwrap_or_default());
            if seen.get(from..).is_some_and(|tail| tail.windows(expected.len()).any(|window| window == expected)) {
                return Ok("connected, got what was expected".to_owned());
            }
        }
        Err(format!("{target} sent {READ_LIMIT} octets without what was expected"))
    }
}
