//! A password is known to the kernel and to nobody else: not to the log at its most talkative, not to a client, not to `check`.
//!
//! Needs no privilege but for OSPF: sessions over loopback that never come up, no data plane.

use std::path::Path;
use std::process::{Command, Output};

use anyhop_tests::lab::process::Process;
use anyhop_tests::lab::{anyhop_bin, wait_for};
use nix::sys::signal::Signal;
use nix::unistd::Uid;

/// What must be seen nowhere, from the file itself and from a file of its own.
const SECRETS: [&str; 2] = ["hush-inline-7261", "hush-from-file-9914"];

fn all(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn silent(what: &str, said: &str) {
    for secret in SECRETS {
        assert!(!said.contains(secret), "{what} tells a password:\n{said}");
    }
}

/// OSPF with keys, on a link that is not there; it needs raw sockets, and so it is left out for who is not root.
fn ospf(dir: &Path) -> String {
    if !Uid::effective().is_root() {
        return String::new();
    }
    format!(
        "[ospf]\n[[ospf.interface]]\nname = \"no-such-link\"\narea = 0\nauth = [\n\
         {{ type = \"hmac-sha-256\", key_id = 1, key = \"{}\" }},\n\
         {{ type = \"hmac-sha-512\", key_id = 2, key_file = \"{}\" }},\n]\n",
        SECRETS[0],
        dir.join("key").display(),
    )
}

#[test]
fn a_password_is_told_nowhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, socket) = (dir.path().join("anyhop.toml"), dir.path().join("api.sock"));
    std::fs::write(dir.path().join("key"), format!("{}\n", SECRETS[1])).expect("written");
    let text = format!(
        "[node]\nasn = 64512\nrouter_id = \"10.0.0.11\"\nstate_dir = \"{}\"\n[api]\nlisten = [\"unix:{}\"]\n[log]\nlevel = \"trace\"\n\
         [fib]\nbackends = []\n[bgp]\nlisten = [\"127.0.0.1:0\"]\n\
         [[neighbor]]\naddress = \"127.0.0.77\"\nasn = 64500\nport = 9\nconnect_retry = \"100ms\"\npassword = \"{}\"\n\
         [[neighbor]]\naddress = \"127.0.0.78\"\nasn = 64501\nport = 9\npassword_file = \"key\"\n\
         [[neighbor]]\nrange = \"127.0.1.0/24\"\nasn = 64502\npassword = \"{}\"\n",
        dir.path().display(),
        socket.display(),
        SECRETS[0],
        SECRETS[0],
    ) + &ospf(dir.path());
    std::fs::write(&file, &text).expect("written");
    let path = file.to_str().expect("a plain path");
    let anyhop = |arguments: &[&str]| Command::new(anyhop_bin()).args(arguments).output().expect("it runs");

    // The check, of the right file and of wrong ones; a file that all can read is warned of.
    let output = anyhop(&["check", path]);
    assert_eq!(output.status.code(), Some(0), "{}", all(&output));
    assert!(all(&output).contains("can be read by others"), "{}", all(&output));
    silent("check", &all(&output));
    let json = all(&anyhop(&["check", path, "--json"]));
    assert!(json.contains("\"warning\"") && json.contains("\"valid\": true"), "{json}");
    let right = format!("password = \"{}\"", SECRETS[0]);
    let wrong = dir.path().join("wrong.toml");
    for slip in [
        format!("pasword = \"{}\"", SECRETS[0]),
        format!("password = \"{}", SECRETS[0]),
        format!("password = {}", SECRETS[0]),
        format!("password = [\"{}\"]", SECRETS[0]),
        format!("password = \"{}\"\npassword = \"{}\"", SECRETS[0], SECRETS[1]),
        format!("password = \"{}\"", SECRETS[0].repeat(6)),
        format!("password = \"\"\"\n{}\\q\"\"\"", SECRETS[0]),
    ] {
        std::fs::write(&wrong, text.replacen(&right, &slip, 1)).expect("written");
        for json in [&[][..], &["--json"][..]] {
            let output = anyhop(&[&["check", wrong.to_str().expect("a plain path")], json].concat());
            assert_eq!(output.status.code(), Some(2), "{slip}: {}", all(&output));
            silent(&slip, &all(&output));
        }
    }

    let right_key = format!("key = \"{}\" }}", SECRETS[0]);
    for slip in [
        format!("kye = \"{}\" }}", SECRETS[0]),
        format!("key = \"{} }}", SECRETS[0]),
        format!("key = [\"{}\"] }}", SECRETS[0]),
        format!("key = \"{}\" }}", SECRETS[0].repeat(20)),
    ] {
        if !text.contains(&right_key) {
            break;
        }
        std::fs::write(&wrong, text.replacen(&right_key, &slip, 1)).expect("written");
        let output = anyhop(&["check", wrong.to_str().expect("a plain path")]);
        assert_eq!(output.status.code(), Some(2), "{slip}: {}", all(&output));
        silent(&slip, &all(&output));
    }

    // The daemon: everything that a client can ask it, and a reload of the wrong file.
    let mut command = Command::new(anyhop_bin());
    command.arg("run").arg("-c").arg(&file);
    let mut daemon = Process::spawn("anyhop", &mut command, &dir.path().join("log"));
    let api = format!("unix:{}", socket.display());
    let client = |arguments: &[&str]| all(&anyhop(&[arguments, &["--api", &api]].concat()));
    wait_for("anyhop to answer", || {
        assert!(daemon.is_running(), "anyhop has ended:\n{}", daemon.log());
        let said = client(&["show", "neighbors", "127.0.0.77"]);
        if said.contains("TCP-MD5") { Ok(()) } else { Err(said) }
    });
    for arguments in [
        &["status"][..],
        &["show", "neighbors"],
        &["show", "neighbors", "127.0.0.77"],
        &["show", "neighbors", "127.0.0.78"],
        &["neighbor", "history", "127.0.0.77"],
        &["neighbor", "reset", "127.0.0.77"],
        &["neighbor", "drain", "127.0.0.78"],
        &["neighbor", "disable", "127.0.0.78", "--message", "bye"],
        &["neighbor", "enable", "127.0.0.78"],
        &["explain", "192.0.2.0/24"],
        &["show", "ospf", "interfaces"],
        &["show", "ospf", "neighbors"],
    ] {
        silent(&arguments.join(" "), &client(arguments));
        silent(&arguments.join(" "), &client(&[arguments, &["--json"]].concat()));
    }
    std::fs::write(&file, text.replacen(&right, &format!("password = \"{}", SECRETS[0]), 1)).expect("written");
    daemon.signal(Signal::SIGHUP);
    wait_for("the refusal", || if daemon.log().contains("reload refused") { Ok(()) } else { Err(daemon.log()) });
    std::fs::write(&file, text.replace(SECRETS[0], SECRETS[1])).expect("written");
    daemon.signal(Signal::SIGHUP);
    wait_for("the reload", || if daemon.log().contains("reloaded: neighbor") { Ok(()) } else { Err(daemon.log()) });
    silent("the log", &daemon.log());
}
