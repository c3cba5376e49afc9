//! OPEN (RFC 4271 §4.2, §6.2; RFC 5492 and RFC 9072 for its optional parameters; RFC 6793 for AS numbers).
//!
//! What depends on the neighbor's configuration (its AS, its identifier against ours) is the session's to check.

use std::net::Ipv4Addr;

use bytes::{BufMut, Bytes, BytesMut};
use nom::bytes::complete::take;
use nom::combinator::{all_consuming, map};
use nom::multi::{length_data, many0};
use nom::number::complete::{be_u8, be_u16};
use nom::{IResult, Parser};

use super::capability::{self, Capability};
use super::header::{self, MessageType};
use super::notification::open as subcode;
use super::{AS_TRANS, AfiSafi, Notification};

/// The version of BGP.
pub const VERSION: u8 = 4;

/// The Capabilities parameter (RFC 5492 §4).
const PARAMETER_CAPABILITIES: u8 = 2;
/// Marks the extended format of optional parameters (RFC 9072 §2).
const PARAMETER_EXTENDED: u8 = 255;

/// An OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS, of four octets if it says so in a capability.
    pub asn: u32,
    /// Proposed hold time in seconds: 0 or at least 3.
    pub hold_secs: u16,
    /// BGP Identifier, not zero.
    pub router_id: Ipv4Addr,
    /// Capabilities in the order they were sent.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Reads a body.
    ///
    /// # Errors
    /// The NOTIFICATION of RFC 4271 §6.2: 2/1 with the version we speak, 2/2 for AS 0 (RFC 7607), 2/3 for identifier 0
    /// (RFC 6286), 2/6 for hold times of 1 and 2 s, 2/4 for parameters other than capabilities, 2/0 for parameters that
    /// do not fit their lengths.
    pub fn decode(body: &[u8]) -> Result<Self, Notification> {
        let unspecific = || Notification::open(subcode::UNSPECIFIC);
        let (&[version], rest) = body.split_first_chunk::<1>().ok_or_else(unspecific)?;
        if version != VERSION {
            let ours = u16::from(VERSION).to_be_bytes();
            return Err(Notification::open(subcode::VERSION).with_data(Bytes::copy_from_slice(&ours)));
        }
        let (rest, (my_as, hold_secs, router_id)) = fixed(rest).map_err(|_| unspecific())?;
        if my_as == 0 {
            return Err(Notification::open(subcode::BAD_PEER_AS));
        }
        if matches!(hold_secs, 1 | 2) {
            return Err(Notification::open(subcode::HOLD_TIME));
        }
        if router_id.is_unspecified() {
            return Err(Notification::open(subcode::BAD_IDENTIFIER));
        }
        let (_, parameters) = parameters(rest).map_err(|_| unspecific())?;
        let mut capabilities = Vec::new();
        for (kind, value) in parameters {
            if kind != PARAMETER_CAPABILITIES {
                return Err(Notification::open(subcode::UNSUPPORTED_PARAMETER));
            }
            let (_, list) = capability::decode_list(value).map_err(|_| unspecific())?;
            capabilities.extend(list);
        }
        let four_octets = capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        let asn = four_octets.unwrap_or(u32::from(my_as));
        if asn == 0 {
            return Err(Notification::open(subcode::BAD_PEER_AS));
        }
        Ok(Self { asn, hold_secs, router_id, capabilities })
    }

    /// Appends the whole message; the parameters take the format of RFC 9072 if they need more than 255 octets.
    /// Capabilities that would make it longer than 4,096 octets are left out.
    pub fn encode(&self, buf: &mut BytesMut) {
        let start = header::begin(MessageType::Open, buf);
        buf.put_u8(VERSION);
        buf.put_u16(u16::try_from(self.asn).unwrap_or(AS_TRANS));
        buf.put_u16(self.hold_secs);
        buf.put_slice(&self.router_id.octets());
        let mut list = BytesMut::new();
        for capability in &self.capabilities {
            let fits = list.len();
            capability.encode(&mut list);
            if list.len() > header::MAX_LEN - header::HEADER_LEN - 16 {
                list.truncate(fits);
            }
        }
        // One Capabilities parameter with all of them (RFC 5492 §4 prefers that).
        match u8::try_from(list.len() + 2) {
            Ok(2) => buf.put_u8(0),
            Ok(whole) if whole < u8::MAX => buf.put_slice(&[whole, PARAMETER_CAPABILITIES, whole - 2]),
            _ => {
                let length = u16::try_from(list.len()).expect("bounded by the length of a message");
                buf.put_slice(&[PARAMETER_EXTENDED, PARAMETER_EXTENDED]);
                buf.put_u16(length + 3);
                buf.put_u8(PARAMETER_CAPABILITIES);
                buf.put_u16(length);
            }
        }
        buf.put_slice(&list);
        header::finish(start, buf);
    }

    /// The whole message.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(128);
        self.encode(&mut buf);
        buf.freeze()
    }

    /// Whether `capability` was sent exactly so.
    #[must_use]
    pub fn has(&self, capability: &Capability) -> bool {
        self.capabilities.contains(capability)
    }

    /// The sender reads and writes AS numbers of four octets.
    #[must_use]
    pub fn as4(&self) -> bool {
        self.capabilities.iter().any(|capability| matches!(capability, Capability::FourOctetAs(_)))
    }

    /// The families the sender speaks: those it names, IPv4 unicast alone if it names none (RFC 4760 §8).
    #[must_use]
    pub fn families(&self) -> Vec<AfiSafi> {
        let mut families: Vec<AfiSafi> = Vec::new();
        for capability in &self.capabilities {
            if let Capability::MultiProtocol(family) = capability
                && !families.contains(family)
            {
                families.push(*family);
            }
        }
        if families.is_empty() {
            families.push(AfiSafi::IPV4_UNICAST);
        }
        families
    }
}

fn fixed(input: &[u8]) -> IResult<&[u8], (u16, u16, Ipv4Addr)> {
    let id =
        map(take(4_usize), |octets: &[u8]| <[u8; 4]>::try_from(octets).map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from));
    (be_u16, be_u16, id).parse(input)
}

/// Types and values of the optional parameters.
fn parameters(input: &[u8]) -> IResult<&[u8], Vec<(u8, &[u8])>> {
    match input {
        // RFC 9072 §2: the type 255 decides; the length before it should be 255, and only 0 forbids the format.
        [1..=255, PARAMETER_EXTENDED, extended @ ..] => {
            let (rest, list) = all_consuming(length_data(be_u16)).parse(extended)?;
            let (_, list) = all_consuming(many0((be_u8, length_data(be_u16)))).parse(list)?;
            Ok((rest, list))
        }
        _ => {
            let (rest, list) = all_consuming(length_data(be_u8)).parse(input)?;
            let (_, list) = all_consuming(many0((be_u8, length_data(be_u8)))).parse(list)?;
            Ok((rest, list))
        }
    }
}
