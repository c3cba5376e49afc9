//! Reading a table key by key: typed values with their places, every error noted and reading going on, so that one run
//! reports everything that is wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::file::Keys;

/// Where problems are gathered, and what reading has to know beside the text.
#[derive(Debug)]
pub(super) struct Sink {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// Where relative paths in the text begin.
    base: PathBuf,
}

impl Sink {
    /// An empty one for a text whose relative paths begin at `base`.
    pub(super) fn new(base: &Path) -> Self {
        Self { problems: RefCell::default(), warnings: RefCell::default(), base: base.to_owned() }
    }

    pub(super) fn push(&self, span: Range<usize>, key: impl Into<String>, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { span, key: key.into(), message: message.into() });
    }

    /// Errors, and what is only to be thought about.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A table being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    table: &'a DeTable<'a>,
    span: (usize, usize),
    sink: &'a Sink,
    path: &'a str,
}

impl<'a> Table<'a> {
    /// The table `path`; keys outside `keys`, and keys not yet supported, are noted at once.
    pub(super) fn open(table: &'a DeTable<'a>, span: Range<usize>, path: &'a str, keys: Keys, sink: &'a Sink) -> Self {
        let this = Self { table, span: (span.start, span.end), sink, path };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            match keys.iter().find(|known| known.name == name) {
                Some(known) if known.supported => {}
                Some(_) => sink.push(key.span(), this.key(name), "is not yet supported by this version"),
                None => sink.push(key.span(), this.key(name), unknown(name, keys)),
            }
        }
        this
    }

    /// The full name of a key of this table.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The table's own place.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.0..self.span.1
    }

    /// Notes a problem with a key of this table.
    pub(super) fn wrong(&self, span: Range<usize>, name: &str, message: impl Into<String>) {
        self.sink.push(span, self.key(name), message);
    }

    /// Notes something that is allowed and may be unwise.
    pub(super) fn warn(&self, span: Range<usize>, name: &str, message: impl Into<String>) {
        let problem = Problem { span, key: self.key(name), message: message.into() };
        self.sink.warnings.borrow_mut().push(problem);
    }

    /// A path of the text: relative ones begin where the file stands.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.sink.base.join(path)
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&self, name: &str, message: impl Display) {
        self.sink.push(self.span(), self.key(name), format!("is missing: {message}"));
    }

    fn raw(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(name)
    }

    /// True if the key stands in the table, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value of a key with its place.
    pub(super) fn at<T: Value>(&self, name: &str) -> Option<At<T>> {
        self.read(name, self.raw(name)?)
    }

    /// The value of a key.
    pub(super) fn get<T: Value>(&self, name: &str) -> Option<T> {
        self.at(name).map(|at| at.value)
    }

    fn read<T: Value>(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<At<T>> {
        match T::read(value.get_ref()) {
            Ok(read) => Some(At { value: read, span: value.span() }),
            Err(message) => {
                self.wrong(value.span(), name, message);
                None
            }
        }
    }

    /// An integer within `range`.
    pub(super) fn int<T: TryFrom<i64>>(&self, name: &str, range: RangeInclusive<i64>) -> Option<At<T>> {
        let value = self.raw(name)?;
        match integer(value.get_ref()) {
            Some(number) if range.contains(&number) => {
                T::try_from(number).ok().map(|value_read| At { value: value_read, span: value.span() })
            }
            _ => {
                let right = format!("must be a number from {} to {}", range.start(), range.end());
                self.wrong(value.span(), name, format!("{right}, not {}", shown(value.get_ref())));
                None
            }
        }
    }

    /// A share from 0 to 1.
    pub(super) fn share(&self, name: &str) -> Option<At<f64>> {
        let value = self.raw(name)?;
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().replace('_', "").parse::<f64>().ok(),
            other => integer(other).and_then(|number| i32::try_from(number).ok()).map(f64::from),
        };
        match number {
            Some(number) if (0.0..=1.0).contains(&number) => Some(At { value: number, span: value.span() }),
            _ => {
                let message = format!("must be a share from 0 to 1, as in 0.8, not {}", shown(value.get_ref()));
                self.wrong(value.span(), name, message);
                None
            }
        }
    }

    /// An array of values; wrong elements are noted and left out. With `or_one`, a single value stands for an array of
    /// one.
    fn elements<T: Value>(&self, name: &str, or_one: bool) -> Option<Vec<At<T>>> {
        let value = self.raw(name)?;
        match value.get_ref() {
            DeValue::Array(array) => Some(array.iter().filter_map(|item| self.read(name, item)).collect()),
            _ if or_one => Some(self.read(name, value).into_iter().collect()),
            other => {
                let message = format!("must be a list, as in {}, not {}", T::list_example(), shown(other));
                self.wrong(value.span(), name, message);
                None
            }
        }
    }

    /// An array of values; wrong elements are noted and left out.
    pub(super) fn list<T: Value>(&self, name: &str) -> Option<Vec<At<T>>> {
        self.elements(name, false)
    }

    /// An array of values, or one value.
    pub(super) fn one_or_more<T: Value>(&self, name: &str) -> Option<Vec<At<T>>> {
        self.elements(name, true)
    }

    /// How many elements the array under a key has, right or wrong.
    pub(super) fn len_of(&self, name: &str) -> usize {
        self.raw(name).and_then(|value| value.get_ref().as_array()).map_or(0, |array| array.len())
    }

    /// A table under a key.
    pub(super) fn table(&self, name: &str, path: &'a str, keys: Keys) -> Option<Table<'a>> {
        let value = self.raw(name)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Table::open(table, value.span(), path, keys, self.sink)),
            other => {
                self.wrong(value.span(), name, format!("must be a table, not {}", shown(other)));
                None
            }
        }
    }

    /// A table under a key, if it is one, for a second reader: nothing is noted.
    pub(super) fn inner(&self, name: &str, path: &'a str) -> Option<Table<'a>> {
        let value = self.raw(name)?;
        let DeValue::Table(table) = value.get_ref() else { return None };
        Some(Self { table, span: (value.span().start, value.span().end), sink: self.sink, path })
    }

    /// The tables of an array under a key, opened by `keys` once their own content is known.
    pub(super) fn tables_by(
        &self,
        name: &str,
        path: &'a str,
        keys: impl Fn(&'a DeTable<'a>) -> Keys,
    ) -> Vec<Table<'a>> {
        let Some(value) = self.raw(name) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            let right = if self.path.is_empty() {
                format!("write [[{name}]] with two brackets")
            } else {
                "write [ { … } ]".into()
            };
            self.wrong(value.span(), name, format!("must be a list of tables: {right}"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array {
            match item.get_ref() {
                DeValue::Table(table) => tables.push(Table::open(table, item.span(), path, keys(table), self.sink)),
                other => self.wrong(item.span(), name, format!("must be a table, not {}", shown(other))),
            }
        }
        tables
    }

    /// The tables of an array under a key.
    pub(super) fn tables(&self, name: &str, path: &'a str, keys: Keys) -> Vec<Table<'a>> {
        self.tables_by(name, path, |_| keys)
    }

    /// The elements of an array under a key, or the one value there: tables opened by `keys`, and other values, which are read as
    /// `T`. What is wrong is noted and left out; `None` if the key is not there.
    pub(super) fn mixed<T: Value>(&self, name: &str, path: &'a str, keys: Keys) -> Option<Vec<Mixed<'a, T>>> {
        let value = self.raw(name)?;
        let item = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::Table(table) => Some(Mixed::Table(Table::open(table, value.span(), path, keys, self.sink))),
            _ => self.read(name, value).map(Mixed::Value),
        };
        Some(match value.get_ref() {
            DeValue::Array(array) => array.iter().filter_map(item).collect(),
            _ => item(value).into_iter().collect(),
        })
    }

    /// The place of a key's value, or of the table.
    pub(super) fn span_of(&self, name: &str) -> Range<usize> {
        self.raw(name).map_or(self.span(), Spanned::span)
    }

    /// One of the words of a table of words.
    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.at::<String>(name)?;
        let found = words.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            self.wrong(text.span, name, not_a_word(&text.value, words.iter().map(|(word, _)| *word)));
        }
        found.map(|(_, value)| *value)
    }
}

