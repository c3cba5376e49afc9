//! An UPDATE's way into the Loc-RIB: recognise or decode its attributes once, import once, then prefix by prefix.

use rib::{AddressFamily, V4, V6};

use super::tables::{InTables, Tables};
use crate::config::AdjInKeep;
use crate::import::Import;
use crate::intern::AttrId;
use crate::locrib::{Change, PeerIndex};
use crate::wire::Notification;
use crate::wire::attr::{self, AttrFault, FaultAction, MpReach, PathAttributes, Scan, Target};
use crate::wire::nlri::PrefixIter;
use crate::wire::update;

/// What an UPDATE did.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Prefixes in it.
    pub(super) items: usize,
    /// What was wrong without ending the session (RFC 7606).
    pub(super) faults: Vec<AttrFault>,
    /// It was End-of-RIB.
    pub(super) end_of_rib: Option<AddressFamily>,
}

/// A route in an UPDATE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nlri<P> {
    /// The prefix's hash in its shard.
    hash: u32,
    /// 0 if the session has no path identifiers.
    path_id: u32,
    prefix: P,
}

/// The attributes of some routes of an UPDATE.
enum Announced {
    /// A set with one user: the UPDATE.
    Set(AttrId),
    /// RFC 7606 §2: treat-as-withdraw.
    Withdrawn,
}

impl Tables {
    /// Takes an UPDATE of `peer`.
    ///
    /// # Errors
    /// The NOTIFICATION that ends the session. Nothing of the UPDATE was applied.
    pub(super) fn update(&mut self, peer: PeerIndex, import: &Import, body: &[u8]) -> Result<Report, Notification> {
        let mut report = Report::default();
        let body = update::split(body)?;
        let scan = attr::scan(body.attributes)?;
        if body.nlri.is_empty() && body.withdrawn.is_empty() && scan.mp_reach.is_none() {
            report.end_of_rib = body.end_of_rib().and_then(attr_family);
            if report.end_of_rib.is_some() {
                return Ok(report);
            }
        }
        let [ipv4, ipv6] = import.families;
        let spoken = |family: Option<AddressFamily>| match family {
            Some(AddressFamily::Ipv4) => ipv4,
            Some(AddressFamily::Ipv6) => ipv6,
            None => false,
        };
        // Everything is read before anything is applied: a fault in a later field ends the session.
        let mut v4 = std::mem::take(&mut self.scratch.v4);
        let mut v6 = std::mem::take(&mut self.scratch.v6);
        v4.clear();
        v6.clear();
        let unreach = scan.mp_unreach.filter(|unreach| spoken(unreach.family.unicast()));
        let reach = scan.mp_reach.filter(|reach| spoken(reach.family.unicast()));
        let (mut announced, mut announced_mp) = (None, None);
        let result = (|| {
            if ipv4 {
                self.read::<V4>(import, body.withdrawn, &mut v4)?;
            }
            if let Some(unreach) = unreach {
                self.read_family(import, unreach.family.unicast(), unreach.nlri, &mut v4, &mut v6)
                    .map_err(|_| attr::optional_fault(unreach.whole))?;
            }
            let withdrawn = (v4.len(), v6.len());
            if ipv4 {
                self.read::<V4>(import, body.nlri, &mut v4)?;
            }
            let plain = v4.len();
            if let Some(reach) = reach {
                self.read_family(import, reach.family.unicast(), reach.nlri, &mut v4, &mut v6)
                    .map_err(|_| attr::optional_fault(reach.whole))?;
            }
            if plain > withdrawn.0 {
                announced = Some(self.attributes(import, &scan, None, &mut report)?);
            }
            if let Some(reach) = reach.as_ref().filter(|_| v4.len() > plain || v6.len() > withdrawn.1) {
                announced_mp = Some(self.attributes(import, &scan, Some(reach), &mut report)?);
            }
            // RFC 7606 §2: the routes of the UPDATE are withdrawn, not only those that the fault is about.
            if matches!(announced, Some(Announced::Withdrawn)) || matches!(announced_mp, Some(Announced::Withdrawn)) {
                for announced in [&mut announced, &mut announced_mp].into_iter().flatten() {
                    if let Announced::Set(id) = std::mem::replace(announced, Announced::Withdrawn) {
                        self.store.release(id);
                    }
                }
            }
            // Routes of families that are not in use are routes nevertheless.
            let empty = body.nlri.is_empty() && scan.mp_reach.is_none_or(|reach| reach.nlri.is_empty());
            let doubtful = scan.base_len() > 0 || scan.fault.as_ref().is_some_and(|f| f.code != attr::code::MP_UNREACH);
            if empty && doubtful {
                match attr::check_without_routes(&scan, &import.decode) {
                    Err(AttrFault { action: FaultAction::Reset(notification), .. }) => return Err(notification),
                    Err(fault) => report.faults.push(fault),
                    Ok(()) => {}
                }
            }
            Ok((withdrawn, plain))
        })();
        if let Ok((withdrawn, plain)) = &result {
            self.withdraw::<V4>(peer, &v4[..withdrawn.0]);
            self.withdraw::<V6>(peer, &v6[..withdrawn.1]);
            if let Some(announced) = &announced {
                self.announce::<V4>(peer, import, announced, &v4[withdrawn.0..*plain]);
            }
            if let Some(announced) = &announced_mp {
                self.announce::<V4>(peer, import, announced, &v4[*plain..]);
                self.announce::<V6>(peer, import, announced, &v6[withdrawn.1..]);
            }
        }
        for announced in [announced, announced_mp].into_iter().flatten() {
            if let Announced::Set(id) = announced {
                self.store.release(id);
            }
        }
        report.items = v4.len() + v6.len();
        self.scratch.v4 = v4;
        self.scratch.v6 = v6;
        result.map(|_| report)
    }

