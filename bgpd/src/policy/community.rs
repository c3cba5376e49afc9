//! Communities as people write them: standard (RFC 1997), large (RFC 8092), route target and site of origin (RFC 4360).
//!
//! `64512:100`, `large:64512:1:2`, `rt:64512:100`, `soo:10.0.0.1:5`, and the names of the IANA registry. In a pattern, `*` stands for any
//! value of a field.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::set::ParseError;
use crate::wire::attr::PathAttributes;

/// Names of the IANA registry "BGP Well-known Communities".
const WELL_KNOWN: &[(&str, u32)] = &[
    ("graceful-shutdown", 0xFFFF_0000), // RFC 8326
    ("accept-own", 0xFFFF_0001),        // RFC 7611
    ("llgr-stale", 0xFFFF_0006),        // RFC 9494
    ("no-llgr", 0xFFFF_0007),           // RFC 9494
    ("blackhole", 0xFFFF_029A),         // RFC 7999
    ("no-export", 0xFFFF_FF01),         // RFC 1997
    ("no-advertise", 0xFFFF_FF02),      // RFC 1997
    ("no-export-subconfed", 0xFFFF_FF03),
    ("no-peer", 0xFFFF_FF04), // RFC 3765
];

/// Extended community types by the form of their administrator (RFC 4360 §3.1, §3.2, RFC 5668).
const TWO_OCTET_AS: u8 = 0x00;
const IPV4_ADDRESS: u8 = 0x01;
const FOUR_OCTET_AS: u8 = 0x02;
/// Extended community subtypes (RFC 4360 §4, §5).
const SUBTYPES: &[(&str, u8)] = &[("rt", 0x02), ("soo", 0x03)];

/// One community value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Community {
    /// RFC 1997.
    Standard(u32),
    /// RFC 8092.
    Large([u32; 3]),
    /// RFC 4360.
    Extended([u8; 8]),
}

impl FromStr for Community {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let pattern: CommunityPattern = text.parse()?;
        match pattern.0 {
            Fields::Standard(Some(high), Some(low)) => Ok(Self::Standard((u32::from(high) << 16) | u32::from(low))),
            Fields::Large([Some(a), Some(b), Some(c)]) => Ok(Self::Large([a, b, c])),
            Fields::Extended { subtype, administrator: Some(administrator), value: Some(value) } => {
                Ok(Self::Extended(extended(subtype, administrator, value)))
            }
            _ => Err(ParseError::new(text, "a community to set has a number in every field, no *")),
        }
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Standard(value) => match WELL_KNOWN.iter().find(|(_, known)| *known == value) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "{}:{}", value >> 16, value & 0xFFFF),
            },
            Self::Large([a, b, c]) => write!(f, "large:{a}:{b}:{c}"),
            Self::Extended([kind, subtype, a, b, c, d, e, g]) => {
                let name = SUBTYPES.iter().find(|(_, number)| *number == subtype).map(|(name, _)| *name);
                match (kind, name) {
                    (TWO_OCTET_AS, Some(name)) => {
                        write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]))
                    }
                    (IPV4_ADDRESS, Some(name)) => {
                        write!(f, "{name}:{}:{}", Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, g]))
                    }
                    (FOUR_OCTET_AS, Some(name)) => {
                        write!(f, "{name}:{}:{}", u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, g]))
                    }
                    _ => write!(f, "ext:{:016x}", u64::from_be_bytes([kind, subtype, a, b, c, d, e, g])),
                }
            }
        }
    }
}

