"""Event loop over every namespace: kernel tables (rtnetlink) and OSPF on the wire (AF_PACKET)."""
import ctypes
import select
import socket
import struct
import time
from collections import Counter

from . import oracle
from .net import inside

RTMGRP = (1 << 0) | (1 << 6) | (1 << 10)  # link, ipv4 route, ipv6 route
NEWLINK, DELLINK, NEWROUTE, DELROUTE, GETROUTE = 16, 17, 24, 25, 26
UNICAST = 1
PROTO_KERNEL, PROTO_RA = 2, 9
IN, TABLE_MAIN = {4: socket.AF_INET, 6: socket.AF_INET6}, 254


def _attrs(buf, off, end):
    while off + 4 <= end:
        n, t = struct.unpack_from("=HH", buf, off)
        if n < 4:
            return
        yield t & 0x3FFF, off + 4, off + n
        off += (n + 3) & ~3


class Table:
    """Mirror of one node's main routing table, refreshed by dump when events say so."""

    def __init__(self, node, ns, v):
        self.node, self.ns, self.v = node, ns, v
        with inside(ns):
            self.ev = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            self.ev.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            self.ev.bind((0, RTMGRP))
            self.ev.setblocking(False)
            self.rq = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            self.rq.bind((0, 0))
            self.names = dict(socket.if_nameindex())
        self.dirty, self.stamp, self.right, self.table = True, time.monotonic(), False, {}
        self.bad, self.short = [], []
        self.events = 0

    def drain(self, now):
        while True:
            try:
                buf = self.ev.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: events lost, a dump follows anyway
                self.dirty, self.stamp = True, now
                continue
            off = 0
            while off + 16 <= len(buf):
                n, typ = struct.unpack_from("=IH", buf, off)
                if n < 16:
                    break
                if typ in (NEWROUTE, DELROUTE):
                    self.events += 1
                    self.dirty, self.stamp = True, now
                elif typ in (NEWLINK, DELLINK):
                    self.dirty, self.stamp = True, now
                off += (n + 3) & ~3

    def dump(self):
        fam = IN[self.v]
        self.rq.send(struct.pack("=IHHII", 28, GETROUTE, 0x301, 1, 0)
                     + struct.pack("=BBBBBBBBI", fam, 0, 0, 0, 0, 0, 0, 0, 0))
        routes, kernel = {}, set()
        while True:
            buf = self.rq.recv(1 << 20)
            off = 0
            while off + 16 <= len(buf):
                n, typ = struct.unpack_from("=IH", buf, off)
                if typ == 3:
                    self.table, self.kernel = routes, kernel
                    return
                if typ == NEWROUTE:
                    self._route(buf, off + 16, off + n, fam, routes, kernel)
                off += (n + 3) & ~3

    def _route(self, buf, off, end, fam, routes, kernel):
        _, dlen, _, _, table, proto, _, rtype, _ = struct.unpack_from("=BBBBBBBBI", buf, off)
        if rtype != UNICAST or table != TABLE_MAIN:
            return
        dst, oif, gw, hops, prio = None, 0, None, None, 0
        for t, a, b in _attrs(buf, off + 12, end):
            if t == 1:
                dst = buf[a:b]
            elif t == 4:
                oif = struct.unpack_from("=I", buf, a)[0]
            elif t == 5:
                gw = socket.inet_ntop(fam, buf[a:b])
            elif t == 6:
                prio = struct.unpack_from("=I", buf, a)[0]
            elif t == 18 and self.v == 6:
                pass  # RTA_VIA (v4 gateway in v6) is not used by the lab
            elif t == 9:
                hops, p = [], a
                while p + 8 <= b:
                    ln, fl, _, ix = struct.unpack_from("=HBBi", buf, p)
                    g = None
                    for t2, a2, b2 in _attrs(buf, p + 8, p + ln):
                        if t2 == 5:
                            g = socket.inet_ntop(fam, buf[a2:b2])
                    hops.append((ix, g))
                    p += (ln + 3) & ~3
        pfx = f"{socket.inet_ntop(fam, dst)}/{dlen}" if dst else "default"
        if pfx.startswith(("fe80:", "ff00:", "127.")):
            return
        if proto in (PROTO_KERNEL, PROTO_RA) or pfx in kernel:
            kernel.add(pfx)
            routes.pop(pfx, None)
            return
        hs = frozenset((self.name(i), g) for i, g in (hops or [(oif, gw)]))
        old = routes.get(pfx)
        if old is None or prio < old[0]:
            routes[pfx] = (prio, hs)
        elif prio == old[0]:
            routes[pfx] = (prio, old[1] | hs)  # IPv6 may show one row per next hop

    def name(self, ix):
        if ix not in self.names:
            with inside(self.ns):
                self.names = dict(socket.if_nameindex())
        return self.names.get(ix, str(ix))

    def diff(self, want, tolerated):
        """(faults, lacking): human-readable differences against {prefix: hops}.

        A route over a proper subset of the equal-cost next hops forwards rightly but lacks ECMP."""
        out, short = [], []
        for p, h in want.items():
            got = self.table.get(p)
            if got is None:
                if p not in self.kernel:
                    out.append(f"missing {p} via {sorted(h)}")
            elif got[1] != h:
                (short if got[1] < h else out).append(
                    f"{p}: {sorted(map(str, got[1]))} want {sorted(map(str, h))}")
        for p in self.table:
            if p not in want and p not in tolerated and any(g for _, g in self.table[p][1]):
                out.append(f"extra {p} {sorted(map(str, self.table[p][1]))}")
        return out, short

    def close(self):
        self.ev.close()
        self.rq.close()


