//! How long a neighbor's routes are kept when they are not said at present: graceful restart as helper (RFC 4724 §4.2, RFC 8538),
//! long-lived graceful restart (RFC 9494 §4.2) and route refresh with marks (RFC 7313 §4).
//!
//! A value per neighbor: events of the session and of time go in, what becomes of the paths comes out. The paths themselves are
//! the tables' business.

use std::time::{Duration, Instant};

use rib::AddressFamily;

use crate::locrib::Ageing;
use crate::session::Negotiated;

/// A neighbor that is back has so long to say everything again, if it never says that it has.
pub(super) const STALE_PATH_TIME: Duration = Duration::from_secs(360);
/// A route refresh that has begun is over by then, said or not (RFC 7313 §4).
pub(super) const REFRESH_TIME: Duration = Duration::from_secs(300);

/// Both families, in the order of their places.
pub(super) const FAMILIES: [AddressFamily; 2] = [AddressFamily::Ipv4, AddressFamily::Ipv6];

pub(super) const fn place(family: AddressFamily) -> usize {
    match family {
        AddressFamily::Ipv4 => 0,
        AddressFamily::Ipv6 => 1,
    }
}

/// What becomes of the paths of both families.
pub(super) type Actions = [Option<Ageing>; 2];

/// What the last session agreed on for a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Terms {
    /// After a loss the neighbor has so long to come back; `None`: no graceful restart.
    restart: Option<Duration>,
    /// After that, routes are kept so long.
    long: Duration,
}

impl Terms {
    fn of(negotiated: &Negotiated, family: AddressFamily) -> Self {
        if !negotiated.helper || !negotiated.families.contains(&family) {
            return Self::default();
        }
        let restart = negotiated.peer_restart.as_ref().filter(|restart| restart.covers(family));
        let time = |list: &[crate::session::LongLived]| {
            list.iter().find(|entry| entry.family == family).map_or(Duration::ZERO, |entry| entry.stale_time)
        };
        Self {
            restart: restart.map(|restart| restart.restart_time),
            // RFC 9494 §4.2: ours may limit what was received.
            long: time(&negotiated.our_long_lived).min(time(&negotiated.peer_long_lived)),
        }
    }
}

/// One family.
#[derive(Debug, Default)]
struct Family {
    terms: Terms,
    /// The session is lost: the neighbor is to be back by then.
    restart: Option<Instant>,
    /// The routes are long-lived, and go then. Not prolonged until the neighbor has said everything again (RFC 9494 §4.2).
    long: Option<Instant>,
    /// The neighbor is back: it is to have said everything by then.
    resync: Option<Instant>,
    /// The long life ended before the neighbor, which is back, had said everything: whatever there is goes with this session
    /// (RFC 9494 §4.2).
    expired: bool,
    /// A route refresh is under way, until then at most.
    refresh: Option<Instant>,
    /// The neighbor has sent End-of-RIB in this session.
    spoken: bool,
}

/// What is kept of a neighbor, and until when.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    families: [Family; 2],
    up: bool,
    /// The neighbor may have to send End-of-RIB before it refreshes (RFC 7313 §4).
    graceful: bool,
}

/// What the beginning of a route refresh was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// What was not said before it began and is not said again will go.
    Marked,
    /// RFC 7313 §4: to be ignored, and worth a line in the log.
    TooEarly,
}

