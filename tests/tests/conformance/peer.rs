//! A scripted neighbor.

#![allow(clippy::disallowed_methods, reason = "a neighbor lives in real time")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::octets::{self, Attributes, KEEPALIVE, NOTIFICATION, OPEN, Reading, UPDATE, Update};
use super::rig::{OUR_AS, Rig};

/// Longest wait for something that has to come.
const LONG: Duration = Duration::from_secs(5);
/// How long nothing has to come.
const QUIET: Duration = Duration::from_millis(150);

/// What came off the wire.
#[derive(Debug)]
pub enum Event {
    Message(u8, Vec<u8>),
    Closed,
    Nothing,
}

/// What the daemon's OPEN said.
#[derive(Debug)]
pub struct Opened {
    pub my_as: u16,
    pub hold: u16,
    pub id: Ipv4Addr,
    pub capabilities: Vec<(u8, Vec<u8>)>,
}

impl Opened {
    pub fn capability(&self, code: u8) -> Option<&[u8]> {
        self.capabilities.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }
}

/// A neighbor with a connection.
pub struct Peer {
    stream: TcpStream,
    buf: Vec<u8>,
    pub number: u8,
    pub reading: Reading,
    /// What it has been told: by path identifier and prefix.
    pub table: BTreeMap<(u32, IpNet), Attributes>,
    /// AFIs whose End-of-RIB came.
    pub end_of_rib: Vec<u8>,
    /// Withdrawals, whatever was there before.
    pub withdrawals: Vec<IpNet>,
    markers: u8,
    /// Octets of a message at most.
    pub longest: usize,
}

impl Peer {
    /// A connection and nothing said.
    pub fn connect(rig: &Rig, number: u8) -> Self {
        Self::on(rig.connect(number), number)
    }

    pub fn on(stream: TcpStream, number: u8) -> Self {
        Self {
            stream,
            buf: Vec::new(),
            number,
            reading: Reading { as4: true, internal: false, add_path: [false; 2] },
            table: BTreeMap::new(),
            end_of_rib: Vec::new(),
            withdrawals: Vec::new(),
            markers: 0,
            longest: 4096,
        }
    }

