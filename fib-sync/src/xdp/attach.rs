//! Interfaces and the program: attached when they come, detached when they leave the configuration.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rib::IfIndex;

use super::plane::Plane;
use super::{XdpConfig, XdpMode, sys};
use crate::backend::Port;
use crate::host::Link;

/// How the program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Native,
    Generic,
}

impl How {
    const ALL: [Self; 2] = [Self::Native, Self::Generic];

    const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    /// `XDP_FLAGS_DRV_MODE`, `XDP_FLAGS_SKB_MODE`.
    const fn flag(self) -> u32 {
        match self {
            Self::Native => 1 << 2,
            Self::Generic => 1 << 1,
        }
    }
}

struct Attached {
    link: OwnedFd,
    how: How,
    name: String,
    /// Why it does not run natively, if it should.
    remark: Option<String>,
}

/// The attachments; each is pinned, and so outlives us.
pub(super) struct Attachments {
    program: OwnedFd,
    config: XdpConfig,
    links: HashMap<IfIndex, Attached>,
    /// Interfaces whose failure has been told, by name.
    failed: HashMap<IfIndex, (String, String)>,
}

impl Attachments {
    pub(super) fn new(program: OwnedFd, config: XdpConfig) -> Self {
        Self { program, config, links: HashMap::new(), failed: HashMap::new() }
    }

    fn wants(&self, name: &str) -> bool {
        self.config.interfaces.iter().any(|wanted| wanted == name)
    }

    fn ways(&self) -> &'static [How] {
        match self.config.mode {
            XdpMode::Native => &[How::Native],
            XdpMode::Generic => &[How::Generic],
            XdpMode::Auto => &How::ALL,
        }
    }

    fn path(&self, interface: IfIndex, how: How) -> PathBuf {
        self.config.pin.join("links").join(format!("{}-{}", interface.0, how.name()))
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
            Err(why) if self.failed.get(&link.index).is_some_and(|(_, told)| told == why) => return Ok(()),
            Err(why) => drop(self.failed.insert(link.index, (link.name.clone(), why.clone()))),
        }
        outcome
    }

    fn attach_and_set(&mut self, plane: &mut Plane, link: &Link, mac: Option<[u8; 6]>) -> Result<(), String> {
        let mac = mac.ok_or_else(|| format!("{} is no Ethernet interface: XDP cannot forward by it", link.name))?;
        // The port first: from its first packet on, the program knows where it came in.
        let generic = self.links.get(&link.index).map(|attached| attached.how == How::Generic);
        plane.ports.set(link.index, mac, link.mtu, link.up, generic)?;
        if !self.links.contains_key(&link.index) {
            match self.attach(link) {
                Ok(attached) => {
                    tracing::info!(interface = link.name, mode = attached.how.name(), "XDP forwards");
                    if let Some(remark) = &attached.remark {
                        tracing::warn!(interface = link.name, "{remark}");
                    }
                    plane.ports.set(link.index, mac, link.mtu, link.up, Some(attached.how == How::Generic))?;
                    self.links.insert(link.index, attached);
                }
                Err(why) => {
                    plane.ports.remove(link.index);
                    return Err(why);
                }
            }
        }
        plane.refresh(link.index);
        Ok(())
    }

    fn attach(&self, link: &Link) -> Result<Attached, String> {
        let attached = |link_fd, how, remark| Attached { link: link_fd, how, name: link.name.clone(), remark };
        for how in How::ALL {
            let path = self.path(link.index, how);
            let Ok(pinned) = sys::get(&path) else { continue };
            if self.ways().contains(&how) {
                match sys::update_link(pinned.as_fd(), self.program.as_fd()) {
                    Ok(()) => return Ok(attached(pinned, how, None)),
                    // Its interface is gone, and another has the number now.
                    Err(error) => tracing::debug!(%error, interface = link.name, "an old attachment is of no use"),
                }
            }
            // One interface takes one mode at a time: an unwanted one makes room.
            let _ = fs::remove_file(&path);
        }
        let mut remark = None;
        for (at, how) in self.ways().iter().enumerate() {
            match sys::link(self.program.as_fd(), link.index.0, how.flag()) {
                Ok(fd) => {
                    sys::pin(fd.as_fd(), &self.path(link.index, *how))
                        .map_err(|error| format!("cannot pin XDP on {}: {error}", link.name))?;
                    return Ok(attached(fd, *how, remark));
                }
                Err(error) if at + 1 < self.ways().len() && lacks_native(&error) => {
                    remark = Some(format!("no native XDP ({error}), so generic, which is slower"));
                }
                Err(error) => return Err(self.why_not(&link.name, &error)),
            }
        }
        Err(format!("no way to attach XDP to {}", link.name))
    }

    fn why_not(&self, name: &str, error: &io::Error) -> String {
        let advice = match (error.raw_os_error(), self.config.mode) {
            (Some(libc::EBUSY | libc::EEXIST), _) => {
                "another XDP program is there; `ip link set dev NAME xdp off` removes it"
            }
            (Some(libc::EOPNOTSUPP), XdpMode::Native) => {
                "its driver has no native XDP; fib.xdp.mode = \"auto\" or \"generic\" works"
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
        if let Some(attached) = self.links.remove(&index) {
            let _ = fs::remove_file(self.path(index, attached.how));
            drop(attached.link);
            plane.ports.remove(index);
            plane.refresh(index);
        }
    }

    /// Detaches what an earlier process attached and this one does not want.
    pub(super) fn drop_strangers(&self, plane: &mut Plane) {
        for entry in fs::read_dir(self.config.pin.join("links")).into_iter().flatten().flatten() {
            if !self.links.iter().any(|(index, attached)| self.path(*index, attached.how) == entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        plane.ports.clear_strangers(|index| self.links.contains_key(&index));
    }

    /// Interfaces of the configuration that are not attached.
    pub(super) fn missing<'a>(&'a self, attached: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = &'a str> {
        self.config.interfaces.iter().map(String::as_str).filter(move |name| !attached(name))
    }

    /// The interfaces of the configuration and how each is used.
    pub(super) fn ports(&self) -> Vec<Port> {
        let port = |name: &String| {
            if let Some(attached) = self.links.values().find(|attached| attached.name == *name) {
                return Port { name: name.clone(), mode: attached.how.name(), remark: attached.remark.clone() };
            }
            let failed = self.failed.values().find(|(of, _)| of == name).map(|(_, why)| why.clone());
            let remark = Some(failed.unwrap_or_else(|| "this host has no such interface".to_owned()));
            Port { name: name.clone(), mode: "", remark }
        };
        self.config.interfaces.iter().map(port).collect()
    }

    /// Detaches from everything and takes all pins away.
    pub(super) fn remove_all(&mut self) {
        for (index, attached) in &self.links {
            let _ = fs::remove_file(self.path(*index, attached.how));
        }
        self.links.clear();
        let pin = &self.config.pin;
        let _ = fs::remove_file(pin.join("current"));
        super::load::remove_sets(pin, None);
        let _ = fs::remove_dir(pin.join("links"));
        let _ = fs::remove_dir(pin);
    }
}

/// True if the driver cannot run XDP at all, or not as the interface is set now.
fn lacks_native(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE))
}