impl Keeping {
    /// When [`Self::tick`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.families.iter().flat_map(|f| [f.restart, f.long, f.resync, f.refresh]).flatten().min()
    }

    /// Stale routes are kept: until when, and whether they are long-lived.
    pub(super) fn stale_until(&self) -> Option<(Instant, bool)> {
        let of = |f: &Family| f.long.map(|at| (at, true)).or(f.restart.or(f.resync).map(|at| (at, false)));
        self.families.iter().filter_map(of).max()
    }

    /// The session is down; `keeps` if it fell in a way that leaves the routes.
    pub(super) fn down(&mut self, now: Instant, keeps: bool) -> Actions {
        self.up = false;
        let each = |f: &mut Family| f.down(now, keeps);
        self.families.each_mut().map(each).map(Some)
    }

    /// The session stands.
    pub(super) fn up(&mut self, now: Instant, negotiated: &Negotiated) -> Actions {
        self.up = true;
        self.graceful = negotiated.peer_restart.is_some();
        let mut actions = [None, None];
        for family in FAMILIES {
            let (held, action) = (&mut self.families[place(family)], &mut actions[place(family)]);
            (held.spoken, held.expired) = (false, false);
            held.terms = Terms::of(negotiated, family);
            if held.restart.is_none() && held.long.is_none() {
                continue;
            }
            // RFC 4724 §4.2, RFC 9494 §4.2: not listed, or forwarding not preserved: gone at once.
            let long = negotiated.peer_long_lived.iter().any(|entry| entry.family == family && entry.forwarding);
            let short = negotiated.peer_restart.as_ref().is_some_and(|restart| restart.forwarded(family));
            let kept = negotiated.families.contains(&family)
                && if held.long.is_some() { long } else { short || (long && held.terms.restart.is_none()) };
            held.restart = None;
            if kept {
                held.resync = Some(now + STALE_PATH_TIME);
            } else {
                *action = held.sweep();
            }
        }
        actions
    }

    /// The neighbor has said everything.
    pub(super) fn end_of_rib(&mut self, family: AddressFamily) -> Option<Ageing> {
        let held = &mut self.families[place(family)];
        (held.spoken, held.expired) = (true, false);
        let waited = held.resync.is_some() || held.long.is_some();
        if waited { held.sweep() } else { None }
    }

    /// The neighbor begins to say everything again (BoRR). A second beginning counts from the second on.
    pub(super) fn refresh_begins(&mut self, now: Instant, family: AddressFamily) -> Begun {
        let held = &mut self.families[place(family)];
        if self.graceful && !held.spoken {
            return Begun::TooEarly;
        }
        held.refresh = Some(now + REFRESH_TIME);
        Begun::Marked
    }

    /// The neighbor has said everything again (EoRR); without a beginning it means nothing.
    pub(super) fn refresh_ends(&mut self, family: AddressFamily) -> Option<Ageing> {
        let held = &mut self.families[place(family)];
        if held.refresh.is_some() { held.sweep() } else { None }
    }

    /// Nothing is kept any longer: the neighbor is not wanted.
    pub(super) fn drop_all(&mut self) -> Actions {
        self.families.each_mut().map(|held| if held.deadline().is_some() { held.sweep() } else { None })
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> Actions {
        self.families.each_mut().map(|held| held.tick(now))
    }
}

impl Family {
    fn deadline(&self) -> Option<Instant> {
        [self.restart, self.long, self.resync, self.refresh].into_iter().flatten().min()
    }

    fn down(&mut self, now: Instant, keeps: bool) -> Ageing {
        let refreshing = self.refresh.take().is_some();
        self.resync = None;
        let wanted = self.terms.restart.is_some() || !self.terms.long.is_zero();
        if !keeps || !wanted || self.expired {
            *self = Self { terms: self.terms, ..Self::default() };
            return Ageing::Lose;
        }
        let restart = self.terms.restart.unwrap_or(Duration::ZERO);
        if restart.is_zero() && self.terms.long.is_zero() {
            *self = Self { terms: self.terms, ..Self::default() };
            return Ageing::Lose;
        }
        // Even a restart time of 0 ends by the timer, which is due at once: one way into the long life.
        self.restart = Some(now + restart);
        if refreshing { Ageing::KeepAll } else { Ageing::Keep }
    }

    fn sweep(&mut self) -> Option<Ageing> {
        (self.restart, self.long, self.resync, self.refresh) = (None, None, None, None);
        Some(Ageing::Sweep)
    }

    fn tick(&mut self, now: Instant) -> Option<Ageing> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.expired |= due(self.long) && self.resync.is_some();
        if due(self.long) || due(self.resync) || due(self.refresh) {
            return self.sweep();
        }
        if !due(self.restart) {
            return None;
        }
        if self.terms.long.is_zero() {
            return self.sweep();
        }
        // RFC 9494 §4.2: the restart time is over.
        self.restart = None;
        self.long.get_or_insert(now + self.terms.long);
        Some(Ageing::GrowOld)
    }
}
