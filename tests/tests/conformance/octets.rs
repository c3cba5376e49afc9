//! Messages as octets: written by hand here, so that nothing of the daemon's own encoder is trusted, and read back strictly.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

pub const OPEN: u8 = 1;
pub const UPDATE: u8 = 2;
pub const NOTIFICATION: u8 = 3;
pub const KEEPALIVE: u8 = 4;
pub const REFRESH: u8 = 5;

/// A message of `kind`.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend(u16::try_from(19 + body.len()).expect("a message").to_be_bytes());
    octets.push(kind);
    octets.extend(body);
    octets
}

/// An OPEN body: AS as in the two-octet field, capabilities each as an optional parameter of its own.
pub fn open(my_as: u16, hold: u16, id: Ipv4Addr, capabilities: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut parameters = Vec::new();
    for (code, value) in capabilities {
        let length = u8::try_from(value.len()).expect("short");
        parameters.extend([2, length + 2, *code, length]);
        parameters.extend(value);
    }
    let mut body = vec![4];
    body.extend(my_as.to_be_bytes());
    body.extend(hold.to_be_bytes());
    body.extend(id.octets());
    body.push(u8::try_from(parameters.len()).expect("short"));
    body.extend(parameters);
    body
}

/// Capabilities.
pub fn multiprotocol(afi: u16) -> (u8, Vec<u8>) {
    (1, vec![0, u8::try_from(afi).expect("small"), 0, 1])
}

pub fn four_octet_as(asn: u32) -> (u8, Vec<u8>) {
    (65, asn.to_be_bytes().to_vec())
}

/// An attribute; the length takes two octets where one does not do.
pub fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut octets = match u8::try_from(value.len()) {
        Ok(length) => vec![flags, code, length],
        Err(_) => {
            let [high, low] = u16::try_from(value.len()).expect("short").to_be_bytes();
            vec![flags | 0x10, code, high, low]
        }
    };
    octets.extend(value);
    octets
}

pub fn origin(value: u8) -> Vec<u8> {
    attribute(0x40, 1, &[value])
}

/// An AS_SEQUENCE of four-octet numbers; empty for none.
pub fn path(asns: &[u32]) -> Vec<u8> {
    segments(&[(2, asns)])
}

/// Segments of four-octet numbers: kind and members.
pub fn segments(list: &[(u8, &[u32])]) -> Vec<u8> {
    let mut value = Vec::new();
    for (kind, asns) in list.iter().filter(|(_, asns)| !asns.is_empty()) {
        value.extend([*kind, u8::try_from(asns.len()).expect("short")]);
        value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    }
    attribute(0x40, 2, &value)
}

/// As [`path`] with two-octet numbers.
pub fn old_path(asns: &[u16]) -> Vec<u8> {
    let mut value = vec![2, u8::try_from(asns.len()).expect("short")];
    value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    attribute(0x40, 2, &value)
}

pub fn next_hop(addr: &str) -> Vec<u8> {
    attribute(0x40, 3, &addr.parse::<Ipv4Addr>().expect("an address").octets())
}

pub fn med(value: u32) -> Vec<u8> {
    attribute(0x80, 4, &value.to_be_bytes())
}

pub fn local_pref(value: u32) -> Vec<u8> {
    attribute(0x40, 5, &value.to_be_bytes())
}

pub fn communities(list: &[u32]) -> Vec<u8> {
    attribute(0xc0, 8, &list.iter().flat_map(|one| one.to_be_bytes()).collect::<Vec<_>>())
}

pub fn originator(id: &str) -> Vec<u8> {
    attribute(0x80, 9, &id.parse::<Ipv4Addr>().expect("an address").octets())
}

pub fn clusters(ids: &[&str]) -> Vec<u8> {
    let octets = ids.iter().flat_map(|id| id.parse::<Ipv4Addr>().expect("an address").octets());
    attribute(0x80, 10, &octets.collect::<Vec<_>>())
}

/// Prefixes as NLRI.
pub fn nlri(prefixes: &[&str]) -> Vec<u8> {
    let mut octets = Vec::new();
    for prefix in prefixes {
        let net: IpNet = prefix.parse().expect("a prefix");
        let length = net.prefix_len();
        octets.push(length);
        let addr = match net.addr() {
            IpAddr::V4(addr) => addr.octets().to_vec(),
            IpAddr::V6(addr) => addr.octets().to_vec(),
        };
        octets.extend(&addr[..usize::from(length).div_ceil(8)]);
    }
    octets
}

/// MP_REACH_NLRI for unicast of `afi` with the octets of a next hop.
pub fn mp_reach(afi: u8, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut value = vec![0, afi, 1, u8::try_from(next_hop.len()).expect("short")];
    value.extend(next_hop);
    value.push(0);
    value.extend(nlri);
    attribute(0x80, 14, &value)
}

pub fn mp_unreach(afi: u8, nlri: &[u8]) -> Vec<u8> {
    attribute(0x80, 15, &[&[0, afi, 1], nlri].concat())
}

pub fn v6(addr: &str) -> Vec<u8> {
    addr.parse::<Ipv6Addr>().expect("an address").octets().to_vec()
}

