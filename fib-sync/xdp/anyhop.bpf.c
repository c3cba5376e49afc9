/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Forwards IPv4 and IPv6 between the ports as the tables say. What it cannot or may not do by itself goes to the kernel
 * unchanged: the kernel answers with ICMP, asks for neighbors, fragments, and serves local addresses. RFC 1812 section 5 is
 * the rule for IPv4, RFC 8200 and RFC 4291 for IPv6. */
#include "tables.h"

/* What became of a packet. `fib-sync/src/xdp/counters.rs` has the same rows. */
enum reason {
	FORWARDED_V4,
	FORWARDED_V6,
	DISCARDED,
	TO_LOCAL,
	NO_ROUTE,
	UNRESOLVED,
	UNREACHABLE,
	TTL,
	MTU,
	FRAGMENT,
	OPTIONS,
	MARTIAN,
	NOT_OURS,
	NOT_IP,
	MALFORMED,
	UNKNOWN_PORT,
	REDIRECT_FAILED,
	MIXED_MODES,
	OCTETS,
	REASONS
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* The daemon's own book, not read here: which routes stand, what legs and groups mean. Declared here to be created with the
 * rest. */
ARRAY_OF(state, 64, __u64);
ARRAY_OF(v4_routes, 1, __u64);
ARRAY_OF(v6_routes, 1, struct route6);
ARRAY_OF(leg_infos, 1, struct leg_info);
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct members);
} group_members SEC(".maps");

/* Set by the loader, and the same for the life of the tables: which leg a flow takes must not change with the program. */
const volatile __u64 flow_seed = 0;

INLINE void count(__u32 reason, __u64 much)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &reason);
	if (counter)
		*counter += much;
}

INLINE int pass(__u32 reason)
{
	count(reason, 1);
	return XDP_PASS;
}

INLINE __u64 mix(__u64 x, __u64 more)
{
	x = (x ^ more) * 0x9e3779b97f4a7c15ull;
	return x ^ x >> 32;
}

/* Source and destination port of the protocols that have them there, else 0. */
INLINE __u32 flow_ports(__u8 protocol, void *at, void *end)
{
	__u32 ports = 0;
	if ((protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132) && at + 4 <= end)
		ports = *(__u32 *)at;
	return ports;
}

INLINE struct port *port_of(__u32 interface)
{
	for (__u32 probe = 0; probe < PORT_PROBES; probe++) {
		__u32 at = (interface + probe) & (PORTS - 1);
		struct port *port = bpf_map_lookup_elem(&ports, &at);
		if (port && (__u32)port->device == interface)
			return port;
	}
	return 0;
}

INLINE __u64 mac_of(const __u8 *mac)
{
	return (__u64)mac[0] | (__u64)mac[1] << 8 | (__u64)mac[2] << 16 | (__u64)mac[3] << 24 | (__u64)mac[4] << 32 |
	       (__u64)mac[5] << 40;
}

INLINE void set_mac(__u8 *to, __u64 mac)
{
	*(__u16 *)to = hton16((__u16)((mac & 0xff) << 8 | (mac >> 8 & 0xff)));
	*(__u16 *)(to + 2) = hton16((__u16)((mac >> 16 & 0xff) << 8 | (mac >> 24 & 0xff)));
	*(__u16 *)(to + 4) = hton16((__u16)((mac >> 32 & 0xff) << 8 | (mac >> 40 & 0xff)));
}

/* Where a packet goes. */
struct way {
	__u64 mac;
	__u32 port;
	int verdict; /* -1 = forward */
};