    /// The connection that the daemon makes to this listener.
    #[track_caller]
    pub fn accept(listener: &TcpListener, number: u8) -> Self {
        listener.set_nonblocking(true).expect("a socket");
        let deadline = Instant::now() + LONG;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("a socket");
                    return Self::on(stream, number);
                }
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => panic!("neighbor {number}: nobody connects: {error}"),
            }
        }
    }

    /// Where the daemon's end of the connection is.
    pub fn daemon(&self) -> std::net::SocketAddr {
        self.stream.peer_addr().expect("a connection")
    }

    /// An established session of AS `asn` with router id 10.255.1.`number`, IPv4 unicast and four-octet AS numbers.
    pub fn up(rig: &Rig, number: u8, asn: u32) -> Self {
        Self::up_with(rig, number, asn, &[octets::multiprotocol(1), octets::four_octet_as(asn)])
    }

    /// As [`Peer::up`] with IPv6 unicast too.
    pub fn up_dual(rig: &Rig, number: u8, asn: u32) -> Self {
        let capabilities = [octets::multiprotocol(1), octets::multiprotocol(2), octets::four_octet_as(asn)];
        Self::up_with(rig, number, asn, &capabilities)
    }

    /// As [`Peer::up`] with these capabilities.
    pub fn up_with(rig: &Rig, number: u8, asn: u32, capabilities: &[(u8, Vec<u8>)]) -> Self {
        let mut peer = Self::connect(rig, number);
        peer.open(asn, capabilities);
        peer.confirm();
        peer
    }

    /// Exchanges OPENs; what the daemon's says.
    #[track_caller]
    pub fn open(&mut self, asn: u32, capabilities: &[(u8, Vec<u8>)]) -> Opened {
        self.open_after(asn, capabilities);
        self.expect_open()
    }

    /// Answers the daemon's OPEN, which was read before.
    pub fn open_after(&mut self, asn: u32, capabilities: &[(u8, Vec<u8>)]) {
        self.reading.as4 = capabilities.iter().any(|(code, _)| *code == 65);
        self.reading.internal = asn == OUR_AS;
        if capabilities.iter().any(|(code, _)| *code == 6) {
            self.longest = 65535;
        }
        let id = Ipv4Addr::new(10, 255, 1, self.number);
        self.send(&octets::message(OPEN, &octets::open(u16::try_from(asn).unwrap_or(23456), 90, id, capabilities)));
    }

    #[track_caller]
    pub fn expect_keepalive(&mut self) {
        let event = self.next(LONG);
        assert!(matches!(event, Event::Message(KEEPALIVE, _)), "neighbor {}: {event:?}", self.number);
    }

    /// KEEPALIVEs both ways.
    #[track_caller]
    pub fn confirm(&mut self) {
        self.keepalive();
        match self.next(LONG) {
            Event::Message(KEEPALIVE, body) if body.is_empty() => {}
            other => panic!("neighbor {}: expected KEEPALIVE, got {other:?}", self.number),
        }
    }

    pub fn keepalive(&mut self) {
        self.send(&octets::message(KEEPALIVE, &[]));
    }

    /// Has the connection end with RST when it is dropped.
    #[track_caller]
    pub fn reset(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&self.stream, nix::sys::socket::sockopt::Linger, &linger).expect("a socket");
    }

    /// Sends octets; a connection that the other side has closed is seen when reading.
    pub fn send(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets);
    }

    /// Announces IPv4 prefixes with these attributes.
    pub fn announce(&mut self, attributes: &[Vec<u8>], prefixes: &[&str]) {
        self.send(&octets::update(&[], &attributes.concat(), &octets::nlri(prefixes)));
    }

    /// Announces IPv4 prefixes with ORIGIN IGP, this path and next hop.
    pub fn announce_plain(&mut self, path: &[u32], next_hop: &str, prefixes: &[&str]) {
        self.announce(&[octets::origin(0), octets::path(path), octets::next_hop(next_hop)], prefixes);
    }

    pub fn withdraw(&mut self, prefixes: &[&str]) {
        self.send(&octets::update(&octets::nlri(prefixes), &[], &[]));
    }

    /// The next message, of any type.
    pub fn next(&mut self, wait: Duration) -> Event {
        let deadline = Instant::now() + wait;
        loop {
            if self.buf.len() >= 19 {
                let length = usize::from(u16::from_be_bytes([self.buf[16], self.buf[17]]));
                assert_eq!(self.buf[..16], [0xff; 16], "the marker");
                assert!((19..=self.longest).contains(&length), "the length {length}");
                if self.buf.len() >= length {
                    let message: Vec<u8> = self.buf.drain(..length).collect();
                    return Event::Message(message[18], message[19..].to_vec());
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Nothing;
            }
            self.stream.set_read_timeout(Some(left)).expect("a socket");
            let mut octets = [0; 65536];
            match self.stream.read(&mut octets) {
                Ok(0) => return Event::Closed,
                Ok(count) => self.buf.extend(&octets[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Event::Nothing;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Event::Closed,
                Err(error) => panic!("neighbor {}: {error}", self.number),
            }
        }
    }

    #[track_caller]
    pub fn expect_open(&mut self) -> Opened {
        let body = match self.next(LONG) {
            Event::Message(OPEN, body) => body,
            other => panic!("neighbor {}: expected OPEN, got {other:?}", self.number),
        };
        assert_eq!(body[0], 4, "version");
        assert_eq!(usize::from(body[9]), body.len() - 10, "length of the optional parameters");
        let mut capabilities = Vec::new();
        let mut parameters = &body[10..];
        while let [kind, length, rest @ ..] = parameters {
            assert_eq!(*kind, 2, "a capability");
            let (mut inner, rest) = rest.split_at(usize::from(*length));
            while let [code, length, value @ ..] = inner {
                let (value, after) = value.split_at(usize::from(*length));
                capabilities.push((*code, value.to_vec()));
                inner = after;
            }
            parameters = rest;
        }
        Opened {
            my_as: u16::from_be_bytes([body[1], body[2]]),
            hold: u16::from_be_bytes([body[3], body[4]]),
            id: Ipv4Addr::new(body[5], body[6], body[7], body[8]),
            capabilities,
        }
    }

    /// Reads on until a NOTIFICATION, which has to be this one and the last; its data.
    #[track_caller]
    pub fn expect_notification(&mut self, code: u8, subcode: u8) -> Vec<u8> {
        let deadline = Instant::now() + LONG;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())) {
                Event::Message(NOTIFICATION, body) => {
                    assert_eq!((body[0], body[1]), (code, subcode), "code and subcode; data {:?}", &body[2..]);
                    self.expect_closed();
                    return body[2..].to_vec();
                }
                Event::Message(OPEN | UPDATE | KEEPALIVE | octets::REFRESH, _) => {}
                other => panic!("neighbor {}: expected NOTIFICATION {code}/{subcode}, got {other:?}", self.number),
            }
        }
    }

    #[track_caller]
    pub fn expect_closed(&mut self) {
        let event = self.next(LONG);
        assert!(matches!(event, Event::Closed), "neighbor {}: expected the end, got {event:?}", self.number);
    }

    /// Takes what comes until `done` or the time is up.
    #[track_caller]
    fn absorb(&mut self, wait: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + wait;
        while !done(self) {
            match self.next(deadline.saturating_duration_since(Instant::now())) {
                Event::Message(UPDATE, body) => {
                    let update = octets::read_update(&body, self.reading);
                    self.learn(update);
                }
                Event::Message(KEEPALIVE | octets::REFRESH, _) => {}
                Event::Nothing => return done(self),
                other => panic!("neighbor {}: the session ended: {other:?}", self.number),
            }
        }
        true
    }

    fn learn(&mut self, update: Update) {
        self.end_of_rib.extend(update.end_of_rib);
        for key in update.withdrawn {
            self.withdrawals.push(key.1);
            self.table.remove(&key);
        }
        for key in update.announced {
            self.table.insert(key, update.attributes.clone());
        }
    }

    /// The attributes of `prefix`, if it has been told (on a session without path identifiers).
    pub fn route(&self, prefix: &str) -> Option<&Attributes> {
        self.table.get(&(0, prefix.parse().expect("a prefix")))
    }

    /// Waits until `prefix` is told and `seen` is content with it.
    #[track_caller]
    pub fn await_route(&mut self, prefix: &str, seen: impl Fn(&Attributes) -> bool) -> Attributes {
        let found = self.absorb(LONG, |peer| peer.route(prefix).is_some_and(&seen));
        assert!(found, "neighbor {}: {prefix} is {:?}", self.number, self.route(prefix));
        self.route(prefix).expect("it is there").clone()
    }

    #[track_caller]
    pub fn expect_route(&mut self, prefix: &str) -> Attributes {
        self.await_route(prefix, |_| true)
    }

    #[track_caller]
    pub fn await_gone(&mut self, prefix: &str) {
        let gone = self.absorb(LONG, |peer| peer.route(prefix).is_none());
        assert!(gone, "neighbor {}: {prefix} is still {:?}", self.number, self.route(prefix));
    }

    #[track_caller]
    pub fn await_end_of_rib(&mut self, afi: u8) {
        assert!(self.absorb(LONG, |peer| peer.end_of_rib.contains(&afi)), "neighbor {}: no End-of-RIB", self.number);
    }

    /// Takes what comes for a short while; the session has to stay.
    #[track_caller]
    pub fn settle(&mut self) {
        self.absorb(QUIET, |_| false);
    }

    /// Announces a prefix nobody else has and waits until `seer` was told: all this neighbor said before was dealt with.
    #[track_caller]
    pub fn flush_to(&mut self, seer: &mut Self, attributes: &[Vec<u8>]) {
        self.markers += 1;
        let marker = format!("203.{}.{}.0/24", self.number, self.markers);
        self.announce(attributes, &[&marker]);
        seer.expect_route(&marker);
        seer.absorb(Duration::from_millis(10), |_| false);
    }
}