/// An UPDATE of these fields.
pub fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(withdrawn.len()).expect("short").to_be_bytes().to_vec();
    body.extend(withdrawn);
    body.extend(u16::try_from(attributes.len()).expect("short").to_be_bytes());
    body.extend(attributes);
    body.extend(nlri);
    message(UPDATE, &body)
}

/// The attributes of a route as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Flags without the one about the length, and value, by code.
    pub by_code: BTreeMap<u8, (u8, Vec<u8>)>,
    /// Octets of an AS number.
    pub width: usize,
    /// From NEXT_HOP or MP_REACH_NLRI.
    pub next_hop: Vec<u8>,
}

impl Attributes {
    pub fn value(&self, code: u8) -> Option<&[u8]> {
        self.by_code.get(&code).map(|(_, value)| value.as_slice())
    }

    pub fn number(&self, code: u8) -> Option<u32> {
        self.value(code).map(|value| u32::from_be_bytes(value.try_into().expect("four octets")))
    }

    pub fn med(&self) -> Option<u32> {
        self.number(4)
    }

    pub fn local_pref(&self) -> Option<u32> {
        self.number(5)
    }

    pub fn communities(&self) -> Vec<u32> {
        words(self.value(8).unwrap_or_default())
    }

    /// AS_PATH as operators write it.
    pub fn path(&self) -> String {
        path_text(self.value(2).unwrap_or_default(), self.width)
    }

    /// AS4_PATH, if it is there.
    pub fn as4_path(&self) -> Option<String> {
        self.value(17).map(|value| path_text(value, 4))
    }

    /// Next hops, blank-separated.
    pub fn next_hop(&self) -> String {
        let v6 = |octets: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(octets).expect("16 octets")).to_string();
        match self.next_hop.len() {
            4 => Ipv4Addr::from(<[u8; 4]>::try_from(self.next_hop.as_slice()).expect("4 octets")).to_string(),
            16 => v6(&self.next_hop),
            32 => format!("{} {}", v6(&self.next_hop[..16]), v6(&self.next_hop[16..])),
            length => panic!("a next hop of {length} octets"),
        }
    }

    /// ORIGINATOR_ID and CLUSTER_LIST, blank-separated.
    pub fn reflection(&self) -> String {
        let ids =
            |code| words(self.value(code).unwrap_or_default()).into_iter().map(|id| Ipv4Addr::from(id).to_string());
        ids(9).chain(ids(10)).collect::<Vec<_>>().join(" ")
    }

    pub fn codes(&self) -> Vec<u8> {
        self.by_code.keys().copied().collect()
    }
}

fn words(octets: &[u8]) -> Vec<u32> {
    octets.chunks(4).map(|four| u32::from_be_bytes(four.try_into().expect("a multiple of four"))).collect()
}

fn path_text(mut octets: &[u8], width: usize) -> String {
    let mut parts = Vec::new();
    while let [kind, count, rest @ ..] = octets {
        assert!(*count > 0, "a segment without AS numbers");
        let (members, rest) = rest.split_at(usize::from(*count) * width);
        let members: Vec<String> = members
            .chunks(width)
            .map(|octets| octets.iter().fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet)).to_string())
            .collect();
        parts.push(match kind {
            1 => format!("{{{}}}", members.join(",")),
            2 => members.join(" "),
            3 => format!("({})", members.join(" ")),
            4 => format!("[{}]", members.join(",")),
            other => panic!("segment type {other}"),
        });
        octets = rest;
    }
    assert!(octets.is_empty(), "octets left over in a path");
    parts.join(" ")
}

/// An UPDATE as received.
#[derive(Clone, Debug, Default)]
pub struct Update {
    pub withdrawn: Vec<(u32, IpNet)>,
    pub announced: Vec<(u32, IpNet)>,
    pub attributes: Attributes,
    /// AFI of End-of-RIB, if that is what it is.
    pub end_of_rib: Option<u8>,
}

/// What the reader has to know of the session.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub as4: bool,
    /// LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST may be there, and LOCAL_PREF has to.
    pub internal: bool,
    /// Path identifiers, IPv4 and IPv6.
    pub add_path: [bool; 2],
}

/// Flags that each attribute has to have.
const FLAGS: &[(u8, u8)] = &[
    (1, 0x40),
    (2, 0x40),
    (3, 0x40),
    (4, 0x80),
    (5, 0x40),
    (6, 0x40),
    (7, 0xc0),
    (8, 0xc0),
    (9, 0x80),
    (10, 0x80),
    (14, 0x80),
    (15, 0x80),
    (16, 0xc0),
    (17, 0xc0),
    (18, 0xc0),
    (25, 0xc0),
    (32, 0xc0),
    (35, 0xc0),
];

