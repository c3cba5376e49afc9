//! What the documentation says is proven by a test is proven by a test that exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of functions in all sources below `dir`.
fn functions(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a directory of the repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            functions(&path, names);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("sources are text");
            for rest in text.split("fn ").skip(1) {
                names.extend(rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned));
            }
        }
    }
}

/// The names in the last column of the tables of a page.
fn proofs(page: &str) -> Vec<String> {
    let cells = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.trim_end_matches('|').rsplit('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn every_proof_of_a_page_is_a_test() {
    let mut names = BTreeSet::new();
    functions(&root(), &mut names);
    for (page, at_least) in
        [("docs/bgp.md", 50), ("docs/bfd.md", 15), ("docs/ospf.md", 40), ("docs/fib-dpdk.md", 15), ("docs/fib.md", 25)]
    {
        let text = fs::read_to_string(root().join(page)).expect("the page is there");
        let proofs = proofs(&text);
        assert!(proofs.len() > at_least, "the tables of {page} are read: {}", proofs.len());
        let missing: Vec<_> = proofs.iter().filter(|name| !names.contains(*name)).collect();
        assert!(missing.is_empty(), "{page} names tests that do not exist: {missing:#?}");
    }
}
