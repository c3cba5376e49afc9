//! Capabilities (RFC 5492): one row of [`decode_value`] and of [`Capability::put_value`] each. What we do not know is
//! kept as octets and changes nothing. One that we know and whose length is wrong makes its parameter malformed
//! (RFC 4271 §6.2).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use nom::bytes::complete::take;
use nom::combinator::{all_consuming, map, map_res, rest};
use nom::multi::{length_data, many0};
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

use super::AfiSafi;

/// Capability codes (IANA).
pub(crate) mod code {
    pub(crate) const MULTIPROTOCOL: u8 = 1;
    pub(crate) const ROUTE_REFRESH: u8 = 2;
    pub(crate) const EXTENDED_NEXT_HOP: u8 = 5;
    pub(crate) const EXTENDED_MESSAGES: u8 = 6;
    pub(crate) const ROLE: u8 = 9;
    pub(crate) const GRACEFUL_RESTART: u8 = 64;
    pub(crate) const FOUR_OCTET_AS: u8 = 65;
    pub(crate) const ADD_PATH: u8 = 69;
    pub(crate) const ENHANCED_ROUTE_REFRESH: u8 = 70;
    pub(crate) const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
    pub(crate) const FQDN: u8 = 73;
}

/// A role of RFC 9234 §4.1: what the sender of the OPEN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// It provides transit to the other.
    Provider = 0,
    /// A route server.
    RouteServer = 1,
    /// A client of a route server.
    RouteServerClient = 2,
    /// It buys transit from the other.
    Customer = 3,
    /// Neither.
    Peer = 4,
}

/// What a speaker may do with several paths to a prefix (RFC 7911 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AddPathMode {
    /// Able to receive them.
    Receive = 1,
    /// Able to send them.
    Send = 2,
    /// Both.
    Both = 3,
}

impl AddPathMode {
    /// Able to receive.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::Receive | Self::Both)
    }

    /// Able to send.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Send | Self::Both)
    }
}

/// A family in the graceful restart capability (RFC 4724 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RestartFamily {
    /// Which.
    pub family: AfiSafi,
    /// Forwarding was preserved over the restart.
    pub forwarding: bool,
}

/// A family in the long-lived graceful restart capability (RFC 9494 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LongLivedFamily {
    /// Which.
    pub family: AfiSafi,
    /// Forwarding was preserved over the restart.
    pub forwarding: bool,
    /// How long stale routes may be kept, in seconds; 24 bits.
    pub stale_secs: u32,
}

/// A capability.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// A family is spoken (RFC 4760 §8).
    MultiProtocol(AfiSafi),
    /// ROUTE-REFRESH is understood (RFC 2918).
    RouteRefresh,
    /// Next hops of another AFI for a family (RFC 8950 §4): family and AFI of the next hop.
    ExtendedNextHop(Vec<(AfiSafi, u16)>),
    /// Messages of up to 65,535 octets (RFC 8654).
    ExtendedMessages,
    /// Our role towards the neighbor (RFC 9234).
    Role(Role),
    /// Graceful restart (RFC 4724, RFC 8538).
    GracefulRestart {
        /// The sender has restarted.
        restarted: bool,
        /// It also restarts gracefully after NOTIFICATION (RFC 8538, flag N).
        notification: bool,
        /// How long it needs to come back, in seconds; 12 bits.
        restart_secs: u16,
        /// The families covered.
        families: Vec<RestartFamily>,
    },
    /// AS numbers of four octets, and the sender's (RFC 6793).
    FourOctetAs(u32),
    /// Several paths to a prefix (RFC 7911).
    AddPath(Vec<(AfiSafi, AddPathMode)>),
    /// Enhanced route refresh (RFC 7313).
    EnhancedRouteRefresh,
    /// Long-lived graceful restart (RFC 9494).
    LongLivedGracefulRestart(Vec<LongLivedFamily>),
    /// Names of the sender (draft-walton-bgp-hostname-capability), for people; octets that are not UTF-8 are replaced.
    Fqdn {
        /// Host.
        host: String,
        /// Domain.
        domain: String,
    },
    /// Any other.
    Unknown {
        /// Capability code.
        code: u8,
        /// Value.
        value: Bytes,
    },
}

