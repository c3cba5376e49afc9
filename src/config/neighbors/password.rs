//! `password` and `password_file`: a secret is read, measured and handed on; no error repeats any of it.

use bgpd::config::Secret;

use crate::config::read::Table;
use crate::config::secret::{self, Found};

/// Longest key of TCP-MD5 that Linux takes (`TCP_MD5SIG_MAXKEYLEN`), octets.
const LONGEST: usize = 80;

/// The password of a table, from either key.
pub(super) fn read(table: &Table<'_>) -> Option<Secret> {
    let Found { text, name, span } = secret::read(table, "password", "password_file")?;
    match text.len() {
        0 => table.wrong(span, name, "is empty; leave it out for a session without password"),
        1..=LONGEST => return Some(Secret::new(&text)),
        length => table.wrong(span, name, format!("is {length} octets long; TCP-MD5 takes at most {LONGEST}")),
    }
    None
}
