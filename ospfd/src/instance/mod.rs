//! One OSPF instance: one version, all its areas. A machine without sockets, clock and randomness.

use std::time::Instant;

use crate::config::InstanceConfig;
use crate::message::{Input, Outbox};
use crate::view::{Query, SummaryView, View};

/// The machine.
pub struct Instance {
    config: InstanceConfig,
}

impl Instance {
    /// An instance that knows its configuration and no link yet.
    #[must_use]
    pub fn new(_now: Instant, config: InstanceConfig) -> Self {
        Self { config }
    }

    /// Takes what happened at `now`, and appends what is to be done.
    pub fn handle(&mut self, _now: Instant, input: Input, _out: &mut Outbox) {
        if let Input::Config(config) = input {
            self.config = *config;
        }
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What is the state at `now`?
    #[must_use]
    pub fn view(&self, _now: Instant, query: Query) -> View {
        match query {
            Query::Interfaces => View::Interfaces(Vec::new()),
            Query::Neighbors => View::Neighbors(Vec::new()),
            Query::Lsdb { .. } => View::Lsdb(Vec::new()),
            Query::Summary => View::Summary(Box::new(SummaryView::default())),
        }
    }
}
