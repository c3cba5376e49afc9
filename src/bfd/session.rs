//! One BFD session in asynchronous mode: the machine of RFC 5880 §6.8.
//!
//! It is told what was received and that time passed; it says what to send and that its state changed. Finding the session
//! a packet belongs to is the table's work, octets and sockets are the carrier's.

use std::time::{Duration, Instant};

use super::packet::{Control, Diagnostic, Discriminator, State};

/// Slowest sending while a session is not up (RFC 5880 §6.8.3).
const SLOW: Duration = Duration::from_secs(1);

/// How fast a session looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timers {
    /// Desired Min TX and Required Min RX Interval.
    pub interval: Duration,
    /// Packets missed until the other side is down; not zero.
    pub multiplier: u8,
}

impl Timers {
    /// What a broken path takes to be seen if both sides have these timers.
    #[must_use]
    pub fn detection(&self) -> Duration {
        self.interval * u32::from(self.multiplier)
    }
}

/// What a session is told.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A packet that belongs to it.
    Received(&'a Control),
    /// Its deadline passed.
    Tick,
    /// Other timers.
    Configure(Timers),
    /// Nobody wants it any longer: the other side is told that this is no failure (RFC 5880 §6.8.16).
    Disable,
    /// It is wanted again.
    Enable,
}

/// What a session says, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Control),
    /// The state changed.
    State {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
}

/// What the other side last said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remote {
    discriminator: Option<Discriminator>,
    state: State,
    diagnostic: Diagnostic,
    desired_min_tx: Duration,
    required_min_rx: Duration,
    required_min_echo_rx: Duration,
    multiplier: u8,
    demand: bool,
}

/// Before anything was heard (RFC 5880 §6.8.1: its Required Min RX counts as one microsecond).
const UNHEARD: Remote = Remote {
    discriminator: None,
    state: State::Down,
    diagnostic: Diagnostic::NONE,
    desired_min_tx: Duration::ZERO,
    required_min_rx: Duration::from_micros(1),
    required_min_echo_rx: Duration::ZERO,
    multiplier: 0,
    demand: false,
};

/// What can be seen of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Our state.
    pub state: State,
    /// Why it last left Up.
    pub diagnostic: Diagnostic,
    /// What the other side says of itself.
    pub remote_state: State,
    /// Why the other side last left Up.
    pub remote_diagnostic: Diagnostic,
    /// Our number for it.
    pub local_discriminator: Discriminator,
    /// Theirs.
    pub remote_discriminator: Option<Discriminator>,
    /// What is asked for here.
    pub timers: Timers,
    /// Between packets of ours, before jitter.
    pub transmit_interval: Duration,
    /// Silence until the session is down; none while nothing is heard.
    pub detection_time: Option<Duration>,
    /// Since when it has this state.
    pub since: Instant,
    /// Times it left Up because the path failed: not when an operator of either side took it down.
    pub failures: u64,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    local: Discriminator,
    timers: Timers,
    state: State,
    since: Instant,
    diagnostic: Diagnostic,
    remote: Remote,
    /// Desired Min TX in force: an increase waits for the poll to end (RFC 5880 §6.8.3).
    transmit: Duration,
    /// Required Min RX in force: a decrease waits for the poll to end.
    receive: Duration,
    /// What packets of ours said last, so that a change starts a poll.
    said: (Duration, Duration),
    polling: bool,
    echo: Duration,
    next_send: Option<Instant>,
    heard: Option<Instant>,
    failures: u64,
    jitter: fastrand::Rng,
}

impl Session {
    /// A session that begins to send at once. `echo` is how often echo packets are reflected, zero for never.
    #[must_use]
    pub fn new(now: Instant, local: Discriminator, timers: Timers, echo: Duration, seed: u64) -> Self {
        let slow = timers.interval.max(SLOW);
        Self {
            local,
            timers,
            state: State::Down,
            since: now,
            diagnostic: Diagnostic::NONE,
            remote: UNHEARD,
            transmit: slow,
            receive: timers.interval,
            said: (slow, timers.interval),
            polling: false,
            echo,
            next_send: Some(now),
            heard: None,
            failures: 0,
            jitter: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes an input; what is to be done comes into `out`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Received(packet) => self.on_packet(now, packet, out),
            Input::Tick => self.on_tick(now, out),
            Input::Configure(timers) => self.on_timers(now, timers, out),
            Input::Disable => self.on_disable(now, out),
            Input::Enable => self.on_enable(now, out),
        }
    }

