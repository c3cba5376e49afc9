//! A netlink socket: opening, sending many messages at once, reading answers and dumps.
#![allow(unsafe_code)] // System calls that no safe crate offers: netlink socket options and classic BPF.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::mpsc;
use std::time::Duration;

use super::decode::{self, Message};

const BUFFER_OCTETS: i32 = 16 << 20;
/// A dump's parts are as long as the reader's buffer allows, up to 32 KiB each and several of them per read.
const READ_OCTETS: usize = 256 * 1024;
/// A dump that is not at its end after so many reads is long.
const LONG_DUMP_READS: usize = 8;
/// Parts of a long dump that may wait to be looked at.
const READ_AHEAD: usize = 16;
/// The kernel answers before a send returns; this only guards against a kernel that never does.
const ANSWER_SECS: i64 = 30;

const NETLINK_ADD_MEMBERSHIP: i32 = 1;
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;
const NETLINK_GET_STRICT_CHK: i32 = 12;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// A dump that others' changes cut short is read again this often.
const DUMP_ATTEMPTS: usize = 4;

pub(super) struct Socket {
    fd: OwnedFd,
    port: u32,
    seq: u32,
    buf: Vec<u8>,
}

/// What reading events came to.
pub(super) enum Read {
    /// This many octets.
    Octets(usize),
    /// The kernel had to drop events.
    Overrun,
}

impl Socket {
    /// A socket for requests.
    pub(super) fn open() -> io::Result<Self> {
        Self::with_groups(&[], &[])
    }

