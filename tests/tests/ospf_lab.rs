//! Networks of real routers in namespaces, of anyhop alone and mixed with FRR and BIRD: links, routers and metrics change, and
//! after each change every kernel's table is compared with what an independent calculation says, down to the last equal-cost
//! next hop. The laboratory itself is `tests/ospf-lab`.
//!
//! `tests/run` passes one cell of each topology, so that every mix and version has its turn; `tests/run --full` all of them.

#![allow(clippy::disallowed_methods, reason = "runs a program and waits for it")]

use std::path::Path;
use std::process::Command;

use anyhop_tests::lab::{anyhop_bin, lab};

/// Who speaks in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mix {
    Alone,
    WithFrr,
    WithBird,
}

use Mix::{Alone, WithBird, WithFrr};

/// A network of routers with one way of mixing them.
struct Cell {
    topology: &'static str,
    version: u8,
    mix: Mix,
}

impl Cell {
    /// Daemons by number of the node, again and again. anyhop is at both ends of the virtual link where FRR has none (OSPFv3), and
    /// where BIRD at both ends says nothing more of a backbone link that came back.
    fn daemons(&self) -> &'static str {
        match self.mix {
            Alone => "anyhop",
            WithFrr if self.topology == "vlink" && self.version == 3 => "frr,anyhop",
            WithBird if self.topology == "vlink" => "bird,anyhop",
            WithFrr => "anyhop,frr",
            WithBird => "anyhop,bird",
        }
    }

    /// Passes through faults: one after another, at default timers where anyhop is alone. The others would take a minute to notice
    /// that there is a network, and nobody notices sooner than after the dead interval that a router was killed.
    fn sample(&self) -> Result<(), String> {
        self.run(if self.mix == Alone { "default" } else { "fast" }, "linkdown")
    }

    /// All faults. Packets are lost at default timers only: with a dead interval of 3 s a fifth lost breaks adjacencies for good.
    fn all(&self) -> Result<(), String> {
        match self.mix {
            Alone => {
                self.run("default", "linkdown,metric,partition,loss")?;
                self.run("fast", "kill")
            }
            WithFrr | WithBird => self.run("fast", "linkdown,kill,metric,partition"),
        }
    }

    fn run(&self, profile: &str, faults: &str) -> Result<(), String> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("ospf-lab/lab.py");
        let mut command = Command::new("python3");
        command.arg(place).arg(self.topology).args(["-v", &self.version.to_string()]);
        command.args(["-d", self.daemons(), "-p", profile, "-f", faults, "--limit", "30"]);
        let output = command.env("ANYHOP_BIN", anyhop_bin()).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}");
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Runs the sample of a topology, or all its cells.
#[track_caller]
fn cells(topology: &'static str, version: u8, mix: Mix) {
    if lab("ospf_lab").is_none() {
        return;
    }
    if std::env::var_os("ANYHOP_FULL").is_none() {
        let told = Cell { topology, version, mix }.sample();
        return told.unwrap_or_else(|why| panic!("{why}"));
    }
    let all = [2, 3]
        .into_iter()
        .flat_map(|version| [Alone, WithFrr, WithBird].map(|mix| Cell { topology, version, mix }.all()));
    let wrong: Vec<String> = all.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_of_routers_has_right_tables_after_every_fault() {
    cells("line:4", 3, WithFrr);
}

#[test]
fn a_ring_of_routers_has_right_tables_after_every_fault() {
    cells("ring:5", 2, Alone);
}

#[test]
fn a_lan_of_routers_has_right_tables_after_every_fault() {
    cells("lan:4", 3, WithBird);
}

#[test]
fn several_areas_have_right_tables_after_every_fault() {
    cells("multiarea", 2, WithFrr);
}

#[test]
fn stub_and_nssa_areas_have_right_tables_after_every_fault() {
    cells("stubnssa", 2, WithBird);
}

#[test]
fn externals_have_right_tables_after_every_fault() {
    cells("asbr", 3, Alone);
}

#[test]
fn a_virtual_link_has_right_tables_after_every_fault() {
    cells("vlink", 3, WithFrr);
}

#[test]
fn a_grid_with_many_equal_ways_has_right_tables_after_every_fault() {
    cells("grid:4", 2, WithBird);
}
