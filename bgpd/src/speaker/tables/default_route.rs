//! The default route that single neighbors are told (`default_originate`): it is in nobody's table but theirs, and no policy
//! is asked.

use ipnet::IpNet;
use rib::{AddressFamily, V4, V6};

use super::local::own_next_hop;
use super::{InTables, Tables};
use crate::attrs::Extra;
use crate::export::ExportProfile;
use crate::locrib::DestId;
use crate::wire::attr::PathAttributes;

const fn everything(family: AddressFamily) -> IpNet {
    match family {
        AddressFamily::Ipv4 => IpNet::V4(match ipnet::Ipv4Net::new(std::net::Ipv4Addr::UNSPECIFIED, 0) {
            Ok(net) => net,
            Err(_) => unreachable!(),
        }),
        AddressFamily::Ipv6 => IpNet::V6(match ipnet::Ipv6Net::new(std::net::Ipv6Addr::UNSPECIFIED, 0) {
            Ok(net) => net,
            Err(_) => unreachable!(),
        }),
    }
}

impl Tables {
    /// The profile, with the default route that its members are to be told, if they are.
    pub(super) fn with_default_route(&mut self, mut profile: ExportProfile) -> ExportProfile {
        if profile.default_originate.is_some() {
            let store = &mut self.store;
            let routes = *self.default_routes.get_or_insert_with(|| {
                [AddressFamily::Ipv4, AddressFamily::Ipv6]
                    .map(|family| store.intern(&PathAttributes::local(own_next_hop(family)), Extra::default()))
            });
            profile.default_originate = Some(routes);
            self.obtain_default::<V4>();
            self.obtain_default::<V6>();
        }
        profile
    }

    /// Export goes from destination to destination: the default has to be one.
    fn obtain_default<F: InTables>(&mut self) {
        if let Some(prefix) = F::prefix(everything(F::FAMILY)) {
            F::shard_mut(&mut self.shards).obtain_empty(prefix);
        }
    }

    /// The destination that must be kept for those who are or will be told of it.
    pub(super) fn default_route_held<F: InTables>(&self) -> Option<DestId> {
        let wanted = self.groups.iter().flatten().any(|group| group.profile.default_originate.is_some());
        let prefix = F::prefix(everything(F::FAMILY)).filter(|_| wanted)?;
        F::shard(self).lookup(prefix)
    }
}
