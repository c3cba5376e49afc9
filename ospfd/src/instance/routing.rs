//! Where the databases lead: hands what was installed and removed to the route calculation, runs it when its throttle
//! allows, and passes its routes to the RIB and its summaries to origination.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::config::InstanceConfig;
use crate::id::{AreaId, LsaKey, RouterId, Version};
use crate::lsa::{Lsa, LsaBody, MAX_AGE};
use crate::lsdb::Home;
use crate::message::Outbox;

use super::{Area, Instance};

/// What the route calculation is told between two runs.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// Own links or neighbors differ.
    neighborhood: bool,
    /// Virtual links must find their paths again.
    virtual_links: bool,
    /// Summaries must be declared again.
    summaries: bool,
}

impl Routing {
    pub(crate) fn new(_now: Instant, _config: &InstanceConfig) -> Self {
        Self::default()
    }

    pub(crate) fn set_areas(&mut self, _version: Version, _router: RouterId, _areas: &BTreeMap<AreaId, Area>) {
        self.neighborhood = true;
    }

    pub(crate) fn neighborhood_changed(&mut self) {
        self.neighborhood = true;
    }

    pub(crate) fn virtual_links_changed(&mut self) {
        self.virtual_links = true;
    }

    pub(crate) fn summaries_changed(&mut self) {
        self.summaries = true;
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        None
    }
}

impl Instance {
    /// Contents of a database changed.
    pub(crate) fn routing_changed(&mut self, now: Instant, home: Home, lsa: &Lsa) {
        if lsa.header.age >= MAX_AGE {
            return self.routing_gone(now, home, &lsa.header.key);
        }
        self.links_said(home, &lsa.body);
    }

    /// An LSA is flushed, or left.
    pub(crate) fn routing_gone(&mut self, _now: Instant, home: Home, key: &LsaKey) {
        if Some(key.kind) == self.kinds().link
            && let Home::Link(id) = home
            && let Some(area) = self.interfaces.get(&id).map(|interface| interface.area())
        {
            self.own.dirty_area(area);
        }
    }

    /// A link-LSA tells the Designated Router what to say of the network (RFC 5340 §4.4.3.9).
    fn links_said(&mut self, home: Home, body: &LsaBody) {
        if let (Home::Link(id), LsaBody::Link(_)) = (home, body)
            && let Some(area) = self.interfaces.get(&id).map(|interface| interface.area())
        {
            self.own.dirty_area(area);
        }
    }

    /// Calculates routes if it is time. True if something may have to be originated.
    pub(super) fn calculate(&mut self, _now: Instant, _out: &mut Outbox) -> bool {
        self.routing.neighborhood = false;
        self.routing.virtual_links = false;
        self.routing.summaries = false;
        false
    }
}
