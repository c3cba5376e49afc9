//! The speaker: sessions, import, Loc-RIB and export wired together. Being built: the doors stand, the rooms behind them follow.

pub mod message;

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::config::SpeakerConfig;
use crate::session::ConnId;
use message::{Input, Output, Query, Reply};

/// What [`Speaker::receive`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Every whole message in the buffer was taken; more octets are needed.
    Drained,
    /// The work budget ended first: call again after other work (keepalives, local routes, other connections) had its turn.
    More,
}

/// A BGP speaker: one owner, one thread, no clock and no sockets.
pub struct Speaker {
    config: SpeakerConfig,
}

impl Speaker {
    /// A speaker with `config`; its first wishes (connections to open) are left in `out`.
    #[must_use]
    pub fn new(now: Instant, config: SpeakerConfig, out: &mut Vec<Output>) -> Self {
        let _ = (now, out);
        Self { config }
    }

    /// Takes one input; what the carrier has to do is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        let _ = (now, input, out);
    }

    /// Takes whole messages from the front of `buf` until it holds none or the work budget ends.
    ///
    /// Octets of an incomplete message stay in `buf`. A connection that is not known (any more) has its octets discarded.
    pub fn receive(&mut self, now: Instant, conn: ConnId, buf: &mut BytesMut, out: &mut Vec<Output>) -> Progress {
        let _ = (now, conn, out);
        buf.clear();
        Progress::Drained
    }

    /// Appends what `conn` is to be sent next, in order, until at least `max_octets` were appended or there is no more.
    ///
    /// Every piece is one or more whole messages; the carrier keeps what its socket did not take.
    pub fn transmit(&mut self, conn: ConnId, max_octets: usize, pieces: &mut Vec<Bytes>) {
        let _ = (conn, max_octets, pieces);
    }

    /// When [`Input::Work`] is due: a timer, or work left over from a budget (then not later than now).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Answers a question.
    #[must_use]
    pub fn view(&self, now: Instant, query: &Query) -> Reply {
        let _ = (now, query, &self.config);
        Reply::Neighbors(Vec::new())
    }
}
