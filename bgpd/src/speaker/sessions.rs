//! Between the sessions and the tables: what a session asks for, and what its messages mean.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rib::AddressFamily;

use super::keeping::{Actions, Begun, FAMILIES};
use super::limits::Warned;
use super::message::{Command, Event, Output};
use super::neighbor::{self, Neighbor};
use super::{Conn, Hold, Speaker};
use crate::locrib::Ageing;
use crate::session::{ConnId, DownReason, Negotiated, SessionInput, SessionOutput, StopCause};
use crate::wire::route_refresh::{RefreshKind, RouteRefresh};

impl Speaker {
    pub(super) fn tell_conn(&mut self, conn: ConnId, input: SessionInput, out: &mut Vec<Output>) {
        if let Some(at) = self.conns.get(&conn).map(|conn| conn.neighbor) {
            self.tell_session(at, input, out);
        }
    }

    /// Gives a session an input and carries out what it wants.
    pub(super) fn tell_session(&mut self, at: usize, input: SessionInput, out: &mut Vec<Output>) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        let from = neighbor.session.state();
        neighbor.session.handle(self.now, input, &mut self.session_outputs);
        let to = neighbor.session.state();
        let key = neighbor.key.clone();
        let reason = self.carry_out(at, out);
        if from != to || reason.is_some() {
            out.push(Output::Event(Event::Neighbor { neighbor: key, from, to, reason }));
        }
    }

    /// Carries out what a session wants; the reason if it fell or failed.
    pub(super) fn carry_out(&mut self, at: usize, out: &mut Vec<Output>) -> Option<DownReason> {
        let mut outputs = std::mem::take(&mut self.session_outputs);
        let mut why = None;
        for output in outputs.drain(..) {
            match output {
                SessionOutput::Connect { conn } => self.on_connect(at, conn, out),
                SessionOutput::Send { conn, message } => self.send(conn, message, out),
                SessionOutput::Close { conn } => {
                    if let Some(held) = self.conns.get_mut(&conn) {
                        held.closing = true;
                        if held.control.is_empty() {
                            self.conns.remove(&conn);
                        }
                    }
                    out.push(Output::Close { conn });
                }
                SessionOutput::Established { conn, negotiated } => self.on_established(at, conn, &negotiated),
                SessionOutput::Down { reason } => {
                    self.on_down(at, &reason);
                    why = Some(reason);
                }
                SessionOutput::Failed { reason } => why = Some(reason),
            }
        }
        self.session_outputs = outputs;
        why
    }

    fn on_connect(&mut self, at: usize, conn: ConnId, out: &mut Vec<Output>) {
        let Some(neighbor) = &self.neighbors[at] else { return };
        self.conns.insert(conn, Conn { neighbor: at, control: VecDeque::new(), closing: false });
        out.push(Output::Connect {
            conn,
            remote: neighbor.session.config().remote,
            local: neighbor.config.local_address,
            interface: neighbor.config.interface.clone(),
            protection: neighbor::protection(&self.config, &neighbor.config),
        });
    }

    fn send(&mut self, conn: ConnId, message: Bytes, out: &mut Vec<Output>) {
        if let Some(held) = self.conns.get_mut(&conn) {
            held.control.push_back(message);
            out.push(Output::Writable { conn });
        }
    }

    fn on_established(&mut self, at: usize, conn: ConnId, negotiated: &Arc<Negotiated>) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        neighbor.up = Some(conn);
        neighbor.negotiated = Some(Arc::clone(negotiated));
        neighbor.spoken = [false; 2];
        let (import, profile) = neighbor.rules(&self.config, negotiated, &self.addresses);
        let import = Arc::new(import);
        neighbor.import = Some(Arc::clone(&import));
        neighbor.warned = Warned::default();
        let kind = neighbor::kind(negotiated, &neighbor.config);
        let actions = neighbor.keeping.up(self.now, negotiated);
        let (peer, kept) = (neighbor.peer, neighbor.keeping.stale_until().is_some());
        self.tables.peer_up(peer, negotiated.peer_router_id, kind, import);
        self.tables.join(peer, profile);
        self.age(at, actions);
        if kept {
            // What was kept is judged by the policies of now until it is said again.
            self.tables.soft_in(peer);
        }
    }

    fn on_down(&mut self, at: usize, reason: &DownReason) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        let keeps = neighbor.negotiated.take().is_some_and(|negotiated| reason.keeps_routes(&negotiated));
        neighbor.up = None;
        neighbor.import = None;
        let actions = neighbor.keeping.down(self.now, keeps);
        self.tables.peer_down(neighbor.peer);
        self.age(at, actions);
    }

    /// Takes an UPDATE; returns the number of prefixes in it.
    pub(super) fn on_update(&mut self, at: usize, body: &[u8], out: &mut Vec<Output>) -> usize {
        let Some(neighbor) = &mut self.neighbors[at] else { return 0 };
        let Some(import) = &neighbor.import else { return 0 };
        let limited = neighbor.config.max_prefix.is_some();
        match self.tables.update(neighbor.peer, import, body) {
            Ok(report) => {
                for fault in report.faults {
                    if neighbor.faults.admit(self.now) {
                        let (neighbor, what) = (neighbor.key.clone(), fault.to_string());
                        out.push(Output::Event(Event::UpdateFault { neighbor, what }));
                    }
                }
                if let Some(family) = report.end_of_rib {
                    neighbor.spoken[usize::from(family == AddressFamily::Ipv6)] = true;
                    if let Some(ageing) = neighbor.keeping.end_of_rib(family) {
                        self.tables.age(neighbor.peer, family, ageing);
                    }
                    self.end_holds();
                }
                if report.items > 0 && limited {
                    self.check_limit(at, out);
                }
                report.items
            }
            Err(notification) => {
                self.tell_session(at, SessionInput::Fail(notification), out);
                0
            }
        }
    }

    /// ROUTE-REFRESH of any kind. One for a family that is not in use is ignored (RFC 2918 §4), and told to people.
    pub(super) fn on_refresh(&mut self, at: usize, refresh: RouteRefresh, out: &mut Vec<Output>) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        let spoken = |family: &AddressFamily| neighbor.negotiated.as_ref().is_some_and(|n| n.families.contains(family));
        let ignored = match (refresh.family.unicast().filter(spoken), refresh.kind) {
            (Some(family), RefreshKind::Request) => return self.on_route_refresh(at, Some(family)),
            (Some(family), RefreshKind::Begin) => match neighbor.keeping.refresh_begins(self.now, family) {
                Begun::Marked => return self.tables.age(neighbor.peer, family, Ageing::Renew),
                Begun::TooEarly => "before End-of-RIB (RFC 7313 §4)",
            },
            (Some(family), RefreshKind::End) => {
                if let Some(ageing) = neighbor.keeping.refresh_ends(family) {
                    return self.tables.age(neighbor.peer, family, ageing);
                }
                "without a beginning (RFC 7313 §4)"
            }
            (Some(_), RefreshKind::Unknown(_)) => return,
            (None, _) => "of a family that is not in use",
        };
        if neighbor.faults.admit(self.now) {
            let what = format!("ROUTE-REFRESH {ignored} ignored: {:?} of {}", refresh.kind, refresh.family);
            out.push(Output::Event(Event::UpdateFault { neighbor: neighbor.key.clone(), what }));
        }
    }

    /// Carries out what became of a neighbor's paths.
    pub(super) fn age(&mut self, at: usize, actions: Actions) {
        let Some(peer) = self.neighbors[at].as_ref().map(|neighbor| neighbor.peer) else { return };
        for (family, ageing) in FAMILIES.into_iter().zip(actions) {
            if let Some(ageing) = ageing {
                self.tables.age(peer, family, ageing);
            }
        }
    }

    /// Nothing is kept of a neighbor that is not wanted.
    pub(super) fn forget(&mut self, at: usize) {
        if let Some(neighbor) = &mut self.neighbors[at] {
            let actions = neighbor.keeping.drop_all();
            self.age(at, actions);
        }
    }

    pub(super) fn on_route_refresh(&mut self, at: usize, family: Option<AddressFamily>) {
        let Some(neighbor) = &self.neighbors[at] else { return };
        if let (Some(family), Some(group)) = (family, self.tables.group_mut(neighbor.peer)) {
            group.refresh(neighbor.peer, family);
        }
    }

    pub(super) fn command(&mut self, command: Command, out: &mut Vec<Output>) {
        match command {
            Command::SetEnabled { neighbor, enabled, message } => {
                let Some(&at) = self.by_key.get(&neighbor) else { return };
                self.set_draining(at, false, out);
                if let Some(neighbor) = &mut self.neighbors[at] {
                    neighbor.enabled = enabled;
                }
                let message = if message.is_empty() { self.config.shutdown_message.clone() } else { message };
                let stop = SessionInput::Stop(StopCause::AdminShutdown { message });
                self.tell_session(at, if enabled { SessionInput::Start } else { stop }, out);
                if !enabled {
                    self.forget(at);
                }
            }
            Command::Reset { neighbor } => {
                let Some(&at) = self.by_key.get(&neighbor) else { return };
                let reset = StopCause::AdminReset { message: String::new() };
                self.tell_session(at, SessionInput::Stop(reset), out);
                self.forget(at);
                self.start(at, out);
            }
            Command::PathDown { neighbor } => {
                let Some(&at) = self.by_key.get(&neighbor) else { return };
                self.tell_session(at, SessionInput::Stop(StopCause::BfdDown), out);
                self.forget(at);
                self.start(at, out);
            }
            Command::SoftIn { neighbor } => {
                if let Some(&at) = self.by_key.get(&neighbor) {
                    self.soft_in(at, out);
                }
            }
            Command::SoftOut { neighbor } => {
                if let Some(&at) = self.by_key.get(&neighbor) {
                    for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
                        self.on_route_refresh(at, Some(family));
                    }
                }
            }
            Command::Drain { neighbor } => {
                if let Some(&at) = self.by_key.get(&neighbor) {
                    self.set_draining(at, true, out);
                }
            }
            Command::Shutdown => self.shut_down(false, out),
            Command::Restart => self.shut_down(true, out),
        }
    }

    fn set_draining(&mut self, at: usize, draining: bool, out: &mut Vec<Output>) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        if std::mem::replace(&mut neighbor.draining, draining) == draining {
            return;
        }
        let (kept, mut profiles) = (neighbor.config.adj_in, Vec::new());
        self.repolicy(at, kept, &mut profiles, out);
        self.tables.reprofile(&profiles);
    }

    pub(super) fn start(&mut self, at: usize, out: &mut Vec<Output>) {
        if self.neighbors[at].as_ref().is_some_and(|neighbor| neighbor.enabled) && !self.shutting_down {
            self.tell_session(at, SessionInput::Start, out);
        }
    }

    /// Import is repeated over what is kept; what is not is asked for again (RFC 2918).
    pub(super) fn soft_in(&mut self, at: usize, out: &mut Vec<Output>) {
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        let (Some(conn), Some(negotiated)) = (neighbor.up, neighbor.negotiated.clone()) else { return };
        self.tables.soft_in(neighbor.peer);
        if neighbor.config.adj_in == crate::config::AdjInKeep::All || !negotiated.route_refresh {
            return;
        }
        for family in &negotiated.families {
            neighbor.session.sent_route_refresh();
            let refresh = RouteRefresh { family: (*family).into(), kind: RefreshKind::Request };
            if let Some(held) = self.conns.get_mut(&conn) {
                held.control.push_back(refresh.to_bytes());
                out.push(Output::Writable { conn });
            }
        }
    }

    fn shut_down(&mut self, restarting: bool, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.shutting_down, true) {
            return;
        }
        self.hold = Hold::default();
        self.hold.apply(&mut self.tables);
        match restarting {
            true => self.tables.withdraw_services(),
            false => self.tables.withdraw_local(),
        }
        for at in 0..self.neighbors.len() {
            self.hand_over(at);
            let negotiated = self.neighbors[at].as_ref().and_then(|neighbor| neighbor.negotiated.as_ref());
            let message = self.config.shutdown_message.clone();
            let cause = match negotiated.filter(|negotiated| restarting && negotiated.is_helped()) {
                Some(_) => StopCause::Restarting,
                None => StopCause::AdminShutdown { message },
            };
            self.tell_session(at, SessionInput::Stop(cause), out);
        }
        self.check_finished(out);
    }

    /// What stands ready for a neighbor becomes part of the session's own messages, so that it goes out before a NOTIFICATION.
    fn hand_over(&mut self, at: usize) {
        let Some(Neighbor { peer, up: Some(conn), .. }) = &self.neighbors[at] else { return };
        if let (Some(held), Some(group)) = (self.conns.get_mut(conn), self.tables.group_mut(*peer)) {
            while let Some(piece) = group.take(*peer) {
                held.control.push_back(piece);
            }
        }
    }
}
