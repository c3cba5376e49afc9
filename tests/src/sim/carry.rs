//! What the carrier does in the daemon, done by events: connections, octets, timers.

use std::time::Duration;

use bgpd::session::ConnId;
use bgpd::speaker::Progress;
use bgpd::speaker::message::{Event as Told, Input, Output, SessionState};
use bytes::{Buf, Bytes};

use super::World;
use super::clock::{Event, Life};
use super::tcp::{Chunk, End, EndState, Side, Tcp, TcpId, WINDOW};

/// A dial into silence fails after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two slices of one connection's work: others have their turn.
const SLICE: Duration = Duration::from_micros(50);

/// A machine that is due at once is woken after this, so that time goes on.
const STEP: Duration = Duration::from_micros(10);

/// How long a closed connection may take for its last octets.
const LINGER: Duration = Duration::from_secs(2);

/// Reads of a slow reader per second.
const SLOW_READS: u32 = 10;

/// The BGP message type that is not activity (RFC 4271 §4.1).
const KEEPALIVE: u8 = 4;

impl World {
    /// Does what a speaker asks for, and sees to its next wake.
    pub(super) fn carry(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Connect { conn, remote, local, .. } => self.dial(node, conn, remote.ip(), local),
                Output::Close { conn } => {
                    if let Some((tcp, side)) = self.nodes[node].conns.remove(&conn) {
                        let end = self.tcps[tcp.0].end_mut(side);
                        if end.state == EndState::Opening {
                            end.state = EndState::Gone;
                        } else {
                            end.state = EndState::Closing;
                            self.clock.after(LINGER, Event::Cut(tcp, side));
                            self.clock.after(Duration::ZERO, Event::Flush(tcp, side));
                        }
                    }
                }
                Output::Writable { conn } => {
                    if let Some((tcp, side)) = self.nodes[node].conns.get(&conn) {
                        self.clock.after(Duration::ZERO, Event::Flush(*tcp, *side));
                    }
                }
                Output::Event(Told::Neighbor { neighbor, from, to, reason }) => {
                    if (from == SessionState::Established) != (to == SessionState::Established) {
                        self.activity += 1;
                    }
                    let name = self.nodes[node].name.clone();
                    self.record((node, neighbor.clone(), to), || {
                        format!("{name}: {neighbor} {from:?} -> {to:?} {reason:?}")
                    });
                }
                Output::Event(event) => {
                    let name = self.nodes[node].name.clone();
                    self.record(node, || format!("{name}: {event:?}"));
                }
                Output::Rib(_) | Output::Track { .. } | Output::Finished => {}
            }
        }
        self.set_alarm(node);
    }

    fn set_alarm(&mut self, node: usize) {
        let Some(deadline) = self.nodes[node].deadline(self.clock.now()) else { return };
        let at = self.clock.since_start(deadline).max(self.clock.elapsed() + STEP);
        let node = &mut self.nodes[node];
        if node.wake_at.is_none_or(|wake_at| at < wake_at) {
            node.wake_at = Some(at);
            self.clock.schedule(at, Event::Wake(node.life));
        }
    }

    fn dial(&mut self, node: usize, conn: ConnId, remote: std::net::IpAddr, local: Option<std::net::IpAddr>) {
        let life = self.nodes[node].life;
        let peer = self.nodes[node].peer(remote).filter(|peer| local.is_none_or(|local| local == peer.local));
        let Some((link, server_node, local)) = peer.map(|peer| (peer.link, peer.node, peer.local)) else {
            return self.clock.after(Duration::ZERO, Event::Refused(life, conn));
        };
        let server = End::new(self.nodes[server_node].life, ConnId(0));
        let tcp = TcpId(self.tcps.len());
        self.tcps.push(Tcp { link, addresses: [local, remote], ends: [End::new(life, conn), server] });
        self.nodes[node].conns.insert(conn, (tcp, Side::Client));
        let delay = self.delay(link);
        self.clock.after(delay, Event::Syn(tcp));
    }

    fn delay(&mut self, link: usize) -> Duration {
        let link = &self.links[link];
        let jitter = u64::try_from(link.jitter.as_micros()).expect("a jitter of less than an age");
        link.delay + Duration::from_micros(self.rng.u64(0..=jitter))
    }

    fn passes(&self, link: usize) -> bool {
        self.links[link].passes()
    }

    pub(super) fn happen(&mut self, event: Event) {
        self.record_event(event);
        match event {
            Event::Wake(life) => self.on_wake(life),
            Event::Syn(tcp) => self.on_syn(tcp),
            Event::SynAck(tcp) => self.on_syn_ack(tcp),
            Event::Refused(life, conn) => {
                if self.nodes[life.node].life == life && self.nodes[life.node].conns.remove(&conn).is_some_and(|_| true)
                {
                    self.tell_node(life.node, Input::ConnectFailed { conn, error: "refused by the simulation".into() });
                }
            }
            Event::Flush(tcp, side) => self.on_flush(tcp, side),
            Event::Arrive(tcp, side) => self.on_arrive(tcp, side),
            Event::Read(tcp, side) => self.on_read(tcp, side),
            Event::Slice(tcp, side) => {
                self.tcps[tcp.0].end_mut(side).slicing = false;
                self.take_slice(tcp, side);
            }
            Event::Reset(tcp, side) => self.on_reset(tcp, side),
            Event::Cut(tcp, side) => {
                if self.tcps[tcp.0].end(side).state == EndState::Closing {
                    self.lose(tcp, side);
                    self.send_reset(tcp, side.other());
                }
            }
        }
    }

    fn tell_node(&mut self, node: usize, input: Input) {
        let now = self.clock.now();
        let outputs = self.nodes[node].bgp(now, input);
        self.carry(node, outputs);
    }

    fn on_wake(&mut self, life: Life) {
        let elapsed = self.clock.elapsed();
        let node = &mut self.nodes[life.node];
        // A wake that a nearer one has replaced still comes; it does no harm but needs no work.
        if node.life != life || node.wake_at != Some(elapsed) {
            return;
        }
        node.wake_at = None;
        let outputs = node.wake(self.clock.now());
        self.carry(life.node, outputs);
    }

    fn on_syn(&mut self, tcp: TcpId) {
        let Tcp { link, ends, addresses } = &self.tcps[tcp.0];
        let (link, client, server) = (*link, ends[0].owner, ends[1].owner.node);
        let (remote, local) = ((addresses[0], 30000).into(), (addresses[1], 179).into());
        let conn = ends[0].conn;
        if !self.passes(link) {
            return self.clock.after(CONNECT_TIMEOUT, Event::Refused(client, conn));
        }
        let delay = self.delay(link);
        let node = &mut self.nodes[server];
        if node.machines.is_none() {
            return self.clock.after(delay, Event::Refused(client, conn));
        }
        node.accepted += 1;
        let accepted = ConnId::accepted(node.accepted);
        let owner = node.life;
        node.conns.insert(accepted, (tcp, Side::Server));
        let end = self.tcps[tcp.0].end_mut(Side::Server);
        (end.owner, end.conn, end.state) = (owner, accepted, EndState::Open);
        self.clock.after(delay, Event::SynAck(tcp));
        self.tell_node(server, Input::Accepted { conn: accepted, remote, local, interface: None });
    }

    fn on_syn_ack(&mut self, tcp: TcpId) {
        let link = self.tcps[tcp.0].link;
        if !self.passes(link) {
            // The kernel of the one who asked keeps trying.
            return self.clock.after(Duration::from_secs(1), Event::SynAck(tcp));
        }
        let end = self.tcps[tcp.0].end_mut(Side::Client);
        let (owner, conn) = (end.owner, end.conn);
        if end.state != EndState::Opening || self.nodes[owner.node].life != owner {
            return self.send_reset(tcp, Side::Server);
        }
        end.state = EndState::Open;
        let local = (self.tcps[tcp.0].addresses[0], 30000).into();
        self.tell_node(owner.node, Input::Connected { conn, local });
        self.clock.after(Duration::ZERO, Event::Flush(tcp, Side::Client));
        if self.tcps[tcp.0].end(Side::Client).fin_seen || !self.tcps[tcp.0].end(Side::Client).unread.is_empty() {
            self.schedule_read(tcp, Side::Client);
        }
    }

    fn on_flush(&mut self, tcp: TcpId, side: Side) {
        let (owner, conn, state) = {
            let end = self.tcps[tcp.0].end(side);
            (end.owner, end.conn, end.state)
        };
        if !matches!(state, EndState::Open | EndState::Closing) || self.nodes[owner.node].life != owner {
            return;
        }
        loop {
            let room = WINDOW.saturating_sub(self.tcps[tcp.0].end(side.other()).outstanding());
            if room == 0 {
                return;
            }
            if self.tcps[tcp.0].end(side).unsent.is_empty() {
                let mut pieces = Vec::new();
                if let Some(machines) = &mut self.nodes[owner.node].machines {
                    machines.speaker.transmit(conn, room, &mut pieces);
                }
                self.activity += pieces.iter().map(|piece| other_than_keepalives(piece)).sum::<u64>();
                self.tcps[tcp.0].end_mut(side).unsent.extend(pieces);
            }
            let Some(mut piece) = self.tcps[tcp.0].end_mut(side).unsent.pop_front() else { break };
            let now = piece.split_to(room.min(piece.len()));
            if !piece.is_empty() {
                self.tcps[tcp.0].end_mut(side).unsent.push_front(piece);
            }
            self.send(tcp, side, now);
        }
        self.set_alarm(owner.node);
        if state == EndState::Closing && !self.tcps[tcp.0].end(side).fin_sent {
            self.tcps[tcp.0].end_mut(side).fin_sent = true;
            self.put(tcp, side.other(), Chunk::Fin);
        }
    }

    fn send(&mut self, tcp: TcpId, side: Side, mut octets: Bytes) {
        let chunk_max = self.links[self.tcps[tcp.0].link].chunk_max;
        while !octets.is_empty() {
            let size = self.rng.usize(1..=chunk_max).min(octets.len());
            let chunk = octets.split_to(size);
            self.record_octets(&chunk);
            self.put(tcp, side.other(), Chunk::Data(chunk));
        }
    }

    /// Sends a chunk towards `side`, in order behind those before it.
    fn put(&mut self, tcp: TcpId, side: Side, chunk: Chunk) {
        let delay = self.delay(self.tcps[tcp.0].link);
        let end = self.tcps[tcp.0].end_mut(side);
        let soonest = self.clock.elapsed() + delay;
        let at = end.flight.back().map_or(soonest, |(last, _)| soonest.max(*last));
        end.flight.push_back((at, chunk));
        self.clock.schedule(at, Event::Arrive(tcp, side));
    }

    fn on_arrive(&mut self, tcp: TcpId, side: Side) {
        let link = self.tcps[tcp.0].link;
        if !self.passes(link) {
            self.tcps[tcp.0].end_mut(side).stalled = true;
            return;
        }
        let elapsed = self.clock.elapsed();
        let end = self.tcps[tcp.0].end_mut(side);
        if end.flight.front().is_none_or(|(at, _)| *at > elapsed) {
            return;
        }
        let Some((_, chunk)) = end.flight.pop_front() else { return };
        match end.state {
            // Nobody is there any more: the kernel answers with a reset.
            EndState::Gone => {
                end.clear();
                return self.send_reset(tcp, side.other());
            }
            // Closed on our side: what still comes is thrown away.
            EndState::Closing => {
                self.clock.after(Duration::ZERO, Event::Flush(tcp, side.other()));
                if matches!(chunk, Chunk::Fin) {
                    end.fin_seen = true;
                    if end.fin_sent && end.unsent.is_empty() {
                        self.lose(tcp, side);
                    }
                }
                return;
            }
            EndState::Opening | EndState::Open => match chunk {
                Chunk::Data(octets) => end.unread.extend_from_slice(&octets),
                Chunk::Fin => end.fin_seen = true,
            },
        }
        self.schedule_read(tcp, side);
    }

    fn schedule_read(&mut self, tcp: TcpId, side: Side) {
        let end = self.tcps[tcp.0].end_mut(side);
        if end.state != EndState::Open || std::mem::replace(&mut end.reading, true) {
            return;
        }
        let slow = self.nodes[end.owner.node].read_rate.is_some();
        let wait = if slow { Duration::from_secs(1) / SLOW_READS } else { Duration::ZERO };
        self.clock.after(wait, Event::Read(tcp, side));
    }

    fn on_read(&mut self, tcp: TcpId, side: Side) {
        let link = self.tcps[tcp.0].link;
        let owner = self.tcps[tcp.0].end(side).owner;
        let rate = self.nodes[owner.node].read_rate;
        let end = self.tcps[tcp.0].end_mut(side);
        end.reading = false;
        if end.state != EndState::Open || end.slicing {
            return;
        }
        let most = rate.map_or(usize::MAX, |rate| (rate / SLOW_READS).max(1) as usize);
        let octets = end.unread.split_to(most.min(end.unread.len()));
        let read = !octets.is_empty();
        end.buf.extend_from_slice(&octets);
        let more = !end.unread.is_empty();
        if read {
            // The window opens: the other side hears of it.
            let delay = self.delay(link);
            self.clock.after(delay, Event::Flush(tcp, side.other()));
        }
        self.take_slice(tcp, side);
        if more {
            self.schedule_read(tcp, side);
        }
    }

    /// Lets the speaker take what was read, one budget at a time.
    fn take_slice(&mut self, tcp: TcpId, side: Side) {
        let now = self.clock.now();
        let end = self.tcps[tcp.0].end_mut(side);
        let (owner, conn) = (end.owner, end.conn);
        if end.state != EndState::Open || self.nodes[owner.node].life != owner {
            return;
        }
        let mut buf = std::mem::take(&mut end.buf);
        let (progress, outputs) = self.nodes[owner.node].receive(now, conn, &mut buf);
        self.tcps[tcp.0].end_mut(side).buf = buf;
        self.carry(owner.node, outputs);
        let end = self.tcps[tcp.0].end_mut(side);
        if end.state != EndState::Open {
            return;
        }
        if progress == Progress::More {
            if !std::mem::replace(&mut end.slicing, true) {
                self.clock.after(SLICE, Event::Slice(tcp, side));
            }
            return;
        }
        if !end.unread.is_empty() {
            self.schedule_read(tcp, side);
        } else if end.fin_seen {
            self.lose(tcp, side);
            self.send_reset(tcp, side.other());
        }
    }

    fn on_reset(&mut self, tcp: TcpId, side: Side) {
        if !self.passes(self.tcps[tcp.0].link) {
            return;
        }
        match self.tcps[tcp.0].end(side).state {
            EndState::Opening => {
                let end = self.tcps[tcp.0].end_mut(side);
                end.state = EndState::Gone;
                let (owner, conn) = (end.owner, end.conn);
                self.clock.after(Duration::ZERO, Event::Refused(owner, conn));
            }
            EndState::Open | EndState::Closing => self.lose(tcp, side),
            EndState::Gone => {}
        }
    }

    /// The speaker learns that its connection is no more.
    fn lose(&mut self, tcp: TcpId, side: Side) {
        let (owner, conn) = {
            let end = self.tcps[tcp.0].end(side);
            (end.owner, end.conn)
        };
        self.forget(tcp, side);
        if self.nodes[owner.node].life == owner {
            self.nodes[owner.node].conns.remove(&conn);
            self.tell_node(owner.node, Input::Closed { conn });
        }
    }

    pub(super) fn forget(&mut self, tcp: TcpId, side: Side) {
        let end = self.tcps[tcp.0].end_mut(side);
        end.state = EndState::Gone;
        end.clear();
    }

    pub(super) fn send_reset(&mut self, tcp: TcpId, side: Side) {
        if self.tcps[tcp.0].end(side).state != EndState::Gone {
            let delay = self.delay(self.tcps[tcp.0].link);
            self.clock.after(delay, Event::Reset(tcp, side));
        }
    }

    /// What stalled while a link was silent is sent again.
    pub(super) fn resume(&mut self, link: usize) {
        for tcp in (0..self.tcps.len()).map(TcpId) {
            if self.tcps[tcp.0].link != link {
                continue;
            }
            for side in [Side::Client, Side::Server] {
                // A retransmission timer runs for up to some seconds after the link is back.
                let wait = Duration::from_millis(self.rng.u64(0..3000));
                let end = self.tcps[tcp.0].end_mut(side);
                if !std::mem::replace(&mut end.stalled, false) {
                    continue;
                }
                for _ in 0..end.flight.len() {
                    self.clock.after(wait, Event::Arrive(tcp, side));
                }
            }
        }
    }
}

/// Messages in `piece`, which holds whole ones, that are not keepalives.
fn other_than_keepalives(mut piece: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(header) = piece.get(..19) {
        let length = usize::from(u16::from_be_bytes([header[16], header[17]])).max(19);
        count += u64::from(header[18] != KEEPALIVE);
        piece.advance(length.min(piece.len()));
    }
    count
}
