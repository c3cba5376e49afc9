//! The `dns` probe (RFC 1035): a question over UDP, over TCP if the answer is truncated (§4.2.1, RFC 7766 §5).
//!
//! An answer counts only if it comes from the target, bears the query's random id and repeats its question (RFC 5452
//! §9.1); anything else is passed over until the time is up. DNSSEC is left to validating resolvers.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// The largest answer over UDP that is read; ours asks for no more than 512 (no EDNS), larger ones are the server's fault.
const UDP_BUFFER: usize = 4096;

/// A name and a record type: `example.test A`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsQuestion {
    name: Name,
    kind: RecordType,
}

impl FromStr for DnsQuestion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let name = words.next().ok_or("a dns query needs a name, as in \"example.test A\"")?;
        let kind = words.next().unwrap_or("A");
        if let Some(extra) = words.next() {
            return Err(format!("a dns query is a name and a type, as in \"example.test A\"; {extra:?} is too much"));
        }
        let mut parsed = Name::from_ascii(name).map_err(|error| format!("{name:?} is no domain name: {error}"))?;
        parsed.set_fqdn(true);
        let kind = RecordType::from_str(&kind.to_ascii_uppercase())
            .map_err(|_| format!("{kind:?} is no DNS record type; A, AAAA, TXT, SOA, NS, … are"))?;
        Ok(Self { name: parsed, kind })
    }
}

impl fmt::Display for DnsQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

/// Response codes by name (RFC 1035 §4.1.1, RFC 2136 §2.2).
const RCODES: &[(&str, ResponseCode)] = &[
    ("NOERROR", ResponseCode::NoError),
    ("FORMERR", ResponseCode::FormErr),
    ("SERVFAIL", ResponseCode::ServFail),
    ("NXDOMAIN", ResponseCode::NXDomain),
    ("NOTIMP", ResponseCode::NotImp),
    ("REFUSED", ResponseCode::Refused),
];

/// An expected response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(ResponseCode);

impl Default for Rcode {
    fn default() -> Self {
        Self(ResponseCode::NoError)
    }
}

impl FromStr for Rcode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = RCODES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let names = || RCODES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        found.map(|(_, code)| Self(*code)).ok_or_else(|| format!("{text:?} is no response code; {} are", names()))
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match RCODES.iter().find(|(_, code)| *code == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "RCODE{}", u16::from(self.0)),
        }
    }
}

/// A DNS query and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsProbe {
    /// The local server.
    pub target: SocketAddr,
    /// What is asked.
    pub question: DnsQuestion,
    /// The response code that passes.
    pub rcode: Rcode,
    /// If given, one record of the asked type must have this data, in presentation format: `192.0.2.1`.
    pub answer: Option<String>,
}

impl DnsProbe {
    /// A probe that passes on NOERROR.
    #[must_use]
    pub fn new(target: SocketAddr, question: DnsQuestion) -> Self {
        Self { target, question, rcode: Rcode::default(), answer: None }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Result<String, String> {
        let mut passed_over = 0_u32;
        match tokio::time::timeout(timeout, self.ask(&mut passed_over)).await {
            Ok(outcome) => outcome,
            Err(_) if passed_over > 0 => Err(format!(
                "no valid answer from {} within {timeout:?}; {passed_over} with a wrong id or question passed over",
                self.target
            )),
            Err(_) => Err(format!("no answer from {} within {timeout:?}", self.target)),
        }
    }

    async fn ask(&self, passed_over: &mut u32) -> Result<String, String> {
        // Connected, so the kernel drops datagrams of any other source and reports a closed port at once.
        let any = if self.target.is_ipv4() {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let failed = |what: &str, error: std::io::Error| format!("{what} {}: {error}", self.target);
        let socket = UdpSocket::bind(any).await.map_err(|error| failed("cannot open a socket for", error))?;
        socket.connect(self.target).await.map_err(|error| failed("cannot reach", error))?;
        let id = fastrand::u16(..);
        socket.send(&self.query(id)?).await.map_err(|error| failed("cannot send to", error))?;
        let mut buffer = vec![0_u8; UDP_BUFFER];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(|error| failed("no answer from", error))?;
            match self.matching(id, buffer.get(..length).unwrap_or_default()) {
                Some(answer) if answer.metadata.truncation => return self.ask_tcp().await,
                Some(answer) => return self.judge(&answer, "udp"),
                None => *passed_over += 1,
            }
        }
    }

    /// The question once more over TCP, two octets of length before each message (RFC 1035 §4.2.2).
    async fn ask_tcp(&self) -> Result<String, String> {
        let failed = |error: std::io::Error| format!("truncated over udp, and over tcp {}: {error}", self.target);
        let mut stream = TcpStream::connect(self.target).await.map_err(failed)?;
        let id = fastrand::u16(..);
        let query = self.query(id)?;
        let length = u16::try_from(query.len()).map_err(|_| "the query is over 65535 octets".to_owned())?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&query);
        stream.write_all(&framed).await.map_err(failed)?;
        let length = stream.read_u16().await.map_err(failed)?;
        let mut buffer = vec![0_u8; usize::from(length)];
        stream.read_exact(&mut buffer).await.map_err(failed)?;
        match self.matching(id, &buffer) {
            Some(answer) => self.judge(&answer, "tcp"),
            None => Err(format!("{} answered over tcp with a wrong id or question", self.target)),
        }
    }

    fn query(&self, id: u16) -> Result<Vec<u8>, String> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.question.name.clone(), self.question.kind));
        message.to_vec().map_err(|error| format!("cannot encode the query: {error}"))
    }

    /// The message, if it is an answer to our question.
    fn matching(&self, id: u16, bytes: &[u8]) -> Option<Message> {
        let message = Message::from_vec(bytes).ok()?;
        let [question] = message.queries.as_slice() else { return None };
        let ours = message.metadata.id == id
            && message.metadata.message_type == MessageType::Response
            && message.metadata.op_code == OpCode::Query
            && *question.name() == self.question.name
            && question.query_type() == self.question.kind;
        ours.then_some(message)
    }

    fn judge(&self, answer: &Message, over: &str) -> Result<String, String> {
        let rcode = Rcode(answer.metadata.response_code);
        if rcode != self.rcode {
            return Err(format!("{} answered {rcode}, expected {}", self.target, self.rcode));
        }
        let records = || answer.answers.iter().filter(|record| record.record_type() == self.question.kind);
        if let Some(expected) = &self.answer
            && !records().any(|record| record.data.to_string().eq_ignore_ascii_case(expected))
        {
            let got: Vec<String> = records().take(4).map(|record| record.data.to_string()).collect();
            let got = if got.is_empty() { "no record of that type".to_owned() } else { got.join(", ") };
            return Err(format!("{} answered {got}, expected {expected}", self.target));
        }
        Ok(format!("{rcode}, {} answers over {over}", answer.answers.len()))
    }
}
