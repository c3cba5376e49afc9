//! The arrows between the floors: who may import whom, and where clocks, sockets and runtimes may stand.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("readable directory entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&root().join(dir), &mut found);
    assert!(!found.is_empty(), "{dir} has no source files");
    found
}

/// The code lines of a file: comments do not count.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("source file is UTF-8");
    text.lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or("").to_string()))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect()
}

/// Fails for every code line under `dir` that holds one of `words` as a path, except in files that `except` names.
fn forbid(dir: &str, words: &[&str], except: &[&str], why: &str) {
    let mut wrong = Vec::new();
    for path in files(dir) {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        if except.iter().any(|e| name.contains(e)) {
            continue;
        }
        for (n, line) in code(&path) {
            if words.iter().any(|word| holds_path(&line, word)) {
                wrong.push(format!("{name}:{n}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{why}:\n{}", wrong.join("\n"));
}

/// `word` stands in `line` and no letter precedes it, so that `rib::` is not found in `scribe::`.
fn holds_path(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.')
    })
}

#[test]
fn the_word_search_sees_paths_and_not_parts_of_names() {
    assert!(holds_path("use bgpd::io;", "bgpd::"));
    assert!(holds_path("let x = tokio::spawn(y);", "tokio::"));
    assert!(!holds_path("scribe::write()", "ribe::"));
    assert!(!holds_path("crate::tokio::x", "tokio::"));
}

#[test]
fn manifests_draw_only_downward_arrows() {
    let ours = ["anyhop", "bgpd", "fib-sync", "ospfd", "proto", "rib", "anyhop-tests"];
    let allowed: [(&str, &[&str]); 5] =
        [("rib", &[]), ("bgpd", &["rib"]), ("ospfd", &["rib"]), ("fib-sync", &["rib"]), ("proto", &[])];
    for (name, may) in allowed {
        let text = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("manifest");
        for line in text.lines() {
            let Some(dependency) = line.split(['.', ' ', '=']).next() else { continue };
            if line.contains("workspace") && ours.contains(&dependency) && !may.contains(&dependency) {
                panic!("{name}/Cargo.toml: {name} must not depend on {dependency}");
            }
        }
    }
}

#[test]
fn siblings_and_ground_never_look_up_or_sideways() {
    forbid("rib/src", &["bgpd::", "ospfd::", "fib_sync::", "proto::", "anyhop::"], &[], "rib imports nothing of ours");
    forbid("bgpd/src", &["ospfd::", "fib_sync::", "proto::", "anyhop::"], &[], "bgpd stands on rib alone");
    forbid("ospfd/src", &["bgpd::", "fib_sync::", "proto::", "anyhop::"], &[], "ospfd stands on rib alone");
    forbid("fib-sync/src", &["bgpd::", "ospfd::", "proto::", "anyhop::"], &[], "fib-sync knows no protocol");
}

#[test]
fn the_wire_knows_nothing_of_sessions_tables_or_policy() {
    let rooms = [
        "crate::session",
        "crate::fsm",
        "crate::locrib",
        "crate::export",
        "crate::import",
        "crate::policy",
        "crate::speaker",
        "crate::intern",
        "crate::attrs",
        "crate::io",
        "crate::config",
    ];
    forbid("bgpd/src/wire", &rooms, &[], "wire parses octets and nothing else");
}

#[test]
fn machines_have_no_runtime_no_sockets_and_no_clock() {
    let carriers = [
        "bgpd/src/io/",
        "ospfd/src/io/",
        // The program's maps outlive their writer, and neighbors are followed beside it.
        "fib-sync/src/xdp/area.rs",
        "fib-sync/src/xdp/backend.rs",
        "fib-sync/src/netlink/",
        // Connections to processes that forward.
        "fib-sync/src/dpdk/",
        "fib-sync/src/fpm/",
        "fib-sync/src/thread",
        // The stream of host events, and the host in memory that feeds it.
        "fib-sync/src/host/events.rs",
        "fib-sync/src/memory/host.rs",
        "/tests.rs",
        "/tests/",
    ];
    let words = [
        "tokio::",
        "socket2::",
        "std::net::TcpStream",
        "std::net::UdpSocket",
        "std::net::TcpListener",
        "std::thread::",
        "thread::spawn",
        "Instant::now",
        "SystemTime::now",
        "std::time::Instant::now",
        "fastrand::Rng::new",
        "async fn",
    ];
    for dir in ["rib/src", "bgpd/src", "ospfd/src", "fib-sync/src"] {
        forbid(dir, &words, &carriers, "machines are values: time and octets come in as arguments");
    }
}

#[test]
fn nothing_is_left_undone() {
    for dir in ["src", "rib/src", "bgpd/src", "ospfd/src", "fib-sync/src", "tests/src"] {
        forbid(dir, &[concat!("todo", "!("), concat!("unimplemented", "!(")], &[], "no part is a stub");
    }
}