    /// A socket that also receives these multicast groups, except what the given ports caused.
    pub(super) fn with_groups(groups: &[u32], except: &[u32]) -> io::Result<Self> {
        // SAFETY: plain system call; the descriptor is owned from here on.
        let fd = unsafe {
            let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            let fd = libc::socket(libc::AF_NETLINK, flags, libc::NETLINK_ROUTE);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let mut socket = Self { fd, port: 0, seq: 1, buf: vec![0; READ_OCTETS] };
        // Without privilege the forced sizes fail and the plain ones are cut to the system's limit: slower, not wrong.
        for (forced, plain) in [(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF), (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)] {
            if socket.option(libc::SOL_SOCKET, forced, &BUFFER_OCTETS).is_err() {
                socket.option(libc::SOL_SOCKET, plain, &BUFFER_OCTETS)?;
            }
        }
        // Short answers: the refused message is not repeated. Old kernels do not know it and answer longer.
        let _ = socket.option(libc::SOL_NETLINK, NETLINK_CAP_ACK, &1i32);
        let _ = socket.option(libc::SOL_NETLINK, NETLINK_EXT_ACK, &0i32);
        // Dumps filtered by the kernel; where it cannot, the reader filters all the same.
        let _ = socket.option(libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK, &1i32);
        if !except.is_empty() {
            socket.filter(except)?;
        }
        socket.bind()?;
        for group in groups {
            // The group of next-hop objects is unknown to kernels without them.
            let _ = socket.option(libc::SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group.cast_signed());
        }
        Ok(socket)
    }

    fn option<T>(&self, level: i32, name: i32, value: &T) -> io::Result<()> {
        let length = size_of::<T>() as libc::socklen_t;
        // SAFETY: the pointer and length describe a live value of plain data.
        match unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn bind(&mut self) -> io::Result<()> {
        let timeout = libc::timeval { tv_sec: ANSWER_SECS, tv_usec: 0 };
        self.option(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
        // SAFETY: an all-zero sockaddr_nl is valid; lengths are those of the type.
        unsafe {
            let mut addr: libc::sockaddr_nl = std::mem::zeroed();
            addr.nl_family = libc::AF_NETLINK as libc::sa_family_t;
            let mut length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            if libc::bind(self.fd.as_raw_fd(), std::ptr::from_ref(&addr).cast(), length) != 0 {
                return Err(io::Error::last_os_error());
            }
            if libc::getsockname(self.fd.as_raw_fd(), std::ptr::from_mut(&mut addr).cast(), &raw mut length) != 0 {
                return Err(io::Error::last_os_error());
            }
            self.port = addr.nl_pid;
        }
        Ok(())
    }

    /// Drops, before they are queued, the events that requests from `ports` caused: a full table of our own echoes would
    /// fill any buffer.
    fn filter(&self, ports: &[u32]) -> io::Result<()> {
        let program = filter_program(ports);
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
        self.option(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Our number in the kernel's answers and echoes.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The number for the next message.
    pub(super) fn next_seq(&self) -> u32 {
        self.seq
    }

    /// These many numbers are used up.
    pub(super) fn skip_seq(&mut self, count: u32) {
        self.seq = self.seq.wrapping_add(count);
    }

    pub(super) fn send(&self, octets: &[u8]) -> io::Result<()> {
        // SAFETY: pointer and length describe the slice. A socket that is not connected sends to the kernel.
        let sent = unsafe { libc::send(self.fd.as_raw_fd(), octets.as_ptr().cast(), octets.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn receive(&mut self, flags: i32) -> io::Result<usize> {
        receive(self.fd.as_raw_fd(), &mut self.buf, flags)
    }

    /// Sends `count` messages numbered from `first`, the last of which asks for an answer, and gives each error with the
    /// message's index.
    ///
    /// # Errors
    /// When answers were lost: nothing is known of what was done.
    pub(super) fn transact(
        &mut self,
        octets: &[u8],
        first: u32,
        count: u32,
        refused: &mut dyn FnMut(usize, i32),
    ) -> io::Result<()> {
        self.send(octets)?;
        loop {
            let got = self.receive(0)?;
            for message in decode::messages(&self.buf[..got]) {
                // Answers to what was given up before are not of this batch.
                let index = message.seq.wrapping_sub(first);
                if message.kind != NLMSG_ERROR || index >= count {
                    continue;
                }
                let errno = errno_of(&message);
                if errno != 0 {
                    refused(index as usize, errno);
                }
                if index + 1 == count {
                    return Ok(());
                }
            }
        }
    }

    /// Sends the dump request that `encode` writes and gives each part to `each`. A dump that changed under the reader is read
    /// again from the start, after `restart`.
    pub(super) fn dump(
        &mut self,
        encode: &dyn Fn(&mut Vec<u8>, u32),
        restart: &mut dyn FnMut(),
        each: &mut dyn FnMut(&Message<'_>),
    ) -> io::Result<()> {
        for _ in 0..DUMP_ATTEMPTS {
            restart();
            if !self.dump_once(encode, each)? {
                return Ok(());
            }
        }
        // Whatever changes all the time is not ours; what we saw of ours is consistent enough, and events follow.
        Ok(())
    }

    /// True if the dump was interrupted by changes.
    fn dump_once(
        &mut self,
        encode: &dyn Fn(&mut Vec<u8>, u32),
        each: &mut dyn FnMut(&Message<'_>),
    ) -> io::Result<bool> {
        let seq = self.seq;
        self.skip_seq(1);
        let mut request = Vec::new();
        encode(&mut request, seq);
        self.send(&request)?;
        let mut interrupted = false;
        for _ in 0..LONG_DUMP_READS {
            let got = self.receive(0)?;
            if take_part(&self.buf[..got], seq, &mut interrupted, each)? {
                return Ok(interrupted);
            }
        }
        self.read_beside(seq, &mut |part| take_part(part, seq, &mut interrupted, each))?;
        Ok(interrupted)
    }

    /// Reads the rest of a dump on a thread of its own, so that the kernel writes the next part while `take` reads this one; for a
    /// full table each takes half of the time.
    fn read_beside(&self, seq: u32, take: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
        let fd = self.fd.as_raw_fd();
        let (parts, received) = mpsc::sync_channel::<io::Result<(Vec<u8>, usize)>>(READ_AHEAD);
        let (used, again) = mpsc::channel::<Vec<u8>>();
        let read = move || {
            loop {
                let mut part = again.try_recv().unwrap_or_else(|_| vec![0; READ_OCTETS]);
                let got = receive(fd, &mut part, 0);
                let end = got.as_ref().map_or(true, |got| decode::messages(&part[..*got]).any(|one| ends(&one, seq)));
                if parts.send(got.map(|got| (part, got))).is_err() || end {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            std::thread::Builder::new().name("fib-dump".to_owned()).spawn_scoped(scope, read)?;
            let mut answer = Ok(());
            // To the end whatever `take` says: what is left in the socket would be taken for the answer to the next question.
            for part in received {
                let (part, got) = part?;
                if answer.is_ok() {
                    answer = take(&part[..got]).map(drop);
                }
                // The reader may have ended.
                let _ = used.send(part);
            }
            answer
        })
    }

    /// Sends one request that `encode` writes and gives its single answer to `each`.
    pub(super) fn ask(
        &mut self,
        encode: &dyn Fn(&mut Vec<u8>, u32),
        each: &mut dyn FnMut(&Message<'_>),
    ) -> io::Result<()> {
        let seq = self.seq;
        self.skip_seq(1);
        let mut request = Vec::new();
        encode(&mut request, seq);
        self.send(&request)?;
        loop {
            let got = self.receive(0)?;
            if let Some(message) = decode::messages(&self.buf[..got]).find(|message| message.seq == seq) {
                if message.kind == NLMSG_ERROR && errno_of(&message) != 0 {
                    return Err(io::Error::from_raw_os_error(errno_of(&message)));
                }
                each(&message);
                return Ok(());
            }
        }
    }

    /// Reads events that are there, into the buffer.
    pub(super) fn read_events(&mut self) -> io::Result<Read> {
        match self.receive(libc::MSG_DONTWAIT) {
            Ok(got) => Ok(Read::Octets(got)),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Read::Overrun),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Octets(0)),
            Err(error) => Err(error),
        }
    }

    /// The first `octets` of the last read.
    pub(super) fn octets(&self, octets: usize) -> &[u8] {
        &self.buf[..octets]
    }
}

/// Waits until one of the two can be read, or for so long; true for each that can.
pub(super) fn wait_readable(first: RawFd, second: RawFd, most: Option<Duration>) -> io::Result<(bool, bool)> {
    let millis = most.map_or(-1, |most| i32::try_from(most.as_millis()).unwrap_or(i32::MAX));
    let mut fds = [first, second].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    loop {
        // SAFETY: pointer and count describe the array.
        if unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) } >= 0 {
            return Ok((fds[0].revents != 0, fds[1].revents != 0));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn receive(fd: RawFd, buf: &mut [u8], flags: i32) -> io::Result<usize> {
    loop {
        // SAFETY: pointer and length describe the buffer, borrowed mutably.
        let got = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), flags) };
        if let Ok(got) = usize::try_from(got) {
            return Ok(got);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The last message of a dump.
fn ends(message: &Message<'_>, seq: u32) -> bool {
    message.seq == seq && matches!(message.kind, NLMSG_DONE | NLMSG_ERROR)
}

/// Gives the messages in one part of a dump to `each`; true at its end.
fn take_part(octets: &[u8], seq: u32, interrupted: &mut bool, each: &mut dyn FnMut(&Message<'_>)) -> io::Result<bool> {
    for message in decode::messages(octets).filter(|message| message.seq == seq) {
        *interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
        if !ends(&message, seq) {
            each(&message);
            continue;
        }
        return match errno_of(&message) {
            0 => Ok(true),
            errno => Err(io::Error::from_raw_os_error(errno)),
        };
    }
    Ok(false)
}

fn errno_of(message: &Message<'_>) -> i32 {
    match message.payload.first_chunk::<4>() {
        Some(code) => i32::from_ne_bytes(*code).saturating_neg(),
        None if message.kind == NLMSG_DONE => 0,
        None => libc::EBADMSG,
    }
}

/// Load `nlmsg_pid`; for each port: equal means drop; else keep all.
fn filter_program(ports: &[u32]) -> Vec<libc::sock_filter> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const PORT_OFFSET: u32 = 12;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![step(LOAD_WORD, 0, 0, PORT_OFFSET)];
    for port in ports {
        // The load turns network into host order, but netlink is in host order already.
        program.push(step(JUMP_EQUAL, 0, 1, u32::from_be_bytes(port.to_ne_bytes())));
        program.push(step(RETURN, 0, 0, 0));
    }
    program.push(step(RETURN, 0, 0, u32::MAX));
    program
}
