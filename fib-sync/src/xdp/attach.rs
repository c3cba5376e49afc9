//! Interfaces and the program: attached when they come, detached when they leave the configuration.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rib::IfIndex;

use super::plane::Plane;
use super::{XdpConfig, XdpMode, sys};
use crate::host::Link;

const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// The attachments; each is pinned, and so outlives us.
pub(super) struct Attachments {
    program: OwnedFd,
    config: XdpConfig,
    links: HashMap<IfIndex, OwnedFd>,
    /// Interfaces whose failure has been told.
    failed: HashMap<IfIndex, String>,
}

impl Attachments {
    pub(super) fn new(program: OwnedFd, config: XdpConfig) -> Self {
        Self { program, config, links: HashMap::new(), failed: HashMap::new() }
    }

    fn wants(&self, name: &str) -> bool {
        self.config.interfaces.iter().any(|wanted| wanted == name)
    }

    fn mode(&self) -> (&'static str, u32) {
        match self.config.mode {
            XdpMode::Native => ("native", NATIVE),
            XdpMode::Generic => ("generic", GENERIC),
        }
    }

    fn path(&self, interface: IfIndex) -> PathBuf {
        self.config.pin.join("links").join(format!("{}-{}", interface.0, self.mode().0))
    }

    /// A link is there or has changed.
    ///
    /// # Errors
    /// A sentence for the operator, if the link is one of ours and cannot be used.
    pub(super) fn on_link(&mut self, plane: &mut Plane, link: &Link, mac: Option<[u8; 6]>) -> Result<(), String> {
        if !self.wants(&link.name) {
            self.on_gone(plane, link.index);
            return Ok(());
        }
        let outcome = self.attach_and_set(plane, link, mac);
        match &outcome {
            Ok(()) => drop(self.failed.remove(&link.index)),
            Err(why) if self.failed.get(&link.index) == Some(why) => return Ok(()),
            Err(why) => drop(self.failed.insert(link.index, why.clone())),
        }
        outcome
    }

    fn attach_and_set(&mut self, plane: &mut Plane, link: &Link, mac: Option<[u8; 6]>) -> Result<(), String> {
        let mac = mac.ok_or_else(|| format!("{} is no Ethernet interface: XDP cannot forward by it", link.name))?;
        // The port first: from its first packet on, the program knows where it came in.
        plane.ports.set(link.index, mac, link.mtu, link.up)?;
        if !self.links.contains_key(&link.index) {
            match self.attach(link) {
                Ok(fd) => drop(self.links.insert(link.index, fd)),
                Err(why) => {
                    plane.ports.remove(link.index);
                    return Err(why);
                }
            }
            tracing::info!(interface = link.name, mode = self.mode().0, "XDP forwards");
        }
        plane.refresh(link.index);
        Ok(())
    }

    fn attach(&self, link: &Link) -> Result<OwnedFd, String> {
        let path = self.path(link.index);
        if let Ok(pinned) = sys::get(&path) {
            match sys::update_link(pinned.as_fd(), self.program.as_fd()) {
                Ok(()) => return Ok(pinned),
                // Its interface is gone, and another has the number now.
                Err(error) => tracing::debug!(%error, interface = link.name, "an old attachment is of no use"),
            }
            let _ = fs::remove_file(&path);
        }
        let fd = sys::link(self.program.as_fd(), link.index.0, self.mode().1)
            .map_err(|error| self.why_not(&link.name, &error))?;
        sys::pin(fd.as_fd(), &path).map_err(|error| format!("cannot pin XDP on {}: {error}", link.name))?;
        Ok(fd)
    }

    fn why_not(&self, name: &str, error: &io::Error) -> String {
        let advice = match (error.raw_os_error(), self.config.mode) {
            (Some(libc::EBUSY | libc::EEXIST), _) => {
                "another XDP program is there; `ip link set dev NAME xdp off` removes it"
            }
            (Some(libc::EOPNOTSUPP), XdpMode::Native) => {
                "its driver has no native XDP; fib.xdp.mode = \"generic\" works"
            }
            (Some(libc::EINVAL | libc::ERANGE), XdpMode::Native) => {
                "its driver refuses native XDP as it is set now (often: the MTU is too large, or queues are too few)"
            }
            (Some(libc::EPERM), _) => "CAP_NET_ADMIN is missing",
            _ => "see the kernel log",
        };
        format!("cannot attach XDP to {name}: {error}; {advice}")
    }

    /// The link is gone or no longer wanted.
    pub(super) fn on_gone(&mut self, plane: &mut Plane, index: IfIndex) {
        self.failed.remove(&index);
        if let Some(fd) = self.links.remove(&index) {
            let _ = fs::remove_file(self.path(index));
            drop(fd);
            plane.ports.remove(index);
            plane.refresh(index);
        }
    }

    /// Detaches what an earlier process attached and this one does not want.
    pub(super) fn drop_strangers(&self, plane: &mut Plane) {
        for entry in fs::read_dir(self.config.pin.join("links")).into_iter().flatten().flatten() {
            if !self.links.keys().any(|index| self.path(*index) == entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        plane.ports.clear_strangers(|index| self.links.contains_key(&index));
    }

    /// Interfaces of the configuration that are not attached.
    pub(super) fn missing<'a>(&'a self, attached: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = &'a str> {
        self.config.interfaces.iter().map(String::as_str).filter(move |name| !attached(name))
    }

    /// Detaches from everything and takes all pins away.
    pub(super) fn remove_all(&mut self) {
        for index in self.links.keys() {
            let _ = fs::remove_file(self.path(*index));
        }
        self.links.clear();
        let pin = &self.config.pin;
        let _ = fs::remove_file(pin.join("current"));
        super::load::remove_sets(pin, None);
        let _ = fs::remove_dir(pin.join("links"));
        let _ = fs::remove_dir(pin);
    }
}