    fn read_family(
        &self,
        import: &Import,
        family: Option<AddressFamily>,
        field: &[u8],
        v4: &mut Vec<Nlri<ipnet::Ipv4Net>>,
        v6: &mut Vec<Nlri<ipnet::Ipv6Net>>,
    ) -> Result<(), Notification> {
        match family {
            Some(AddressFamily::Ipv4) => self.read::<V4>(import, field, v4),
            Some(AddressFamily::Ipv6) => self.read::<V6>(import, field, v6),
            None => Ok(()),
        }
    }

    /// Reads prefixes and asks the processor for their slots of the index.
    fn read<F: InTables>(
        &self,
        import: &Import,
        field: &[u8],
        prefixes: &mut Vec<Nlri<F::Prefix>>,
    ) -> Result<(), Notification> {
        let shard = F::shard(self);
        for prefix in PrefixIter::<F>::new(field, import.add_path[F::AT]) {
            let (path_id, prefix) = prefix.map_err(|fault| fault.notification())?;
            let hash = shard.hash(prefix);
            shard.prefetch_index(hash);
            prefixes.push(Nlri { hash, path_id, prefix });
        }
        Ok(())
    }

    /// The attributes for the routes in the NLRI field, or in `reach`.
    fn attributes(
        &mut self,
        import: &Import,
        scan: &Scan<'_>,
        reach: Option<&MpReach<'_>>,
        report: &mut Report,
    ) -> Result<Announced, Notification> {
        let mut raw = std::mem::take(&mut self.scratch.raw);
        match reach {
            None => raw.set_plain(scan),
            Some(reach) => raw.set_mp(scan, reach),
        }
        let context = import.raw_context();
        let known = if scan.fault.is_none() { self.store.find_raw(&raw, context) } else { None };
        let result = match known.filter(|id| import.shortcut_holds(&self.store, *id)) {
            Some(id) => {
                self.store.retain(id, 1);
                Ok(Announced::Set(id))
            }
            None => {
                let target = if reach.is_some() { Target::Mp } else { Target::Plain };
                match attr::decode(scan, &import.decode, target) {
                    Ok(decoded) => {
                        let id = self.store.intern(&decoded.attributes, import.extra(&decoded.attributes));
                        if decoded.discarded.is_empty() {
                            self.store.remember_raw(&raw, context, id);
                        }
                        report.faults.extend(decoded.discarded);
                        Ok(Announced::Set(id))
                    }
                    Err(AttrFault { action: FaultAction::Reset(notification), .. }) => Err(notification),
                    Err(fault) => {
                        report.faults.push(fault);
                        Ok(Announced::Withdrawn)
                    }
                }
            }
        };
        self.scratch.raw = raw;
        result
    }

    fn withdraw<F: InTables>(&mut self, peer: PeerIndex, prefixes: &[Nlri<F::Prefix>]) {
        self.apply::<F>(peer, prefixes, None);
    }

    fn announce<F: InTables>(
        &mut self,
        peer: PeerIndex,
        import: &Import,
        announced: &Announced,
        prefixes: &[Nlri<F::Prefix>],
    ) {
        let (Announced::Set(received), Some(first)) = (announced, prefixes.first()) else {
            return self.withdraw::<F>(peer, prefixes);
        };
        let received = *received;
        let kept =
            |imported: AttrId| (imported.is_some() || import.keep == AdjInKeep::All).then_some((received, imported));
        let mut decoded: Option<PathAttributes> = None;
        if import.reads_prefix() {
            for one in prefixes {
                let imported = import.apply(&mut self.store, received, &mut decoded, F::net(one.prefix));
                self.apply::<F>(peer, std::slice::from_ref(one), kept(imported));
                self.store.release(imported);
            }
            return;
        }
        let imported = import.apply(&mut self.store, received, &mut decoded, F::net(first.prefix));
        self.apply::<F>(peer, prefixes, kept(imported));
        self.store.release(imported);
    }

    fn apply<F: InTables>(&mut self, peer: PeerIndex, prefixes: &[Nlri<F::Prefix>], path: Option<(AttrId, AttrId)>) {
        /// Prefixes whose records are asked for together: what the processor can have under way, about.
        const AHEAD: usize = 16;
        let mut context = Self::context(self.settings, &mut self.store, &self.peers);
        let shard = F::shard_mut(&mut self.shards);
        for batch in prefixes.chunks(AHEAD) {
            for one in batch {
                shard.prefetch_dest(one.hash);
            }
            for one in batch {
                let change = Change { peer, path_id: one.path_id, path };
                shard.change(&mut context, one.hash, one.prefix, change);
            }
        }
    }
}

fn attr_family(family: crate::wire::AfiSafi) -> Option<AddressFamily> {
    family.unicast()
}
