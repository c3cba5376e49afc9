//! TCP as a speaker sees it: octets in order, in chunks of any size, with a window, late, or gone.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use bgpd::session::ConnId;
use bytes::{Bytes, BytesMut};

use super::clock::Life;

/// Octets that may be under way or unread in one direction.
pub const WINDOW: usize = 32 * 1024;

/// A connection's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TcpId(pub usize);

/// Who asked for the connection, and who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Asked.
    Client = 0,
    /// Was asked.
    Server = 1,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What travels.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// Octets.
    Data(Bytes),
    /// No more octets will come.
    Fin,
}

/// Where one end stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndState {
    /// Not yet known to this side's speaker.
    Opening,
    /// In use.
    Open,
    /// The speaker has closed it; what it has left is being sent.
    Closing,
    /// This side has nothing to do with it any more.
    Gone,
}

/// One end, and the direction towards it.
#[derive(Debug)]
pub struct End {
    /// Whose.
    pub owner: Life,
    /// The number its speaker knows it by.
    pub conn: ConnId,
    /// Where it stands.
    pub state: EndState,
    /// Octets pulled from the speaker that the window has not taken.
    pub unsent: VecDeque<Bytes>,
    /// A [`Chunk::Fin`] was sent.
    pub fin_sent: bool,
    /// Chunks under way to this end, in order, each with its time of arrival.
    pub flight: VecDeque<(Duration, Chunk)>,
    /// The front of `flight` has arrived but the link was silent.
    pub stalled: bool,
    /// Arrived and not yet read by the program.
    pub unread: BytesMut,
    /// Read, and not yet taken by the speaker.
    pub buf: BytesMut,
    /// A [`Chunk::Fin`] has arrived.
    pub fin_seen: bool,
    /// A [`super::clock::Event::Read`] is scheduled.
    pub reading: bool,
    /// A [`super::clock::Event::Slice`] is scheduled.
    pub slicing: bool,
}

impl End {
    /// An end of `owner`.
    #[must_use]
    pub fn new(owner: Life, conn: ConnId) -> Self {
        Self {
            owner,
            conn,
            state: EndState::Opening,
            unsent: VecDeque::new(),
            fin_sent: false,
            flight: VecDeque::new(),
            stalled: false,
            unread: BytesMut::new(),
            buf: BytesMut::new(),
            fin_seen: false,
            reading: false,
            slicing: false,
        }
    }

    /// Octets towards this end that its program has not read.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        let flying: usize = self
            .flight
            .iter()
            .map(|(_, chunk)| match chunk {
                Chunk::Data(octets) => octets.len(),
                Chunk::Fin => 0,
            })
            .sum();
        flying + self.unread.len()
    }

    /// Forgets everything that is under way to this end.
    pub fn clear(&mut self) {
        self.flight.clear();
        self.unread.clear();
        self.buf.clear();
        self.unsent.clear();
    }
}

/// A connection.
#[derive(Debug)]
pub struct Tcp {
    /// The link it runs over.
    pub link: usize,
    /// The addresses, by [`Side`].
    pub addresses: [IpAddr; 2],
    /// Both ends, by [`Side`].
    pub ends: [End; 2],
}

impl Tcp {
    /// This side's end.
    #[must_use]
    pub fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    /// This side's end, to change.
    pub fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }
}
