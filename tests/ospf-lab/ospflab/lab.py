"""One laboratory: wires a topology, runs daemons in it, injects faults, and times the way to right tables."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import net
from .daemons import DRIVERS, PROFILES, Node
from .watch import Watch

PROBE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.py")


class Lab:
    def __init__(self, topo, v=4, daemons=("frr",), profile="default", keep=False):
        self.t, self.v, self.profile = topo, v, profile
        self.tag = f"anyhop-ol{os.getpid()}"
        self.ns = {x: f"{self.tag}r{x}" for x in topo.nodes()}
        self.fabric = f"{self.tag}f"
        self.dir = tempfile.mkdtemp(prefix="anyhop-ospf-lab-")
        os.chmod(self.dir, 0o755)
        self.keep = keep
        self.drv = {x: DRIVERS[daemons[(x - 1) % len(daemons)]]() for x in topo.nodes()}
        self.nodes, self.dead, self.drops, self.watch = {}, set(), {}, None
        self.made = []
        self.rest = 0.0

    # ---- building
    def build(self):
        for ns in (*self.ns.values(), self.fabric):
            net.add_ns(ns)
            self.made.append(ns)
        t = self.t
        for k in t.links:
            if k.lan:
                net.bridge(self.fabric, f"b{k.idx}")
                for x in k.nodes:
                    port = f"p{k.idx}x{x}"
                    net.veth(self.ns[x], k.dev(), self.fabric, port)
                    net.sh("ip", "-n", self.fabric, "link", "set", port, "master", f"b{k.idx}", "up")
            else:
                a, b = k.nodes
                net.veth(self.ns[a], k.dev(), self.ns[b], k.dev())
            for x in k.nodes:
                net.addr(self.ns[x], k.dev(), f"{k.ip(4, x)}/{24 if k.lan else 31}")
                net.addr(self.ns[x], k.dev(), f"{k.ip(6, x)}/64")
                net.addr(self.ns[x], k.dev(), f"{k.gw(6, x)}/64")
                net.up(self.ns[x], k.dev())
        for k in t.links:
            for x in k.nodes:
                net.wait_up(self.ns[x], k.dev())
        for x in t.nodes():
            for v in (4, 6):
                net.addr(self.ns[x], "lo", t.lo(v, x))
            # ospf6d asks every interface, lo included, for a link-local address
            net.addr(self.ns[x], "lo", f"fe80::{x:x}:ffff/128")
        for y in {e[0] for e in t.ext}:
            net.bridge(self.ns[y], "ext0")  # outside OSPF, unlike lo
        for y, num, _, _ in t.ext:
            for v in (4, 6):
                net.addr(self.ns[y], "ext0", t.ext_prefix(v, num))
        for x in t.nodes():
            d = os.path.join(self.dir, f"r{x}")
            os.mkdir(d)
            areas = []
            for a in t.area_ids(x):
                areas.append(dict(
                    id=a, kind=t.areas[a],
                    lo=[dict(prefix=t.lo(self.v, x))] if a == t.home[x] else [],
                    ifaces=[dict(dev=k.dev(), lan=k.lan, cost=k.cost[x], net=k.net(self.v),
                                 addr=k.ip(self.v, x), prio=t.prio.get(x, 1) if k.lan else 1,
                                 type="broadcast" if k.lan else "p2p")
                            for k in t.of(x) if k.area == a],
                    # A virtual link belongs to the backbone, and is configured at the area it crosses.
                    vlinks=[t.rid(q if p == x else p) for ta, p, q in t.vlinks if ta == a and x in (p, q)]))
            self.nodes[x] = Node(
                x, self.ns[x], t.rid(x), self.v, d, t.lo(self.v, x), t.home[x], areas,
                [dict(prefix=t.ext_prefix(self.v, num), type=ty, metric=m)
                 for y, num, ty, m in t.ext if y == x], PROFILES[self.profile])
        self.watch = Watch(t, self.v, self.ns)

        # Whose tables must be right: everybody's, but FRR's where it is not alone. Its zebra loses next hops of equal cost for good
        # after a link flap (it keeps a nexthop group that the kernel took a leg from), and its ospf6d keeps routes over what is
        # gone, misses some between areas from the start, and calculates nothing over virtual links. Who must not become wrong again: anyhop, because what the others say
        # of other areas comes late and piece by piece.
        of = lambda name: {x for x, d in self.drv.items() if d.name == name}
        self.watch.judged = set(self.drv) - of("frr") or set(self.drv)
        self.watch.steady = of("anyhop") or set(self.drv)

    def start(self, only=None):
        for x in only or self.t.nodes():
            self.drv[x].start(self.nodes[x])

    def close(self):
        for x, n in self.nodes.items():
            for p in n.procs.values():
                if p.poll() is None:
                    p.kill()
                    p.wait()
        for d in self.drops.values():
            d.close()
        if self.watch:
            self.watch.close()
        for ns in self.made:
            net.del_ns(ns)
        if self.keep:
            print("kept", self.dir, file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- faults; each changes the model too, so that the oracle follows
    def link(self, idx, up):
        k = self.t.links[idx]
        k.up = up
        x = k.nodes[0]
        net.up(self.ns[x], k.dev(), "up" if up else "down")
        if up:  # the kernel drops link-local addresses of a downed interface
            net.addr(self.ns[x], k.dev(), f"{k.gw(6, x)}/64")

    def silent(self, idx, on, share=1.0, model=True):
        """Cut (or lossy) p2p link with carrier kept: only hellos or BFD can tell."""
        k = self.t.links[idx]
        for x in k.nodes:
            if on:
                self.drops[idx, x] = net.Drop(self.ns[x], k.dev(), share)
            else:
                self.drops.pop((idx, x)).close()

    def kill(self, x, sig=signal.SIGKILL):
        self.drv[x].stop(self.nodes[x], sig)
        self.dead.add(x)

    def restart(self, x):
        self.dead.discard(x)
        self.drv[x].start(self.nodes[x])

    def cost(self, idx, cost):
        k = self.t.links[idx]
        for x in k.nodes:
            k.cost[x] = cost
        for x in k.nodes:
            self.drv[x].set_cost(self.nodes[x], k.dev(), cost)

    # ---- measuring
    def usage(self):
        """{daemon process name: [cpu ms total, max rss kB, count]} and per-process list."""
        out = {}
        for x, n in self.nodes.items():
            for name, p in n.procs.items():
                try:
                    cpu = 0
                    for tid in os.listdir(f"/proc/{p.pid}/task"):
                        with open(f"/proc/{p.pid}/task/{tid}/schedstat") as f:
                            cpu += int(f.read().split()[0])
                    st = open(f"/proc/{p.pid}/status").read()
                    rss = int(st.split("VmHWM:")[1].split()[0])
                except (OSError, IndexError):
                    continue
                o = out.setdefault(name, [0.0, 0, 0])
                o[0] += cpu / 1e6
                o[1] = max(o[1], rss)
                o[2] += 1
        return {k: dict(cpu_ms_total=round(a, 1), rss_max_kb=b, procs=c) for k, (a, b, c) in out.items()}

    def probe(self):
        a, b = self.t.ends
        host = lambda x: self.t.lo(self.v, x).split("/")[0]
        return subprocess.Popen([sys.executable, PROBE, self.ns[a], host(a), self.ns[b], host(b), "7777"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ping(self):
        """Pings between all loopbacks of the probe ends and first/last nodes."""
        bad = []
        pairs = {tuple(self.t.ends), (1, self.t.n), (self.t.n, 1)}
        for a, b in pairs:
            if a == b:
                continue
            src, dst = (self.t.lo(self.v, x).split("/")[0] for x in (a, b))
            if not net.ping(self.ns[a], src, dst):
                bad.append(f"r{a}->r{b}")
        return bad

    def bring_up(self, limit=90):
        self.watch.expect()
        t0 = time.monotonic()
        self.start()
        r = self.watch.run(limit, settle=1.0, adj=True)
        res = self._result("up", t0, r)
        res["adj_ms"] = round((r["adj"] - t0) * 1e3, 1) if r["adj"] else None
        # Who is not judged may not forward either.
        judged = self.watch.judged.issuperset(self.t.nodes())
        res["ping_bad"] = self.ping() if r["ok"] and judged else []
        res["usage"] = self.usage()
        res["wire"] = self.watch.wire_totals()
        return res

    def fault(self, name, act, limit=60, probe=True):
        """Run act() under the probe and time the way back to right tables."""
        w = self.watch
        if self.rest:
            w.expect(self.dead)
            w.run(self.rest, settle=self.rest + 1)
        before = self.usage()
        wire0 = w.wire_totals()
        p = self.probe() if probe else None
        if p:
            w.expect(self.dead)
            w.run(0.7, settle=0.6)
        t0 = time.monotonic()
        act()
        # the tables must become right for the changed model; a fault that leaves some table
        # untouched is right at once there
        w.expect(self.dead)
        t_act = time.monotonic()
        for tb in w.tables.values():
            tb.stamp = t0
        r = w.run(limit, settle=1.0, dead=self.dead)
        res = self._result(name, t0, r)
        res["act_ms"] = round((t_act - t0) * 1e3, 1)  # of this, what the fault itself took
        after, wire1 = self.usage(), w.wire_totals()
        res["cpu_ms"] = round(sum(v["cpu_ms_total"] for v in after.values())
                              - sum(v["cpu_ms_total"] for v in before.values()), 1)
        res["ospf_pkts"] = sum(v for k, v in wire1.items() if k != "bytes") - sum(
            v for k, v in wire0.items() if k != "bytes")
        if p:
            out, _ = p.communicate()
            j = json.loads(out)
            gaps = [g for g in j["gaps"] if g[0] > t0 - 0.05]
            res["loss_ms"] = round(sum(g[1] for g in gaps), 1)
        return res

    def _result(self, name, t0, r):
        ms = lambda s: round(max(0.0, s - t0) * 1e3, 1) if s else None
        return dict(step=name, ok=r["ok"], conv_ms=ms(r["conv"]), first_change_ms=ms(r["first_event"]),
                    relapses=len(r["relapses"]), relapsed=r["relapses"][:4], ecmp_ok=not r["short"], short=r["short"][:4], diffs=r["diffs"][:12],
                    theirs=r["theirs"][:4])
