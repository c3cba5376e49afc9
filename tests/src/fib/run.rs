//! One run of the machine on a data plane, in real time: from its start to its crash, which is a drop.

#![allow(clippy::disallowed_methods, reason = "data planes live in real time")]

use std::time::{Duration, Instant};

use fib_sync::backend::FibBackend;
use fib_sync::sync::{Input, Outbox, Sync, View};
use rib::{BackendId, FibDelta, FibRoute, NextHopOp};

/// Longest wait for a machine to come to rest.
const REST: Duration = Duration::from_secs(20);

/// A machine with what a RIB would tell it.
pub struct Run {
    /// The machine.
    pub sync: Sync,
    /// The last journal position told.
    pub through: u64,
    /// Its answers.
    pub out: Outbox,
}

impl Run {
    /// A machine that has read nothing yet.
    #[must_use]
    pub fn of(backend: Box<dyn FibBackend>) -> Self {
        Self { sync: Sync::new(BackendId(0), backend), through: 0, out: Outbox::default() }
    }

    /// Hands over one input.
    pub fn handle(&mut self, input: Input) {
        self.sync.handle(Instant::now(), input, &mut self.out);
    }

    /// Tells a batch as a RIB would.
    pub fn delta(&mut self, next_hops: Vec<NextHopOp>, routes: Vec<FibRoute>, walk_done: bool) {
        self.through += 1;
        let through = self.through;
        self.handle(Input::Delta(FibDelta { next_hops, routes, unused: Vec::new(), walk_done, through }));
    }

    /// Ticks until there is no work at once; what waits for its time stays.
    pub fn work(&mut self) {
        while self.sync.has_work() || self.sync.deadline().is_some_and(|due| due <= Instant::now()) {
            self.handle(Input::Tick);
        }
    }

    /// Ticks until `done`, or panics with the machine's state.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + REST;
        loop {
            self.work();
            if done(self) {
                return;
            }
            assert!(Instant::now() < end, "{what} does not come: {:?}", self.view());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ticks until nothing is due any more, or panics.
    #[track_caller]
    pub fn settle(&mut self) {
        self.until("rest", |run| run.sync.deadline().is_none());
    }

    /// How the machine stands.
    #[must_use]
    pub fn view(&self) -> View {
        self.sync.view()
    }

    /// The data plane's own dump is what was told.
    #[track_caller]
    pub fn in_step(&mut self) {
        assert_eq!(self.sync.diff(10).expect("a readable data plane"), []);
    }

    /// No answer so far, since the last look, named a failed route.
    #[track_caller]
    pub fn nothing_failed(&mut self) {
        for progress in self.out.progress.drain(..) {
            assert_eq!(progress.failed, []);
        }
    }
}

/// Looks every few milliseconds until there is something to see, or panics after five seconds.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited five seconds for {what}");
}
