//! Communities as people write them: standard (RFC 1997), extended (RFC 4360) and large (RFC 8092).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use thiserror::Error;

/// A text that is no community.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{text}\" is no community: expected {expected}")]
pub struct ParseError {
    text: String,
    expected: &'static str,
}

/// NO_EXPORT (RFC 1997).
pub const NO_EXPORT: u32 = 0xffff_ff01;
/// NO_ADVERTISE (RFC 1997).
pub const NO_ADVERTISE: u32 = 0xffff_ff02;
/// NO_EXPORT_SUBCONFED (RFC 1997).
pub const NO_EXPORT_SUBCONFED: u32 = 0xffff_ff03;
/// NOPEER (RFC 3765).
pub const NO_PEER: u32 = 0xffff_ff04;
/// GRACEFUL_SHUTDOWN (RFC 8326).
pub const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;
/// LLGR_STALE (RFC 9494).
pub const LLGR_STALE: u32 = 0xffff_0006;
/// NO_LLGR (RFC 9494).
pub const NO_LLGR: u32 = 0xffff_0007;
/// BLACKHOLE (RFC 7999).
pub const BLACKHOLE: u32 = 0xffff_029a;

const WELL_KNOWN: &[(u32, &str)] = &[
    (GRACEFUL_SHUTDOWN, "graceful-shutdown"),
    (LLGR_STALE, "llgr-stale"),
    (NO_LLGR, "no-llgr"),
    (BLACKHOLE, "blackhole"),
    (NO_EXPORT, "no-export"),
    (NO_ADVERTISE, "no-advertise"),
    (NO_EXPORT_SUBCONFED, "no-export-subconfed"),
    (NO_PEER, "no-peer"),
];

/// A standard community: `64512:53`, or its name if it is well known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WELL_KNOWN.iter().find(|(value, _)| *value == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl FromStr for Community {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some((value, _)) = WELL_KNOWN.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            return Ok(Self(*value));
        }
        let parsed = text
            .split_once(':')
            .and_then(|(high, low)| Some(u32::from(number::<u16>(high)?) << 16 | u32::from(number::<u16>(low)?)));
        parsed.map(Self).ok_or_else(|| ParseError {
            text: text.to_owned(),
            expected: "two numbers of at most 65535 like \"64512:53\", or a name like \"no-export\"",
        })
    }
}

/// A large community: `64512:1:2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity(pub [u32; 3]);

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [global, first, second] = self.0;
        write!(f, "{global}:{first}:{second}")
    }
}

/// With or without `large:` in front.
impl FromStr for LargeCommunity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parts = text.strip_prefix("large:").unwrap_or(text).split(':').map(number::<u32>);
        match (parts.next().flatten(), parts.next().flatten(), parts.next().flatten(), parts.next()) {
            (Some(global), Some(first), Some(second), None) => Ok(Self([global, first, second])),
            _ => Err(ParseError { text: text.to_owned(), expected: "three numbers like \"64512:1:2\"" }),
        }
    }
}

/// An extended community: `rt:64512:100`, `soo:192.0.2.1:7`, any other as `0x` and sixteen digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// Subtypes with a name, in each of the three AS and address formats (RFC 4360 §4, §5).
const SUBTYPES: &[(u8, &str)] = &[(2, "rt"), (3, "soo")];

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, a, b, c, d, e, g] = self.0;
        if let Some((_, name)) = SUBTYPES.iter().find(|(value, _)| *value == subtype) {
            let low = u16::from_be_bytes([e, g]);
            match kind {
                0 => {
                    return write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]));
                }
                1 => return write!(f, "{name}:{}:{low}", Ipv4Addr::new(a, b, c, d)),
                // An AS number that would fit two octets needs a mark to be told from the first form.
                2 => {
                    let asn = u32::from_be_bytes([a, b, c, d]);
                    let mark = if asn <= u32::from(u16::MAX) { "L" } else { "" };
                    return write!(f, "{name}:{asn}{mark}:{low}");
                }
                _ => {}
            }
        }
        write!(f, "0x{:016x}", u64::from_be_bytes(self.0))
    }
}

impl FromStr for ExtendedCommunity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_extended(text).map(Self).ok_or_else(|| ParseError {
            text: text.to_owned(),
            expected: "\"rt:64512:100\", \"soo:192.0.2.1:7\", or 0x and sixteen hexadecimal digits",
        })
    }
}

fn parse_extended(text: &str) -> Option<[u8; 8]> {
    if let Some(digits) = text.strip_prefix("0x") {
        let sixteen = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        return sixteen.then(|| u64::from_str_radix(digits, 16).ok()).flatten().map(u64::to_be_bytes);
    }
    let mut parts = text.split(':');
    let (name, global, local) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (subtype, _) = SUBTYPES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name))?;
    let mut octets = [0, *subtype, 0, 0, 0, 0, 0, 0];
    if let Some(asn) = number::<u16>(global) {
        octets[2..4].copy_from_slice(&asn.to_be_bytes());
        octets[4..].copy_from_slice(&number::<u32>(local)?.to_be_bytes());
        return Some(octets);
    }
    let (kind, global) = match global.parse::<Ipv4Addr>() {
        Ok(addr) => (1, addr.octets()),
        Err(_) => (2, number::<u32>(global.strip_suffix('L').unwrap_or(global))?.to_be_bytes()),
    };
    octets[0] = kind;
    octets[2..6].copy_from_slice(&global);
    octets[6..].copy_from_slice(&number::<u16>(local)?.to_be_bytes());
    Some(octets)
}

/// Digits only: `FromStr` of integers takes a sign as well.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
