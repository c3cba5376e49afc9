//! Prefixes that somebody waits for: told when every data plane holds them, and when one ceases to.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::delta::{BackendId, FibFault};
use crate::family::{V4, V6};
use crate::message::{FibState, Output};
use crate::rib::Rib;
use crate::table::{Slot, Tabled, marks};

/// The data planes that do not hold a prefix.
type Missing = Vec<(BackendId, Option<FibFault>)>;

/// The awaited prefixes.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// Each with what was last said of it; `None` before the first answer.
    prefixes: BTreeMap<IpNet, Option<Missing>>,
    /// To be looked at before `handle` returns.
    due: BTreeSet<IpNet>,
    all_due: bool,
}

impl Awaited {
    /// The best route of an awaited prefix changed.
    pub(crate) fn changed(&mut self, prefix: IpNet) {
        self.due.insert(prefix);
    }

    pub(crate) fn contains(&self, prefix: IpNet) -> bool {
        !self.prefixes.is_empty() && self.prefixes.contains_key(&prefix)
    }
}

impl Rib {
    /// Starts or stops waiting. The state now is told at once.
    pub(crate) fn await_installed(&mut self, prefix: IpNet, on: bool) {
        let prefix = prefix.trunc();
        if on {
            self.awaited.prefixes.insert(prefix, None);
            self.awaited.due.insert(prefix);
        } else {
            self.awaited.prefixes.remove(&prefix);
        }
        match prefix {
            IpNet::V4(net) => self.flag::<V4>(net, on),
            IpNet::V6(net) => self.flag::<V6>(net, on),
        }
    }

    fn flag<F: Tabled>(&mut self, prefix: F::Prefix, on: bool) {
        let table = F::table_mut(&mut self.tables);
        if let Some(slot) = table.get(prefix) {
            let dest = table.dest_mut(slot);
            dest.marks = dest.marks & !marks::AWAITED | if on { marks::AWAITED } else { 0 };
        }
    }

    /// A data plane came, went or starts anew.
    pub(crate) fn recheck_all_awaited(&mut self) {
        self.awaited.all_due = true;
    }

    /// A data plane answered: what is still missing somewhere may have arrived, and `named` may have changed either way.
    pub(crate) fn recheck_awaited(&mut self, named: &[IpNet]) {
        let Awaited { prefixes, due, .. } = &mut self.awaited;
        if prefixes.is_empty() {
            return;
        }
        due.extend(named.iter().filter(|prefix| prefixes.contains_key(*prefix)));
        let missing = prefixes.iter().filter(|(_, said)| said.as_ref().is_none_or(|missing| !missing.is_empty()));
        due.extend(missing.map(|(prefix, _)| *prefix));
    }

    /// Tells what is new of the awaited prefixes.
    pub(crate) fn tell_awaited(&mut self, out: &mut Vec<Output>) {
        let mut due = std::mem::take(&mut self.awaited.due);
        if std::mem::take(&mut self.awaited.all_due) {
            due.extend(self.awaited.prefixes.keys());
        }
        for prefix in due {
            let missing = match prefix {
                IpNet::V4(net) => self.missing::<V4>(net),
                IpNet::V6(net) => self.missing::<V6>(net),
            };
            let Some(said) = self.awaited.prefixes.get_mut(&prefix) else { continue };
            if said.as_ref() != Some(&missing) {
                *said = Some(missing.clone());
                out.push(Output::Installed { prefix, missing });
            }
        }
    }

    fn missing<F: Tabled>(&self, prefix: F::Prefix) -> Missing {
        let table = F::table(&self.tables);
        let chosen = |slot: &Slot| table.dest(*slot).best.is_some();
        let Some(slot) = table.get(prefix).filter(chosen) else {
            return self.backends.iter().map(|backend| (backend.id, None)).collect();
        };
        let seq = table.dest(slot).seq;
        let state = |backend: &crate::dataplane::Backend| match backend.state(F::net(prefix), seq) {
            FibState::Installed => None,
            FibState::Pending => Some((backend.id, None)),
            FibState::Failed(fault) => Some((backend.id, Some(fault))),
        };
        self.backends.iter().filter_map(state).collect()
    }
}