impl Peer {
    /// Nothing but what was on its way and then the end of the connection: no NOTIFICATION.
    #[track_caller]
    pub fn settle_closed(&mut self) {
        loop {
            match self.next(LONG) {
                Event::Message(UPDATE | KEEPALIVE, _) => {}
                Event::Closed => return,
                other => panic!("neighbor {}: expected the end, got {other:?}", self.number),
            }
        }
    }
}

impl Peer {
    /// The next message that is no UPDATE.
    pub fn next_but_updates(&mut self, wait: Duration) -> Event {
        loop {
            match self.next(wait) {
                Event::Message(UPDATE, _) => {}
                other => return other,
            }
        }
    }

    /// Waits until what this neighbor was told is as `seen` wants it.
    #[track_caller]
    pub fn await_table(&mut self, seen: impl Fn(&Self) -> bool) {
        let found = self.absorb(LONG, |peer| seen(peer));
        assert!(
            found,
            "neighbor {}: {} routes, the first of them {:?}",
            self.number,
            self.table.len(),
            self.table.first_key_value()
        );
    }
}

impl Peer {
    /// Takes what comes for so long.
    #[track_caller]
    pub fn calm(&mut self, millis: u64) {
        self.absorb(Duration::from_millis(millis), |_| false);
    }
}
