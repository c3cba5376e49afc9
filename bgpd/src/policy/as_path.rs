//! AS-path patterns: regular expressions over the path written as a string, `_` for a border.
//!
//! The string is the usual one: `64500 64501 {64510,64511}`, confederation segments as `(65001 65002)` and `[65001,65002]`. `_` matches the
//! beginning, the end, a space, a comma, a brace, a parenthesis or a bracket. Matching is linear in the path's length whatever the
//! pattern (finite automata, no backtracking), so a peer cannot make it slow.

use std::fmt::{self, Write};
use std::str::FromStr;

use regex::{Regex, RegexSet, RegexSetBuilder};

use super::set::ParseError;
use crate::wire::attr::{AsPath, SegmentKind};

/// What `_` stands for.
const BORDER: &str = r"(?:^|$|[ ,{}()\[\]])";

/// Most memory the patterns of one set may take when compiled, octets.
const COMPILED_MAX: usize = 16 << 20;

/// A pattern that is known to be a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPathPattern(String);

impl AsPathPattern {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AsPathPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match Regex::new(&expand(text)) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err(ParseError::new(text, "the pattern is too large; split it into several patterns of the set"))
            }
            Err(_) => {
                // The parser's own message points into the expanded text, so parse as written for the one people see.
                let reason = Regex::new(text).err().map_or_else(|| "it cannot be parsed".to_owned(), |e| e.to_string());
                Err(ParseError::new(text, format!("not a regular expression: {reason}")))
            }
        }
    }
}

impl fmt::Display for AsPathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Replaces each `_` that is neither escaped nor in a bracketed class.
fn expand(pattern: &str) -> String {
    let mut expanded = String::with_capacity(pattern.len() + BORDER.len());
    let (mut escaped, mut class) = (false, false);
    for c in pattern.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                if c == '_' {
                    // `\_` is no escape that the parser knows.
                    expanded.pop();
                }
                expanded.push(c);
                continue;
            }
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '_' if !class => {
                expanded.push_str(BORDER);
                continue;
            }
            _ => {}
        }
        expanded.push(c);
    }
    expanded
}

/// Several patterns as one automaton.
#[derive(Debug)]
pub(super) struct AsPathMatcher(RegexSet);

impl AsPathMatcher {
    pub(super) fn new(patterns: &[AsPathPattern]) -> Result<Self, String> {
        RegexSetBuilder::new(patterns.iter().map(|pattern| expand(&pattern.0)))
            .size_limit(COMPILED_MAX)
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

/// The path as patterns see it.
pub(super) fn render(path: &AsPath) -> String {
    let mut text = String::new();
    for segment in &path.segments {
        let (open, between, close) = match segment.kind {
            SegmentKind::Sequence => ("", ' ', ""),
            SegmentKind::Set => ("{", ',', "}"),
            SegmentKind::ConfedSequence => ("(", ' ', ")"),
            SegmentKind::ConfedSet => ("[", ',', "]"),
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(open);
        for (index, asn) in segment.asns.iter().enumerate() {
            if index > 0 {
                text.push(between);
            }
            let _ = write!(text, "{asn}");
        }
        text.push_str(close);
    }
    text
}

/// The origin AS (RFC 6811 §2): the last of the path if it ends in a sequence, `local_asn` if the path is empty or ends within the
/// confederation, none after an AS_SET.
pub(super) fn origin(path: &AsPath, local_asn: u32) -> Option<u32> {
    match path.segments.last() {
        None => Some(local_asn),
        Some(segment) => match segment.kind {
            SegmentKind::Sequence => segment.asns.last().copied(),
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => Some(local_asn),
            SegmentKind::Set => None,
        },
    }
}
