//! Somebody who listens for FPM: takes frames apart by itself and keeps the table that they describe.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

/// One way of a route: gateway, interface, weight.
pub type Way = (Option<IpAddr>, u32, u16);

/// What a route says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// By these ways, sorted.
    Ways(Vec<Way>),
    /// By none: the `rtm_type`.
    Kind(u8),
}

/// What has been heard on all connections, and the table of the present one.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Connections so far.
    pub connections: usize,
    /// Messages by kind.
    pub kinds: BTreeMap<u16, usize>,
    /// Messages that made no sense, by what was wrong.
    pub nonsense: Vec<String>,
    /// Routes by prefix.
    routes: BTreeMap<IpNet, Route>,
    objects: BTreeMap<u32, Object>,
}

#[derive(Clone, Debug)]
enum Route {
    Object(u32),
    Said(Said),
}

#[derive(Clone, Debug)]
enum Object {
    Way(Way),
    Group(Vec<(u32, u16)>),
    Blackhole,
}

impl Heard {
    /// The table.
    #[must_use]
    pub fn table(&self) -> BTreeMap<IpNet, Said> {
        let said = |route: &Route| match route {
            Route::Said(said) => said.clone(),
            Route::Object(id) => self.object(*id),
        };
        self.routes.iter().map(|(prefix, route)| (*prefix, said(route))).collect()
    }

    /// Routes in it that name objects.
    #[must_use]
    pub fn on_objects(&self) -> usize {
        self.routes.values().filter(|route| matches!(route, Route::Object(_))).count()
    }

    fn object(&self, id: u32) -> Said {
        let mut ways = Vec::new();
        match self.objects.get(&id) {
            Some(Object::Way(way)) => ways.push(*way),
            Some(Object::Blackhole) => return Said::Kind(6),
            Some(Object::Group(members)) => {
                for (member, weight) in members {
                    if let Some(Object::Way((gateway, interface, _))) = self.objects.get(member) {
                        ways.push((*gateway, *interface, *weight));
                    }
                }
            }
            None => {}
        }
        ways.sort_unstable();
        Said::Ways(ways)
    }

    fn take(&mut self, message: &[u8]) -> Result<(), String> {
        let length = word(message, 0).ok_or("no head")? as usize;
        if length < 16 || length > message.len() {
            return Err(format!("says {length} octets and has {}", message.len()));
        }
        let kind = half(message, 4).ok_or("no kind")?;
        *self.kinds.entry(kind).or_default() += 1;
        let body = &message[16..length];
        match kind {
            24 | 25 => self.route(body, kind == 24),
            104 | 105 => self.next_hop(body, kind == 104),
            other => Err(format!("message of kind {other}")),
        }
    }

    fn route(&mut self, body: &[u8], new: bool) -> Result<(), String> {
        let [family, bits, ..] = *body else { return Err("a short route".into()) };
        let rtm_type = *body.get(7).ok_or("a short route")?;
        let attributes = attributes(body.get(12..).ok_or("a short route")?)?;
        let any = if family == 2 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let to = attributes.get(&1).map_or(Some(any), |value| addr(value)).ok_or("no address")?;
        let prefix = IpNet::new(to, bits).map_err(|error| error.to_string())?;
        if !new {
            self.routes.remove(&prefix).ok_or("removes what is not there")?;
            return Ok(());
        }
        let route = if rtm_type != 1 {
            Route::Said(Said::Kind(rtm_type))
        } else if let Some(id) = attributes.get(&30) {
            Route::Object(word(id, 0).ok_or("a short number")?)
        } else if let Some(ways) = attributes.get(&9) {
            Route::Said(Said::Ways(multipath(ways)?))
        } else {
            let interface = attributes.get(&4).and_then(|value| word(value, 0)).unwrap_or(0);
            Route::Said(Said::Ways(vec![(gateway(&attributes), interface, 1)]))
        };
        // Kept all the same: FRR tells what it lacks a moment later.
        let missing =
            if let Route::Object(id) = route { Some(id).filter(|id| !self.objects.contains_key(id)) } else { None };
        self.routes.insert(prefix, route);
        missing.map_or(Ok(()), |id| Err(format!("{prefix} names object {id}, which nobody told")))
    }

    fn next_hop(&mut self, body: &[u8], new: bool) -> Result<(), String> {
        let attributes = attributes(body.get(8..).ok_or("a short object")?)?;
        let id = attributes.get(&1).and_then(|value| word(value, 0)).ok_or("an object without a number")?;
        if !new {
            self.objects.remove(&id).ok_or(format!("removes object {id}, which is not there"))?;
            return Ok(());
        }
        let object = if let Some(group) = attributes.get(&2) {
            let member = |entry: &[u8]| Some((word(entry, 0)?, u16::from(*entry.get(4)?) + 1));
            let members: Vec<(u32, u16)> = group.chunks_exact(8).filter_map(member).collect();
            let missing = members.iter().map(|(member, _)| *member).find(|member| !self.objects.contains_key(member));
            self.objects.insert(id, Object::Group(members));
            return missing.map_or(Ok(()), |member| Err(format!("group {id} has member {member}, which nobody told")));
        } else if attributes.contains_key(&4) {
            Object::Blackhole
        } else {
            let gateway = attributes.get(&6).and_then(|value| addr(value));
            Object::Way((gateway, attributes.get(&5).and_then(|value| word(value, 0)).unwrap_or(0), 1))
        };
        self.objects.insert(id, object);
        Ok(())
    }
}

