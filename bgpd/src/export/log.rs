//! A group's encoded pieces and how far each member has taken them.
//!
//! Pieces are shared: a member costs a cursor. There are two lanes; what stands in the urgent one overtakes the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::locrib::PeerIndex;

/// Whom a piece is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Every member.
    All,
    /// Every member but the one whose routes these are (split horizon).
    Except(PeerIndex),
    /// One member.
    Only(PeerIndex),
    /// Every member but two: whose routes these are, and who is their next hop.
    ExceptBoth(PeerIndex, PeerIndex),
    /// Members that are being told everything, but for those two if they are members.
    Of(Arc<[PeerIndex]>, [Option<PeerIndex>; 2]),
}

impl Audience {
    /// Every member but those of `barred` that are members.
    pub(super) const fn but(barred: [Option<PeerIndex>; 2]) -> Self {
        match barred {
            [None, None] => Self::All,
            [Some(one), None] | [None, Some(one)] => Self::Except(one),
            [Some(one), Some(other)] => Self::ExceptBoth(one, other),
        }
    }

    pub(super) fn includes(&self, peer: PeerIndex) -> bool {
        match self {
            Self::All => true,
            Self::Except(one) => peer != *one,
            Self::Only(one) => peer == *one,
            Self::ExceptBoth(one, other) => peer != *one && peer != *other,
            Self::Of(set, except) => !except.contains(&Some(peer)) && set.contains(&peer),
        }
    }
}

/// Whole messages for one audience.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) octets: Bytes,
    pub(super) messages: u32,
    pub(super) audience: Audience,
}

/// Which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Urgent = 0,
    Bulk = 1,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    /// Number of the first piece in `pieces`.
    base: u64,
}

impl Queue {
    fn end(&self) -> u64 {
        self.base + self.pieces.len() as u64
    }
}

/// A member of a group.
pub(super) struct Member {
    pub(super) peer: PeerIndex,
    cursor: [u64; 2],
    /// Octets in the log that it has still to take.
    pub(super) outstanding: usize,
    /// UPDATEs it has taken.
    pub(super) updates: u64,
    /// Since when it is far behind.
    pub(super) slow_since: Option<Instant>,
    /// End-of-RIB is due, by family.
    pub(super) eor_due: [bool; 2],
}

/// The log and its readers.
#[derive(Default)]
pub(super) struct Log {
    lanes: [Queue; 2],
    pub(super) members: Vec<Member>,
    /// Members that have something to take where they had nothing before.
    pub(super) woken: Vec<PeerIndex>,
}

impl Log {
    pub(super) fn join(&mut self, peer: PeerIndex, eor_due: [bool; 2]) {
        let cursor = [self.lanes[0].end(), self.lanes[1].end()];
        self.members.push(Member { peer, cursor, outstanding: 0, updates: 0, slow_since: None, eor_due });
    }

    /// Takes a member out, with the pieces that are still for it.
    pub(super) fn leave(&mut self, peer: PeerIndex) -> Option<(Member, Vec<(Lane, Piece)>)> {
        let at = self.members.iter().position(|member| member.peer == peer)?;
        let member = self.members.swap_remove(at);
        let mut left = Vec::new();
        // Cursors of a member that has taken everything are set with the next piece for it.
        let lanes: &[Lane] = if member.outstanding == 0 { &[] } else { &[Lane::Urgent, Lane::Bulk] };
        for &lane in lanes {
            let queue = &self.lanes[lane as usize];
            let skip = (member.cursor[lane as usize] - queue.base) as usize;
            let pieces = queue.pieces.iter().skip(skip).filter(|piece| piece.audience.includes(peer));
            left.extend(pieces.map(|piece| (lane, piece.clone())));
        }
        self.trim();
        Some((member, left))
    }

    pub(super) fn is_member(&self, peer: PeerIndex) -> bool {
        self.members.iter().any(|member| member.peer == peer)
    }

    pub(super) fn member(&self, peer: PeerIndex) -> Option<&Member> {
        self.members.iter().find(|member| member.peer == peer)
    }

    pub(super) fn push(&mut self, lane: Lane, piece: Piece) {
        if piece.octets.is_empty() || !self.members.iter().any(|member| piece.audience.includes(member.peer)) {
            return;
        }
        let ends = [self.lanes[0].end(), self.lanes[1].end()];
        for member in self.members.iter_mut().filter(|member| piece.audience.includes(member.peer)) {
            if member.outstanding == 0 {
                self.woken.push(member.peer);
                member.cursor = ends;
            }
            member.outstanding += piece.octets.len();
        }
        self.lanes[lane as usize].pieces.push_back(piece);
    }

    /// The next piece for `peer`.
    pub(super) fn take(&mut self, peer: PeerIndex) -> Option<Bytes> {
        let member = self.members.iter_mut().find(|member| member.peer == peer && member.outstanding > 0)?;
        let mut taken = None;
        for (queue, cursor) in self.lanes.iter().zip(&mut member.cursor) {
            while *cursor < queue.end() && taken.is_none() {
                let piece = &queue.pieces[(*cursor - queue.base) as usize];
                *cursor += 1;
                if piece.audience.includes(peer) {
                    taken = Some((piece.octets.clone(), piece.messages));
                }
            }
        }
        debug_assert!(taken.is_some(), "octets outstanding are in a piece");
        let (octets, messages) = taken?;
        member.outstanding -= octets.len();
        member.updates += u64::from(messages);
        self.trim();
        Some(octets)
    }

    /// Lets go of pieces that every member has taken.
    fn trim(&mut self) {
        for (lane, queue) in self.lanes.iter_mut().enumerate() {
            let behind = |member: &&Member| member.outstanding > 0;
            // Nearly always somebody still stands at the first piece; then there is no need to look at all the others.
            let first = queue.base;
            if self.members.iter().filter(behind).any(|member| member.cursor[lane] == first) {
                continue;
            }
            let keep_from = self.members.iter().filter(behind).map(|member| member.cursor[lane]).min();
            let gone = keep_from.unwrap_or(queue.end()) - queue.base;
            queue.pieces.drain(..gone as usize);
            queue.base += gone;
            if queue.pieces.is_empty() {
                queue.pieces.shrink_to(64);
            }
        }
    }

    /// The end of the bulk lane.
    pub(super) fn bulk_end(&self) -> u64 {
        self.lanes[Lane::Bulk as usize].end()
    }

    /// Every member has taken what stands before `end` in the bulk lane.
    pub(super) fn bulk_taken(&self, end: u64) -> bool {
        let bulk = Lane::Bulk as usize;
        self.members.iter().all(|member| member.outstanding == 0 || member.cursor[bulk] >= end)
    }

    /// Octets the slowest member has still to take.
    pub(super) fn most_outstanding(&self) -> usize {
        self.members.iter().map(|member| member.outstanding).max().unwrap_or(0)
    }
}