/// A community with `*` in any field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommunityPattern(Fields);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Fields {
    Standard(Option<u16>, Option<u16>),
    Large([Option<u32>; 3]),
    Extended { subtype: u8, administrator: Option<Administrator>, value: Option<u32> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Administrator {
    Asn(u32),
    Address(Ipv4Addr),
}

impl Administrator {
    /// The largest value that fits beside it in six octets.
    fn max_value(self) -> u32 {
        match self {
            Self::Asn(asn) if asn <= 0xFFFF => u32::MAX,
            Self::Asn(_) | Self::Address(_) => 0xFFFF,
        }
    }
}

/// The octets of an extended community; `value` fits the administrator's form.
fn extended(subtype: u8, administrator: Administrator, value: u32) -> [u8; 8] {
    let [v0, v1, v2, v3] = value.to_be_bytes();
    match administrator {
        Administrator::Asn(asn) if asn <= 0xFFFF => {
            let [_, _, a, b] = asn.to_be_bytes();
            [TWO_OCTET_AS, subtype, a, b, v0, v1, v2, v3]
        }
        Administrator::Asn(asn) => four_octets(FOUR_OCTET_AS, subtype, asn.to_be_bytes(), value),
        Administrator::Address(addr) => four_octets(IPV4_ADDRESS, subtype, addr.octets(), value),
    }
}

fn four_octets(kind: u8, subtype: u8, [a, b, c, d]: [u8; 4], value: u32) -> [u8; 8] {
    let [_, _, v2, v3] = value.to_be_bytes();
    [kind, subtype, a, b, c, d, v2, v3]
}

const FORMS: &str = "a community is ASN:VALUE, large:ASN:A:B, rt:ASN:VALUE, soo:ASN:VALUE or a name such as no-export";

impl FromStr for CommunityPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let name = text.to_ascii_lowercase().replace('_', "-");
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(known, _)| *known == name) {
            #[expect(clippy::cast_possible_truncation, reason = "the halves of a 32-bit value")]
            return Ok(Self(Fields::Standard(Some((value >> 16) as u16), Some(*value as u16))));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let fields = match parts[..] {
            ["large", a, b, c] => Fields::Large([field(text, a)?, field(text, b)?, field(text, c)?]),
            [high, low] => Fields::Standard(field(text, high)?, field(text, low)?),
            [kind, administrator, value] => {
                let Some((_, subtype)) = SUBTYPES.iter().find(|(name, _)| *name == kind) else {
                    return Err(ParseError::new(text, FORMS));
                };
                let administrator = match administrator.parse::<Ipv4Addr>() {
                    Ok(addr) => Some(Administrator::Address(addr)),
                    Err(_) => field(text, administrator)?.map(Administrator::Asn),
                };
                let value = field(text, value)?;
                if let (Some(administrator), Some(value)) = (administrator, value)
                    && value > administrator.max_value()
                {
                    let max = administrator.max_value();
                    return Err(ParseError::new(text, format!("the value beside this administrator is at most {max}")));
                }
                Fields::Extended { subtype: *subtype, administrator, value }
            }
            _ => return Err(ParseError::new(text, FORMS)),
        };
        Ok(Self(fields))
    }
}

/// A field: `*` or a number that fits.
fn field<T: FromStr + TryFrom<u64>>(whole: &str, text: &str) -> Result<Option<T>, ParseError> {
    if text == "*" {
        return Ok(None);
    }
    // `parse` would take a leading plus sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.is_empty() {
        return Err(ParseError::new(whole, FORMS));
    }
    text.parse().map(Some).map_err(|_| {
        let max = (1_u128 << (size_of::<T>() * 8)) - 1;
        ParseError::new(whole, format!("{text} is too large: this field goes from 0 to {max}"))
    })
}

impl fmt::Display for CommunityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn star(value: Option<impl fmt::Display>) -> String {
            value.map_or_else(|| "*".to_owned(), |value| value.to_string())
        }
        match self.0 {
            Fields::Standard(high, low) => write!(f, "{}:{}", star(high), star(low)),
            Fields::Large([a, b, c]) => write!(f, "large:{}:{}:{}", star(a), star(b), star(c)),
            Fields::Extended { subtype, administrator, value } => {
                let name = SUBTYPES.iter().find(|(_, number)| *number == subtype).map_or("ext", |(name, _)| *name);
                let administrator = administrator.map(|administrator| match administrator {
                    Administrator::Asn(asn) => asn.to_string(),
                    Administrator::Address(addr) => addr.to_string(),
                });
                write!(f, "{name}:{}:{}", star(administrator), star(value))
            }
        }
    }
}

/// A value matches if its bits under `mask` equal `value`.
#[derive(Clone, Copy, Debug)]
struct Masked {
    mask: u128,
    value: u128,
}

/// The patterns of one kind of community: exact values sorted, the others as masks.
#[derive(Debug, Default)]
struct Matcher {
    exact: Vec<u128>,
    masked: Vec<Masked>,
}

impl Matcher {
    fn push(&mut self, width: u32, Masked { mask, value }: Masked) {
        if mask == (1 << width) - 1 { self.exact.push(value) } else { self.masked.push(Masked { mask, value }) }
    }

    fn finish(&mut self) {
        self.exact.sort_unstable();
        self.exact.dedup();
    }

