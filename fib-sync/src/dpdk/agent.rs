//! The conversation with the agent: messages one way, answers by sequence number the other, dumps.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::Pid;
use rib::IfIndex;

use crate::fpm::{HEAD, NETLINK, VERSION, frame};
use crate::netlink::decode::{self, Message};
use crate::netlink::encode::{ACK, HEADER};

const HELLO: u8 = 0xa0;
const COUNTERS: u8 = 0xa1;
const MAGIC: u32 = 0x416e_7948;
const PROTOCOL: u32 = 1;
/// Magic, protocol, start (8 octets), routes of both families, next hops, legs, neighbors, number of ports; their indices follow, then
/// whether it is a daemon's child.
const HELLO_OCTETS: usize = 40;
const PORTS_MAX: usize = 32;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const SEND_OCTETS: usize = 128 * 1024;
const READ_OCTETS: usize = 256 * 1024;
/// Reads that wait to be looked at; the agent waits meanwhile.
const READS: usize = 16;
/// Answers to the largest batch, refused as a whole, are a tenth of this.
const PENDING_MOST: usize = 64 << 20;
/// A write that finds no room looks for answers so often: the agent may be waiting to give them.
const TURN: Duration = Duration::from_millis(20);
/// An agent that neither takes nor gives anything for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
const GREETING: Duration = Duration::from_secs(2);
/// As for FPM: who greets and closes is not called in a circle.
const PACE: Duration = Duration::from_secs(1);

/// Told when the connection has ended.
pub(super) type Ended = Arc<dyn Fn() + Send + Sync>;

/// What an agent says of itself first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Differs after each of its starts.
    pub(super) started: u64,
    pub(super) routes: usize,
    pub(super) legs: usize,
    /// The kernel's interfaces behind its ports.
    pub(super) ports: Vec<IfIndex>,
    /// Started by a daemon, perhaps an earlier one.
    pub(super) child: bool,
}

impl Hello {
    fn decode(octets: &[u8]) -> Result<Self, String> {
        let word = |at: usize| decode::u32_at(octets, at).unwrap_or(0);
        if octets.len() < HELLO_OCTETS || word(0) != MAGIC {
            return Err("whoever listens there is no agent of ours".into());
        }
        if word(4) != PROTOCOL {
            return Err(format!("the agent speaks version {} of the protocol, we speak {PROTOCOL}", word(4)));
        }
        let ports = (word(36) as usize).min(PORTS_MAX);
        Ok(Self {
            started: u64::from(word(8)) | u64::from(word(12)) << 32,
            routes: word(16) as usize + word(20) as usize,
            legs: word(28) as usize,
            ports: (0..ports).map(|n| IfIndex(word(HELLO_OCTETS + n * 4))).filter(|index| index.0 != 0).collect(),
            child: word(HELLO_OCTETS + PORTS_MAX * 4) != 0,
        })
    }
}

/// A connection.
pub(super) struct Agent {
    stream: UnixStream,
    reads: Receiver<Vec<u8>>,
    /// Read and not yet looked at, from `at` on.
    pending: Vec<u8>,
    at: usize,
    seq: u32,
    closing: Arc<AtomicBool>,
    pub(super) hello: Hello,
}

#[allow(clippy::disallowed_methods)] // A connection lives in real time.
fn now() -> Instant {
    Instant::now()
}

fn silent() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the agent does not answer")
}

fn read_on(mut from: UnixStream, reads: &SyncSender<Vec<u8>>) {
    let mut buf = vec![0; READ_OCTETS];
    loop {
        match from.read(&mut buf) {
            Ok(0) => return,
            Ok(got) if reads.send(buf[..got].to_vec()).is_err() => return,
            Err(error) if error.kind() != ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => {}
        }
    }
}

/// The process that listens where this stream leads.
pub(super) fn pid_of(stream: &UnixStream) -> Option<Pid> {
    let who = getsockopt(stream, PeerCredentials).ok()?;
    (who.pid() > 0).then(|| Pid::from_raw(who.pid()))
}

