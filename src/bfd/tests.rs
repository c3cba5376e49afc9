//! The story of sessions, told without sockets: a wire in virtual time joins two tables.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::packet::{Control, Diagnostic, Discriminator, Malformed, State};
use super::session::Timers;
use super::table::{Arrival, ClientId, Dropped, Input, Output, Path, Row, Table};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const CLIENT: ClientId = ClientId(1);

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

#[allow(clippy::disallowed_methods)] // Where virtual time begins.
fn some_time() -> Instant {
    Instant::now()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn timers(interval: u64, multiplier: u8) -> Timers {
    Timers { interval: ms(interval), multiplier }
}

fn path(local: &str, peer: &str, multihop: bool) -> Path {
    Path { peer: ip(peer), local: ip(local), link: if multihop { None } else { NonZeroU32::new(7) } }
}

/// Two systems and the wire between them; a packet takes a millisecond.
struct Pair {
    now: Instant,
    tables: [Table; 2],
    wire: Vec<(Instant, usize, Control)>,
    cut: [bool; 2],
    ttl: u8,
    multihop: bool,
    /// Every state change: when, whose, to what.
    story: Vec<(Instant, usize, State)>,
    sent: [Vec<(Instant, Control)>; 2],
}

impl Pair {
    fn new() -> Self {
        Self {
            now: some_time(),
            tables: [Table::new(1), Table::new(2)],
            wire: Vec::new(),
            cut: [false; 2],
            ttl: 255,
            multihop: false,
            story: Vec::new(),
            sent: [Vec::new(), Vec::new()],
        }
    }

    fn want(&mut self, who: usize, timers: Timers) -> &mut Self {
        self.want_as(who, CLIENT, timers)
    }

    fn want_as(&mut self, who: usize, client: ClientId, timers: Timers) -> &mut Self {
        let (local, peer) = [(A, B), (B, A)][who];
        let path = path(local, peer, self.multihop);
        self.tell(who, Input::Want { client, path, timers, echo: true })
    }

    fn tell(&mut self, who: usize, input: Input<'_>) -> &mut Self {
        let mut out = Vec::new();
        self.tables[who].handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Send(_, packet) => {
                    self.sent[who].push((self.now, packet));
                    if !self.cut[who] {
                        self.wire.push((self.now + ms(1), 1 - who, packet));
                    }
                }
                Output::State { to, .. } => self.story.push((self.now, who, to)),
                Output::Open(..) | Output::Close(_) => {}
            }
        }
        self
    }

    fn run(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        loop {
            let arrival = self.wire.iter().map(|(at, ..)| *at).min();
            let due = self.tables.iter().filter_map(Table::deadline).min();
            let Some(next) = [arrival, due].into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return self;
            };
            self.now = next.max(self.now);
            let (come, wire) = self.wire.drain(..).partition(|(at, ..)| *at <= self.now);
            self.wire = wire;
            let come: Vec<(Instant, usize, Control)> = come;
            for (_, who, packet) in come {
                let (local, peer) = [(ip(A), ip(B)), (ip(B), ip(A))][who];
                let arrival = Arrival { peer, local, link: 7, ttl: Some(self.ttl), multihop: self.multihop };
                self.tell(who, Input::Received(arrival, &packet.encode()));
            }
            for who in 0..2 {
                if self.tables[who].deadline().is_some_and(|at| at <= self.now) {
                    self.tell(who, Input::Tick);
                }
            }
        }
    }

    fn row(&self, who: usize) -> Row {
        self.tables[who].of(CLIENT).expect("the client has a session")
    }

    fn states(&self) -> [State; 2] {
        [0, 1].map(|who| self.row(who).session.state)
    }

    fn up(interval: u64, multiplier: u8) -> Self {
        let mut pair = Self::new();
        pair.want(0, timers(interval, multiplier)).want(1, timers(interval, multiplier)).run(Duration::from_secs(3));
        assert_eq!(pair.states(), [State::Up; 2]);
        pair
    }
}