    fn matches(&self, value: u128) -> bool {
        self.masked.iter().any(|row| value & row.mask == row.value) || self.exact.binary_search(&value).is_ok()
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.masked.is_empty()
    }
}

/// Many patterns, by kind.
#[derive(Debug, Default)]
pub(super) struct CommunityMatcher {
    standard: Matcher,
    large: Matcher,
    extended: Matcher,
}

impl CommunityMatcher {
    pub(super) fn new(patterns: &[CommunityPattern]) -> Self {
        let mut matcher = Self::default();
        for pattern in patterns {
            match pattern.0 {
                Fields::Standard(high, low) => {
                    matcher.standard.push(32, fields(&[(16, high.map(u128::from)), (16, low.map(u128::from))]));
                }
                Fields::Large(parts) => {
                    matcher.large.push(96, fields(&parts.map(|part| (32, part.map(u128::from)))));
                }
                Fields::Extended { subtype, administrator, value } => {
                    for row in extended_rows(subtype, administrator, value) {
                        matcher.extended.push(64, row);
                    }
                }
            }
        }
        matcher.standard.finish();
        matcher.large.finish();
        matcher.extended.finish();
        matcher
    }

    /// True if any community of the route is in the set.
    pub(super) fn matches(&self, attributes: &PathAttributes) -> bool {
        let any = |matcher: &Matcher, mut values: &mut dyn Iterator<Item = u128>| {
            !matcher.is_empty() && (&mut values).any(|value| matcher.matches(value))
        };
        any(&self.standard, &mut attributes.communities.iter().map(|value| u128::from(*value)))
            || any(&self.large, &mut attributes.large_communities.iter().map(large_bits))
            || any(&self.extended, &mut attributes.extended_communities.iter().map(extended_bits))
    }

    /// Removes every community that is in the set.
    pub(super) fn delete_from(&self, attributes: &mut PathAttributes) {
        attributes.communities.retain(|value| !self.standard.matches(u128::from(*value)));
        attributes.large_communities.retain(|value| !self.large.matches(large_bits(value)));
        attributes.extended_communities.retain(|value| !self.extended.matches(extended_bits(value)));
    }
}

fn large_bits(&[a, b, c]: &[u32; 3]) -> u128 {
    (u128::from(a) << 64) | (u128::from(b) << 32) | u128::from(c)
}

fn extended_bits(octets: &[u8; 8]) -> u128 {
    u128::from(u64::from_be_bytes(*octets))
}

/// The mask of fields given from the most significant one, each with its width in bits.
fn fields(parts: &[(u32, Option<u128>)]) -> Masked {
    let mut row = Masked { mask: 0, value: 0 };
    for &(width, part) in parts {
        row.mask = (row.mask << width) | if part.is_some() { (1 << width) - 1 } else { 0 };
        row.value = (row.value << width) | part.unwrap_or(0);
    }
    row
}

/// An AS number of two octets may stand in either form (RFC 5668 §2 advises the shorter one but both are on the wire), and a
/// `*` administrator in all three.
fn extended_rows(subtype: u8, administrator: Option<Administrator>, value: Option<u32>) -> Vec<Masked> {
    let short = |asn: Option<u32>| {
        let asn = (16, asn.map(u128::from));
        fields(&[(8, Some(TWO_OCTET_AS.into())), (8, Some(subtype.into())), asn, (32, value.map(u128::from))])
    };
    let long = |kind: u8, administrator: Option<u32>| {
        let administrator = (32, administrator.map(u128::from));
        fields(&[(8, Some(kind.into())), (8, Some(subtype.into())), administrator, (16, value.map(u128::from))])
    };
    let fits = value.is_none_or(|value| value <= 0xFFFF);
    let mut rows = Vec::with_capacity(3);
    match administrator {
        Some(Administrator::Address(addr)) => rows.push(long(IPV4_ADDRESS, Some(addr.to_bits()))),
        Some(Administrator::Asn(asn)) => {
            if asn <= 0xFFFF {
                rows.push(short(Some(asn)));
            }
            if fits {
                rows.push(long(FOUR_OCTET_AS, Some(asn)));
            }
        }
        None => {
            rows.push(short(None));
            if fits {
                rows.extend([long(FOUR_OCTET_AS, None), long(IPV4_ADDRESS, None)]);
            }
        }
    }
    rows
}
