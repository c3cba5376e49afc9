//! The `http` probe: one GET over HTTP/1.1 in clear (RFC 9112); TLS is refused where the URL is parsed.
//!
//! Redirects are not followed: the expected status may well be 301, and a check must not be led to another host.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Most octets of a body that are searched for the expected text.
const BODY_LIMIT: usize = 1024 * 1024;

/// Where a request goes: `http://127.0.0.1:8080/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    host: String,
    port: u16,
    path: String,
}

impl HttpUrl {
    /// The URL of `path` (must begin with `/`) at `target`.
    ///
    /// # Errors
    /// If the path is none.
    pub fn at(target: SocketAddr, path: &str) -> Result<Self, String> {
        format!("http://{target}{path}").parse()
    }

    /// The host, if it is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The Host header (RFC 9110 §7.2): IPv6 in brackets, the port unless it is 80.
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("https checks are not yet supported: use http on a local port".to_owned()),
            _ => return Err(format!("{text:?} is no http URL, as in \"http://127.0.0.1:8080/healthz\"")),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| format!("{text:?} names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), path })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

/// An HTTP request and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// What is asked for.
    pub url: HttpUrl,
    /// The status codes that pass.
    pub status: RangeInclusive<u16>,
    /// If given, the body must contain it.
    pub body: Option<String>,
}

impl HttpProbe {
    /// A probe that passes on any 2xx.
    #[must_use]
    pub fn new(url: HttpUrl) -> Self {
        Self { url, status: 200..=299, body: None }
    }

    pub(super) async fn run(&self) -> Result<String, String> {
        let failed = |what: &str, error: &dyn fmt::Display| format!("{what} {}: {error}", self.url);
        let stream = TcpStream::connect((self.url.host.as_str(), self.url.port))
            .await
            .map_err(|error| failed("cannot connect", &error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed("cannot speak HTTP to", &error))?;
        let request = Request::get(self.url.path.as_str())
            .header("host", self.url.authority())
            .header("user-agent", concat!("anyhop/", env!("CARGO_PKG_VERSION")))
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed("cannot ask", &error))?;
        // The connection is driven beside the request, in this task, so that a timeout drops both.
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| failed("no answer from", &error))?;
            let status = response.status();
            if !self.status.contains(&status.as_u16()) {
                let (low, high) = (self.status.start(), self.status.end());
                let expected = if low == high { low.to_string() } else { format!("{low}-{high}") };
                return Err(format!("{} answered {status}, expected {expected}", self.url));
            }
            let Some(expected) = &self.body else { return Ok(status.to_string()) };
            self.search(response.into_body(), expected).await?;
            Ok(format!("{status}, body as expected"))
        };
        tokio::pin!(exchange);
        tokio::pin!(connection);
        let mut connection_over = false;
        loop {
            tokio::select! {
                outcome = &mut exchange => return outcome,
                _ = &mut connection, if !connection_over => connection_over = true,
            }
        }
    }

    async fn search(&self, mut body: hyper::body::Incoming, expected: &str) -> Result<(), String> {
        let mut seen: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("{} broke off: {error}", self.url))?;
            if let Some(data) = frame.data_ref() {
                seen.extend_from_slice(data);
            }
            if contains(&seen, expected.as_bytes()) {
                return Ok(());
            }
            if seen.len() > BODY_LIMIT {
                return Err(format!("the first {BODY_LIMIT} octets of {} do not contain {expected:?}", self.url));
            }
        }
        Err(format!("{} does not contain {expected:?}, but {:?}", self.url, super::excerpt(&seen, 80)))
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}
