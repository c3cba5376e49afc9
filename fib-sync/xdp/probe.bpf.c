/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Measures and watches, for benches and tests: the same lookups as the forwarding program over the same pinned maps, beside
 * the kernel's own; a generator of live frames to many targets; a witness of what arrives. Never part of the daemon. */
#include "tables.h"

#define POOL (1 << 20)
#define LOOPS 64

struct fib_lookup {
	__u8 family, protocol;
	__u16 from_port, to_port, length;
	__u32 interface, flow;
	__u32 from[4], to[4];
	__u32 vlan;
	__u8 from_mac[6], to_mac[6];
};
static long (*bpf_fib_lookup)(void *ctx, struct fib_lookup *params, int size, __u32 flags) = (void *)69;
static long (*bpf_tail_call)(void *ctx, void *map, __u32 index) = (void *)12;
#define SKIP_NEIGH 4

/* Targets: IPv4 in host order, IPv6 in network order. */
struct addr6 {
	__u32 word[4];
};
ARRAY_OF(pool4, POOL / 16, struct words);
ARRAY_OF(pool6, POOL, struct addr6);

/* Words of `probe`. */
enum cell { CURSOR, SUM, ARRIVED, WRONG, LOWEST, HIGHEST, ROUTER_MAC };
ARRAY_OF(probe, 64, __u64);

/* The kernel's tries, with the same routes. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2000000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm4);
	__type(value, __u32);
} trie4 SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2000000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm6);
	__type(value, __u32);
} trie6 SEC(".maps");

INLINE __u64 *cell(__u32 at)
{
	return bpf_map_lookup_elem(&probe, &at);
}

#define EACH(name, pool_index, what)                                   \
	SEC("xdp") int name(struct xdp_md *ctx)                        \
	{                                                              \
		__u64 *cursor = cell(CURSOR), *total = cell(SUM);      \
		if (!cursor || !total)                                 \
			return XDP_ABORTED;                            \
		__u64 begin = *cursor, sum = 0;                        \
		for (int turn = 0; turn < LOOPS; turn++) {             \
			__u32 at = (__u32)(begin + turn) & (POOL - 1); \
			pool_index;                                    \
			if (!target)                                   \
				return XDP_ABORTED;                    \
			sum += what;                                   \
		}                                                      \
		*cursor = begin + LOOPS;                               \
		*total += sum;                                         \
		return XDP_DROP;                                       \
	}
#define EACH4(name, what) EACH(name, __u32 *target = WORD(pool4, at), what)
#define EACH6(name, what) EACH(name, struct addr6 *target = bpf_map_lookup_elem(&pool6, &at), what)

NOINLINE __u32 stride_of6(const struct addr6 *addr)
{
	return addr ? lookup6(addr->word) : 0;
}

INLINE int stride6(const struct addr6 *target)
{
	struct addr6 copy = *target;
	return stride_of6(&copy) != 0;
}

INLINE int trie4_hit(__u32 target)
{
	struct lpm4 key = { 32, hton32(target) };
	__u32 *found = bpf_map_lookup_elem(&trie4, &key);
	return found && *found;
}

INLINE int trie6_hit(const struct addr6 *target)
{
	struct lpm6 key = { 128, { target->word[0], target->word[1], target->word[2], target->word[3] } };
	__u32 *found = bpf_map_lookup_elem(&trie6, &key);
	return found && *found;
}

INLINE int kernel4(struct xdp_md *ctx, __u32 target)
{
	struct fib_lookup params = { .family = 2, .protocol = 17, .length = 60, .interface = ctx->ingress_ifindex };
	params.from[0] = hton32(0x0a010002);
	params.to[0] = hton32(target);
	return bpf_fib_lookup(ctx, &params, sizeof(params), SKIP_NEIGH) == 0;
}

INLINE int kernel6(struct xdp_md *ctx, const struct addr6 *target)
{
	struct fib_lookup params = { .family = 10, .protocol = 17, .length = 60, .interface = ctx->ingress_ifindex };
	params.from[0] = hton32(0xfd010000);
	params.from[3] = hton32(2);
	params.to[0] = target->word[0];
	params.to[1] = target->word[1];
	params.to[2] = target->word[2];
	params.to[3] = target->word[3];
	return bpf_fib_lookup(ctx, &params, sizeof(params), SKIP_NEIGH) == 0;
}

/* The answer must be an object from LOWEST to HIGHEST, whatever is being written. */
INLINE int judge(__u32 word)
{
	__u64 *lowest = cell(LOWEST), *highest = cell(HIGHEST), *wrong = cell(WRONG);
	if (lowest && highest && wrong && (OBJECT(word) < *lowest || OBJECT(word) > *highest))
		*wrong += 1;
	return 1;
}

NOINLINE int judge6(const struct addr6 *addr)
{
	return addr ? judge(lookup6(addr->word)) : 0;
}

INLINE int judge_copy6(const struct addr6 *target)
{
	struct addr6 copy = *target;
	return judge6(&copy);
}

EACH4(empty_v4, *target != 0)
EACH6(empty_v6, target->word[0] != 0)
EACH4(stride_v4, lookup4(*target) != 0)
EACH6(stride_v6, stride6(target))
EACH4(trie_v4, trie4_hit(*target))
EACH6(trie_v6, trie6_hit(target))
EACH4(kernel_v4, kernel4(ctx, *target))
EACH6(kernel_v6, kernel6(ctx, target))
EACH4(judge_v4, judge(lookup4(*target)))
EACH6(judge_v6, judge_copy6(target))

/* The forwarding program, or nothing: then the kernel forwards. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

/* Turns a live frame (IPv4, UDP) into a fresh one to the next target, and hands it on. Pages are used again as the last
 * forwarder left them, so everything that a forwarder changes is written. */
SEC("xdp") int generate(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethernet *ethernet = (void *)(long)ctx->data;
	struct ipv4 *ip = (void *)(ethernet + 1);
	__u64 *cursor = cell(CURSOR), *mac = cell(ROUTER_MAC);
	if ((void *)(ip + 1) > end || !cursor || !mac)
		return XDP_ABORTED;
	__u32 at = (__u32)(*cursor)++ & (POOL - 1);
	__u32 *target = WORD(pool4, at);
	if (!target)
		return XDP_ABORTED;
	for (int octet = 0; octet < 6; octet++)
		ethernet->to[octet] = (__u8)(*mac >> (octet * 8));
	ip->to = hton32(*target);
	ip->ttl = 64;
	ip->checksum = 0;
	__u32 sum = 0;
	__u16 *half = (void *)ip;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->checksum = (__u16)~sum;
	bpf_tail_call(ctx, &next, 0);
	return XDP_PASS;
}

/* Drops what arrives, and counts it. */
SEC("xdp") int sink(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethernet *ethernet = (void *)(long)ctx->data;
	struct ipv4 *ip = (void *)(ethernet + 1);
	__u64 *arrived = cell(ARRIVED);
	if ((void *)(ip + 1) <= end && ethernet->type == hton16(0x0800) && ip->protocol == 17 && arrived)
		*arrived += 1;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
