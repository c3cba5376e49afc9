//! Telling a member everything again: ROUTE-REFRESH (RFC 2918), with marks at both ends where both know them (RFC 7313).

use bytes::BytesMut;
use rib::AddressFamily;

use super::{Dump, Group, Lot, lot_of};
use crate::export::log::{Audience, Lane, Piece};
use crate::locrib::PeerIndex;
use crate::wire::route_refresh::{RefreshKind, RouteRefresh};

impl Group {
    /// Tells a member everything again (ROUTE-REFRESH of RFC 2918, soft reset).
    pub fn refresh(&mut self, peer: PeerIndex, family: AddressFamily) {
        if !self.log.is_member(peer) {
            return;
        }
        let marked = self.profile.marked_refresh;
        let lot = &mut self.lots[lot_of(family)];
        let list = if marked { &mut lot.refreshing } else { &mut lot.waiting };
        if !list.contains(&peer) {
            list.push(peer);
        }
    }

    /// RFC 7313 §4: no beginning of a refresh before End-of-RIB.
    fn may_refresh(&self, lot: &Lot, family: AddressFamily, peer: PeerIndex) -> bool {
        let owed = self.log.member(peer).is_none_or(|member| member.eor_due[lot_of(family)]);
        !owed && !lot.waiting.contains(&peer)
    }

    /// A dump can begin.
    pub(super) fn is_dump_due(&self, family: AddressFamily) -> bool {
        let lot = &self.lots[lot_of(family)];
        !lot.waiting.is_empty() || lot.refreshing.iter().any(|peer| self.may_refresh(lot, family, *peer))
    }

    /// Begins a dump of destinations below `end` for whoever waits for one, if none is under way.
    pub(super) fn begin_dump(&mut self, family: AddressFamily, end: u32) {
        let at = lot_of(family);
        if self.lots[at].dump.is_some() || !self.is_dump_due(family) {
            return;
        }
        let refreshing = std::mem::take(&mut self.lots[at].refreshing);
        let (marked, later): (Vec<_>, Vec<_>) =
            refreshing.into_iter().partition(|peer| self.may_refresh(&self.lots[at], family, *peer));
        self.mark(family, RefreshKind::Begin, &marked);
        let bulk_end = self.log.bulk_end();
        let lot = &mut self.lots[at];
        lot.refreshing = later;
        // What a walk under way has still to compare is told by it; but what must be said again has to be said now.
        let end = lot.walk.filter(|_| marked.is_empty()).unwrap_or(end);
        if !marked.is_empty() {
            // What overtook the beginning would be taken for something that was not said again.
            lot.urgent_after.values_mut().for_each(|after| *after = bulk_end);
        }
        let mut whom = std::mem::take(&mut lot.waiting);
        whom.extend_from_slice(&marked);
        lot.dump = Some(Dump { at: 0, end, whom: whom.into(), marked });
    }

    /// Tells members that a refresh begins or ends.
    pub(super) fn mark(&mut self, family: AddressFamily, kind: RefreshKind, whom: &[PeerIndex]) {
        for peer in whom {
            let mut octets = BytesMut::new();
            RouteRefresh { family: family.into(), kind }.encode(&mut octets);
            let piece = Piece { octets: octets.freeze(), messages: 0, audience: Audience::Only(*peer) };
            self.log.push(Lane::Bulk, piece);
        }
    }
}

impl Lot {
    /// A member that was to be told everything again with marks, or is being told.
    pub(super) fn is_refreshing(&self, peer: PeerIndex) -> bool {
        self.refreshing.contains(&peer) || self.dump.as_ref().is_some_and(|dump| dump.marked.contains(&peer))
    }
}