/* From a route word over object and leg to a neighbor; `flow` is the flow's hash, `to` the destination as neighbors are keyed. */
INLINE int find_way(__u32 word, __u64 flow, const struct neighbor *to, struct way *way)
{
	__u32 id = OBJECT(word);
	__u64 *at = id ? bpf_map_lookup_elem(&objects, &id) : 0;
	if (!at)
		return pass(NO_ROUTE);
	__u64 object = *(volatile __u64 *)at;
	__u32 leg_id = (__u32)object;
	switch (object >> 56) {
	case OBJECT_LEG:
		break;
	case OBJECT_GROUP: {
		__u32 bucket = leg_id + ((__u32)(flow >> 24) & (__u32)(object >> 32 & 0xffff));
		__u32 *leg_at = WORD(buckets, bucket);
		if (!leg_at)
			return pass(NO_ROUTE);
		leg_id = *(volatile __u32 *)leg_at;
		break;
	}
	case OBJECT_DROP:
		count(DISCARDED, 1);
		return XDP_DROP;
	case OBJECT_LOCAL:
		return pass(TO_LOCAL);
	case OBJECT_PUNT:
		return pass(UNREACHABLE);
	default:
		return pass(NO_ROUTE);
	}
	at = bpf_map_lookup_elem(&legs, &leg_id);
	if (!at)
		return pass(UNRESOLVED);
	__u64 leg = *(volatile __u64 *)at;
	way->port = leg >> 48 & 0xff;
	way->mac = leg;
	if (leg >> 56 == LEG_ONLINK) {
		struct neighbor key = *to;
		key.port = way->port;
		at = bpf_map_lookup_elem(&neighbors, &key);
		if (!at)
			return pass(UNRESOLVED);
		way->mac = *(volatile __u64 *)at;
	} else if (leg >> 56 != LEG_RESOLVED) {
		return pass(UNRESOLVED);
	}
	return -1;
}

/* Sends the frame out of `way`; the header has been changed already. */
INLINE int leave(struct ethernet *ethernet, const struct way *way, const struct port *out, __u32 reason, __u32 octets)
{
	set_mac(ethernet->to, way->mac);
	set_mac(ethernet->from, out->mac);
	long verdict = bpf_redirect_map(&devices, way->port, XDP_DROP);
	if (verdict != XDP_REDIRECT) {
		count(REDIRECT_FAILED, 1);
		return verdict;
	}
	count(reason, 1);
	count(OCTETS, octets);
	return verdict;
}

/* 0 to 8 (this network), 127 (loopback), 169.254 (RFC 3927 section 7: not forwarded), multicast and what follows it. */
INLINE int martian4(__u32 addr)
{
	__u8 first = addr >> 24;
	return first == 0 || first == 127 || first >= 224 || addr >> 16 == 0xa9fe;
}

/* Unspecified, loopback, mapped and compatible addresses, link-local, multicast. */
INLINE int martian6(const __u32 *addr)
{
	__u32 first = ntoh32(addr[0]);
	return (!first && !addr[1]) || first >> 22 == 0xfe80 >> 6 || first >> 24 == 0xff;
}

INLINE int forward4(struct ethernet *ethernet, void *end, const struct port *in)
{
	struct ipv4 *ip = (void *)(ethernet + 1);
	if ((void *)(ip + 1) > end)
		return pass(MALFORMED);
	if (ip->version_ihl != 0x45)
		return pass(ip->version_ihl >> 4 == 4 ? OPTIONS : MALFORMED);
	__u32 length = ntoh16(ip->length);
	if (length < sizeof(*ip) || (void *)ip + length > end)
		return pass(MALFORMED);
	__u32 sum = 0;
	__u16 *half = (void *)ip;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	if (sum != 0xffff)
		return pass(MALFORMED);
	if (ip->fragment & hton16(0x3fff))
		return pass(FRAGMENT);
	__u32 to = ntoh32(ip->to);
	if (martian4(to) || martian4(ntoh32(ip->from)))
		return pass(MARTIAN);
	__u32 word;
	if (lpm_mode) {
		struct lpm4 key = { 32, ip->to };
		__u32 *found = bpf_map_lookup_elem(&v4_lpm, &key);
		word = found ? *found : 0;
	} else {
		word = lookup4(to);
	}
	__u64 flow = mix(mix(flow_seed, (__u64)ip->from << 32 | ip->to), (__u64)ip->protocol << 32 | flow_ports(ip->protocol, ip + 1, end));
	struct neighbor neighbor = { 0, 0, { 0, 0, hton32(0xffff), ip->to } };
	struct way way;
	int verdict = find_way(word, flow, &neighbor, &way);
	if (verdict >= 0)
		return verdict;
	if (ip->ttl <= 1)
		return pass(TTL);
	struct port *out = bpf_map_lookup_elem(&ports, &way.port);
	if (!out)
		return pass(UNRESOLVED);
	if (length > PORT_MTU(out->device))
		return pass(MTU);
	if (out->device & ~in->device & PORT_GENERIC)
		return pass(MIXED_MODES);
	/* RFC 1624: the sum changes as the octet does. */
	__u32 check = (__u32)ip->checksum + hton16(0x0100);
	ip->checksum = check + (check >= 0xffff);
	ip->ttl--;
	return leave(ethernet, &way, out, FORWARDED_V4, length);
}

