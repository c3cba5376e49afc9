//! The command line of a benchmark.

/// Reads `--NAME NUMBER` for each row, and gives back the words that are in none.
pub(crate) fn options(rows: &mut [(&str, &mut usize)]) -> Vec<String> {
    let mut others = Vec::new();
    // `--bench` is cargo's.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        match rows.iter_mut().find(|(name, _)| word.strip_prefix("--") == Some(name)) {
            Some((_, value)) => {
                let number = words.next().and_then(|n| n.parse().ok());
                **value = number.unwrap_or_else(|| panic!("{word} needs a number"));
            }
            None => others.push(word),
        }
    }
    others
}
