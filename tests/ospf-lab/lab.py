#!/usr/bin/env python3
"""OSPF laboratory command line; see README.md."""
import argparse
import json
import signal
import sys

from ospflab import topo
from ospflab.lab import Lab


def steps(lab, wanted, limit):
    t = lab.t
    idx = 0
    cut = t.cut or []
    victim = t.nodes()[len(t.nodes()) // 2]
    if t.ends and victim in t.ends:
        victim = t.n // 2 + 2 if t.n // 2 + 2 <= t.n else 2
    if t.name == "lan":
        victim = 2  # the DR
        idx = 1
    for f in wanted:
        if f == "linkdown":
            yield lab.fault("link down", lambda: lab.link(idx, False), limit)
            yield lab.fault("link up", lambda: lab.link(idx, True), limit)
        elif f == "silent":
            yield from silent(lab, idx, limit)
        elif f == "cuts":
            for _ in range(20):
                yield from silent(lab, idx, limit)
        elif f == "kill":
            yield lab.fault(f"kill r{victim}", lambda: lab.kill(victim), limit)
            yield lab.fault(f"restart r{victim}", lambda: lab.restart(victim), limit)
        elif f == "metric":
            yield lab.fault("metric up", lambda: lab.cost(idx, 200), limit)
            yield lab.fault("metric back", lambda: lab.cost(idx, 10), limit)
        elif f == "partition" and cut:
            yield lab.fault("partition", lambda: [lab.link(i, False) for i in cut], limit)
            yield lab.fault("heal", lambda: [lab.link(i, True) for i in cut], limit)
        elif f == "loss":
            # 20 % loss on every link, then a metric change: flooding must still get through
            for k in t.links:
                lab.silent(k.idx, True, 0.2)
            yield lab.fault("metric up, 20% loss", lambda: lab.cost(idx, 200), limit, probe=False)
            for k in t.links:
                lab.silent(k.idx, False)
            yield lab.fault("metric back", lambda: lab.cost(idx, 10), limit)


def silent(lab, idx, limit):
    k = lab.t.links[idx]

    def on():
        lab.silent(idx, True)
        k.silent = True

    def off():
        lab.silent(idx, False)
        k.silent = False

    yield lab.fault("silent cut", on, limit)
    yield lab.fault("silent heal", off, limit)


def table(rows):
    keys = ["step", "ok", "adj_ms", "conv_ms", "first_change_ms", "loss_ms", "cpu_ms", "ospf_pkts", "relapses", "ecmp_ok"]
    lines = [[str(r.get(k, "")) for k in keys] for r in rows]
    wid = [max(len(x) for x in col) for col in zip(keys, *lines)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(x, wid)) for x in [keys, *lines])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("topo", help="line[:n] ring[:n] lan[:n] multiarea stubnssa asbr vlink grid[:k]")
    ap.add_argument("-v", "--ver", type=int, choices=(2, 3), default=2, help="OSPF version")
    ap.add_argument("-d", "--daemons", default="anyhop",
                    help="comma list of anyhop, frr, bird, cycled over the nodes")
    ap.add_argument("-p", "--profile", default="default", help="default | fast | bfd")
    ap.add_argument("-f", "--faults", default="linkdown,kill,metric,partition",
                    help="comma list: linkdown silent cuts (20 of silent) kill metric partition loss; empty: none")
    ap.add_argument("--limit", type=float, default=60)
    ap.add_argument("--quiet", type=float, default=0,
                    help="seconds of rest before each fault; 6 outlasts MinLSInterval (a quiet network)")
    ap.add_argument("--json", help="append one JSON line to this file")
    ap.add_argument("--keep", action="store_true", help="keep the run directory")
    a = ap.parse_args()
    lab = Lab(topo.make(a.topo), 4 if a.ver == 2 else 6, a.daemons.split(","), a.profile, a.keep)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lab.rest = a.quiet
    rows = []
    try:
        lab.build()
        rows.append(lab.bring_up(max(a.limit, 90)))
        if rows[0]["ok"]:
            for r in steps(lab, [f for f in a.faults.split(",") if f], a.limit):
                rows.append(r)
        usage = lab.usage()
    finally:
        lab.close()
    print(f"# {a.topo} OSPFv{a.ver} {a.daemons} {a.profile}")
    print(table(rows))
    for r in rows:
        for key, what in (("diffs", ""), ("short", "not all equal-cost next hops: "), ("relapsed", ""),
                          ("theirs", "not judged: ")):
            for d in r[key]:
                print(f"  {r['step']}: {what}{d}")
        if r.get("ping_bad"):
            print("  ping failed:", r["ping_bad"])
    print("  usage:", json.dumps(usage), " wire at up:", json.dumps(rows[0].get("wire")))
    if a.json:
        with open(a.json, "a") as f:
            f.write(json.dumps(dict(topo=a.topo, ver=a.ver, daemons=a.daemons, profile=a.profile, quiet=a.quiet,
                                    rows=rows, usage=usage)) + "\n")
    return 0 if all(map(right, rows)) else 1


def right(row):
    """A router that was killed left its last words in its neighbors' databases: as soon as they are adjacent again, these make
    tables right that become wrong when it speaks itself and has not all of its adjacencies yet."""
    steady = not row["relapses"] or row["step"].startswith("restart")
    return row["ok"] and row["ecmp_ok"] and steady and not row.get("ping_bad")


if __name__ == "__main__":
    sys.exit(main())
