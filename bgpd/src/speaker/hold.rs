//! What a speaker holds back after its start: announcements until the neighbors have said what they know (`startup_delay`), and after
//! a restart over which forwarding went on the routes themselves too (RFC 4724 §4.1, deferral of route selection).

use std::time::{Duration, Instant};

use super::Speaker;
use super::neighbor::Neighbor;
use super::tables::Tables;
use crate::config::SpeakerConfig;

/// Until when what is held at most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hold {
    /// `startup_delay`: announcements only.
    startup: Option<Instant>,
    /// Selection_Deferral_Timer: nothing is told to anybody.
    restart: Option<Instant>,
}

impl Hold {
    /// What a start with `config` holds.
    pub(super) fn of(now: Instant, config: &SpeakerConfig) -> Self {
        let startup = !config.startup_delay.is_zero() && config.neighbors.iter().any(|neighbor| neighbor.enabled);
        let told = config.neighbors.iter().filter(|neighbor| neighbor.enabled && neighbor.graceful_restart.restarting);
        // The neighbors keep our routes for as long as we said; being later than the last of them helps nobody.
        let longest: Option<Duration> = told.map(|neighbor| neighbor.graceful_restart.restart_time).max();
        Self {
            startup: startup.then(|| now + config.startup_delay),
            restart: longest.filter(|_| config.restarting).map(|time| now + time),
        }
    }

    /// When it ends without anybody saying so.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.startup.into_iter().chain(self.restart).min()
    }

    /// We have restarted, and are still waiting for neighbors to say what they know.
    pub(super) const fn is_restarting(&self) -> bool {
        self.restart.is_some()
    }

    pub(super) fn apply(&self, tables: &mut Tables) {
        tables.hold_exports = self.startup.is_some() || self.restart.is_some();
        tables.hold_rib = self.restart.is_some();
    }
}

impl Speaker {
    /// Ends what need not be held any longer.
    pub(super) fn end_holds(&mut self) {
        if self.hold.deadline().is_none() {
            return;
        }
        let now = self.now;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let enabled = || self.neighbors.iter().flatten().filter(|n| n.enabled && (n.range.is_none() || n.up.is_some()));
        let startup = due(self.hold.startup) || enabled().all(Neighbor::has_spoken);
        let mut awaited = enabled().filter(|neighbor| neighbor.config.graceful_restart.restarting);
        let restart = due(self.hold.restart) || awaited.all(|neighbor| neighbor.has_spoken() || neighbor.is_excused());
        if startup {
            self.hold.startup = None;
        }
        if restart && self.hold.restart.take().is_some() {
            for neighbor in self.neighbors.iter_mut().flatten() {
                neighbor.session.restart_is_over();
            }
        }
        self.hold.apply(&mut self.tables);
    }
}