#[test]
fn two_systems_come_up_within_a_round_trip_and_agree_on_fast_intervals() {
    let mut pair = Pair::new();
    pair.want(0, timers(50, 3)).want(1, timers(50, 3)).run(ms(10));
    assert_eq!(pair.states(), [State::Up; 2], "nobody waits for the slow timer: {:?}", pair.story);
    pair.run(ms(100));
    for who in 0..2 {
        let view = pair.row(who).session;
        assert_eq!(view.transmit_interval, ms(50));
        assert_eq!(view.detection_time, Some(ms(150)));
        assert_eq!(view.failures, 0);
    }
}

#[test]
fn packets_are_slow_until_the_session_is_up() {
    let mut pair = Pair::new();
    pair.want(0, timers(50, 3)).run(Duration::from_secs(10));
    let sent: Vec<_> = pair.sent[0].iter().map(|(at, _)| *at).collect();
    assert!((10..=15).contains(&sent.len()), "{} packets in ten seconds", sent.len());
    assert!(pair.sent[0].iter().all(|(_, packet)| packet.desired_min_tx >= Duration::from_secs(1)));
}

#[test]
fn packets_are_jittered_between_three_quarters_and_all_of_the_interval() {
    let mut pair = Pair::up(100, 3);
    pair.sent[0].clear();
    pair.run(Duration::from_secs(20));
    let gaps: Vec<_> = pair.sent[0].windows(2).map(|two| two[1].0 - two[0].0).collect();
    assert!(gaps.iter().all(|gap| (ms(75)..=ms(100)).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap < ms(80)) && gaps.iter().any(|gap| *gap > ms(95)));

    let mut single = Pair::up(100, 1);
    single.sent[0].clear();
    single.run(Duration::from_secs(20));
    let gaps = single.sent[0].windows(2).map(|two| two[1].0 - two[0].0);
    assert!(gaps.into_iter().all(|gap| gap <= ms(90)), "a multiplier of one leaves room for the way");
}

