//! The tasks of one TCP connection: dialling, reading, writing, and closing so that the last message arrives.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::carrier::{Carrier, Link};
use super::handle::count;
use super::options;
use super::socket::{self, NOTSENT_LOWAT};
use crate::session::ConnId;
use crate::speaker::Progress;
use crate::speaker::message::{Input, Protection};

/// Octets pulled from the speaker at once: as much as the socket takes unsent.
const CHUNK: usize = NOTSENT_LOWAT as usize;

/// Pieces handed to the kernel in one call.
const PIECES_MAX: usize = 64;

thread_local! {
    /// Write tasks that live: each is a connection that may still have octets to send.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// Connections of this thread that are not closed yet.
pub(super) fn open() -> usize {
    OPEN.get()
}

/// Counts a write task while it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        OPEN.set(OPEN.get() + 1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
    }
}

/// Where to dial: a link-local address gets the scope that its interface has now.
fn at(remote: SocketAddr, interface: Option<&str>) -> io::Result<SocketAddr> {
    let scope = match (remote, interface) {
        (SocketAddr::V6(v6), Some(name)) if v6.ip().is_unicast_link_local() => Some(
            options::index_of(name)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {name}")))?,
        ),
        _ => None,
    };
    Ok(socket::scoped(remote, scope))
}

/// Makes the connection that the speaker asked for.
pub(super) async fn dial(
    carrier: Rc<Carrier>,
    conn: ConnId,
    link: Rc<Link>,
    remote: SocketAddr,
    local: Option<IpAddr>,
    interface: Option<Arc<str>>,
    protection: Protection,
) {
    let limit = carrier.io.connect_timeout;
    let stood = match at(remote, interface.as_deref())
        .and_then(|remote| socket::dial(remote, local, &protection).map(|socket| (remote, socket)))
    {
        Ok((remote, socket)) => timeout(limit, socket.connect(remote))
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")))),
        Err(error) => Err(match local {
            Some(local) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                io::Error::new(error.kind(), format!("local_address {local} is not an address of this host"))
            }
            _ => error,
        }),
    };
    match stood {
        Ok(stream) => {
            count(&carrier.counters.connected, 1);
            let local = stream.local_addr().unwrap_or_else(|_| socket::unspecified(remote));
            carrier.start(conn, &link, stream);
            carrier.handle(Input::Connected { conn, local });
        }
        Err(error) => {
            count(&carrier.counters.connect_failed, 1);
            carrier.dial_failed(conn, error.to_string());
        }
    }
}

/// Reads until the connection ends. Aborted when it is being closed.
pub(super) async fn read(carrier: Rc<Carrier>, conn: ConnId, link: Rc<Link>, stream: Rc<TcpStream>) {
    let mut leftover = BytesMut::new();
    loop {
        carrier.rib_has_room().await;
        if stream.readable().await.is_err() {
            break;
        }
        let mut buf = carrier.take_buffer(leftover);
        match stream.try_read_buf(&mut buf) {
            Ok(0) => break,
            Ok(octets) => count(&carrier.counters.octets_in, octets),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                leftover = carrier.put_buffer(buf);
                continue;
            }
            Err(_) => break,
        }
        link.reading.set(true);
        while carrier.receive(conn, &mut buf) == Progress::More {
            // Everybody else has a turn and the sockets are polled: keepalives, other sessions, the API.
            tokio::task::yield_now().await;
            carrier.rib_has_room().await;
        }
        link.reading.set(false);
        leftover = carrier.put_buffer(buf);
        tokio::task::yield_now().await;
    }
    carrier.lost(conn, &link);
}

/// Writes what the speaker has for the connection until it ends or is closed.
pub(super) async fn write(carrier: Rc<Carrier>, conn: ConnId, link: Rc<Link>, stream: Rc<TcpStream>) {
    let _counted = Counted::new();
    let close_timeout = carrier.io.close_timeout;
    tokio::select! {
        // Once it is being closed, the peer has only so long to take the rest.
        () = async {
            link.close.notified().await;
            tokio::time::sleep(close_timeout).await;
        } => {}
        sent = send(&carrier, conn, &link, &stream) => {
            if sent.is_ok() && link.closing.get() {
                finish(&stream, close_timeout).await;
            }
        }
    }
    carrier.lost(conn, &link);
}

/// Sends until the connection is to be closed and nothing is left, or it is gone.
async fn send(carrier: &Rc<Carrier>, conn: ConnId, link: &Link, stream: &TcpStream) -> io::Result<()> {
    let mut pulled: Vec<Bytes> = Vec::new();
    let mut pieces: VecDeque<Bytes> = VecDeque::new();
    loop {
        if link.gone.get() {
            return Ok(());
        }
        // Wait for the socket first and pull then: what a slow peer does not take stays where it coalesces. The session closes
        // the connection of a peer that takes nothing (RFC 9687).
        stream.writable().await?;
        if pieces.is_empty() {
            carrier.transmit(conn, CHUNK, &mut pulled);
            pieces.extend(pulled.drain(..));
        }
        if pieces.is_empty() {
            if link.closing.get() {
                return Ok(());
            }
            link.wake.notified().await;
            continue;
        }
        match write_some(stream, &mut pieces) {
            Ok(octets) => count(&carrier.counters.octets_out, octets),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        tokio::task::yield_now().await;
    }
}

/// One vectored write; what was taken is removed from `pieces`.
fn write_some(stream: &TcpStream, pieces: &mut VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); PIECES_MAX];
    let mut used = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces.iter()) {
        *slice = IoSlice::new(piece);
        used += 1;
    }
    let written = stream.try_write_vectored(&slices[..used])?;
    let mut left = written;
    while let Some(first) = pieces.front_mut() {
        if first.len() > left {
            first.advance(left);
            break;
        }
        left -= first.len();
        pieces.pop_front();
    }
    Ok(written)
}

/// Closes so that the last message arrives: a close with unread octets would send a reset, and the peer's kernel would throw away
/// the NOTIFICATION before anybody read it. So only our direction is closed, and theirs is read and thrown away until it ends.
async fn finish(stream: &TcpStream, limit: std::time::Duration) {
    if SockRef::from(stream).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut thrown = [0; 4096];
    let until_end = async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut thrown) {
                Ok(0) => break,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    // A peer that never closes is cut off.
    let _ = timeout(limit, until_end).await;
}
