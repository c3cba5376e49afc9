//! The device under test: two network namespaces joined by a veth pair, and the daemon in one of them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// A daemon that we know: its files and how it is started; `@dir@` is its directory, `@bin@` what `--bin` says.
struct Known {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    command: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        name: "anyhop",
        files: &[("anyhop.toml", include_str!("../duts/anyhop.toml"))],
        command: "exec @bin@ run -c @dir@/anyhop.toml",
    },
    Known {
        name: "bird",
        files: &[("bird.conf", include_str!("../duts/bird.conf"))],
        command: "exec @bin@ -f -c @dir@/bird.conf -s @dir@/ctl -P @dir@/pid",
    },
    // `--bin` is the directory of zebra and ospfd. Both drop to the user frr.
    Known {
        name: "frr",
        files: &[("zebra.conf", "hostname dut\nip forwarding\n"), ("ospfd.conf", include_str!("../duts/frr.conf"))],
        command: "chown frr:frr @dir@; common='-z @dir@/api --vty_socket @dir@ -A 127.0.0.1 -P 0 -u frr -g frr'; \
                  @bin@/zebra -f @dir@/zebra.conf -i @dir@/zebra.pid $common & \
                  until [ -e @dir@/api ]; do sleep 0.01; done; \
                  exec @bin@/ospfd -f @dir@/ospfd.conf -i @dir@/ospfd.pid $common",
    },
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
        let known = KNOWN.iter().find(|known| known.name == name).unwrap_or_else(|| panic!("unknown --dut {name}"));
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
        for (file, text) in known.files {
            fs::write(dut.dir.join(file), filled(text)).expect("its configuration");
        }
        let log = fs::File::create(dut.dir.join("log")).expect("its log");
        let child = Command::new("ip")
            .args(["netns", "exec", &own, "/bin/sh", "-c", &filled(known.command)])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        dut.child = Some(child.expect("the daemon"));
        sleep(Duration::from_secs(1));
        dut
    }

    /// Every process in the daemon's namespace.
    pub fn pids(&self) -> Vec<u32> {
        let told = Command::new("ip").args(["netns", "pids", &self.netns[0]]).output().expect("ip netns pids");
        String::from_utf8_lossy(&told.stdout).split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// What it said, for who must see why it does not work.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Dut {
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        for one in &self.netns {
            let _ = Command::new("ip").args(["netns", "del", one]).status();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
