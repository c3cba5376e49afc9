//! Configuration: one TOML file, read with the place of every value, validated whole, and handed on as plain data.
//!
//! `file` is what people may write, [`model`] is what is true, [`diff`] is what a reload changes. [`check`] reports
//! everything that is wrong at once; the daemon never runs on a part of a file.

mod bfd;
mod build;
pub mod diff;
pub mod error;
mod file;
pub mod model;
mod neighbors;
mod ospf;
mod policies;
mod read;
mod redact;
mod routes;
mod secret;
mod services;
#[cfg(test)]
mod tests;

use std::path::Path;

use bgpd::config::{NeighborConfig, SpeakerConfig};

pub use error::{Errors, Located};
pub use model::Model;

/// Where the configuration stands unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/anyhop/anyhop.toml";

/// Reads and validates a file.
///
/// # Errors
/// Everything that is wrong, with file, line, column, key and what would be right.
pub fn check(path: &Path) -> Result<Model, Errors> {
    review(path).map(|(model, _)| model)
}

/// Validates `text` as if it stood in the file `path`.
///
/// # Errors
/// As [`check`].
pub fn check_text(path: &Path, text: &str) -> Result<Model, Errors> {
    review_text(path, text).map(|(model, _)| model)
}

/// The one neighbor in `content`: its keys, with or without a `[[neighbor]]` header, judged as in a file whose other parts
/// are `speaker`, but without groups. Relative paths begin in the directory `base`.
///
/// # Errors
/// As [`check`].
pub fn neighbor(base: &Path, content: &str, speaker: &SpeakerConfig) -> Result<NeighborConfig, Errors> {
    build::neighbor(content, base, speaker).map_err(|problems| Errors::new(Path::new("content"), content, problems))
}

/// As [`check`], with what is allowed and may be unwise.
///
/// # Errors
/// As [`check`].
pub fn review(path: &Path) -> Result<(Model, Errors), Errors> {
    let text = std::fs::read_to_string(path).map_err(|error| Errors::unreadable(path, &error))?;
    review_text(path, &text)
}

/// As [`check_text`], with what is allowed and may be unwise.
///
/// # Errors
/// As [`check`].
pub fn review_text(path: &Path, text: &str) -> Result<(Model, Errors), Errors> {
    let base = path.parent().unwrap_or(Path::new(""));
    match build::model(text, base) {
        Ok((model, warnings)) => Ok((model, Errors::new(path, text, warnings))),
        Err(problems) => Err(Errors::new(path, text, problems)),
    }
}
