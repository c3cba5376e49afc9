//! The key `bfd`, wherever it stands: a switch, or a table with timers.

use std::ops::RangeInclusive;
use std::time::Duration;

use bgpd::config::Bfd;
use toml::de::DeValue;

use super::file;
use super::read::{Table, Value};

/// Intervals that make sense: faster is not kept on a loaded machine, slower is what hold times are for.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

/// `bfd` as a switch.
struct Switch(bool);

impl Value for Switch {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let right = || "must be true, false, or a table as in { interval = \"50ms\", multiplier = 3 }".to_owned();
        value.as_bool().map(Self).ok_or_else(right)
    }
}

/// `bfd` of a table; `name` is its whole name, as in `neighbor.bfd`. `Some(None)` says that it is not wanted.
pub(super) fn bfd(table: &Table<'_>, name: &'static str) -> Option<Option<Bfd>> {
    if table.inner("bfd", name).is_none() {
        return table.get::<Switch>("bfd").map(|on| on.0.then(Bfd::default));
    }
    let inner = table.table("bfd", name, file::BFD)?;
    let default = Bfd::default();
    let interval = inner.at::<Duration>("interval");
    if let Some(at) = interval.as_ref().filter(|at| !INTERVALS.contains(&at.value)) {
        inner.wrong(at.span.clone(), "interval", "must be from \"10ms\" to \"60s\"");
        return None;
    }
    Some(Some(Bfd {
        interval: interval.map_or(default.interval, |at| at.value),
        multiplier: inner.int("multiplier", 1..=255).map_or(default.multiplier, |at| at.value),
        multihop: inner.get("multihop"),
    }))
}
