//! `password` and `password_file`: a secret is read, measured and handed on; no error repeats any of it.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bgpd::config::Secret;
use toml::de::DeValue;

use crate::config::read::{Table, Value};

/// Longest key of TCP-MD5 that Linux takes (`TCP_MD5SIG_MAXKEYLEN`), octets.
const LONGEST: usize = 80;

/// A text that errors do not repeat.
struct Hidden(String);

impl Value for Hidden {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map(|text| Self(text.to_owned())).ok_or_else(|| "must be a text in quotes".to_owned())
    }
}

/// The password of a table, from either key.
pub(super) fn read(table: &Table<'_>) -> Option<Secret> {
    if table.has("password") && table.has("password_file") {
        let message = "stands together with password; write one of them";
        table.wrong(table.span_of("password_file"), "password_file", message);
        return None;
    }
    let (name, span, text) = match (table.at::<Hidden>("password"), table.at::<String>("password_file")) {
        (Some(at), _) => ("password", at.span, at.value.0),
        (None, Some(at)) => {
            let path = table.resolve(&at.value);
            match from_file(&path) {
                Ok((text, open_to_others)) => {
                    if open_to_others {
                        let path = path.display();
                        let message =
                            format!("{path} can be read by others than its owner; `chmod 600 {path}` mends it");
                        table.warn(at.span.clone(), "password_file", message);
                    }
                    ("password_file", at.span, text)
                }
                Err(message) => {
                    table.wrong(at.span, "password_file", format!("{}: {message}", path.display()));
                    return None;
                }
            }
        }
        (None, None) => return None,
    };
    match text.len() {
        0 => table.wrong(span, name, "is empty; leave it out for a session without password"),
        1..=LONGEST => return Some(Secret::new(&text)),
        length => table.wrong(span, name, format!("is {length} octets long; TCP-MD5 takes at most {LONGEST}")),
    }
    None
}

/// What stands in a file, without one newline at its end, and whether others than its owner may read it.
fn from_file(path: &Path) -> Result<(String, bool), String> {
    let meta = std::fs::metadata(path).map_err(|error| format!("cannot read the file: {error}"))?;
    if !meta.is_file() {
        return Err("is no file; put the password into one".to_owned());
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
