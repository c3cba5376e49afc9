//! The connection: opened, written with patience, and watched for its end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::FpmAddress;

const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// The end of a connection is told of at the earliest so long after its begin: who accepts and closes is not called in a circle.
const PACE: Duration = Duration::from_secs(1);

/// Told when the connection has ended.
pub(crate) type Ended = Arc<dyn Fn() + Send + Sync>;

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn connect(address: &FpmAddress, patience: Duration) -> io::Result<Self> {
        match address {
            FpmAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(patience))?;
                Ok(Self::Unix(stream))
            }
            FpmAddress::Tcp(address) => {
                let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, CONNECT_WAIT) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            stream.set_write_timeout(Some(patience))?;
                            return Ok(Self::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(octets),
            Self::Unix(stream) => stream.write(octets),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn close(&self) {
        // An error means that the other side was quicker.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

/// One connection to a receiver.
pub(super) struct Stream {
    socket: Socket,
    patience: Duration,
    /// It is we who close.
    closing: Arc<AtomicBool>,
    /// The other side has closed.
    over: Arc<AtomicBool>,
}

#[allow(clippy::disallowed_methods)] // A connection lives in real time.
fn now() -> Instant {
    Instant::now()
}

impl Stream {
    /// Connects, and starts a thread that reads on: receivers may answer, which we take no notice of, and their silence in the end is
    /// how we learn that they left. A receiver that takes no octet for `patience` is given up.
    pub(super) fn open(address: &FpmAddress, patience: Duration, ended: Option<Ended>) -> io::Result<Self> {
        let socket = Socket::connect(address, patience)?;
        let mut watched = socket.try_clone()?;
        let closing = Arc::new(AtomicBool::new(false));
        let over = Arc::new(AtomicBool::new(false));
        let (ours, theirs, begun) = (Arc::clone(&closing), Arc::clone(&over), now());
        std::thread::Builder::new().name("fib-fpm-watch".into()).spawn(move || {
            let mut sink = [0; 4096];
            loop {
                match watched.read(&mut sink) {
                    Ok(0) => break,
                    Err(error) if error.kind() != ErrorKind::Interrupted => break,
                    Ok(_) | Err(_) => {}
                }
            }
            theirs.store(true, Ordering::Release);
            if let Some(ended) = ended
                && !ours.load(Ordering::Acquire)
            {
                std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
                ended();
            }
        })?;
        Ok(Self { socket, patience, closing, over })
    }

    /// True if the other side has closed.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Writes all, waiting for the receiver as long as it goes on reading.
    pub(super) fn write_all(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            match self.socket.write(octets) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => octets = &octets[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let why = format!("it has read nothing for {:?}", self.patience);
                    return Err(io::Error::new(ErrorKind::TimedOut, why));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        self.socket.close();
    }
}
