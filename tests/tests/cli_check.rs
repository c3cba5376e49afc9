//! `anyhop check` and the command line itself: what an operator reads after a slip of the finger. No root needed.

use std::path::Path;
use std::process::{Command, Output};

use anyhop_tests::lab::anyhop_bin;

fn anyhop(arguments: &[&str]) -> Output {
    Command::new(anyhop_bin()).args(arguments).env_remove("ANYHOP_API").output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn check(text: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("anyhop.toml");
    std::fs::write(&path, text).expect("the file is written");
    let output = anyhop(&["check", path.to_str().expect("a plain path")]);
    (output.status.code(), said(&output))
}

const GOOD: &str = r#"
[node]
asn = 64512
router_id = "10.0.0.11"
[[neighbor]]
address = "10.0.0.1"
asn = 64500
[[service]]
name = "dns"
vips = ["192.0.2.53/32"]
bind = "lo"
checks = [ { type = "dns", target = "127.0.0.1:53", query = "example.test A" } ]
"#;

#[test]
fn a_good_file_passes() {
    let (code, said) = check(GOOD);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_bad_file_is_refused_with_file_line_key_and_what_would_be_right() {
    // What is changed in the good file, the line it is on, and words that must be said.
    let slips: &[(&str, &str, u32, &[&str])] = &[
        ("asn = 64512", "asm = 64512", 3, &["asm", "asn"]),
        ("asn = 64500", "asn = 0", 7, &["asn"]),
        ("asn = 64500", "asn = \"many\"", 7, &["asn"]),
        ("\"10.0.0.11\"", "\"10.0.0\"", 4, &["router_id"]),
        ("\"10.0.0.1\"", "\"10.0.0.1/24\"", 6, &["address"]),
        ("192.0.2.53/32", "192.0.2.53/24", 10, &["vips", "192.0.2.0/24"]),
        ("type = \"dns\"", "type = \"dnss\"", 12, &["dnss", "dns"]),
        ("type = \"dns\"", "type = \"icmp\"", 12, &["icmp", "not yet supported"]),
        ("query = \"example.test A\"", "query = \"example.test WHAT\"", 12, &["query", "WHAT"]),
        ("bind = \"lo\"", "bnid = \"lo\"", 11, &["bnid", "bind"]),
        ("bind = \"lo\"", "bind = ", 11, &[]),
        ("asn = 64500", "asn = 64500\nexport = \"to-transit\"", 8, &["export", "to-transit"]),
        ("[[neighbor]]", "[fleet]\netcd = []\n[[neighbor]]", 5, &["fleet", "not yet supported"]),
    ];
    for (right, wrong, line, words) in slips {
        assert!(GOOD.contains(right), "{right}");
        let (code, said) = check(&GOOD.replace(right, wrong));
        assert_eq!(code, Some(2), "{wrong}: {said}");
        assert!(said.contains(&format!("anyhop.toml:{line}:")), "{wrong}: line {line} is named: {said}");
        for word in *words {
            assert!(said.contains(word), "{wrong}: {word:?} is said: {said}");
        }
    }
}

#[test]
fn several_mistakes_are_told_at_once() {
    let (code, said) = check(&GOOD.replace("asn = 64512", "asm = 64512").replace("bind = \"lo\"", "bnid = \"lo\""));
    assert_eq!(code, Some(2));
    assert!(said.contains("asm") && said.contains("bnid"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = anyhop(&["check", "/nonexistent/anyhop.toml"]);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(said(&output).contains("/nonexistent/anyhop.toml"), "{}", said(&output));
    let output = anyhop(&["run", "-c", "/nonexistent/anyhop.toml"]);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(said(&output).contains("/nonexistent/anyhop.toml"), "{}", said(&output));
}

#[test]
fn wrong_usage_is_exit_2_and_help_is_exit_0() {
    for wrong in [&["frobnicate"][..], &["check"], &["lookup"], &["show", "nothing"], &["lookup", "not-an-address"]] {
        let output = anyhop(wrong);
        assert_eq!(output.status.code(), Some(2), "anyhop {wrong:?}: {}", said(&output));
    }
    let help = anyhop(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for verb in ["run", "check", "demo", "status", "show", "lookup", "explain", "watch", "service", "route", "neighbor"]
    {
        assert!(said(&help).contains(verb), "{verb} is in the help: {}", said(&help));
    }
    assert_eq!(anyhop(&["--version"]).status.code(), Some(0));
}

#[test]
fn an_api_that_does_not_answer_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let nobody = dir.path().join("nobody.sock");
    let unix = format!("unix:{}", nobody.display());
    for api in [unix.as_str(), "127.0.0.1:1"] {
        let output = anyhop(&["show", "neighbors", "--api", api]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(api.trim_start_matches("unix:")), "{}", said(&output));
    }
    let by_environment =
        Command::new(anyhop_bin()).args(["status"]).env("ANYHOP_API", &unix).output().expect("it runs");
    assert_eq!(by_environment.status.code(), Some(1));
    assert!(said(&by_environment).contains(&nobody.display().to_string()), "{}", said(&by_environment));
    assert!(!Path::new(&nobody).exists());
}
