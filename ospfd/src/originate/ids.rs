//! Link State IDs for prefixes. In v2 the ID must lie within the prefix, and prefixes that share their first address need
//! different ones (RFC 2328 §E); in v3 it is only a number (RFC 5340 §4.4.3.4).

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

/// Addresses of a prefix that are tried beyond its first and last.
const TRIES: u32 = 1024;

/// Numbers given to prefixes of one type in one database.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    by_prefix: BTreeMap<IpNet, u32>,
    by_id: HashMap<u32, IpNet>,
    next: u32,
}

impl Ids {
    pub(crate) fn get(&self, prefix: &IpNet) -> Option<u32> {
        self.by_prefix.get(prefix).copied()
    }

    /// The number of `prefix`, given to it now if it has none; and the prefix that had to give it up, which needs another.
    pub(crate) fn assign(&mut self, prefix: IpNet) -> Option<(u32, Option<IpNet>)> {
        if let Some(id) = self.get(&prefix) {
            return Some((id, None));
        }
        let (id, evicted) = match prefix {
            IpNet::V4(net) => {
                let first = u32::from(net.network());
                let last = u32::from(net.broadcast());
                if net.prefix_len() == 32 {
                    // It has only this one, so whoever has it moves.
                    (first, self.by_id.get(&first).copied())
                } else {
                    let more = (first..last).skip(1).take(TRIES as usize);
                    let free = [first, last].into_iter().chain(more).find(|id| !self.by_id.contains_key(id))?;
                    (free, None)
                }
            }
            IpNet::V6(_) => {
                let free = (0..=u32::try_from(self.by_id.len()).unwrap_or(u32::MAX - 1) + 1)
                    .map(|step| self.next.wrapping_add(step))
                    .find(|id| *id != 0 && !self.by_id.contains_key(id))?;
                self.next = free.wrapping_add(1);
                (free, None)
            }
        };
        if let Some(evicted) = evicted {
            self.by_prefix.remove(&evicted);
        }
        self.by_prefix.insert(prefix, id);
        self.by_id.insert(id, prefix);
        Some((id, evicted))
    }

    /// `prefix` is no longer announced.
    pub(crate) fn release(&mut self, prefix: &IpNet) -> Option<u32> {
        let id = self.by_prefix.remove(prefix)?;
        self.by_id.remove(&id);
        Some(id)
    }

    /// Prefixes that have a number, in order: what is withdrawn together goes out the same way every time.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.by_prefix.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_in_order() {
        let mut ids = Ids::default();
        let prefixes: Vec<IpNet> = (0..50u8).map(|n| format!("10.{n}.0.0/16").parse().expect("a prefix")).collect();
        for prefix in prefixes.iter().rev() {
            ids.assign(*prefix).expect("a number");
        }
        assert_eq!(ids.prefixes().collect::<Vec<_>>(), prefixes);
    }
}