NOINLINE __u32 route6(const struct neighbor *to)
{
	if (!to)
		return 0;
	if (lpm_mode) {
		struct lpm6 key = { 128, { to->addr[0], to->addr[1], to->addr[2], to->addr[3] } };
		__u32 *found = bpf_map_lookup_elem(&v6_lpm, &key);
		return found ? *found : 0;
	}
	return lookup6(to->addr);
}

INLINE int forward6(struct ethernet *ethernet, void *end, const struct port *in)
{
	struct ipv6 *ip = (void *)(ethernet + 1);
	if ((void *)(ip + 1) > end)
		return pass(MALFORMED);
	if ((ip->version_class_flow & hton32(0xf0000000)) != hton32(0x60000000))
		return pass(MALFORMED);
	__u32 length = ntoh16(ip->length) + sizeof(*ip);
	if ((void *)ip + length > end)
		return pass(MALFORMED);
	if (ip->next == 0)
		return pass(OPTIONS); /* hop-by-hop options are for every router, RFC 8200 section 4.3 */
	if (ip->next == 44)
		return pass(FRAGMENT);
	if (martian6(ip->to) || martian6(ip->from))
		return pass(MARTIAN);
	struct neighbor neighbor = { 0, 0, { ip->to[0], ip->to[1], ip->to[2], ip->to[3] } };
	__u32 word = route6(&neighbor);
	__u64 flow = mix(flow_seed, (__u64)ip->from[0] << 32 | ip->from[1]);
	flow = mix(flow, (__u64)ip->from[2] << 32 | ip->from[3]);
	flow = mix(flow, (__u64)ip->to[0] << 32 | ip->to[1]);
	flow = mix(flow, (__u64)ip->to[2] << 32 | ip->to[3]);
	flow = mix(flow, (__u64)ip->next << 32 | flow_ports(ip->next, ip + 1, end));
	struct way way;
	int verdict = find_way(word, flow, &neighbor, &way);
	if (verdict >= 0)
		return verdict;
	if (ip->hop_limit <= 1)
		return pass(TTL);
	struct port *out = bpf_map_lookup_elem(&ports, &way.port);
	if (!out)
		return pass(UNRESOLVED);
	if (length > PORT_MTU(out->device))
		return pass(MTU);
	if (out->device & ~in->device & PORT_GENERIC)
		return pass(MIXED_MODES);
	ip->hop_limit--;
	return leave(ethernet, &way, out, FORWARDED_V6, length);
}

SEC("xdp") int anyhop(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethernet *ethernet = (void *)(long)ctx->data;
	if ((void *)(ethernet + 1) > end)
		return pass(MALFORMED);
	struct port *in = port_of(ctx->ingress_ifindex);
	if (!in)
		return pass(UNKNOWN_PORT);
	/* Broadcast and multicast too: RFC 1812 section 5.3.4. */
	if (mac_of(ethernet->to) != in->mac)
		return pass(NOT_OURS);
	if (ethernet->type == hton16(0x0800))
		return forward4(ethernet, end, in);
	if (ethernet->type == hton16(0x86dd))
		return forward6(ethernet, end, in);
	return pass(NOT_IP);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