impl Capability {
    /// Its code (IANA).
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::MultiProtocol(_) => code::MULTIPROTOCOL,
            Self::RouteRefresh => code::ROUTE_REFRESH,
            Self::ExtendedNextHop(_) => code::EXTENDED_NEXT_HOP,
            Self::ExtendedMessages => code::EXTENDED_MESSAGES,
            Self::Role(_) => code::ROLE,
            Self::GracefulRestart { .. } => code::GRACEFUL_RESTART,
            Self::FourOctetAs(_) => code::FOUR_OCTET_AS,
            Self::AddPath(_) => code::ADD_PATH,
            Self::EnhancedRouteRefresh => code::ENHANCED_ROUTE_REFRESH,
            Self::LongLivedGracefulRestart(_) => code::LONG_LIVED_GRACEFUL_RESTART,
            Self::Fqdn { .. } => code::FQDN,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Appends code, length and value. A value of more than 255 octets does not exist in this format and is not written.
    pub fn encode(&self, buf: &mut BytesMut) {
        let start = buf.len();
        buf.put_u8(self.code());
        buf.put_u8(0);
        self.put_value(buf);
        match u8::try_from(buf.len() - start - 2) {
            Ok(length) => buf[start + 1] = length,
            Err(_) => buf.truncate(start),
        }
    }

    fn put_value(&self, buf: &mut BytesMut) {
        match self {
            Self::MultiProtocol(family) => {
                put_family(*family, buf);
            }
            Self::RouteRefresh | Self::ExtendedMessages | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(list) => {
                for (family, next_hop_afi) in list {
                    put_family(*family, buf);
                    buf.put_u16(*next_hop_afi);
                }
            }
            Self::Role(role) => buf.put_u8(*role as u8),
            Self::GracefulRestart { restarted, notification, restart_secs, families } => {
                let flags = u16::from(*restarted) << 15 | u16::from(*notification) << 14;
                buf.put_u16(flags | (*restart_secs).min(0x0fff));
                for entry in families {
                    buf.put_u16(entry.family.afi);
                    buf.put_u8(entry.family.safi);
                    buf.put_u8(u8::from(entry.forwarding) << 7);
                }
            }
            Self::FourOctetAs(asn) => buf.put_u32(*asn),
            Self::AddPath(list) => {
                for (family, mode) in list {
                    buf.put_u16(family.afi);
                    buf.put_u8(family.safi);
                    buf.put_u8(*mode as u8);
                }
            }
            Self::LongLivedGracefulRestart(list) => {
                for entry in list {
                    buf.put_u16(entry.family.afi);
                    buf.put_u8(entry.family.safi);
                    buf.put_u32(u32::from(entry.forwarding) << 31 | entry.stale_secs.min(0x00ff_ffff));
                }
            }
            Self::Fqdn { host, domain } => {
                for name in [host, domain] {
                    // 64 octets of each, so that both fit whatever they are.
                    let name = &name.as_bytes()[..name.floor_char_boundary(64)];
                    buf.put_u8(u8::try_from(name.len()).unwrap_or(0));
                    buf.put_slice(name);
                }
            }
            Self::Unknown { value, .. } => buf.put_slice(value),
        }
    }
}

/// In words of people.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |f: &mut fmt::Formatter<'_>, words: Vec<String>| f.write_str(&words.join(" "));
        match self {
            Self::MultiProtocol(family) => write!(f, "multiprotocol {family}"),
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::ExtendedNextHop(list) => {
                f.write_str("extended next hop ")?;
                each(f, list.iter().map(|(family, afi)| format!("{family} by afi {afi}")).collect())
            }
            Self::ExtendedMessages => f.write_str("extended messages"),
            Self::Role(role) => write!(f, "role {role:?}"),
            Self::GracefulRestart { restarted, notification, restart_secs, families } => {
                write!(f, "graceful restart {restart_secs} s")?;
                f.write_str(if *restarted { " restarted" } else { "" })?;
                f.write_str(if *notification { " notification" } else { "" })?;
                let entry = |entry: &RestartFamily| {
                    format!(" {}{}", entry.family, if entry.forwarding { " forwarding" } else { "" })
                };
                f.write_str(&families.iter().map(entry).collect::<String>())
            }
            Self::FourOctetAs(asn) => write!(f, "four-octet AS {asn}"),
            Self::AddPath(list) => {
                f.write_str("add-path ")?;
                each(f, list.iter().map(|(family, mode)| format!("{family} {mode:?}").to_lowercase()).collect())
            }
            Self::EnhancedRouteRefresh => f.write_str("enhanced route refresh"),
            Self::LongLivedGracefulRestart(list) => {
                f.write_str("long-lived graceful restart ")?;
                each(f, list.iter().map(|entry| format!("{} {} s", entry.family, entry.stale_secs)).collect())
            }
            Self::Fqdn { host, domain } => write!(f, "host name {host:?} domain {domain:?}"),
            Self::Unknown { code, value } => write!(f, "capability {code} of {} octets", value.len()),
        }
    }
}

/// AFI, a reserved octet, SAFI.
fn put_family(family: AfiSafi, buf: &mut BytesMut) {
    buf.put_u16(family.afi);
    buf.put_u8(0);
    buf.put_u8(family.safi);
}

