//! Addresses on interfaces: how a service's VIP comes to this host.

use std::io;
use std::net::IpAddr;

use rib::IfIndex;

use super::decode;
use super::encode::{self, ADDRESS_MARK, Batch, RTM_NEWADDR, RTM_NEWLINK};
use super::socket::Socket;
use crate::host::AddressControl;

/// Adds and removes host addresses in this thread's network namespace at the time of [`Self::open`].
pub struct KernelAddresses {
    socket: Socket,
}

impl KernelAddresses {
    /// Opens the way to the kernel.
    ///
    /// # Errors
    /// A sentence, when there is no rtnetlink.
    pub fn open() -> Result<Self, String> {
        let socket = Socket::open().map_err(|error| format!("cannot open a netlink socket: {error}"))?;
        Ok(Self { socket })
    }

    fn index_of(&mut self, interface: &str) -> io::Result<IfIndex> {
        let mut index = None;
        self.socket.ask(&|buf, seq| encode::link_by_name(buf, seq, interface), &mut |message| {
            if message.kind == RTM_NEWLINK {
                index = decode::link(message.payload).map(|link| link.index);
            }
        })?;
        index.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// True if an earlier run of ours put the address there and did not live to take it off.
    fn is_ours(&mut self, interface: &str, address: IpAddr) -> io::Result<bool> {
        let index = self.index_of(interface)?;
        let mut ours = false;
        self.socket.dump(&encode::dump_addresses, &mut || {}, &mut |message| {
            if message.kind == RTM_NEWADDR
                && decode::address(message.payload).is_some_and(|(on, net)| on == index && net.addr() == address)
            {
                ours |= decode::address_mark(message.payload) == ADDRESS_MARK;
            }
        })?;
        Ok(ours)
    }

    /// 0 or the kernel's errno.
    fn change(&mut self, add: bool, interface: &str, address: IpAddr) -> io::Result<i32> {
        let index = self.index_of(interface)?;
        let mut batch = Batch::new(&mut self.socket);
        batch.push(|buf, seq| encode::address(buf, seq, add, index, address))?;
        Ok(batch.finish()?.first().map_or(0, |(_, errno)| *errno))
    }
}

/// A name the kernel could have; others would be cut or misread.
fn is_name(interface: &str) -> bool {
    (1..=15).contains(&interface.len()) && !interface.contains(['\0', '/', ' '])
}

fn sentence(verb: &str, interface: &str, address: IpAddr, errno: i32) -> String {
    let why = match errno {
        libc::ENODEV => {
            format!(
                "there is no interface {interface}; `ip link` lists what there is, and `bind` in the service names it"
            )
        }
        libc::EPERM => {
            "this process lacks CAP_NET_ADMIN; run as root, or with AmbientCapabilities=CAP_NET_ADMIN in the \
             systemd unit, or omit `bind` in the service and put the address there yourself"
                .into()
        }
        libc::EACCES if address.is_ipv6() => {
            format!("IPv6 is off on {interface}; `sysctl -w net.ipv6.conf.{interface}.disable_ipv6=0` turns it on")
        }
        libc::EAFNOSUPPORT | libc::EOPNOTSUPP => "this kernel lacks the address family".into(),
        errno => io::Error::from_raw_os_error(errno).to_string(),
    };
    format!("cannot {verb} {address} on {interface}: {why}")
}

impl AddressControl for KernelAddresses {
    fn add(&mut self, interface: &str, address: IpAddr) -> Result<bool, String> {
        if !is_name(interface) {
            return Err(sentence("add", interface, address, libc::ENODEV));
        }
        let errno = self.change(true, interface, address).unwrap_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO));
        match errno {
            0 => Ok(true),
            // What cannot be read is taken for somebody else's, and left alone.
            libc::EEXIST => Ok(self.is_ours(interface, address).unwrap_or(false)),
            errno => Err(sentence("add", interface, address, errno)),
        }
    }

    fn remove(&mut self, interface: &str, address: IpAddr) -> Result<bool, String> {
        if !is_name(interface) {
            return Err(sentence("remove", interface, address, libc::ENODEV));
        }
        let errno = self.change(false, interface, address).unwrap_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO));
        match errno {
            0 => Ok(true),
            libc::EADDRNOTAVAIL => Ok(false),
            errno => Err(sentence("remove", interface, address, errno)),
        }
    }
}
