//! What the data planes answer, on its way to the RIB, and the alarms that people hear of it.
//!
//! One event when a data plane begins to refuse routes for want of room or for another reason, and one when it holds
//! everything again; the routes themselves are in `anyhop show routes` and `anyhop fib diff`.

use std::collections::HashMap;

use ipnet::IpNet;
use rib::{FibFault, FibProgress};

/// Follows one data plane's refusals. A local route whose address is not here is the service's business and no alarm.
pub(super) struct Alarms {
    name: &'static str,
    /// Refused routes; true for those without room.
    refused: HashMap<IpNet, bool>,
    without_room: usize,
}

impl Alarms {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, refused: HashMap::new(), without_room: 0 }
    }

    fn count(&self) -> [usize; 2] {
        [self.without_room, self.refused.len() - self.without_room]
    }

    fn forget(&mut self, prefix: &IpNet) {
        if let Some(true) = self.refused.remove(prefix) {
            self.without_room -= 1;
        }
    }

    /// Takes an answer; what people should hear of it.
    pub(super) fn take(&mut self, progress: &FibProgress) -> Vec<String> {
        let before = self.count();
        let mut first = [None, None];
        for prefix in &progress.recovered {
            self.forget(prefix);
        }
        for (prefix, fault) in &progress.failed {
            self.forget(prefix);
            let full = *fault == FibFault::CapacityExceeded;
            if *fault != FibFault::NotLocal {
                self.refused.insert(*prefix, full);
                self.without_room += usize::from(full);
                first[usize::from(!full)].get_or_insert((*prefix, fault));
            }
        }
        let name = self.name;
        let after = self.count();
        let mut heard = Vec::new();
        if before[0] == 0 && after[0] > 0 {
            heard.push(format!(
                "{name} is full: {} routes have no room; they count as not installed and enter when there is room",
                after[0]
            ));
        }
        if before[1] == 0
            && after[1] > 0
            && let Some((prefix, fault)) = first[1]
        {
            heard.push(format!(
                "{name} refuses {} routes, the first {prefix}: {fault}; they are tried again, `anyhop fib diff` names them",
                after[1]
            ));
        }
        if before != [0, 0] && after == [0, 0] {
            heard.push(format!("{name} holds every route again"));
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use rib::BackendId;

    use super::*;

    fn answer(failed: &[(&str, FibFault)], recovered: &[&str]) -> FibProgress {
        FibProgress {
            backend: BackendId(0),
            through: 1,
            failed: failed.iter().map(|(prefix, fault)| (prefix.parse().unwrap(), fault.clone())).collect(),
            recovered: recovered.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn one_alarm_when_the_plane_is_full_and_one_word_when_it_is_not() {
        let mut alarms = Alarms::new("kernel");
        let full = FibFault::CapacityExceeded;
        let heard = alarms.take(&answer(&[("192.0.2.0/24", full.clone()), ("198.51.100.0/24", full.clone())], &[]));
        assert!(heard.len() == 1 && heard[0].starts_with("kernel is full: 2 routes"), "{heard:?}");
        assert!(alarms.take(&answer(&[("203.0.113.0/24", full)], &["192.0.2.0/24"])).is_empty(), "once is enough");
        let heard = alarms.take(&answer(&[], &["198.51.100.0/24", "203.0.113.0/24"]));
        assert_eq!(heard, ["kernel holds every route again"]);
    }

    #[test]
    fn a_refusal_is_told_with_its_reason_and_an_address_that_is_not_here_is_none() {
        let mut alarms = Alarms::new("kernel");
        assert!(alarms.take(&answer(&[("192.0.2.53/32", FibFault::NotLocal)], &[])).is_empty());
        let heard = alarms.take(&answer(&[("192.0.2.0/24", FibFault::Errno(101))], &[]));
        assert!(heard.len() == 1 && heard[0].contains("192.0.2.0/24") && heard[0].contains("unreachable"), "{heard:?}");
    }
}