/// An element of an array that may hold tables and plain values.
pub(super) enum Mixed<'a, T> {
    /// A table.
    Table(Table<'a>),
    /// A plain value.
    Value(At<T>),
}

/// `"x" is not one of …`, with a suggestion.
pub(super) fn not_a_word<'w>(text: &str, words: impl Iterator<Item = &'w str> + Clone) -> String {
    let list = words.clone().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let near = nearest(text, words).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    format!("{text:?} is not one of {list}{near}")
}

/// The word nearest to `text`, if it is near enough to be a slip of the keyboard.
pub(super) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let near = |word: &&str| strsim::damerau_levenshtein(text, word);
    words.filter(|word| near(word) <= 1 + word.len() / 4 || strsim::jaro_winkler(text, word) > 0.88).min_by_key(near)
}

fn unknown(name: &str, keys: Keys) -> String {
    let supported = || keys.iter().filter(|key| key.supported).map(|key| key.name);
    match nearest(name, supported()) {
        Some(near) => format!("is not a known key; did you mean {near:?}?"),
        None => format!("is not a known key; known here are {}", supported().collect::<Vec<_>>().join(", ")),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

/// A value as an error shows it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Something that can stand behind a key.
pub(super) trait Value: Sized {
    /// Reads it, or says what would be right.
    fn read(value: &DeValue<'_>) -> Result<Self, String>;

    /// A list of such values, for an error.
    fn list_example() -> &'static str {
        "[ \"…\" ]"
    }
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("must be true or false, not {}", shown(value)))
    }
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| format!("must be a text in quotes, not {}", shown(value)))
    }
}

