//! The device under test: two network namespaces joined by a veth pair, and the daemon in one of them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Known daemons: name, configuration, its file, command; `@dir@` is the daemon's directory, `@bin@` what `--bin` says.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    ("anyhop", include_str!("../duts/anyhop.toml"), "anyhop.toml", "exec @bin@ run -c @dir@/anyhop.toml"),
    ("bird", include_str!("../duts/bird.conf"), "bird.conf", "exec @bin@ -f -c @dir@/bird.conf -s @dir@/ctl -P @dir@/pid"),
];

pub struct Dut {
    /// The namespace of the daemon, and the injector's.
    pub netns: [String; 2],
    dir: PathBuf,
    child: Option<Child>,
}

fn ip(args: &str) {
    let done = Command::new("ip").args(args.split_whitespace()).status();
    assert!(done.is_ok_and(|status| status.success()), "ip {args}");
}

impl Dut {
    pub fn start(name: &str, bin: &str) -> Self {
        let (_, text, file, command) =
            KNOWN.iter().find(|known| known.0 == name).unwrap_or_else(|| panic!("unknown --dut {name}"));
        let tag = std::process::id();
        let netns = [format!("scale{tag}d"), format!("scale{tag}i")];
        let dir = std::env::temp_dir().join(format!("ospf-scale-{tag}"));
        fs::create_dir_all(&dir).expect("a directory");
        let mut dut = Self { netns, dir, child: None };
        let [own, other] = dut.netns.clone();
        for one in [&own, &other] {
            ip(&format!("netns add {one}"));
            ip(&format!("-n {one} link set lo up"));
        }
        ip(&format!("-n {own} link add x0 type veth peer name x0 netns {other}"));
        for (one, address) in [(&own, "192.0.2.2/30"), (&other, "192.0.2.1/30")] {
            ip(&format!("-n {one} addr add {address} dev x0"));
            ip(&format!("-n {one} link set x0 up"));
        }
        ip(&format!("-n {own} addr add 250.0.0.1/32 dev lo"));
        let filled = |text: &str| text.replace("@dir@", &dut.dir.to_string_lossy()).replace("@bin@", bin);
        fs::write(dut.dir.join(file), filled(text)).expect("its configuration");
        let log = fs::File::create(dut.dir.join("log")).expect("its log");
        let child = Command::new("ip")
            .args(["netns", "exec", &own, "/bin/sh", "-c", &filled(command)])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        dut.child = Some(child.expect("the daemon"));
        sleep(Duration::from_secs(1));
        dut
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
}

impl Drop for Dut {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for one in &self.netns {
            let _ = Command::new("ip").args(["netns", "del", one]).status();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