/// The capabilities in one Capabilities parameter, or in the data of an Unsupported Capability error (RFC 5492 §5).
pub(crate) fn decode_list(input: &[u8]) -> IResult<&[u8], Vec<Capability>> {
    all_consuming(many0(map_res((be_u8, length_data(be_u8)), |(code, value): (u8, &[u8])| {
        decode_value(code, value).map(|(_, capability)| capability)
    })))
    .parse(input)
}

fn decode_value(code: u8, value: &[u8]) -> IResult<&[u8], Capability> {
    let unknown = || map(rest, |value| Capability::Unknown { code, value: Bytes::copy_from_slice(value) });
    match code {
        code::MULTIPROTOCOL => all_consuming(map(padded_family, Capability::MultiProtocol)).parse(value),
        code::ROUTE_REFRESH => empty(value, Capability::RouteRefresh),
        code::EXTENDED_NEXT_HOP => {
            // RFC 8950 §4: the SAFI has two octets here, of which the first is zero.
            all_consuming(map(many0((padded_family, be_u16)), Capability::ExtendedNextHop)).parse(value)
        }
        code::EXTENDED_MESSAGES => empty(value, Capability::ExtendedMessages),
        // A role that is not assigned is for the session to refuse (RFC 9234 §4.2).
        code::ROLE => all_consuming(map(be_u8, |octet| {
            role(octet).unwrap_or_else(|| Capability::Unknown { code, value: Bytes::copy_from_slice(&[octet]) })
        }))
        .parse(value),
        code::GRACEFUL_RESTART => all_consuming(graceful_restart).parse(value),
        code::FOUR_OCTET_AS => all_consuming(map(be_u32, Capability::FourOctetAs)).parse(value),
        code::ADD_PATH => {
            let entries = many0(map((family, be_u8), |(family, mode)| Some((family, add_path_mode(mode)?))));
            // RFC 7911 §4: an entry with another mode is ignored.
            all_consuming(map(entries, |list| Capability::AddPath(list.into_iter().flatten().collect()))).parse(value)
        }
        code::ENHANCED_ROUTE_REFRESH => empty(value, Capability::EnhancedRouteRefresh),
        code::LONG_LIVED_GRACEFUL_RESTART => {
            let entry = map((family, be_u32), |(family, word)| LongLivedFamily {
                family,
                forwarding: word >> 31 == 1,
                stale_secs: word & 0x00ff_ffff,
            });
            all_consuming(map(many0(entry), Capability::LongLivedGracefulRestart)).parse(value)
        }
        // For people only, and never made an RFC: what does not fit is no error.
        code::FQDN => all_consuming(map((name, name), |(host, domain)| Capability::Fqdn { host, domain }))
            .parse(value)
            .or_else(|_| unknown().parse(value)),
        _ => unknown().parse(value),
    }
}

fn empty(value: &[u8], capability: Capability) -> IResult<&[u8], Capability> {
    all_consuming(map(take(0_usize), move |_: &[u8]| capability.clone())).parse(value)
}

fn family(input: &[u8]) -> IResult<&[u8], AfiSafi> {
    map((be_u16, be_u8), |(afi, safi)| AfiSafi { afi, safi }).parse(input)
}

fn padded_family(input: &[u8]) -> IResult<&[u8], AfiSafi> {
    map((be_u16, be_u8, be_u8), |(afi, _, safi)| AfiSafi { afi, safi }).parse(input)
}

fn name(input: &[u8]) -> IResult<&[u8], String> {
    map(length_data(be_u8), |octets: &[u8]| String::from_utf8_lossy(octets).into_owned()).parse(input)
}

fn graceful_restart(input: &[u8]) -> IResult<&[u8], Capability> {
    let entry = map((family, be_u8), |(family, flags)| RestartFamily { family, forwarding: flags & 0x80 != 0 });
    map((be_u16, many0(entry)), |(word, families)| Capability::GracefulRestart {
        restarted: word & 0x8000 != 0,
        notification: word & 0x4000 != 0,
        restart_secs: word & 0x0fff,
        families,
    })
    .parse(input)
}

fn role(octet: u8) -> Option<Capability> {
    Some(Capability::Role(match octet {
        0 => Role::Provider,
        1 => Role::RouteServer,
        2 => Role::RouteServerClient,
        3 => Role::Customer,
        4 => Role::Peer,
        _ => return None,
    }))
}

const fn add_path_mode(octet: u8) -> Option<AddPathMode> {
    Some(match octet {
        1 => AddPathMode::Receive,
        2 => AddPathMode::Send,
        3 => AddPathMode::Both,
        _ => return None,
    })
}