#[test]
fn a_silent_cut_is_seen_after_the_detection_time_and_both_sides_say_why() {
    let mut pair = Pair::up(50, 3);
    pair.story.clear();
    let cut = pair.now;
    pair.cut = [true, true];
    pair.run(ms(500));
    for who in 0..2 {
        let (at, ..) = pair.story.iter().find(|(_, whose, to)| *whose == who && *to == State::Down).unwrap();
        let after = *at - cut;
        assert!((ms(99)..=ms(151)).contains(&after), "seen after {after:?}");
        assert_eq!(pair.row(who).session.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
        assert_eq!(pair.row(who).session.failures, 1);
        assert_eq!(pair.row(who).session.remote_discriminator, None, "RFC 5880 §6.8.1");
    }
}

#[test]
fn a_cut_of_one_direction_takes_both_sides_down() {
    let mut pair = Pair::up(50, 3);
    pair.cut = [true, false];
    pair.run(ms(400));
    assert_eq!(pair.row(1).session.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
    assert_eq!(pair.row(0).session.diagnostic, Diagnostic::NEIGHBOR_SIGNALED_DOWN);
    assert_eq!([pair.row(0).session.failures, pair.row(1).session.failures], [1, 1]);
    pair.cut = [false, false];
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn two_lost_packets_of_three_are_no_failure() {
    let mut pair = Pair::up(50, 3);
    for _ in 0..20 {
        pair.cut = [true, true];
        // At most two packets are sent in this time.
        pair.run(ms(45));
        pair.cut = [false, false];
        pair.run(ms(105));
    }
    assert_eq!(pair.states(), [State::Up; 2]);
    assert_eq!(pair.row(0).session.failures, 0);
}

#[test]
fn the_slower_side_sets_the_pace_of_each_direction() {
    let mut pair = Pair::new();
    pair.want(0, timers(50, 3)).want(1, timers(300, 4)).run(Duration::from_secs(3));
    assert_eq!(pair.row(0).session.transmit_interval, ms(300), "the other takes no more");
    assert_eq!(pair.row(0).session.detection_time, Some(ms(1200)), "its multiplier, its sending");
    assert_eq!(pair.row(1).session.transmit_interval, ms(300));
    assert_eq!(pair.row(1).session.detection_time, Some(ms(900)));
}

#[test]
fn slower_timers_are_polled_for_and_nobody_falls() {
    let mut pair = Pair::up(50, 3);
    pair.story.clear();
    pair.sent[0].clear();
    pair.want(0, timers(500, 3));
    let polls = pair.sent[0].iter().filter(|(_, packet)| packet.poll).count();
    assert_eq!(polls, 1, "the first packet with new intervals polls");
    assert_eq!(pair.row(0).session.transmit_interval, ms(50), "RFC 5880 §6.8.3: unchanged until the poll ends");
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.row(0).session.transmit_interval, ms(500));
    assert_eq!(pair.row(1).session.detection_time, Some(ms(1500)));
    pair.want(0, timers(50, 3)).run(Duration::from_secs(2));
    assert_eq!(pair.row(0).session.detection_time, Some(ms(150)));
    assert_eq!(pair.story, [], "no state changed on the way");
    assert!(
        pair.sent[1].iter().any(|(_, packet)| packet.final_ && !packet.poll),
        "RFC 5880 §6.5: P and F never together"
    );
}

#[test]
fn the_fastest_client_sets_the_timers_and_one_session_serves_all() {
    let mut pair = Pair::up(300, 3);
    pair.story.clear();
    pair.want_as(0, ClientId(2), timers(50, 3)).run(Duration::from_secs(1));
    assert_eq!(pair.tables[0].rows().len(), 1);
    assert_eq!(pair.row(0).clients, 2);
    assert_eq!(pair.row(0).session.timers, timers(50, 3));
    pair.tell(0, Input::Unwant { client: ClientId(2) }).run(Duration::from_secs(1));
    assert_eq!(pair.row(0).session.timers, timers(300, 3));
    assert_eq!(pair.story, [], "clients come and go without a state change");
}

#[test]
fn who_no_longer_wants_the_session_says_so_and_it_is_no_failure() {
    let mut pair = Pair::up(50, 3);
    pair.tell(0, Input::Unwant { client: CLIENT }).run(ms(500));
    let other = pair.row(1).session;
    assert_eq!((other.state, other.remote_state), (State::Down, State::AdminDown));
    assert_eq!(other.failures, 0, "RFC 5882 §3.2: administratively down says nothing about the path");
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.tables[0].rows(), [], "the session has ended");
    assert_eq!(pair.tables[0].deadline(), None);
}

#[test]
fn a_session_wanted_again_while_it_ends_goes_on() {
    let mut pair = Pair::up(50, 3);
    pair.tell(0, Input::Unwant { client: CLIENT }).run(ms(200));
    pair.want(0, timers(50, 3)).run(Duration::from_secs(5));
    assert_eq!(pair.states(), [State::Up; 2]);
    assert_eq!(pair.row(1).session.failures, 0);
}

#[test]
fn a_node_that_stops_is_no_failure() {
    let mut pair = Pair::up(50, 3);
    pair.tell(0, Input::Shutdown);
    pair.cut = [true, true];
    pair.run(ms(10));
    assert_eq!(pair.row(1).session.state, State::Down);
    assert_eq!(pair.row(1).session.failures, 0);
}

#[test]
fn a_restarted_peer_has_another_number_and_is_taken_up() {
    let mut pair = Pair::up(50, 3);
    pair.tables[1] = Table::new(99);
    pair.want(1, timers(50, 3)).run(Duration::from_secs(5));
    assert_eq!(pair.states(), [State::Up; 2]);
    assert_eq!(pair.row(0).session.failures, 1, "it lost its state, and with it perhaps its routes");
}

#[test]
fn forwarded_packets_are_dropped_on_a_single_hop_and_fine_over_several() {
    let mut pair = Pair::new();
    pair.ttl = 254;
    pair.want(0, timers(50, 3)).want(1, timers(50, 3)).run(Duration::from_secs(3));
    assert_eq!(pair.states(), [State::Down; 2]);
    assert!(pair.tables[0].dropped()[&Dropped::Ttl] > 0);

    let mut pair = Pair::new();
    (pair.ttl, pair.multihop) = (250, true);
    pair.want(0, timers(50, 3)).want(1, timers(50, 3)).run(Duration::from_secs(3));
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn packets_of_others_do_not_reach_a_session() {
    let mut pair = Pair::up(50, 3);
    let number = pair.row(0).session.local_discriminator;
    let forged = Control { state: State::Down, your_discriminator: Some(number), ..pair.sent[1].last().unwrap().1 };
    let elsewhere = Arrival { peer: ip("192.0.2.9"), local: ip(A), link: 7, ttl: Some(255), multihop: false };
    let other_link = Arrival { peer: ip(B), local: ip(A), link: 8, ttl: Some(255), multihop: false };
    let wrong = Control { your_discriminator: NonZeroU32::new(12345).map(Discriminator), ..forged };
    let right = Arrival { link: 7, ..other_link };
    for (arrival, packet) in [(elsewhere, forged), (other_link, forged), (right, wrong)] {
        pair.tell(0, Input::Received(arrival, &packet.encode()));
    }
    assert_eq!(pair.row(0).session.state, State::Up);
    assert_eq!(pair.tables[0].dropped()[&Dropped::NoSession], 3);
}

#[test]
fn echo_is_reflected_only_for_sessions_that_are_up() {
    let mut pair = Pair::up(50, 3);
    let arrival = Arrival { peer: ip(B), local: ip(A), link: 7, ttl: Some(255), multihop: false };
    assert!(pair.tables[0].reflects(&arrival));
    assert!(!pair.tables[0].reflects(&Arrival { ttl: Some(254), ..arrival }), "forwarded");
    assert!(!pair.tables[0].reflects(&Arrival { peer: ip("192.0.2.9"), ..arrival }), "a stranger");
    assert!(pair.sent[0].last().unwrap().1.required_min_echo_rx > Duration::ZERO, "we say that we reflect");
    pair.cut = [true, true];
    pair.run(ms(300));
    assert!(!pair.tables[0].reflects(&arrival), "down");
}

#[test]
fn demand_and_a_zero_receive_interval_silence_us() {
    let pair = Pair::up(50, 3);
    let last = pair.sent[1].last().unwrap().1;
    let arrival = Arrival { peer: ip(B), local: ip(A), link: 7, ttl: Some(255), multihop: false };
    for quiet in [Control { demand: true, ..last }, Control { required_min_rx: Duration::ZERO, ..last }] {
        let mut table = Table::new(5);
        let mut out = Vec::new();
        let path = path(A, B, false);
        table.handle(pair.now, Input::Want { client: CLIENT, path, timers: timers(50, 3), echo: true }, &mut out);
        let mine = table.of(CLIENT).unwrap().session.local_discriminator;
        for state in [State::Init, State::Up, State::Up] {
            let packet = Control { state, your_discriminator: Some(mine), final_: true, poll: false, ..quiet };
            table.handle(pair.now, Input::Received(arrival, &packet.encode()), &mut out);
        }
        out.clear();
        let detection = table.of(CLIENT).unwrap().session.detection_time.unwrap();
        table.handle(pair.now + detection - ms(1), Input::Tick, &mut out);
        assert!(!out.iter().any(|output| matches!(output, Output::Send(..))), "{quiet:?} {out:?}");
    }
}

#[test]
fn a_poll_is_answered_at_once() {
    let mut pair = Pair::up(50, 3);
    let mine = pair.row(0).session.local_discriminator;
    let poll = Control { poll: true, final_: false, your_discriminator: Some(mine), ..pair.sent[1].last().unwrap().1 };
    let arrival = Arrival { peer: ip(B), local: ip(A), link: 7, ttl: Some(255), multihop: false };
    pair.sent[0].clear();
    pair.tell(0, Input::Received(arrival, &poll.encode()));
    let [(_, answer)] = pair.sent[0][..] else { panic!("one answer: {:?}", pair.sent[0]) };
    assert!(answer.final_ && !answer.poll);
}

#[test]
fn every_rule_of_reception_has_its_packet() {
    let good = Control {
        diagnostic: Diagnostic::NONE,
        state: State::Down,
        poll: false,
        final_: false,
        control_plane_independent: false,
        demand: false,
        detect_multiplier: 3,
        my_discriminator: Discriminator(NonZeroU32::MIN),
        your_discriminator: None,
        desired_min_tx: ms(1000),
        required_min_rx: ms(50),
        required_min_echo_rx: Duration::ZERO,
    };
    assert_eq!(Control::decode(&good.encode()), Ok(good));
    let with = |at: usize, octet: u8| {
        let mut octets = good.encode().to_vec();
        octets[at] = octet;
        Control::decode(&octets)
    };
    assert_eq!(Control::decode(&good.encode()[..23]), Err(Malformed::Short));
    assert_eq!(with(0, 0x40), Err(Malformed::Version));
    assert_eq!(with(3, 23), Err(Malformed::Length));
    assert_eq!(with(3, 25), Err(Malformed::Short));
    assert_eq!(with(2, 0), Err(Malformed::Multiplier));
    assert_eq!(with(1, 0x41), Err(Malformed::Multipoint));
    assert_eq!(with(7, 0), Err(Malformed::Discriminator));
    assert_eq!(with(1, 0xc0), Err(Malformed::Unsolicited));
    assert_eq!(with(1, 0x80), Err(Malformed::Unsolicited));
    assert_eq!(with(1, 0x44), Err(Malformed::Length), "authenticated packets are longer");
    let mut authenticated = [good.encode().as_slice(), &[1, 4, 1, b'x']].concat();
    (authenticated[1], authenticated[3]) = (0x44, 28);
    assert_eq!(Control::decode(&authenticated), Err(Malformed::Authenticated));
}

#[test]
fn whatever_octets_come_nothing_panics_and_what_is_read_can_be_written() {
    let mut chance = fastrand::Rng::with_seed(7);
    let mut table = Table::new(3);
    let mut out = Vec::new();
    let start = some_time();
    let path = path(A, B, false);
    table.handle(start, Input::Want { client: CLIENT, path, timers: timers(50, 3), echo: true }, &mut out);
    let mine = table.of(CLIENT).unwrap().session.local_discriminator;
    let arrival = Arrival { peer: ip(B), local: ip(A), link: 7, ttl: Some(255), multihop: false };
    for round in 0..200_000_u64 {
        let length = chance.usize(20..40);
        let mut octets: Vec<u8> = (0..length).map(|_| chance.u8(..)).collect();
        if length > 12 && chance.bool() {
            octets[0] = 0x20;
            octets[1] &= 0xfa;
            octets[3] = 24;
            octets[8..12].copy_from_slice(&mine.0.get().to_be_bytes());
        }
        if let Ok(packet) = Control::decode(&octets) {
            assert_eq!(Control::decode(&packet.encode()), Ok(packet));
        }
        let now = start + ms(round);
        table.handle(now, Input::Received(arrival, &octets), &mut out);
        table.handle(now, Input::Tick, &mut out);
        assert!(out.len() < 16, "a packet or a tick says little");
        out.clear();
    }
}