impl Agent {
    /// Connects and takes the agent's greeting.
    pub(super) fn connect(path: &Path, ended: Option<Ended>) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(TURN))?;
        let watched = stream.try_clone()?;
        let (tell, reads) = sync_channel(READS);
        let closing = Arc::new(AtomicBool::new(false));
        let (ours, begun) = (Arc::clone(&closing), now());
        std::thread::Builder::new().name("fib-dpdk-read".into()).spawn(move || {
            read_on(watched, &tell);
            drop(tell);
            if let Some(ended) = ended
                && !ours.load(Ordering::Acquire)
            {
                std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
                ended();
            }
        })?;
        let hello = Hello { started: 0, routes: 0, legs: 0, ports: Vec::new(), child: false };
        let mut agent = Self { stream, reads, pending: Vec::new(), at: 0, seq: 1, closing, hello };
        let (kind, content) = agent.frame(GREETING)?;
        if kind != HELLO {
            return Err(io::Error::new(ErrorKind::InvalidData, "whoever listens there does not greet as an agent"));
        }
        agent.hello = Hello::decode(&content).map_err(|why| io::Error::new(ErrorKind::InvalidData, why))?;
        Ok(agent)
    }

    /// The process at the other end, if the kernel knows it here.
    pub(super) fn pid(&self) -> Option<Pid> {
        pid_of(&self.stream)
    }

    fn gather(&mut self, more: &[u8]) -> io::Result<()> {
        self.pending.drain(..self.at);
        self.at = 0;
        self.pending.extend_from_slice(more);
        if self.pending.len() > PENDING_MOST {
            return Err(io::Error::new(ErrorKind::InvalidData, "the agent answers more than it was asked"));
        }
        Ok(())
    }

    /// The bounds of the next whole frame's content in `pending`.
    fn whole(&self) -> io::Result<Option<(u8, std::ops::Range<usize>)>> {
        let rest = &self.pending[self.at..];
        let Some([version, kind, high, low]) = rest.first_chunk::<HEAD>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *version != VERSION || length < HEAD {
            return Err(io::Error::new(ErrorKind::InvalidData, "what the agent sends are no frames"));
        }
        Ok((rest.len() >= length).then_some((*kind, self.at + HEAD..self.at + length)))
    }

    /// The next frame, by its place in `pending`, which stays until the call after.
    fn next(&mut self, wait: Duration) -> io::Result<(u8, std::ops::Range<usize>)> {
        loop {
            if let Some((kind, range)) = self.whole()? {
                self.at = range.end;
                return Ok((kind, range));
            }
            match self.reads.recv_timeout(wait) {
                Ok(more) => self.gather(&more)?,
                Err(RecvTimeoutError::Timeout) => return Err(silent()),
                Err(RecvTimeoutError::Disconnected) => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn frame(&mut self, wait: Duration) -> io::Result<(u8, Vec<u8>)> {
        let (kind, range) = self.next(wait)?;
        Ok((kind, self.pending[range].to_vec()))
    }

    /// Writes all; what the agent answers meanwhile is gathered, lest it wait for us.
    fn write_all(&mut self, mut octets: &[u8]) -> io::Result<()> {
        let mut heard = now();
        while !octets.is_empty() {
            match self.stream.write(octets) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    octets = &octets[written..];
                    heard = now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    while let Ok(more) = self.reads.try_recv() {
                        self.gather(&more)?;
                        heard = now();
                    }
                    if heard.elapsed() > SILENCE {
                        return Err(silent());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Begins to send messages that are answered together.
    pub(super) fn batch(&mut self) -> Batch<'_> {
        let first = self.seq;
        Batch { agent: self, buf: Vec::with_capacity(SEND_OCTETS + 8192), last: 0, first, pushed: 0 }
    }

    /// Sends the dump request that `encode` writes, and gives each message of the answer to `each`.
    pub(super) fn dump(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, u32),
        each: &mut dyn FnMut(&Message<'_>),
    ) -> io::Result<()> {
        let seq = self.take_seq(1);
        let mut request = Vec::new();
        frame(&mut request, |buf| encode(buf, seq));
        self.write_all(&request)?;
        loop {
            let (kind, range) = self.next(SILENCE)?;
            if kind != NETLINK {
                continue;
            }
            for message in decode::messages(&self.pending[range]).filter(|message| message.seq == seq) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(io::Error::from_raw_os_error(errno_of(&message))),
                    _ => each(&message),
                }
            }
        }
    }

    /// The agent's counters, in its order.
    pub(super) fn counters(&mut self) -> io::Result<Vec<u64>> {
        self.write_all(&[VERSION, COUNTERS, 0, HEAD as u8])?;
        loop {
            let (kind, content) = self.frame(SILENCE)?;
            if kind == COUNTERS {
                let number = |octets: &[u8]| octets.first_chunk().map(|octets| u64::from_ne_bytes(*octets));
                return Ok(content.chunks_exact(8).filter_map(number).collect());
            }
        }
    }

    fn take_seq(&mut self, count: u32) -> u32 {
        let first = self.seq;
        self.seq = self.seq.wrapping_add(count);
        first
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        // An error means that the agent was quicker.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn errno_of(message: &Message<'_>) -> i32 {
    message.payload.first_chunk::<4>().map_or(libc::EBADMSG, |code| i32::from_ne_bytes(*code).saturating_neg())
}

/// Messages on their way.
pub(super) struct Batch<'a> {
    agent: &'a mut Agent,
    buf: Vec<u8>,
    /// Where the last message's frame begins.
    last: usize,
    first: u32,
    pushed: u32,
}

impl Batch<'_> {
    /// Appends the message that `encode` writes for the given sequence number.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>, u32)) -> io::Result<()> {
        // The last message stays, since it may be the one that asks for an answer.
        if self.buf.len() >= SEND_OCTETS {
            self.agent.write_all(&self.buf)?;
            self.buf.clear();
        }
        let seq = self.first.wrapping_add(self.pushed);
        self.last = self.buf.len();
        frame(&mut self.buf, |buf| encode(buf, seq));
        self.pushed += 1;
        Ok(())
    }

    /// Waits for the answers; gives the index of each refused message, in the order of pushing, and its errno.
    pub(super) fn finish(mut self) -> io::Result<Vec<(usize, i32)>> {
        let mut refused = Vec::new();
        if self.pushed == 0 {
            return Ok(refused);
        }
        let flags = self.last + HEAD + 6;
        let asked = u16::from_ne_bytes([self.buf[flags], self.buf[flags + 1]]) | ACK;
        self.buf[flags..flags + 2].copy_from_slice(&asked.to_ne_bytes());
        debug_assert!(self.buf.len() >= self.last + HEAD + HEADER);
        self.agent.take_seq(self.pushed);
        self.agent.write_all(&self.buf)?;
        loop {
            let (kind, range) = self.agent.next(SILENCE)?;
            if kind != NETLINK {
                continue;
            }
            for message in decode::messages(&self.agent.pending[range]) {
                let index = message.seq.wrapping_sub(self.first);
                if message.kind != NLMSG_ERROR || index >= self.pushed {
                    continue;
                }
                let errno = errno_of(&message);
                if errno != 0 {
                    refused.push((index as usize, errno));
                }
                if index + 1 == self.pushed {
                    return Ok(refused);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
