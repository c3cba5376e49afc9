//! The probes: one file per kind. Each is plain data and one `run` that says what was seen or why it failed.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub mod dns;
pub mod exec;
pub mod http;
pub mod tcp;

pub use dns::{DnsProbe, DnsQuestion};
pub use exec::ExecProbe;
pub use http::HttpProbe;
pub use tcp::TcpProbe;

/// What a check asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// A DNS query.
    Dns(DnsProbe),
    /// An HTTP request.
    Http(HttpProbe),
    /// A TCP connection.
    Tcp(TcpProbe),
    /// A command.
    Exec(ExecProbe),
}

impl Probe {
    /// The `type` in the configuration.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Exec(_) => "exec",
        }
    }

    /// The address that is asked, if the probe names one.
    #[must_use]
    pub fn target(&self) -> Option<IpAddr> {
        match self {
            Self::Dns(probe) => Some(probe.target.ip()),
            Self::Http(probe) => probe.url.address(),
            Self::Tcp(probe) => Some(probe.target.ip()),
            Self::Exec(_) => None,
        }
    }

    /// One run, for at most `timeout`.
    ///
    /// # Errors
    /// Why the check failed, as a sentence for people.
    pub async fn run(&self, timeout: Duration) -> Result<String, String> {
        match self {
            Self::Dns(probe) => probe.run(timeout).await,
            Self::Http(probe) => within(timeout, probe.run()).await,
            Self::Tcp(probe) => within(timeout, probe.run()).await,
            Self::Exec(probe) => probe.run(timeout).await,
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(probe) => write!(f, "dns {} at {}", probe.question, probe.target),
            Self::Http(probe) => write!(f, "http {}", probe.url),
            Self::Tcp(probe) => write!(f, "tcp {}", probe.target),
            Self::Exec(probe) => write!(f, "exec {}", probe.program()),
        }
    }
}

/// `run`, but no longer than `timeout`.
async fn within(timeout: Duration, run: impl Future<Output = Result<String, String>>) -> Result<String, String> {
    match tokio::time::timeout(timeout, run).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {timeout:?}")),
    }
}

/// At most `limit` octets of `bytes` as printable text, for a verdict's detail.
fn excerpt(bytes: &[u8], limit: usize) -> String {
    let cut = bytes.get(..limit).unwrap_or(bytes);
    let mut text: String = String::from_utf8_lossy(cut).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.truncate(text.trim_end().len());
    if cut.len() < bytes.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
