//! What of a configuration's text may be shown: errors quote the line they are about, and a line can hold a password.
//!
//! It has to work where the text is no TOML, too, so it goes by what stands before a `=` and not by what was parsed; a password
//! under a misspelled key is one as well.

use std::ops::Range;

/// Stands where a password stood.
pub(super) const HIDDEN: &str = "…";

/// The parts of `text` that nobody may be shown, in its order.
pub(super) fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('=') {
        let equals = at + found;
        at = equals + 1;
        let value = at + text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len();
        let rest = &text[value..];
        let word = last_word(&text[..equals]);
        // `auth` is a list of tables; a text under it is a key that somebody took to belong there.
        if !(secret(word) || word == "auth" && rest.starts_with(['"', '\''])) {
            continue;
        }
        // A string over several lines ends with its own mark, any other value with its line.
        let end = ["\"\"\"", "'''"].into_iter().find(|mark| rest.starts_with(mark)).map_or_else(
            || rest.find('\n').map_or(text.len(), |end| value + end),
            |mark| rest[3..].find(mark).map_or(text.len(), |end| value + 3 + end + 3),
        );
        parts.push(value..end);
        at = end;
    }
    parts
}

/// The last word before a `=`, without quotes.
fn last_word(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t', '"', '\'']);
    let start = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    start.map_or(text, |start| &text[start..]).trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
}

/// True for the names under which a password may stand, also misspelled.
fn secret(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    // A known key that happens to look alike, and the path of a file with a password in it, hide nothing.
    if word == "passive" || word == "key_id" || word.ends_with("file") {
        return false;
    }
    let holds = |part: &&str| word.contains(*part);
    let near = |right, most| strsim::damerau_levenshtein(&word, right) <= most;
    ["pass", "secret", "pwd", "key"].iter().any(holds) || near("password", 4) || near("key", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut text = text.to_owned();
        for part in hidden(&text.clone()).into_iter().rev() {
            text.replace_range(part, HIDDEN);
        }
        text
    }

    #[test]
    fn passwords_are_hidden_however_they_are_written() {
        for (text, expected) in [
            ("password = \"hush\"\nasn = 1\n", "password = …\nasn = 1\n"),
            ("pasword=\"hush\"", "pasword=…"),
            ("passwrod = 'hush' # note", "passwrod = …"),
            ("\"password\" = \"hu=sh\"\n", "\"password\" = …\n"),
            ("neighbor = [ { asn = 1, password = \"hush\", port = 1 } ]\n", "neighbor = [ { asn = 1, password = …\n"),
            ("neighbor.password = \"hush\n", "neighbor.password = …\n"),
            ("password = \"\"\"\nhu\\qsh\n\"\"\"\nasn = 1", "password = …\nasn = 1"),
            ("password = '''\nhush", "password = …"),
            ("password_file = \"/etc/key\"\n", "password_file = \"/etc/key\"\n"),
            ("passive = true\nport = 179\n", "passive = true\nport = 179\n"),
            ("secret = 5", "secret = …"),
            ("{ type = \"md5\", key_id = 1, key = \"hush\" }", "{ type = \"md5\", key_id = 1, key = …"),
            ("kye = 'hush'", "kye = …"),
            ("auth = \"hush\"", "auth = …"),
            ("auth = [ { type = \"none\" } ]\n", "auth = [ { type = \"none\" } ]\n"),
            ("key_file = \"/etc/key\"\n", "key_file = \"/etc/key\"\n"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
