//! The way to a daemon's API, and what its refusals mean for the exit code.

use std::error::Error as _;
use std::process::ExitCode;
use std::time::Duration;

use proto::v1;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::Later;
use crate::api::ApiAddress;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long to wait for the beginning of an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Largest answer taken, octets: a page of 10000 routes with many next hops.
const ANSWER_MOST: usize = 64 << 20;

/// Why a command ends with an error.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    /// For stderr; empty if there is nothing to say.
    message: String,
}

impl Failure {
    /// Exit code 1.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// Exit code 2.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// A command of a later version.
    pub(super) fn not_built(_: &Later, instead: &str) -> Self {
        Self::failed(format!("not built yet: {instead}"))
    }

    /// The reader of our output has gone, which is no error: `anyhop show routes | head`.
    pub(super) fn write(err: &std::io::Error) -> Self {
        match err.kind() {
            std::io::ErrorKind::BrokenPipe => Self { code: 0, message: String::new() },
            _ => Self::failed(format!("cannot write the output: {err}")),
        }
    }

    /// Says it on stderr; the code to exit with.
    pub(super) fn report(&self) -> ExitCode {
        use std::io::Write as _;
        if !self.message.is_empty() {
            let _ = writeln!(std::io::stderr(), "anyhop: {}", self.message);
        }
        ExitCode::from(self.code)
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> u8 {
        self.code
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::FailedPrecondition => Self { code: 3, message },
            Code::InvalidArgument => Self { code: 2, message },
            Code::Unimplemented if message.is_empty() => {
                Self::failed("the daemon does not know this request: is it of another version?")
            }
            Code::DeadlineExceeded | Code::Cancelled => {
                Self::failed(format!("the daemon did not answer in {} s: {message}", ANSWER.as_secs()))
            }
            Code::Unavailable | Code::Unknown if status.source().is_some() => {
                Self::failed(format!("the connection to the daemon was lost: {message}"))
            }
            _ => Self::failed(message),
        }
    }
}

/// A connected client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    channel: Channel,
    /// Print JSON.
    pub(super) json: bool,
}

impl Client {
    /// Connects to the daemon at `api`.
    pub(super) async fn connect(api: ApiAddress, json: bool) -> Result<Self, Failure> {
        let uri = match &api {
            ApiAddress::Unix(_) => api.to_string(),
            ApiAddress::Tcp(addr) => format!("http://{addr}"),
        };
        let endpoint = Endpoint::from_shared(uri).map_err(|err| Failure::usage(format!("--api {api}: {err}")))?;
        match endpoint.connect_timeout(CONNECT).timeout(ANSWER).connect().await {
            Ok(channel) => Ok(Self { channel, json }),
            Err(err) => Err(unreachable(&api, &err)),
        }
    }

    pub(super) fn node(&self) -> v1::node_service_client::NodeServiceClient<Channel> {
        v1::node_service_client::NodeServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MOST)
    }

    pub(super) fn ospf(&self) -> v1::ospf_service_client::OspfServiceClient<Channel> {
        v1::ospf_service_client::OspfServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MOST)
    }

    pub(super) fn bgp(&self) -> v1::bgp_service_client::BgpServiceClient<Channel> {
        v1::bgp_service_client::BgpServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MOST)
    }

    pub(super) fn rib(&self) -> v1::rib_service_client::RibServiceClient<Channel> {
        v1::rib_service_client::RibServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MOST)
    }

    pub(super) fn fib(&self) -> v1::fib_service_client::FibServiceClient<Channel> {
        v1::fib_service_client::FibServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MOST)
    }

    pub(super) fn anycast(&self) -> v1::anycast_service_client::AnycastServiceClient<Channel> {
        v1::anycast_service_client::AnycastServiceClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_MOST)
    }
}

/// The daemon cannot be reached: where, why, and what would help.
fn unreachable(api: &ApiAddress, err: &tonic::transport::Error) -> Failure {
    let mut cause: &dyn std::error::Error = err;
    let mut denied = false;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        denied |=
            cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied);
    }
    let mend = if denied {
        "you may not use this socket: be its owner or in its group, or run the command as root"
    } else {
        "is the daemon running? Start it with `anyhop run`, or name its address with --api or $ANYHOP_API"
    };
    Failure::failed(format!("cannot reach anyhop at {api}: {cause}; {mend}"))
}
