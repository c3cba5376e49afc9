//! A host in memory: links and addresses by script, for simulation and for daemons without privilege.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use rib::IfIndex;
use tokio::sync::mpsc;

use crate::host::{AddressControl, HostEvent, HostEvents, Link};

struct State {
    links: BTreeMap<IfIndex, (Link, Vec<IpNet>)>,
    events: mpsc::UnboundedSender<HostEvent>,
}

/// The scripted host, shared by handle. It begins with one link, `lo`, index 1, up, without addresses.
#[derive(Clone)]
pub struct MemoryHost(Arc<Mutex<State>>);

impl MemoryHost {
    /// A host, and what happens on it: `lo` and [`HostEvent::Synced`] are there to be read at once.
    #[must_use]
    pub fn new() -> (Self, HostEvents) {
        let (events, received) = mpsc::unbounded_channel();
        let host = Self(Arc::new(Mutex::new(State { links: BTreeMap::new(), events })));
        host.set_link(Link { index: IfIndex(1), name: "lo".into(), up: true, mtu: 65_536, loopback: true });
        host.lock().tell(HostEvent::Synced);
        (host, HostEvents::from_script(received))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a link or changes it.
    pub fn set_link(&self, link: Link) {
        let mut state = self.lock();
        let entry = state.links.entry(link.index).or_insert_with(|| (link.clone(), Vec::new()));
        entry.0 = link.clone();
        state.tell(HostEvent::Link(link));
    }

    /// Takes a link up or down.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn set_up(&self, name: &str, up: bool) -> Result<(), String> {
        let mut state = self.lock();
        let (link, _) = state.find(name)?;
        link.up = up;
        let link = link.clone();
        state.tell(HostEvent::Link(link));
        Ok(())
    }

    /// Removes a link with its addresses.
    pub fn remove_link(&self, index: IfIndex) {
        let mut state = self.lock();
        if state.links.remove(&index).is_some() {
            state.tell(HostEvent::LinkGone(index));
        }
    }

    /// Puts an address with its prefix length on a link; `false` if it was there.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn add_address(&self, interface: &str, address: IpNet) -> Result<bool, String> {
        let mut state = self.lock();
        let (link, addresses) = state.find(interface)?;
        if addresses.contains(&address) {
            return Ok(false);
        }
        addresses.push(address);
        let index = link.index;
        state.tell(HostEvent::Address { index, address, present: true });
        Ok(true)
    }

    /// Takes an address off a link; `false` if it was not there.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn remove_address(&self, interface: &str, address: IpNet) -> Result<bool, String> {
        let mut state = self.lock();
        let (link, addresses) = state.find(interface)?;
        let Some(at) = addresses.iter().position(|have| *have == address) else { return Ok(false) };
        addresses.remove(at);
        let index = link.index;
        state.tell(HostEvent::Address { index, address, present: false });
        Ok(true)
    }

    /// Lets `event` happen: foreign routes, disturbances.
    pub fn happen(&self, event: HostEvent) {
        self.lock().tell(event);
    }
}

impl State {
    fn find(&mut self, name: &str) -> Result<&mut (Link, Vec<IpNet>), String> {
        let found = self.links.values_mut().find(|(link, _)| link.name == name);
        found.ok_or_else(|| {
            format!("interface {name} does not exist on this in-memory host; it has only lo unless told")
        })
    }

    fn tell(&self, event: HostEvent) {
        // Nobody listens any more: the host goes on without.
        let _ = self.events.send(event);
    }
}

impl AddressControl for MemoryHost {
    fn add(&mut self, interface: &str, address: IpAddr) -> Result<bool, String> {
        self.add_address(interface, address.into())
    }

    fn remove(&mut self, interface: &str, address: IpAddr) -> Result<bool, String> {
        self.remove_address(interface, address.into())
    }
}
