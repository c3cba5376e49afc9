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
#define SKIP_NEIGH 4

/* Targets: IPv4 in host order, IPv6 in network order. */
struct addr6 {
	__u32 word[4];
};
ARRAY_OF(pool4, POOL / 16, struct words);
ARRAY_OF(pool6, POOL, struct addr6);

/* Words of `probe`. */
enum cell { CURSOR, SUM, WATCHED };
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

#define BENCH(name, body)                                             \
	SEC("xdp") int name(struct xdp_md *ctx)                       \
	{                                                             \
		__u64 *cursor = cell(CURSOR), *total = cell(SUM);     \
		if (!cursor || !total)                                \
			return XDP_ABORTED;                           \
		__u64 begin = *cursor, sum = 0;                       \
		for (int turn = 0; turn < LOOPS; turn++) {            \
			__u32 at = (__u32)(begin + turn) & (POOL - 1); \
			body                                          \
		}                                                     \
		*cursor = begin + LOOPS;                              \
		*total += sum;                                        \
		return XDP_DROP;                                      \
	}

#define TARGET4                             \
	__u32 *target = WORD(pool4, at);    \
	if (!target)                        \
		return XDP_ABORTED;
#define TARGET6                                                         \
	struct addr6 *target = bpf_map_lookup_elem(&pool6, &at);        \
	if (!target)                                                    \
		return XDP_ABORTED;

NOINLINE __u32 stride6(const struct addr6 *addr)
{
	return addr ? lookup6(addr->word) : 0;
}

BENCH(empty4, TARGET4 sum += *target;)
BENCH(empty6, TARGET6 sum += target->word[0] + target->word[3];)
BENCH(stride_v4, TARGET4 sum += OBJECT(lookup4(*target));)
BENCH(stride_v6, TARGET6 struct addr6 copy = *target; sum += OBJECT(stride6(&copy));)
BENCH(trie_v4, TARGET4 struct lpm4 key = { 32, hton32(*target) }; __u32 *found = bpf_map_lookup_elem(&trie4, &key); if (found) sum += OBJECT(*found);)
BENCH(trie_v6, TARGET6 struct lpm6 key = { 128, { target->word[0], target->word[1], target->word[2], target->word[3] } }; __u32 *found = bpf_map_lookup_elem(&trie6, &key); if (found) sum += OBJECT(*found);)
BENCH(kernel_v4, TARGET4 struct fib_lookup params = { .family = 2, .protocol = 17, .length = 60, .interface = ctx->ingress_ifindex }; params.from[0] = hton32(0x0a000002); params.to[0] = hton32(*target); sum += bpf_fib_lookup(ctx, &params, sizeof(params), SKIP_NEIGH) == 0;)
BENCH(kernel_v6, TARGET6 struct fib_lookup params = { .family = 10, .protocol = 17, .length = 60, .interface = ctx->ingress_ifindex }; params.from[0] = hton32(0xfd000000); params.from[3] = hton32(2); params.to[0] = target->word[0]; params.to[1] = target->word[1]; params.to[2] = target->word[2]; params.to[3] = target->word[3]; sum += bpf_fib_lookup(ctx, &params, sizeof(params), SKIP_NEIGH) == 0;)

/* Drops what arrives, and counts it. */
SEC("xdp") int sink(struct xdp_md *ctx)
{
	__u64 *watched = cell(WATCHED);
	if (watched)
		*watched += 1;
	return XDP_DROP;
}

SEC("xdp") int accept(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
