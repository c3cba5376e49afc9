//! What befalls a network: links that fall silent or lose carrier, routers that crash, are stopped, lose power and start again, and
//! data planes that refuse or forget.

use std::time::Duration;

use bgpd::speaker::message::{Command, Input};
use ipnet::IpNet;
use rib::FibFault;

use super::World;
use super::clock::Event;
use super::tcp::{EndState, Side, TcpId};

impl World {
    /// Nothing passes between two routers any more, and nobody is told.
    pub fn partition(&mut self, a: &str, b: &str) -> &mut Self {
        self.begin();
        let link = self.link_between(a, b);
        self.silence(link, true)
    }

    /// The end of [`World::partition`].
    pub fn heal(&mut self, a: &str, b: &str) -> &mut Self {
        let link = self.link_between(a, b);
        self.silence(link, false)
    }

    pub(super) fn silence(&mut self, link: usize, silent: bool) -> &mut Self {
        self.record((link, silent), || {
            format!("link {link} {}", if silent { "falls silent" } else { "is heard again" })
        });
        self.links[link].silent = silent;
        if !silent {
            self.resume(link);
        }
        if self.links[link].cable {
            self.route_interior();
        }
        self
    }

    /// The cable between two routers is pulled: both lose carrier.
    pub fn unplug(&mut self, a: &str, b: &str) -> &mut Self {
        self.begin();
        let link = self.link_between(a, b);
        self.carrier(link, false)
    }

    /// The end of [`World::unplug`].
    pub fn plug(&mut self, a: &str, b: &str) -> &mut Self {
        let link = self.link_between(a, b);
        self.carrier(link, true)
    }

    pub(super) fn carrier(&mut self, link: usize, up: bool) -> &mut Self {
        self.record((link, up), || format!("link {link} {}", if up { "plugged" } else { "unplugged" }));
        self.links[link].up = up;
        for node in self.links[link].nodes {
            let now = self.clock.now();
            let Some(port) = self.nodes[node].ports.iter_mut().find(|port| port.link == link) else { continue };
            port.up = up;
            let port = port.clone();
            self.nodes[node].tell_port(now, &port);
            let outputs = self.nodes[node].pump(now);
            self.carry(node, outputs);
        }
        if up {
            self.resume(link);
        }
        self.route_interior();
        self
    }

    /// The router's process dies: its kernel resets its connections and keeps its routes.
    pub fn crash(&mut self, name: &str) -> &mut Self {
        self.begin();
        let node = self.index(name);
        self.kill(node, true)
    }

    /// The router loses power: nobody is told, and its data plane is empty.
    pub fn power_off(&mut self, name: &str) -> &mut Self {
        self.begin();
        let node = self.index(name);
        self.nodes[node].plane.wipe();
        self.kill(node, false)
    }

    /// The router's daemon is stopped: it says goodbye, and takes its routes out of the data plane.
    pub fn stop(&mut self, name: &str) -> &mut Self {
        self.say_goodbye(name, Command::Shutdown);
        let node = self.index(name);
        self.nodes[node].plane.wipe();
        self.kill(node, true);
        self.nodes[node].forwarding = false;
        self
    }

    /// The router's daemon is stopped to be started again, while its data plane forwards on (RFC 4724 §4.1).
    pub fn stop_for_restart(&mut self, name: &str) -> &mut Self {
        self.say_goodbye(name, Command::Restart);
        let node = self.index(name);
        self.kill(node, true)
    }

    /// The last words have a moment to go out.
    fn say_goodbye(&mut self, name: &str, how: Command) {
        let moment = Duration::from_millis(self.rng.u64(0..3_000));
        let node = self.index(name);
        self.record((node, moment), || format!("{name}: {how:?}, and its end after {moment:?}"));
        self.tell(name, Input::Command(how)).run_for(moment);
    }

    pub(super) fn kill(&mut self, node: usize, reset: bool) -> &mut Self {
        let name = self.nodes[node].name.clone();
        self.record((node, reset), || format!("{name} {}", if reset { "crashes" } else { "loses power" }));
        self.nodes[node].machines = None;
        self.nodes[node].forwarding = reset;
        self.nodes[node].life.life += 1;
        self.nodes[node].wake_at = None;
        self.nodes[node].accepted = 0;
        for peer in &mut self.nodes[node].peers {
            peer.operator = None;
            peer.drained = false;
        }
        for (_, (tcp, side)) in std::mem::take(&mut self.nodes[node].conns) {
            self.forget(tcp, side);
            if reset {
                self.send_reset(tcp, side.other());
            }
        }
        self.route_interior();
        self
    }

    /// The router starts again, with what it is to announce.
    pub fn restart(&mut self, name: &str) -> &mut Self {
        let node = self.index(name);
        self.record(node, || format!("{name} starts"));
        self.boot(node);
        self.route_interior();
        self
    }

    /// Every connection between two routers is reset, as by a middlebox.
    pub fn reset_connections(&mut self, a: &str, b: &str) -> &mut Self {
        self.begin();
        let link = self.link_between(a, b);
        self.reset_link(link)
    }

    pub(super) fn reset_link(&mut self, link: usize) -> &mut Self {
        for tcp in (0..self.tcps.len()).map(TcpId) {
            if self.tcps[tcp.0].link == link && self.tcps[tcp.0].ends.iter().any(|end| end.state == EndState::Open) {
                self.clock.after(Duration::ZERO, Event::Reset(tcp, Side::Client));
                self.clock.after(Duration::ZERO, Event::Reset(tcp, Side::Server));
            }
        }
        self
    }

    /// The router reads only so many octets per second from each connection; `None` reads at once.
    pub fn read_rate(&mut self, name: &str, octets_per_second: Option<u32>) -> &mut Self {
        self.begin();
        let node = self.index(name);
        self.nodes[node].read_rate = octets_per_second;
        self
    }

    /// The router's data plane refuses the prefix the next `times` times.
    pub fn refuse(&mut self, name: &str, prefix: &str, times: u32) -> &mut Self {
        self.begin();
        let (prefix, node) = (prefix.parse::<IpNet>().expect("a prefix"), self.index(name));
        self.record((node, prefix, times), || format!("{name}: the data plane will refuse {prefix} {times} times"));
        self.nodes[node].plane.refuse(prefix, FibFault::Errno(12), times);
        self
    }

    /// Somebody removes a route from the router's data plane, which says so.
    pub fn disturb(&mut self, name: &str, prefix: &str) -> &mut Self {
        self.begin();
        let (prefix, node) = (prefix.parse::<IpNet>().expect("a prefix"), self.index(name));
        self.record((node, prefix), || format!("{name}: somebody removes {prefix}"));
        self.nodes[node].plane.forget(prefix);
        let outputs = self.nodes[node].disturbed(self.clock.now(), prefix);
        self.carry(node, outputs);
        self
    }
}
