//! Two sessions with each other over a network that delays, cuts octets, refuses and goes silent, by seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::*;

/// What the network brings to a side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    Connected,
    Refused,
    Accepted,
    Octets(Vec<u8>),
    Closed,
}

/// One side of a TCP connection.
type End = (usize, ConnId);

/// By time and order of sending: what arrives at which side, on which connection.
type Due = (Instant, u64, usize, ConnId, Arrival);

struct Network {
    sides: [Session; 2],
    rng: fastrand::Rng,
    born: Instant,
    now: Instant,
    queue: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    /// The other end of each end that is open.
    ends: BTreeMap<End, End>,
    /// When the last arrival of an end is due: TCP keeps the order.
    last: BTreeMap<End, Instant>,
    buffers: BTreeMap<End, BytesMut>,
    accepted: u64,
    /// Nothing arrives while set.
    silent: bool,
    downs: usize,
    /// Sides that were left without a connection by a collision.
    bereft: usize,
}

impl Network {
    #[allow(clippy::disallowed_methods, reason = "std offers no other Instant to count virtual time from")]
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut rng = fastrand::Rng::with_seed(seed);
        let config = |number: u8, asn, remote_as, id: u8| SessionConfig {
            number: number.into(),
            local_asn: asn,
            inner_asn: asn,
            remote_as: RemoteAs::Number(remote_as),
            router_id: [10, 0, 0, id].into(),
            ..config()
        };
        let graceful = rng.bool();
        let config = |number, asn, remote_as, id| SessionConfig {
            graceful_restart: GracefulRestart { helper: graceful, restarting: graceful, ..GracefulRestart::default() },
            ..config(number, asn, remote_as, id)
        };
        // Identifiers in either order, and now and then equal.
        let (a, b) = (rng.u8(1..4), rng.u8(1..4));
        let sides = [config(0, 64512, 64500, a), config(1, 64500, 64512, b)].map(|c| Session::new(c, rng.u64(..)));
        Self {
            sides,
            rng,
            born: now,
            now,
            queue: BinaryHeap::new(),
            sequence: 0,
            ends: BTreeMap::new(),
            last: BTreeMap::new(),
            buffers: BTreeMap::new(),
            accepted: 0,
            silent: false,
            downs: 0,
            bereft: 0,
        }
    }

    fn send(&mut self, (side, conn): End, arrival: Arrival) {
        let delay = Duration::from_micros(self.rng.u64(100..40_000));
        let at = self.last.get(&(side, conn)).copied().unwrap_or(self.now).max(self.now + delay);
        self.last.insert((side, conn), at);
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, side, conn, arrival)));
    }

    fn handle(&mut self, side: usize, input: SessionInput) {
        let mut out = Vec::new();
        self.sides[side].handle(self.now, input, &mut out);
        self.carry(side, out);
    }

    /// Carries out what a side asks for.
    fn carry(&mut self, side: usize, out: Vec<SessionOutput>) {
        for output in out {
            match output {
                SessionOutput::Connect { conn } => {
                    if self.rng.u8(..) < 60 {
                        self.send((side, conn), Arrival::Refused);
                        continue;
                    }
                    let other = (1 - side, ConnId::accepted(self.accepted));
                    self.accepted += 1;
                    self.ends.insert((side, conn), other);
                    self.ends.insert(other, (side, conn));
                    self.send((side, conn), Arrival::Connected);
                    self.send(other, Arrival::Accepted);
                }
                SessionOutput::Send { conn, message } => {
                    let Some(other) = self.ends.get(&(side, conn)).copied() else { continue };
                    self.sides[side].progressed(self.now, conn);
                    let mut rest = &message[..];
                    while !rest.is_empty() {
                        let (piece, after) = rest.split_at(self.rng.usize(1..=rest.len()));
                        self.send(other, Arrival::Octets(piece.to_vec()));
                        rest = after;
                    }
                }
                SessionOutput::Close { conn } => {
                    if let Some(other) = self.ends.remove(&(side, conn)) {
                        self.send(other, Arrival::Closed);
                    }
                }
                SessionOutput::Down { reason } => {
                    self.downs += 1;
                    self.bereft += usize::from(reason.is_collision());
                }
                SessionOutput::Failed { reason } => self.bereft += usize::from(reason.is_collision()),
                SessionOutput::Established { .. } => {}
            }
        }
    }

    fn arrive(&mut self, side: usize, conn: ConnId, arrival: Arrival) {
        let end = (side, conn);
        // Closed on this side: what was under way is lost.
        if !self.ends.contains_key(&end) && arrival != Arrival::Refused {
            return;
        }
        let (local, remote) = ("192.0.2.1:179", "192.0.2.2:50000");
        let [local, remote] = [local, remote].map(|end| end.parse::<SocketAddr>().expect("an address"));
        match arrival {
            Arrival::Connected => self.handle(side, SessionInput::Connected { conn, local }),
            Arrival::Refused => self.handle(side, SessionInput::ConnectFailed { conn, error: "refused".to_owned() }),
            Arrival::Accepted => self.handle(side, SessionInput::Accepted { conn, local, remote }),
            Arrival::Closed => {
                self.ends.remove(&end);
                self.handle(side, SessionInput::Closed { conn });
            }
            Arrival::Octets(octets) => {
                let mut buf = self.buffers.remove(&end).unwrap_or_default();
                buf.put_slice(&octets);
                let mut out = Vec::new();
                while self.sides[side].receive(self.now, conn, &mut buf, &mut out).is_some() {}
                self.buffers.insert(end, buf);
                self.carry(side, out);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.queue.peek().map(|Reverse((at, ..))| *at);
            let ticks: Vec<_> = self.sides.iter().map(Session::deadline).collect();
            let Some(next) = ticks.iter().copied().flatten().chain(arrival).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let Some(Reverse((_, _, side, conn, arrival))) = self.queue.pop() else { break };
                if !self.silent {
                    self.arrive(side, conn, arrival);
                }
            } else {
                let side = usize::from(ticks[0] != Some(next));
                self.handle(side, SessionInput::Tick);
            }
        }
        self.now = end;
    }

    /// Both are up on the two ends of one connection.
    fn is_up(&self) -> bool {
        let [a, b] = [0, 1].map(|side| self.sides[side].established().map(|(conn, _)| (side, conn)));
        matches!((a, b), (Some(a), Some(b)) if self.ends.get(&a) == Some(&b))
    }

    fn seconds(&self) -> u64 {
        self.now.duration_since(self.born).as_secs()
    }
}