fn half(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*octets.get(at..)?.first_chunk()?))
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*octets.get(at..)?.first_chunk()?))
}

fn addr(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(value).ok().map(Into::into)
}

fn gateway(attributes: &BTreeMap<u16, &[u8]>) -> Option<IpAddr> {
    attributes.get(&5).and_then(|value| addr(value)).or_else(|| addr(attributes.get(&18)?.get(2..)?))
}

fn attributes(mut octets: &[u8]) -> Result<BTreeMap<u16, &[u8]>, String> {
    let mut found = BTreeMap::new();
    while !octets.is_empty() {
        let length = usize::from(half(octets, 0).ok_or("half an attribute")?);
        let kind = half(octets, 2).ok_or("half an attribute")? & 0x3fff;
        let value = octets.get(4..length).ok_or(format!("attribute {kind} of {length} octets"))?;
        found.insert(kind, value);
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(found)
}

fn multipath(mut octets: &[u8]) -> Result<Vec<Way>, String> {
    let mut ways = Vec::new();
    while !octets.is_empty() {
        let length = usize::from(half(octets, 0).ok_or("half a way")?);
        let inner = octets.get(8..length).ok_or("a short way")?;
        let (weight, interface) = (u16::from(octets[3]) + 1, word(octets, 4).ok_or("a short way")?);
        ways.push((gateway(&attributes(inner)?), interface, weight));
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    ways.sort_unstable();
    Ok(ways)
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listening {
    fn accept(&self) -> std::io::Result<Connection> {
        let wait = Some(Duration::from_millis(20));
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(wait)?;
                Ok(Connection::Tcp(stream))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(wait)?;
                Ok(Connection::Unix(stream))
            }
        }
    }
}

impl Connection {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn close(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    stop: AtomicBool,
    /// Reads nothing while set.
    deaf: AtomicBool,
    /// Ends the present connection.
    hang_up: AtomicBool,
}

/// A listener on a thread of its own, in the namespace of whoever made it.
pub struct FpmListener {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FpmListener {
    /// Listens on a TCP port of its choice on the loopback; the address.
    ///
    /// # Panics
    /// If it cannot.
    #[must_use]
    pub fn tcp() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        listener.set_nonblocking(true).expect("a listener");
        (Self::start(Listening::Tcp(listener)), address)
    }

    /// Listens at a Unix socket.
    ///
    /// # Panics
    /// If it cannot.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        listener.set_nonblocking(true).expect("a listener");
        Self::start(Listening::Unix(listener))
    }

    fn start(listening: Listening) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || run(&theirs, &listening));
        Self { shared, thread: Some(thread) }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been heard so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.lock().clone()
    }

    /// Reads nothing from now on, or reads again.
    pub fn set_deaf(&self, deaf: bool) {
        self.shared.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Ends the connection; the next one is taken.
    pub fn hang_up(&self) {
        self.shared.hang_up.store(true, Ordering::SeqCst);
    }
}

impl Drop for FpmListener {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, listening: &Listening) {
    while !shared.stop.load(Ordering::SeqCst) {
        match listening.accept() {
            Ok(mut connection) => {
                {
                    let mut heard = shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.connections += 1;
                    heard.routes.clear();
                    heard.objects.clear();
                }
                shared.hang_up.store(false, Ordering::SeqCst);
                serve(shared, &mut connection);
                connection.close();
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn serve(shared: &Shared, connection: &mut Connection) {
    let mut pending = Vec::new();
    let mut buf = vec![0; 65_536];
    while !shared.stop.load(Ordering::SeqCst) && !shared.hang_up.load(Ordering::SeqCst) {
        if shared.deaf.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        match connection.read(&mut buf) {
            Ok(0) => return,
            Ok(got) => pending.extend_from_slice(&buf[..got]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => return,
        }
        let mut at = 0;
        let mut heard = shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some([version, kind, high, low]) = pending[at..].first_chunk::<4>().copied() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if version != 1 || kind != 1 || length < 4 {
                heard.nonsense.push(format!("a frame of version {version}, kind {kind}, {length} octets"));
                return;
            }
            let Some(message) = pending.get(at + 4..at + length) else { break };
            if let Err(why) = heard.take(message) {
                heard.nonsense.push(why);
            }
            at += length;
        }
        drop(heard);
        pending.drain(..at);
    }
}
