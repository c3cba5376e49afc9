"""How to configure, start, reconfigure and stop one routing daemon in one node. A driver sees the neutral facts of its `Node`
and nothing of the rest of the lab."""
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field

from .net import sh

PROFILES = {
    # hello, dead, SPF (delay, hold, max) in ms, LSA throttling off, BFD interval ms (0 = none)
    "default": dict(hello=10, dead=40, tuned=False, bfd=0),
    "fast": dict(hello=1, dead=3, tuned=True, bfd=0),
    "bfd": dict(hello=1, dead=3, tuned=True, bfd=50),
}


@dataclass
class Node:
    idx: int
    ns: str
    rid: str
    v: int                      # 4: OSPFv2, 6: OSPFv3
    dir: str
    lo: str
    lo_area: int
    areas: list                 # [{id, kind, ifaces: [...], vlinks: [rid]}]
    ext: list                   # [{prefix, type, metric}]
    timers: dict
    procs: dict = field(default_factory=dict)   # name -> Popen

    def ifaces(self):
        return [i for a in self.areas for i in a["ifaces"]]

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def spawn(self, name, argv):
        log = open(self.path(name + ".out"), "ab")
        self.procs[name] = subprocess.Popen(
            ["ip", "netns", "exec", self.ns, *argv], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True)
        log.close()

    def wait_path(self, path, limit=5.0):
        end = time.monotonic() + limit
        while not os.path.exists(path):
            if time.monotonic() > end:
                raise RuntimeError(f"{path} did not appear")
            time.sleep(0.005)


