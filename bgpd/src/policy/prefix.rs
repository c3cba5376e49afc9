//! Prefix patterns, `192.0.2.0/24 ge 25 le 32`, and sets of them compiled to one longest-prefix match.

use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::set::ParseError;

/// A prefix and the lengths that are meant under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixPattern {
    prefix: IpNet,
    min: u8,
    max: u8,
}

impl PrefixPattern {
    /// Exactly `prefix`.
    #[must_use]
    pub fn exact(prefix: IpNet) -> Self {
        let prefix = prefix.trunc();
        Self { prefix, min: prefix.prefix_len(), max: prefix.prefix_len() }
    }

    /// True if `prefix` lies within the pattern's prefix and has a length that is meant.
    #[must_use]
    pub fn matches(&self, prefix: &IpNet) -> bool {
        (self.min..=self.max).contains(&prefix.prefix_len()) && self.prefix.contains(prefix)
    }
}

impl FromStr for PrefixPattern {
    type Err = ParseError;

    /// `PREFIX`, `PREFIX le N`, `PREFIX ge N`, `PREFIX ge N le M`, in either order.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = |right: String| ParseError::new(text, right);
        let mut words = text.split_whitespace();
        let first = words.next().unwrap_or_default();
        let prefix: IpNet = first.parse().map_err(|_| {
            wrong("a prefix pattern is ADDRESS/LENGTH, then optionally \"ge N\" and \"le N\"".to_owned())
        })?;
        if prefix != prefix.trunc() {
            return Err(wrong(format!("{prefix} has host bits set; the network is {}", prefix.trunc())));
        }
        let (length, longest) = (prefix.prefix_len(), prefix.max_prefix_len());
        let (mut ge, mut le) = (None, None);
        while let Some(word) = words.next() {
            let bound = match word {
                "ge" => &mut ge,
                "le" => &mut le,
                _ => return Err(wrong(format!("{word:?} is neither \"ge\" nor \"le\""))),
            };
            let number = words.next().unwrap_or_default();
            let value =
                number.parse::<u8>().ok().filter(|value| (length..=longest).contains(value)).ok_or_else(|| {
                    wrong(format!("after {word} comes a length from {length} to {longest}, not {number:?}"))
                })?;
            if bound.replace(value).is_some() {
                return Err(wrong(format!("{word} stands twice")));
            }
        }
        let (min, max) = match (ge, le) {
            (None, None) => (length, length),
            (Some(ge), None) => (ge, longest),
            (None, Some(le)) => (length, le),
            (Some(ge), Some(le)) if ge <= le => (ge, le),
            (Some(ge), Some(le)) => return Err(wrong(format!("ge {ge} is more than le {le}: nothing would match"))),
        };
        Ok(Self { prefix, min, max })
    }
}

impl fmt::Display for PrefixPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, longest) = (self.prefix.prefix_len(), self.prefix.max_prefix_len());
        write!(f, "{}", self.prefix)?;
        match (self.min == length, self.max == longest) {
            _ if self.max == length => Ok(()),
            (true, _) => write!(f, " le {}", self.max),
            (false, true) => write!(f, " ge {}", self.min),
            (false, false) => write!(f, " ge {} le {}", self.min, self.max),
        }
    }
}

/// Lengths 0 to 128 as bits.
#[derive(Clone, Copy, Debug, Default)]
struct Lengths([u64; 3]);

impl Lengths {
    fn of(pattern: &PrefixPattern) -> Self {
        let mut lengths = Self::default();
        for length in pattern.min..=pattern.max {
            lengths.0[usize::from(length / 64)] |= 1 << (length % 64);
        }
        lengths
    }

    fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    fn has(self, length: u8) -> bool {
        self.0[usize::from(length / 64)] & (1 << (length % 64)) != 0
    }
}

/// Many patterns as one trie per family. Each node holds the lengths meant by itself and by every pattern above it, so a test
/// is one longest-prefix match however many patterns overlap.
#[derive(Debug, Default)]
pub(super) struct PrefixMatcher {
    v4: PrefixMap<Ipv4Net, Lengths>,
    v6: PrefixMap<Ipv6Net, Lengths>,
}

impl PrefixMatcher {
    pub(super) fn new(patterns: &[PrefixPattern]) -> Self {
        let mut sorted: Vec<&PrefixPattern> = patterns.iter().collect();
        // Short prefixes first: what stands above a node is complete when the node is made.
        sorted.sort_unstable_by_key(|pattern| pattern.prefix.prefix_len());
        let mut matcher = Self::default();
        for pattern in sorted {
            let own = Lengths::of(pattern);
            match pattern.prefix {
                IpNet::V4(prefix) => {
                    let above = matcher.v4.get_lpm(&prefix).map(|(_, lengths)| *lengths).unwrap_or_default();
                    matcher.v4.insert(prefix, own.union(above));
                }
                IpNet::V6(prefix) => {
                    let above = matcher.v6.get_lpm(&prefix).map(|(_, lengths)| *lengths).unwrap_or_default();
                    matcher.v6.insert(prefix, own.union(above));
                }
            }
        }
        matcher
    }

    pub(super) fn matches(&self, prefix: &IpNet) -> bool {
        let lengths = match prefix {
            IpNet::V4(prefix) => self.v4.get_lpm(prefix).map(|(_, lengths)| *lengths),
            IpNet::V6(prefix) => self.v6.get_lpm(prefix).map(|(_, lengths)| *lengths),
        };
        lengths.is_some_and(|lengths| lengths.has(prefix.prefix_len()))
    }
}