fn parsed<T>(value: &DeValue<'_>, right: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
    value.as_str().and_then(parse).ok_or_else(|| format!("must be {right}, not {}", shown(value)))
}

impl Value for IpAddr {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        parsed(value, "an IP address, as in \"10.0.0.1\" or \"2001:db8::1\"", |text| text.parse().ok())
    }
}

/// An AS number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) u32);

impl Value for Number {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        integer(value)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|asn| (1..u32::MAX).contains(asn))
            .map(Self)
            .ok_or_else(|| format!("must be a number from 1 to 4294967294, not {}", shown(value)))
    }

    fn list_example() -> &'static str {
        "[64512, 64513]"
    }
}

impl Value for Ipv4Addr {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        parsed(value, "four numbers with dots, as in \"10.0.0.1\"", |text| text.parse().ok())
    }
}

impl Value for SocketAddr {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        parsed(value, "an address and a port, as in \"127.0.0.1:53\" or \"[::1]:53\"", |text| text.parse().ok())
    }

    fn list_example() -> &'static str {
        "[\"127.0.0.1:179\"]"
    }
}

impl Value for IpNet {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let net: Self =
            parsed(value, "a prefix, as in \"192.0.2.0/24\" or \"2001:db8::/32\"", |text| text.parse().ok())?;
        if net != net.trunc() {
            return Err(format!("{net} has bits set beyond its length; {} would be right", net.trunc()));
        }
        Ok(net)
    }

    fn list_example() -> &'static str {
        "[\"192.0.2.0/24\"]"
    }
}

impl Value for Duration {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        parsed(value, "a duration with its unit, as in \"300ms\", \"1s\", \"5m\" or \"1h\"", duration)
    }
}

/// `"1s"`, `"300ms"`, `"1m30s"`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let part = match unit.trim() {
            "us" => Duration::from_micros(number),
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "d" => Duration::from_secs(number.checked_mul(86400)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total)
}

/// A value that knows how to be read from text and says itself what would be right.
#[derive(Clone, Debug)]
pub(super) struct Text<T>(pub(super) T);

impl<T: FromStr<Err: Display>> Value for Text<T> {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(value)?;
        text.parse().map(Self).map_err(|error: T::Err| error.to_string())
    }
}

/// Names that may stand once: notes the second one.
#[derive(Debug)]
pub(super) struct Once<K>(BTreeSet<K>);

impl<K> Default for Once<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Ord + Display> Once<K> {
    /// True if `key` is new; otherwise the second use is noted.
    pub(super) fn take(&mut self, key: K, table: &Table<'_>, name: &str, span: Range<usize>) -> bool {
        if self.0.contains(&key) {
            table.wrong(span, name, format!("{key} stands twice; each may stand once"));
            return false;
        }
        self.0.insert(key)
    }
}
