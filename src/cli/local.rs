//! The commands that are not a client's: the daemon, the check of a configuration, the demo.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::output;
use crate::config::{Errors, Located};

/// The configuration cannot be used.
const INVALID: u8 = 2;

/// Something found in a configuration.
#[derive(Serialize)]
struct Finding<'a> {
    severity: &'static str,
    line: usize,
    column: usize,
    key: &'a str,
    message: &'a str,
}

/// What `anyhop check --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    valid: bool,
    findings: Vec<Finding<'a>>,
}

fn findings<'a>(found: &'a Errors, severity: &'static str) -> Vec<Finding<'a>> {
    let finding = |located: &'a Located| Finding {
        severity,
        line: located.line,
        column: located.column,
        key: &located.key,
        message: &located.message,
    };
    found.list().iter().map(finding).collect()
}

/// `anyhop check FILE`: errors end it with 2, warnings do not.
pub(super) fn check(file: &Path, json: bool) -> ExitCode {
    let review = crate::config::review(file);
    let (found, severity) = match &review {
        Ok((_, warnings)) => (warnings, "warning"),
        Err(errors) => (errors, "error"),
    };
    if !found.is_empty() {
        use std::io::Write as _;
        let label = if review.is_ok() { "warning: " } else { "" };
        let _ = writeln!(std::io::stderr(), "{label}{found}");
    }
    let written = if json {
        let report =
            Report { file: file.display().to_string(), valid: review.is_ok(), findings: findings(found, severity) };
        output::json(&report)
    } else if review.is_ok() {
        output::line(&format!("{}: valid", file.display()))
    } else {
        Ok(())
    };
    match (written, review.is_ok()) {
        (Err(failure), _) => failure.report(),
        (Ok(()), true) => ExitCode::SUCCESS,
        (Ok(()), false) => ExitCode::from(INVALID),
    }
}

/// `anyhop run [-c FILE]`.
pub(super) fn run(config: &Path) -> ExitCode {
    crate::daemon::run(config)
}

/// `anyhop demo [--hold]`.
pub(super) fn demo(hold: bool) -> ExitCode {
    crate::demo::run(hold)
}
