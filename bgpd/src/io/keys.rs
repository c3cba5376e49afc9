//! The listening sockets' protection: TCP-MD5 keys (RFC 2385) as the configuration wants them, and what GTSM (RFC 5082) needs
//! before a connection is accepted.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsFd;

use ipnet::IpNet;
use socket2::{SockRef, Socket};

use super::options;
use crate::config::Secret;

/// What is set on the listening sockets, by peer address or range.
#[derive(Default)]
pub(super) struct Keys {
    listeners: Vec<TcpListener>,
    /// Keys that every listener of the family has.
    set: BTreeMap<IpNet, Secret>,
    /// Keys that some listener did not take, and why: what comes from there is not let in.
    failed: BTreeMap<IpNet, String>,
    gtsm: bool,
}

impl Keys {
    /// Holds its own handles of the sockets, which need not listen yet.
    pub(super) fn new(sockets: &[Socket]) -> io::Result<Self> {
        let listeners = sockets.iter().map(|socket| Ok(socket.try_clone()?.into())).collect::<io::Result<_>>()?;
        Ok(Self { listeners, ..Self::default() })
    }

    fn of_family(&self, range: IpNet) -> impl Iterator<Item = &TcpListener> {
        let v4 = matches!(range, IpNet::V4(_));
        self.listeners.iter().filter(move |listener| listener.local_addr().is_ok_and(|at| at.is_ipv4() == v4))
    }

    fn put(&self, range: IpNet, key: Option<&Secret>) -> io::Result<()> {
        self.of_family(range)
            .try_for_each(|listener| options::md5_key(listener.as_fd(), range, key.map(Secret::expose)))
    }

    /// Makes the listening sockets demand exactly these keys.
    pub(super) fn set(&mut self, wanted: &BTreeMap<IpNet, Secret>) {
        let gone: Vec<IpNet> =
            self.set.keys().chain(self.failed.keys()).copied().filter(|at| !wanted.contains_key(at)).collect();
        for range in gone {
            if let Err(error) = self.put(range, None) {
                tracing::warn!(%range, %error, "cannot take a TCP-MD5 key back");
            }
            self.set.remove(&range);
            self.failed.remove(&range);
        }
        for (range, key) in wanted {
            if self.set.get(range) == Some(key) {
                continue;
            }
            match self.put(*range, Some(key)) {
                Ok(()) => {
                    self.failed.remove(range);
                    self.set.insert(*range, key.clone());
                }
                Err(error) => {
                    tracing::error!(%range, %error, "cannot set a TCP-MD5 key: connections from there are refused");
                    self.set.remove(range);
                    self.failed.insert(*range, error.to_string());
                }
            }
        }
    }

    /// Every listening socket demands `key` of `peer`: no other key, nor none, can have got through.
    pub(super) fn demands(&self, peer: IpAddr, key: &Secret) -> bool {
        self.longest(&self.set, peer).is_some_and(|(_, held)| held == key)
    }

    /// The listening sockets demand a key of `peer`, because a range that it is in has one.
    pub(super) fn demands_any(&self, peer: IpAddr) -> bool {
        self.longest(&self.set, peer).is_some()
    }

    /// Why `peer` cannot be let in, for people.
    pub(super) fn failure(&self, peer: IpAddr) -> Option<&str> {
        self.longest(&self.failed, peer).map(|(_, error)| error.as_str())
    }

    fn longest<'a, V>(&self, keys: &'a BTreeMap<IpNet, V>, peer: IpAddr) -> Option<(&'a IpNet, &'a V)> {
        keys.iter().filter(|(range, _)| range.contains(&peer)).max_by_key(|(range, _)| range.prefix_len())
    }

    /// GTSM is used with somebody: what we answer to their first packet must have the greatest TTL (RFC 5082 §3), and that
    /// packet's own is looked at once the connection is accepted.
    pub(super) fn set_gtsm(&mut self, wanted: bool) {
        if self.gtsm == wanted {
            return;
        }
        for listener in &self.listeners {
            let socket = SockRef::from(listener);
            let v4 = listener.local_addr().is_ok_and(|at| at.is_ipv4());
            let ttl = if wanted { 255 } else { 64 };
            let set = if v4 { socket.set_ttl_v4(ttl) } else { socket.set_unicast_hops_v6(ttl) };
            if let Err(error) = set {
                tracing::error!(%error, "cannot prepare a listening socket for GTSM: protected neighbors are refused");
            }
        }
        self.gtsm = wanted;
    }
}
