//! Secrets, in the text or in a file of their own: read and handed on; no error repeats any of one.

use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use toml::de::DeValue;

use super::read::{Table, Value};

/// A text that errors do not repeat.
struct Hidden(String);

impl Value for Hidden {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map(|text| Self(text.to_owned())).ok_or_else(|| "must be a text in quotes".to_owned())
    }
}

/// A secret and where it stood.
pub(super) struct Found {
    /// The secret.
    pub(super) text: String,
    /// The key it stood under.
    pub(super) name: &'static str,
    /// Where.
    pub(super) span: Range<usize>,
}

/// The secret under `name`, or in the file whose path is under `file`.
pub(super) fn read(table: &Table<'_>, name: &'static str, file: &'static str) -> Option<Found> {
    if table.has(name) && table.has(file) {
        table.wrong(table.span_of(file), file, format!("stands together with {name}; write one of them"));
        return None;
    }
    if let Some(at) = table.at::<Hidden>(name) {
        return Some(Found { text: at.value.0, name, span: at.span });
    }
    let at = table.at::<String>(file)?;
    let path = table.resolve(&at.value);
    match from_file(&path) {
        Ok((text, open_to_others)) => {
            if open_to_others {
                let path = path.display();
                let message = format!("{path} can be read by others than its owner; `chmod 600 {path}` mends it");
                table.warn(at.span.clone(), file, message);
            }
            Some(Found { text, name: file, span: at.span })
        }
        Err(message) => {
            table.wrong(at.span, file, format!("{}: {message}", path.display()));
            None
        }
    }
}

/// What stands in a file, without one newline at its end, and whether others than its owner may read it.
fn from_file(path: &Path) -> Result<(String, bool), String> {
    let meta = std::fs::metadata(path).map_err(|error| format!("cannot read the file: {error}"))?;
    if !meta.is_file() {
        return Err("is no file; put the secret into one".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| format!("cannot read the file: {error}"))?;
    let mut octets = Vec::new();
    // A little more than any right one, so that a wrong file is not read whole.
    file.take(4096).read_to_end(&mut octets).map_err(|error| format!("cannot read the file: {error}"))?;
    let mut text = String::from_utf8(octets).map_err(|_| "is no text in UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok((text, meta.permissions().mode() & 0o077 != 0))
}