class Driver:
    name = "?"

    def start(self, n):
        raise NotImplementedError

    def set_cost(self, n, dev, cost):
        raise NotImplementedError

    def stop(self, n, sig=signal.SIGTERM):
        for p in n.procs.values():
            if p.poll() is None:
                p.send_signal(sig)
        end = time.monotonic() + 3
        for p in n.procs.values():
            try:
                p.wait(max(0.05, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        n.procs.clear()


class Frr(Driver):
    name = "frr"
    lib = "/usr/lib/frr"

    def start(self, n):
        t, v4 = n.timers, n.v == 4
        for f in os.listdir(n.dir):
            if f.endswith((".vty", ".api", ".pid", ".sock")):
                os.unlink(n.path(f))
        zapi = n.path("zserv.api")
        shutil.chown(n.dir, "frr", "frr")  # the daemons drop to this user
        n.write("zebra.conf", "hostname r%d\nip forwarding\nipv6 forwarding\n" % n.idx)
        common = ["-z", zapi, "--vty_socket", n.dir, "-A", "127.0.0.1", "-P", "0",
                  "-u", "frr", "-g", "frr"]

        def go(d, *extra):
            n.spawn(d, [f"{self.lib}/{d}", "-f", n.path(d + ".conf"), "-i", n.path(d + ".pid"),
                        *common, *extra])

        go("zebra")
        n.wait_path(zapi)
        if t["bfd"]:
            n.write("bfdd.conf", f"bfd\n profile lab\n  transmit-interval {t['bfd']}\n"
                    f"  receive-interval {t['bfd']}\n  detect-multiplier 3\n exit\nexit\n")
            go("bfdd", "--bfdctl", n.path("bfdd.sock"))
            n.wait_path(n.path("bfdd.sock"))
        d = "ospfd" if v4 else "ospf6d"
        n.write(d + ".conf", self.conf4(n) if v4 else self.conf6(n))
        go(d)

    def _ifaces(self, n, word):
        t, out = n.timers, []
        for a in n.areas:
            for i in a["ifaces"]:
                out += [f"interface {i['dev']}",
                        f" {word} network {'broadcast' if i['lan'] else 'point-to-point'}",
                        f" {word} cost {i['cost']}",
                        f" {word} hello-interval {t['hello']}",
                        f" {word} dead-interval {t['dead']}",
                        f" {word} priority {i['prio']}"]
                if t["bfd"]:
                    out += [f" {word} bfd", f" {word} bfd profile lab"]
                if n.v == 6:
                    out += [f" ipv6 ospf6 area {a['id']}"]
                out += ["exit"]
        return out

    def conf4(self, n):
        c = [f"hostname r{n.idx}", *self._ifaces(n, "ip ospf"), "router ospf", f" ospf router-id {n.rid}"]
        c += [f" network {n.lo} area {n.lo_area}"]
        for a in n.areas:
            c += [f" network {i['net']} area {a['id']}" for i in a["ifaces"]]
            if a["kind"] == "stub":
                c += [f" area {a['id']} stub"]
            if a["kind"] == "nssa":
                c += [f" area {a['id']} nssa"]
            c += [f" area {a['id']} virtual-link {p}" + (
                f" hello-interval {n.timers['hello']} dead-interval {n.timers['dead']}" if n.timers["tuned"] else "")
                for p in a["vlinks"]]
        if any(a["vlinks"] for a in n.areas):
            c += [" ospf abr-type standard"]  # else a router without its own backbone link is no ABR
        if n.timers["tuned"]:
            c += [" timers throttle spf 0 10 100", " timers throttle lsa all 0", " timers lsa min-arrival 0"]
        return "\n".join(c + self._redist(n) + ["exit"] + self._maps(n, "ip") + [""])

    def conf6(self, n):
        c = [f"hostname r{n.idx}", *self._ifaces(n, "ipv6 ospf6"),
             "interface lo", f" ipv6 ospf6 area {n.lo_area}", "exit",
             "router ospf6", f" ospf6 router-id {n.rid}"]
        for a in n.areas:
            if a["kind"] in ("stub", "nssa"):
                c += [f" area {a['id']} {a['kind']}"]
        if n.timers["tuned"]:
            c += [" timers throttle spf 0 10 100", " timers lsa min-arrival 0"]
        return "\n".join(c + self._redist(n) + ["exit"] + self._maps(n, "ipv6") + [""])

    def _redist(self, n):
        return [" redistribute connected route-map EXT"] if n.ext else []

    def _maps(self, n, ip):
        out = []
        for k, e in enumerate(n.ext):
            out += [f"{ip} prefix-list X{k} seq 5 permit {e['prefix']}",
                    f"route-map EXT permit {10 + k}", f" match {ip} address prefix-list X{k}",
                    f" set metric {e['metric']}", f" set metric-type type-{e['type']}", "exit"]
        return out

    def vty(self, n, *cmds):
        argv = ["vtysh", "--vty_socket", n.dir]
        for c in cmds:
            argv += ["-c", c]
        return sh("ip", "netns", "exec", n.ns, *argv, check=False)

    def set_cost(self, n, dev, cost):
        self.vty(n, "conf t", f"interface {dev}", f"{'ip ospf' if n.v == 4 else 'ipv6 ospf6'} cost {cost}")


class Bird(Driver):
    name = "bird"

    def start(self, n):
        conf = n.write("bird.conf", self.conf(n))
        if os.path.exists(n.path("bird.ctl")):
            os.unlink(n.path("bird.ctl"))
        n.spawn("bird", ["/usr/sbin/bird", "-f", "-c", conf, "-s", n.path("bird.ctl"), "-P", n.path("bird.pid")])

    def conf(self, n):
        t, ver = n.timers, 2 if n.v == 4 else 3
        fam = "ipv4" if n.v == 4 else "ipv6"
        c = [f"router id {n.rid};", "protocol device {}",
             "protocol kernel { %s { import none; export where source ~ [RTS_OSPF, RTS_OSPF_IA, RTS_OSPF_EXT1, RTS_OSPF_EXT2]; }; }" % fam]
        if t["bfd"]:
            c += ['protocol bfd { interface "*" { interval %d ms; multiplier 3; }; }' % t["bfd"]]
        if n.ext:
            c += ["protocol static { %s;" % fam, *(f'  route {e["prefix"]} via "ext0";' for e in n.ext), "}"]
        c += ["protocol ospf v%d o {" % ver, "  tick 1;"]
        if n.ext:
            c += ["  %s { import all; export filter {" % fam]
            for e in n.ext:
                c += [f"    if net = {e['prefix']} then {{ ospf_metric{e['type']} = {e['metric']}; accept; }}"]
            c += ["    reject; }; };"]
        else:  # any filter would make BIRD an ASBR, which it refuses inside a stub area
            c += ["  %s { import all; export none; };" % fam]
        for a in n.areas:
            c += ["  area %d {" % a["id"]]
            c += {"stub": ["    stub; summary yes;"], "nssa": ["    nssa; summary yes;"]}.get(a["kind"], [])
            if a["id"] == n.lo_area:
                c += ['    interface "lo"%s { stub; };' % (" " + n.lo if n.v == 4 else "")]
            for i in a["ifaces"]:
                c += ['    interface "%s" { type %s; cost %d; hello %d; dead %d; priority %d; %s%s};' % (
                    i["dev"], "broadcast" if i["lan"] else "ptp", i["cost"], t["hello"], t["dead"], i["prio"],
                    "wait %d; " % t["dead"] if t["tuned"] else "", "bfd yes; " if t["bfd"] else "")]
            c += ["    virtual link %s { hello %d; dead %d; };" % (p, t["hello"], t["dead"]) for p in a["vlinks"]]
            c += ["  };"]
        return "\n".join(c + ["}", ""])

    def set_cost(self, n, dev, cost):
        for i in n.ifaces():
            if i["dev"] == dev:
                i["cost"] = cost
        n.write("bird.conf", self.conf(n))
        sh("birdc", "-s", n.path("bird.ctl"), "configure")


class Anyhop(Driver):
    """The built binary: `$ANYHOP_BIN`, or `anyhop` on the path."""

    name = "anyhop"

    def start(self, n):
        self.write(n)
        n.spawn("anyhop", [os.environ.get("ANYHOP_BIN", "anyhop"), "run", "-c", n.path("anyhop.toml")])

    def write(self, n):
        n.write("anyhop.toml", self.conf(n))

    def conf(self, n):
        t = n.timers
        c = ["[node]", "asn = 64512", f'router_id = "{n.rid}"', "[api]", f'listen = ["unix:{n.path("api.sock")}"]']
        for e in n.ext:
            c += ["[[static]]", f'prefix = "{e["prefix"]}"', 'interface = "ext0"']
        if n.ext:
            rules = ", ".join(f'{{ match = {{ prefix = "{e["prefix"]}" }}, set = {{ metric = {e["metric"]}, '
                              f'metric_type = {e["type"]} }}, action = "accept" }}' for e in n.ext)
            c += ["[[policy]]", 'name = "externals"', 'default = "reject"', f"rules = [ {rules} ]"]
        c += ["[ospf]"]
        if n.ext:
            c += ['redistribute = [ { from = "static", policy = "externals" } ]']
        for a in n.areas:
            c += ["[[ospf.area]]", f"id = {a['id']}", f'type = "{a["kind"]}"',
                  "virtual_links = [%s]" % ", ".join(f'"{p}"' for p in a["vlinks"])]
        for a in n.areas:
            if a["id"] == n.lo_area:
                c += self.interface(n, "lo", a, ["passive = true", "cost = 0"])
            for i in a["ifaces"]:
                more = [f'network = "{"broadcast" if i["lan"] else "point-to-point"}"', f"cost = {i['cost']}",
                        f"priority = {i['prio']}", f'hello_interval = "{t["hello"]}s"', f'dead_interval = "{t["dead"]}s"']
                if t["bfd"]:
                    more += [f'bfd = {{ interval = "{t["bfd"]}ms", multiplier = 3 }}']
                c += self.interface(n, i["dev"], a, more)
        return "\n".join([*c, ""])

    @staticmethod
    def interface(n, dev, area, more):
        return ["[[ospf.interface]]", f'name = "{dev}"', f"area = {area['id']}",
                f'versions = ["{"v2" if n.v == 4 else "v3"}"]', *more]

    def set_cost(self, n, dev, cost):
        for i in n.ifaces():
            if i["dev"] == dev:
                i["cost"] = cost
        self.write(n)
        n.procs["anyhop"].send_signal(signal.SIGHUP)


DRIVERS = {d.name: d for d in (Anyhop, Bird, Frr)}
