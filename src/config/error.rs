//! What is wrong with a configuration file, said so that nobody has to look anything up: file, line, column, the key, and
//! what would be right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::redact;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the text, octets.
    pub span: Range<usize>,
    /// The key with its tables: `neighbor.hold_time`. Empty when the text is no TOML.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with one file, or is to be thought about, in the order of the text. Passwords are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    file: PathBuf,
    found: Vec<Located>,
}

/// A [`Problem`] with its place as people count: from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Line, from 1; 0 when the file could not be read at all.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key with its tables.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// The line of the text.
    excerpt: String,
    /// Characters to underline.
    width: usize,
}

impl Errors {
    /// The file cannot be read.
    #[must_use]
    pub fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let message = format!("cannot read the file: {error}");
        let whole = Located { line: 0, column: 0, key: String::new(), message, excerpt: String::new(), width: 0 };
        Self { file: file.to_owned(), found: vec![whole] }
    }

    /// `problems` found in `text`, sorted by place; a place is reported once with the same words.
    #[must_use]
    pub fn new(file: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.span.start, &a.key).cmp(&(b.span.start, &b.key)));
        problems.dedup();
        let hidden = redact::hidden(text);
        let found = problems.into_iter().map(|problem| locate(text, &hidden, problem)).collect();
        Self { file: file.to_owned(), found }
    }

    /// True if nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The errors in the order of the text.
    #[must_use]
    pub fn list(&self) -> &[Located] {
        &self.found
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

fn locate(text: &str, hidden: &[Range<usize>], problem: Problem) -> Located {
    let start = floor(text, problem.span.start);
    let end = floor(text, problem.span.end.max(problem.span.start));
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    let width = text[start..end.min(line_end).max(start)].chars().count().max(1);
    let excerpt = shown(text, hidden, line_start..line_end).trim_end().replace('\t', " ");
    Located { line, column, key: problem.key, message: problem.message, excerpt, width }
}

/// A line with its secrets left out.
fn shown(text: &str, hidden: &[Range<usize>], line: Range<usize>) -> String {
    let mut shown = String::new();
    let mut at = line.start;
    for part in hidden.iter().filter(|part| part.start < line.end && part.end > line.start) {
        shown.push_str(&text[at..part.start.max(at)]);
        shown.push_str(redact::HIDDEN);
        at = part.end.min(line.end);
    }
    shown.push_str(&text[at..line.end]);
    shown
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.found.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let Located { line, column, key, message, excerpt, width } = error;
            write!(f, "{}", self.file.display())?;
            if *line > 0 {
                write!(f, ":{line}:{column}")?;
            }
            if key.is_empty() {
                write!(f, ": {message}")?;
            } else {
                write!(f, ": {key}: {message}")?;
            }
            if *line > 0 {
                let gutter = line.to_string().len();
                write!(f, "\n{:gutter$} |\n{line} | {excerpt}\n{:gutter$} | ", "", "")?;
                write!(f, "{:1$}", "", column - 1)?;
                write!(f, "{}", "^".repeat(*width))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
