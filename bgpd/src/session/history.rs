//! The last messages of a neighbor, each way, kept over its sessions: for people who ask what happened.
//!
//! Noting one costs a copy of its octets into a ring that is allocated once. What is kept is bounded twice: by messages, and by
//! octets of all of them together; beyond that the oldest lose their octets first. Messages hold no secrets: those of TCP-MD5
//! are not in them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::Negotiated;
use super::describe::describe;
use crate::wire::attr::PeerKind;
use crate::wire::header::{self, HEADER_LEN, MARKER, MessageType};

/// Messages kept each way.
const MESSAGES: usize = 64;
/// Octets kept of a message's body at most.
const OCTETS_EACH: usize = 4096;
/// Octets kept of all messages of a direction.
const OCTETS: usize = 64 * 1024;
/// Messages of one piece whose octets are kept: a piece is up to 32 KiB of what was sent in one go.
const OF_A_PIECE: usize = 8;

/// A message as people and programs see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// We sent it.
    pub sent: bool,
    /// How long ago.
    pub age: Duration,
    /// Its type.
    pub kind: MessageType,
    /// Its true length in octets, header included.
    pub length: usize,
    /// Its octets, header included; fewer than `length` if it is long or old.
    pub octets: Bytes,
    /// What it says, on one line.
    pub description: String,
}

/// What reading a message depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// AS numbers have four octets.
    pub(super) as4: bool,
    /// Prefixes have path identifiers: IPv4, IPv6.
    pub(super) paths: [bool; 2],
    /// Where the neighbor stands.
    pub(super) kind: PeerKind,
}

impl Reading {
    /// Of messages before both OPENs were exchanged.
    const FIRST: Self = Self { as4: true, paths: [false; 2], kind: PeerKind::External };

    pub(super) fn of(negotiated: Option<&Negotiated>, sent: bool) -> Self {
        negotiated.map_or(Self::FIRST, |negotiated| {
            let paths = |family| if sent { negotiated.sends_paths(family) } else { negotiated.receives_paths(family) };
            let [v4, v6] = [rib::AddressFamily::Ipv4, rib::AddressFamily::Ipv6].map(paths);
            Self { as4: negotiated.as4, paths: [v4, v6], kind: negotiated.kind }
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    at: Instant,
    kind: MessageType,
    reading: Reading,
    /// Of the body.
    length: u32,
    /// Octets of the body in the ring.
    kept: u16,
}

/// One direction.
#[derive(Clone, Debug, Default)]
struct Ring {
    noted: VecDeque<Noted>,
    /// Of all messages, oldest first.
    octets: VecDeque<u8>,
    /// The oldest messages, all of them without octets.
    bare: usize,
}

impl Ring {
    fn note(&mut self, at: Instant, kind: MessageType, reading: Reading, body: &[u8], keep: bool) {
        if self.noted.len() == MESSAGES
            && let Some(oldest) = self.noted.pop_front()
        {
            self.octets.drain(..usize::from(oldest.kept));
            self.bare = self.bare.saturating_sub(1);
        }
        let kept = if keep { &body[..body.len().min(OCTETS_EACH)] } else { &[] };
        while self.octets.len() + kept.len() > OCTETS
            && let Some(oldest) = self.noted.get_mut(self.bare)
        {
            self.octets.drain(..usize::from(std::mem::take(&mut oldest.kept)));
            self.bare += 1;
        }
        self.octets.extend(kept);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.noted.push_back(Noted { at, kind, reading, length, kept: kept.len() as u16 });
    }

    fn entries(&self, now: Instant, sent: bool) -> impl Iterator<Item = (Instant, HistoryEntry)> + '_ {
        let mut start = 0;
        self.noted.iter().map(move |noted| {
            let body: Vec<u8> = self.octets.range(start..start + usize::from(noted.kept)).copied().collect();
            start += body.len();
            let length = HEADER_LEN + noted.length as usize;
            let mut octets = BytesMut::with_capacity(HEADER_LEN + body.len());
            octets.put_slice(&MARKER);
            octets.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
            octets.put_u8(noted.kind as u8);
            octets.put_slice(&body);
            let whole = body.len() == noted.length as usize;
            let description = if whole {
                describe(noted.kind, &body, noted.reading)
            } else {
                format!("{} of {length} octets, not kept whole", noted.kind.name())
            };
            let age = now.saturating_duration_since(noted.at);
            let octets = octets.freeze();
            (noted.at, HistoryEntry { sent, age, kind: noted.kind, length, octets, description })
        })
    }
}

/// Both directions.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    sent: Ring,
    received: Ring,
}

impl History {
    /// A message was received.
    pub(super) fn received(&mut self, now: Instant, kind: MessageType, body: &[u8], reading: Reading) {
        self.received.note(now, kind, reading, body, true);
    }

    /// Whole messages were handed out; of many only the last are looked at.
    pub(super) fn sent(&mut self, now: Instant, piece: &[u8], negotiated: Option<&Negotiated>) {
        let reading = Reading::of(negotiated, true);
        let count = messages(piece).count();
        for (n, (kind, body)) in messages(piece).enumerate().skip(count.saturating_sub(MESSAGES)) {
            self.sent.note(now, kind, reading, body, n + OF_A_PIECE >= count);
        }
    }

    /// All of it, oldest first.
    pub(super) fn entries(&self, now: Instant) -> Vec<HistoryEntry> {
        let mut entries: Vec<_> = self.received.entries(now, false).chain(self.sent.entries(now, true)).collect();
        entries.sort_by_key(|(at, _)| *at);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

/// The messages of a piece: types and bodies. Ends where something else begins, which our encoders never leave there.
fn messages(piece: &[u8]) -> impl Iterator<Item = (MessageType, &[u8])> {
    let mut rest = piece;
    std::iter::from_fn(move || {
        let header = header::decode(rest, true).ok()??;
        let (message, after) = rest.split_at_checked(header.length)?;
        rest = after;
        Some((header.kind, &message[HEADER_LEN..]))
    })
}