    /// When [`Input::Tick`] is wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.next_send, self.detection_ends()].into_iter().flatten().min()
    }

    /// What can be seen.
    #[must_use]
    pub fn view(&self) -> SessionView {
        SessionView {
            state: self.state,
            diagnostic: self.diagnostic,
            remote_state: self.remote.state,
            remote_diagnostic: self.remote.diagnostic,
            local_discriminator: self.local,
            remote_discriminator: self.remote.discriminator,
            timers: self.timers,
            transmit_interval: self.transmit_interval(),
            detection_time: self.heard.map(|_| self.detection_time()),
            since: self.since,
            failures: self.failures,
        }
    }

    fn on_packet(&mut self, now: Instant, packet: &Control, out: &mut Vec<Output>) {
        // RFC 5880 §6.8.6, from "Set bfd.RemoteDiscr" on.
        self.remote = Remote {
            discriminator: Some(packet.my_discriminator),
            state: packet.state,
            diagnostic: packet.diagnostic,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            required_min_echo_rx: packet.required_min_echo_rx,
            multiplier: packet.detect_multiplier,
            demand: packet.demand,
        };
        if self.polling && packet.final_ {
            self.polling = false;
            self.settle_intervals();
        }
        if self.state == State::AdminDown {
            self.heard = Some(now);
            return;
        }
        self.heard = Some(now);
        match (self.state, packet.state) {
            (State::Down, State::AdminDown) => {}
            (_, State::AdminDown) => self.down(now, Diagnostic::NEIGHBOR_SIGNALED_DOWN, false, out),
            (State::Down, State::Down) => self.enter(now, State::Init, out),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => self.enter(now, State::Up, out),
            (State::Up, State::Down) => self.down(now, Diagnostic::NEIGHBOR_SIGNALED_DOWN, true, out),
            _ => {}
        }
        if packet.poll {
            // RFC 5880 §6.5: answered without delay, whatever the timer says.
            let answer = Control { poll: false, final_: true, ..self.packet() };
            out.push(Output::Send(answer));
        }
        self.hasten(now);
    }

    fn on_tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.detection_ends().is_some_and(|end| end <= now) {
            self.heard = None;
            // RFC 5880 §6.8.1: the other side's number is forgotten with its silence.
            self.remote = UNHEARD;
            if matches!(self.state, State::Init | State::Up) {
                self.down(now, Diagnostic::DETECTION_TIME_EXPIRED, true, out);
            }
        }
        if self.next_send.is_some_and(|at| at <= now) {
            self.send(now, out);
        }
    }

    fn on_timers(&mut self, now: Instant, timers: Timers, out: &mut Vec<Output>) {
        if self.timers == timers {
            return;
        }
        self.timers = timers;
        self.announce_intervals();
        self.send(now, out);
    }

    fn on_disable(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.state != State::AdminDown {
            self.diagnostic = Diagnostic::ADMINISTRATIVELY_DOWN;
            self.enter(now, State::AdminDown, out);
        }
    }

    fn on_enable(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.state == State::AdminDown {
            self.diagnostic = Diagnostic::NONE;
            self.enter(now, State::Down, out);
        }
    }

    fn down(&mut self, now: Instant, why: Diagnostic, failure: bool, out: &mut Vec<Output>) {
        self.diagnostic = why;
        if failure && self.state == State::Up {
            self.failures += 1;
        }
        self.enter(now, State::Down, out);
    }

    /// Changes the state and says so at once (RFC 5880 §6.8.7).
    fn enter(&mut self, now: Instant, to: State, out: &mut Vec<Output>) {
        let from = std::mem::replace(&mut self.state, to);
        self.since = now;
        if to == State::Up {
            self.diagnostic = Diagnostic::NONE;
        }
        // The failure first: whoever depends on the session must not wait for a packet.
        out.push(Output::State { from, to });
        self.announce_intervals();
        self.send(now, out);
    }

    /// What packets say now: slow unless up (RFC 5880 §6.8.3).
    fn offered(&self) -> (Duration, Duration) {
        let desired = if self.state == State::Up { self.timers.interval } else { self.timers.interval.max(SLOW) };
        (desired, self.timers.interval)
    }

    /// Takes up changed intervals: in an up session a slower sending and a faster expecting wait until the other side has
    /// confirmed that it knows (RFC 5880 §6.8.3).
    fn announce_intervals(&mut self) {
        let (transmit, receive) = self.offered();
        if self.said != (transmit, receive) {
            self.said = (transmit, receive);
            self.polling = self.state == State::Up;
        }
        if self.polling {
            self.transmit = self.transmit.min(transmit);
            self.receive = self.receive.max(receive);
        } else {
            self.settle_intervals();
        }
    }

    fn settle_intervals(&mut self) {
        (self.transmit, self.receive) = self.said;
    }

    fn packet(&self) -> Control {
        Control {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling,
            final_: false,
            control_plane_independent: false,
            demand: false,
            detect_multiplier: self.timers.multiplier,
            my_discriminator: self.local,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.said.0,
            required_min_rx: self.said.1,
            required_min_echo_rx: self.echo,
        }
    }

    fn send(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.silenced() {
            self.next_send = None;
            return;
        }
        out.push(Output::Send(self.packet()));
        self.next_send = Some(now + self.jittered());
    }

    /// The other side wants no periodic packets (RFC 5880 §6.8.7).
    fn silenced(&self) -> bool {
        let demand = self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        self.remote.required_min_rx.is_zero() || demand && !self.polling
    }

    /// The other side may have allowed a faster sending, or sending at all.
    fn hasten(&mut self, now: Instant) {
        if self.silenced() {
            self.next_send = None;
            return;
        }
        let latest = now + self.transmit_interval();
        if self.next_send.is_none_or(|at| at > latest) {
            self.next_send = Some(now + self.jittered());
        }
    }

    /// Before jitter (RFC 5880 §6.8.7).
    fn transmit_interval(&self) -> Duration {
        self.transmit.max(self.remote.required_min_rx)
    }

    /// 75 to 100 % of the interval; at most 90 % if one lost packet is a failure (RFC 5880 §6.8.7).
    fn jittered(&mut self) -> Duration {
        let most = if self.timers.multiplier == 1 { 900 } else { 1000 };
        self.transmit_interval() * self.jitter.u32(750..=most) / 1000
    }

    /// RFC 5880 §6.8.4.
    fn detection_time(&self) -> Duration {
        self.receive.max(self.remote.desired_min_tx) * u32::from(self.remote.multiplier)
    }

    fn detection_ends(&self) -> Option<Instant> {
        // A multiplier and an interval from the wire give at most 13 days.
        self.heard.map(|heard| heard + self.detection_time())
    }
}