_FILTER4 = [(0x28, 0, 0, 12), (0x15, 0, 3, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 1, 89), (6, 0, 0, 0xFFFF), (6, 0, 0, 0)]
_FILTER6 = [(0x28, 0, 0, 12), (0x15, 0, 3, 0x86DD), (0x30, 0, 0, 20), (0x15, 0, 1, 89), (6, 0, 0, 0xFFFF), (6, 0, 0, 0)]


class Wire:
    """Counts OSPF packets a node sends and follows the links its router-LSAs claim."""

    def __init__(self, node, ns, v):
        self.node, self.v = node, v
        flt = _FILTER4 if v == 4 else _FILTER6
        prog = b"".join(struct.pack("=HBBI", *i) for i in flt)
        buf = ctypes.create_string_buffer(prog)
        with inside(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", len(flt), ctypes.addressof(buf)))
            self.s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)
            self.s.bind(("lo", 0x0003))
            self.s.close()
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", len(flt), ctypes.addressof(buf)))
            self.s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)
        self.s.setblocking(False)
        self.pkts, self.bytes, self.first = Counter(), 0, None
        self.claims = {}   # (area, lsid) -> number of router/transit/virtual links of own router-LSA
        self.changed = None

    def drain(self, now):
        while True:
            try:
                buf, addr = self.s.recvfrom(65536)
            except (BlockingIOError, OSError):
                return
            if addr[2] != 4:  # PACKET_OUTGOING only
                continue
            off = 14 + ((buf[14] & 15) * 4 if self.v == 4 else 40)
            if len(buf) < off + 16:
                continue
            typ = buf[off + 1]
            if self.first is None:
                self.first = now
            self.pkts[typ] += 1
            self.bytes += len(buf) - 14
            if typ == 4:
                self._lsu(buf, off, now)

    def _lsu(self, buf, off, now):
        rid, area = buf[off + 4:off + 8], buf[off + 8:off + 12]
        p = off + (24 if self.v == 4 else 16)
        if len(buf) < p + 4:
            return
        count = struct.unpack_from("!I", buf, p)[0]
        p += 4
        for _ in range(count):
            if len(buf) < p + 20:
                return
            n = struct.unpack_from("!H", buf, p + 18)[0]
            if buf[p + 8:p + 12] == rid and n >= 24:
                if self.v == 4 and buf[p + 3] == 1:
                    links, q, k = struct.unpack_from("!H", buf, p + 22)[0], p + 24, 0
                    for _ in range(links):
                        if q + 12 > len(buf):
                            break
                        k += buf[q + 8] in (1, 2, 4)
                        q += 12 + 4 * buf[q + 9]
                    self._claim((area, 0), k, now)
                elif self.v == 6 and buf[p + 2:p + 4] == b"\x20\x01":
                    self._claim((area, buf[p + 4:p + 8]), (n - 24) // 16, now)
            p += max(n, 20)

    def _claim(self, key, k, now):
        if self.claims.get(key) != k:
            self.claims[key] = k
            self.changed = now

    def total(self):
        return sum(self.claims.values())

    def close(self):
        self.s.close()


class Watch:
    def __init__(self, topo, v, ns_of, wire=True):
        self.t, self.v = topo, v
        self.tables = {x: Table(x, ns_of[x], v) for x in topo.nodes()}
        self.wires = {x: Wire(x, ns_of[x], v) for x in topo.nodes()} if wire else {}
        self.ep = select.epoll()
        self.by = {}
        for o in (*self.tables.values(), *self.wires.values()):
            fd = (o.ev if isinstance(o, Table) else o.s).fileno()
            self.ep.register(fd, select.EPOLLIN)
            self.by[fd] = o
        self.tol = oracle.tolerated(topo, v)
        self.want = {}
        self.judged = self.steady = set(topo.nodes())

    def expect(self, dead=frozenset()):
        self.want = oracle.expected(self.t, self.v, dead)
        for x in self.want:
            tb = self.tables[x]
            tb.dirty, tb.right, tb.stamp = True, False, time.monotonic()

    def full(self, dead=frozenset()):
        """Number of adjacencies every node should claim in its router-LSAs."""
        out = {}
        for x in self.t.nodes():
            if x in dead:
                continue
            k = 0
            for l in self.t.of(x):
                k += l.up and not l.silent and sum(y not in dead for y in l.nodes) > 1
            k += sum(x in v[1:] for v in self.t.vlinks)
            out[x] = k
        return out

    def run(self, limit, settle=0.5, adj=False, dead=frozenset()):
        """Waits until the tables of all judged living nodes are right and stay so for `settle` seconds. Moments are monotonic;
        what is wrong with others in the end, and a relapse of who need not be steady, stands under `theirs`."""
        t0 = time.monotonic()
        r = dict(ok=False, first_event=None, conv=None, adj=None, relapses=[], diffs=[], short=[], theirs=[])
        right_since, nodes = None, [x for x in self.want if x in self.judged]
        goal = self.full(dead) if adj else {}
        seen = {x: self.tables[x].events for x in nodes}
        while True:
            now = time.monotonic()
            if now - t0 > limit:
                break
            wait = 0.02 if right_since is None else max(0.001, settle - (now - right_since))
            if any(self.tables[x].dirty for x in nodes):
                wait = 0
            for fd, _ in self.ep.poll(wait):
                self.by[fd].drain(time.monotonic())
            if r["first_event"] is None:
                fresh = [self.tables[x].stamp for x in nodes if self.tables[x].events != seen[x]]
                if fresh:
                    r["first_event"] = min(fresh)
            if adj and r["adj"] is None and all(self.wires[x].total() >= k for x, k in goal.items()):
                r["adj"] = max((w.changed or t0) for w in self.wires.values())
            # refresh the dirty tables, one per turn so that stamps stay honest
            for x in nodes:
                tb = self.tables[x]
                if tb.dirty:
                    tb.dirty = False
                    tb.dump()
                    tb.bad, tb.short = tb.diff(self.want[x], self.tol)
                    tb.right = not tb.bad
                    break
            if all(self.tables[x].right and not self.tables[x].dirty for x in nodes):
                if right_since is None:
                    right_since = time.monotonic()
                    if r["conv"] is None:
                        r["conv"] = max(self.tables[x].stamp for x in nodes)
                since = time.monotonic() - right_since
                # next hops of a slower adjacency may still be on their way: up to 6 s more
                late = any(self.tables[x].short for x in nodes) and since < settle + 6
                if since >= settle and not late and (not adj or r["adj"] or since > settle + 2):
                    r["ok"] = True
                    break
            else:
                wrong = [x for x in nodes if not self.tables[x].right]
                # While news is in flight tables may pass through the right state by chance.
                steady = right_since is not None and time.monotonic() - right_since >= 0.1
                if wrong:
                    right_since = None
                if wrong and steady:
                    what = "; ".join(f"r{x}: {d}" for x in wrong for d in self.tables[x].bad[:2])
                    r["relapses" if self.steady.intersection(wrong) else "theirs"].append(
                        f"right and then wrong, after {time.monotonic() - t0:.3f} s: {what}")
        for x in self.want:
            self.tables[x].dump()
            bad, short = self.tables[x].diff(self.want[x], self.tol)
            if x in self.judged:
                r["diffs"] += [f"r{x}: {d}" for d in bad]
                r["short"] += [f"r{x}: {d}" for d in short]
            else:
                r["theirs"] += [f"r{x}: {d}" for d in bad + short]
        r["ok"] = not r["diffs"] and r["conv"] is not None
        return r

    def wire_totals(self):
        c = Counter()
        for w in self.wires.values():
            c.update(w.pkts)
        names = {1: "hello", 2: "dd", 3: "lsr", 4: "lsu", 5: "ack"}
        return {**{names[k]: n for k, n in sorted(c.items()) if k in names},
                "bytes": sum(w.bytes for w in self.wires.values())}

    def close(self):
        for o in self.by.values():
            o.close()
        self.ep.close()
