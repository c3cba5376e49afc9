#!/usr/bin/env bash
# Two hosts and a router between them that forwards by DPDK, fed by anyhop: in network namespaces, without hugepages or a NIC.
#
#   apt install libdpdk-dev pkg-config make gcc ethtool iproute2 iputils-ping
#   cargo build --release
#   sudo examples/dpdk-lab/run.sh          shows pings through the router, and what it counted
#   sudo examples/dpdk-lab/run.sh --hold   leaves it standing until Enter, to look around
#
# The kernel of the router does not forward (ip_forward=0): what arrives went through DPDK.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(id -u)" = 0 ] || { echo "needs root: it makes network namespaces" >&2; exit 1; }
anyhop=${ANYHOP_BIN:-}
for path in target/release/anyhop target/debug/anyhop; do
  [ -n "$anyhop" ] || [ ! -x "$path" ] || anyhop=$PWD/$path
done
[ -n "$anyhop" ] || { echo "build anyhop first: cargo build --release" >&2; exit 1; }

make -s -C fib-sync/dpdk BUILD="$PWD/target/dpdk"

dir=$(mktemp -d)
left=dpdk-left router=dpdk-router right=dpdk-right
daemon=
cleanup() {
  # The daemon ends its router too.
  [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; }
  for ns in $left $router $right; do ip netns del $ns 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT

for ns in $left $router $right; do
  ip netns add $ns
  ip -n $ns link set lo up
  ip netns exec $ns sysctl -qw net.ipv6.conf.default.accept_dad=0
done
ip netns exec $router sysctl -qw net.ipv4.ip_forward=0

# A host's eth0 - the wire wN, which DPDK has - and xN, the far end of the kernel's interface lN: what DPDK does not forward goes there.
wire() { # host namespace, number
  ip link add eth0 netns "$1" type veth peer name "w$2" netns $router
  ip -n $router link add "l$2" type veth peer name "x$2"
  for silent in w$2 x$2; do
    ip netns exec $router sysctl -qw "net.ipv6.conf.$silent.disable_ipv6=1"
    ip -n $router link set "$silent" up arp off
  done
  ip -n $router addr add "10.$2.0.1/24" dev "l$2"
  ip -n $router addr add "fd0$2::1/64" dev "l$2" nodad
  ip -n $router link set "l$2" up
  ip -n "$1" addr add "10.$2.0.2/24" dev eth0
  ip -n "$1" addr add "fd0$2::2/64" dev eth0 nodad
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via "10.$2.0.1"
  ip -n "$1" -6 route add default via "fd0$2::1"
  # A packet socket gives frames as they are: no half-done checksums.
  ip netns exec $router ethtool -K "l$2" tx off gro off >/dev/null
  ip netns exec "$1" ethtool -K eth0 tx off gro off >/dev/null
}
wire $left 1
wire $right 2
ip -n $right addr add 192.0.2.1/24 dev lo
ip -n $right addr add 2001:db8::1/48 dev lo nodad

cat >"$dir/anyhop.toml" <<END
[node]
asn = 64512
router_id = "10.1.0.1"
[api]
listen = ["unix:$dir/anyhop.sock"]
[fib]
backends = ["kernel", "dpdk"]
[fib.dpdk]        # no socket: the bundled router is started
agent = "$PWD/target/dpdk/anyhop-dpdk"
eal = ["--no-huge", "-m", "512", "--no-pci", "--no-shconf", "--no-telemetry", "-l", "0",
  "--vdev", "net_af_packet0,iface=w1", "--vdev", "net_af_packet1,iface=x1",
  "--vdev", "net_af_packet2,iface=w2", "--vdev", "net_af_packet3,iface=x2"]
args = ["--port", "0,host=1,link=l1", "--port", "2,host=3,link=l2", "--idle", "100",
  "--routes4", "10000", "--routes6", "10000", "--groups6", "16384"]
[[static]]
prefix = "192.0.2.0/24"
via = ["10.2.0.2"]
[[static]]
prefix = "2001:db8::/48"
via = ["fd02::2"]
END
ip netns exec $router "$anyhop" run -c "$dir/anyhop.toml" >"$dir/log" 2>&1 &
daemon=$!

ask() { "$anyhop" "$@" --api "unix:$dir/anyhop.sock"; }
for _ in $(seq 100); do
  kill -0 $daemon 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
  ask show fib 2>/dev/null | grep -q dpdk && break
  sleep 0.1
done
# Hosts and router get to know each other.
for _ in $(seq 50); do
  ip netns exec $left ping -qc 1 -W 1 10.1.0.1 >/dev/null && ip netns exec $right ping -qc 1 -W 1 10.2.0.1 >/dev/null &&
    ip netns exec $left ping -qc 1 -W 1 fd01::1 >/dev/null && ip netns exec $right ping -qc 1 -W 1 fd02::1 >/dev/null &&
    ip netns exec $left ping -qc 1 -W 1 192.0.2.1 >/dev/null && ip netns exec $left ping -qc 1 -W 1 2001:db8::1 >/dev/null && break
  sleep 0.1
done

echo "== left -> right, through DPDK (ttl=63: one router between)"
ip netns exec $left ping -c 3 -i 0.2 192.0.2.1
ip netns exec $left ping -c 3 -i 0.2 2001:db8::1
echo
echo "== what the daemon says of the data plane"
ask show fib
if [ "${1:-}" = --hold ]; then
  echo
  echo "ip netns exec $left ping 192.0.2.1;  $anyhop show routes --api unix:$dir/anyhop.sock"
  read -r -p "Enter ends it "
fi