#[test]
fn two_speakers_that_dial_each_other_agree_on_one_connection() {
    let mut bereft = 0;
    for seed in 0..1000 {
        let mut network = Network::new(seed);
        for side in [0, 1] {
            network.handle(side, SessionInput::Start);
        }
        while !network.is_up() {
            network.run(Duration::from_secs(1));
            assert!(network.seconds() < 120, "seed {seed}: not up after two minutes");
        }
        // And stay with it for an hour: keepalives arrive in time, nothing collides any more.
        let downs = network.downs;
        network.run(Duration::from_secs(3600));
        assert!(network.is_up(), "seed {seed}");
        assert_eq!(network.downs, downs, "seed {seed}");
        bereft += network.bereft;
    }
    assert_eq!(bereft, 0, "sides that lost both connections");
}

#[test]
fn a_silent_network_takes_the_session_down_on_both_sides_and_it_comes_back() {
    for seed in 0..100 {
        let mut network = Network::new(seed);
        for side in [0, 1] {
            network.handle(side, SessionInput::Start);
        }
        network.run(Duration::from_secs(300));
        assert!(network.is_up(), "seed {seed}");
        network.silent = true;
        network.run(Duration::from_secs(100));
        assert!(network.sides.iter().all(|side| side.established().is_none()), "seed {seed}");
        network.silent = false;
        network.run(Duration::from_secs(300));
        assert!(network.is_up(), "seed {seed}");
    }
}
