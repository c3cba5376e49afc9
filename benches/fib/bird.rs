//! BIRD on the same table: static routes, one kernel protocol per family, timed from its start to the last route in the kernel.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::flood;

/// `rtm_protocol` of BIRD's routes.
const PROTOCOL: u8 = 12;

struct Bird(Child);

impl Drop for Bird {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn birdc(dir: &Path, words: &str) -> Option<String> {
    let output = Command::new("birdc").arg("-s").arg(dir.join("bird.ctl")).args(words.split(' ')).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How long BIRD needs for the table, once it has read its configuration; `None` if there is no BIRD.
#[allow(clippy::disallowed_methods, reason = "it measures")]
pub(crate) fn load(v4: &[IpNet], v6: &[IpNet]) -> Option<Duration> {
    Command::new("bird").arg("--version").stderr(Stdio::null()).output().ok()?;
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = String::from("router id 10.0.0.1;\nprotocol device {}\n");
    for (name, family, gateway, prefixes) in [("4", "ipv4", "10.0.0.2", v4), ("6", "ipv6", "fd00::2", v6)] {
        let _ = writeln!(
            config,
            "protocol kernel kernel{name} {{ disabled; {family} {{ export all; import none; }}; metric 20; }}"
        );
        let _ = writeln!(config, "protocol static static{name} {{ {family};");
        for prefix in prefixes {
            let _ = writeln!(config, "route {prefix} via {gateway};");
        }
        config += "}\n";
    }
    let file = dir.path().join("bird.conf");
    std::fs::write(&file, config).expect("a configuration");
    let mut child = Command::new("bird");
    child
        .arg("-f")
        .arg("-c")
        .arg(&file)
        .arg("-s")
        .arg(dir.path().join("bird.ctl"))
        .arg("-P")
        .arg(dir.path().join("pid"));
    let _bird = Bird(child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?);
    let total = v4.len() + v6.len();
    wait("BIRD to read its table", || {
        let counts = birdc(dir.path(), "show route count").unwrap_or_default();
        counts.contains(&format!("{} of {}", v4.len(), v4.len()))
            && counts.contains(&format!("{} of {}", v6.len(), v6.len()))
    });
    let begin = Instant::now();
    birdc(dir.path(), "enable \"kernel*\"").expect("BIRD listens");
    let mut seen = (0, begin);
    wait("BIRD to write its table", || {
        let shown = birdc(dir.path(), "show protocols all \"kernel*\"").unwrap_or_default();
        let exported = shown.lines().filter_map(|line| line.trim().strip_prefix("Routes:")).filter_map(|line| {
            line.split(',').find_map(|part| part.trim().strip_suffix(" exported")?.trim().parse::<usize>().ok())
        });
        let exported: usize = exported.sum();
        if exported > seen.0 {
            seen = (exported, Instant::now());
        }
        exported >= total
    });
    let took = seen.1 - begin;
    let held = flood::dump(false, PROTOCOL) + flood::dump(true, PROTOCOL);
    assert!(held >= total, "BIRD wrote {held} of {total} routes");
    Some(took)
}

#[allow(clippy::disallowed_methods, reason = "it waits")]
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(300);
    while !done() {
        assert!(Instant::now() < end, "waited five minutes for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