/// Reads an UPDATE's body; panics with what is wrong if it is not valid.
pub fn read_update(body: &[u8], reading: Reading) -> Update {
    let field = |body: &[u8]| {
        let (length, rest) = body.split_at(2);
        let (field, rest) = rest.split_at(usize::from(u16::from_be_bytes(length.try_into().expect("two"))));
        (field.to_vec(), rest.to_vec())
    };
    let (withdrawn, rest) = field(body);
    let (mut octets, plain) = field(&rest);
    let mut update = Update {
        withdrawn: read_nlri(&withdrawn, 1, reading),
        announced: read_nlri(&plain, 1, reading),
        ..Update::default()
    };
    let bare = withdrawn.is_empty() && plain.is_empty();
    if bare && octets.is_empty() {
        update.end_of_rib = Some(1);
        return update;
    }
    let (mut last, mut reach, mut codes) = (0, None, Vec::new());
    while !octets.is_empty() {
        let (flags, code) = (octets[0], octets[1]);
        let (length, start) = if flags & 0x10 == 0 {
            (usize::from(octets[2]), 3)
        } else {
            (usize::from(u16::from_be_bytes([octets[2], octets[3]])), 4)
        };
        let value = octets[start..start + length].to_vec();
        octets.drain(..start + length);
        assert_eq!(flags & 0x0f, 0, "unused flags of attribute {code}");
        if let Some((_, right)) = FLAGS.iter().find(|(known, _)| *known == code) {
            let compared = if right & 0xc0 == 0xc0 { 0xc0 } else { 0xe0 };
            assert_eq!(flags & compared, *right, "flags of attribute {code}");
        }
        codes.push(code);
        match code {
            14 => {
                let next_hop_len = usize::from(value[3]);
                assert_eq!((value[0], value[2]), (0, 1), "AFI and SAFI");
                let nlri = &value[5 + next_hop_len..];
                assert!(!nlri.is_empty(), "MP_REACH_NLRI without routes");
                update.announced.extend(read_nlri(nlri, value[1], reading));
                update.attributes.next_hop = value[4..4 + next_hop_len].to_vec();
                reach = Some(value[1]);
            }
            15 => {
                assert_eq!((value[0], value[2]), (0, 1), "AFI and SAFI");
                update.withdrawn.extend(read_nlri(&value[3..], value[1], reading));
                if bare && octets.is_empty() && codes == [15] && value.len() == 3 {
                    update.end_of_rib = Some(value[1]);
                }
            }
            _ => {
                assert!(code > last, "attribute {code} after {last}: order (RFC 4271 §5) or duplicate");
                last = code;
                update.attributes.by_code.insert(code, (flags & 0xe0, value));
            }
        }
    }
    update.attributes.width = if reading.as4 { 4 } else { 2 };
    check(&mut update, !plain.is_empty(), reach, reading);
    update
}

fn check(update: &mut Update, plain: bool, reach: Option<u8>, reading: Reading) {
    let has = |code| update.attributes.by_code.contains_key(&code);
    if update.announced.is_empty() {
        assert!(update.attributes.by_code.is_empty(), "attributes without routes: {update:?}");
        return;
    }
    assert!(plain != reach.is_some(), "one UPDATE, one set of routes: {update:?}");
    assert!(has(1) && has(2) && has(3) == plain, "mandatory attributes: {update:?}");
    assert_eq!(has(5), reading.internal, "LOCAL_PREF: {update:?}");
    assert!(reading.internal || !(has(9) || has(10)), "reflection outside the AS: {update:?}");
    assert!(!(reading.as4 && (has(17) || has(18))), "AS4_* on a four-octet session");
    let _ = update.attributes.path();
    for code in [8, 16, 32] {
        let size = [(8, 4), (16, 8), (32, 12)].iter().find(|(known, _)| *known == code).expect("known").1;
        if let Some(value) = update.attributes.value(code) {
            let list: Vec<_> = value.chunks(size).collect();
            let unique: std::collections::BTreeSet<_> = list.iter().collect();
            assert!(!list.is_empty() && value.len() % size == 0, "length of attribute {code}");
            assert_eq!(unique.len(), list.len(), "communities sent twice");
        }
    }
    if plain {
        update.attributes.next_hop = update.attributes.value(3).expect("there").to_vec();
        assert_eq!(update.attributes.next_hop.len(), 4);
    }
}

fn read_nlri(mut octets: &[u8], afi: u8, reading: Reading) -> Vec<(u32, IpNet)> {
    let mut prefixes = Vec::new();
    while !octets.is_empty() {
        let mut id = 0;
        if reading.add_path[usize::from(afi - 1)] {
            id = u32::from_be_bytes(octets[..4].try_into().expect("four"));
            octets = &octets[4..];
        }
        let length = octets[0];
        let count = usize::from(length).div_ceil(8);
        let mut addr = [0; 16];
        addr[..count].copy_from_slice(&octets[1..=count]);
        octets = &octets[1 + count..];
        let addr = match afi {
            1 => IpAddr::V4(Ipv4Addr::new(addr[0], addr[1], addr[2], addr[3])),
            2 => IpAddr::V6(addr.into()),
            other => panic!("AFI {other}"),
        };
        let net = IpNet::new(addr, length).expect("a prefix length of the family");
        assert_eq!(net.trunc(), net, "host bits are sent");
        prefixes.push((id, net));
    }
    prefixes
}
