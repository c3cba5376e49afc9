/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The maps and their layout, version 2. `fib-sync/src/xdp/layout.rs` is the other side of each line; docs/fib.md tells foreign
 * programs how to read them. All arrays that the daemon writes are mmapable: a write is one aligned store of 4 or 8 octets, so
 * a packet sees the word before or the word after, never a mixture. */
#ifndef ANYHOP_TABLES_H
#define ANYHOP_TABLES_H
#include "bpf.h"

/* A word of the tables: an object and the length of its prefix; or the number of a group of 256 further words (EXT) or of a list
 * (LIST), and after how many bits of the address it goes on there. */
#define EXT 0x80000000u
#define LIST 0x40000000u
#define OBJECT(word) ((word) & 0x3fffffu)
#define LENGTH(word) ((word) >> 22 & 0xff)
#define STRIDE_ROOT 24

/* Up to seven prefixes, the longest first, each with a word; free ones have the word 0. Keys are the 32 bits of the address from
 * where the list goes on. An address that none of them is for has the word `under`. */
#define LIST_ROUTES 7
struct list {
	__u32 under;
	__u32 word[LIST_ROUTES];
	__u32 key[LIST_ROUTES];
	__u32 zero;
};

/* An object word: kind << 56 | what the kind says. */
enum object { OBJECT_NONE, OBJECT_LEG, OBJECT_GROUP, OBJECT_DROP, OBJECT_LOCAL, OBJECT_PUNT };
/* A leg word: kind << 56 | port << 48 | MAC address (first octet lowest). */
enum leg { LEG_UNRESOLVED, LEG_RESOLVED, LEG_ONLINK };

/* A port stands at its interface number modulo PORTS, or at one of the PORT_PROBES - 1 places after. */
#define PORTS 256
#define PORT_PROBES 4
#define PORT_MTU(device) ((__u32)((device) >> 32) & 0xffffff)
/* The program runs there in generic mode: the driver cannot send what another driver received. */
#define PORT_GENERIC (1ull << 56)
struct port {
	__u64 device; /* flags << 56 | mtu << 32 | interface number; 0 = none */
	__u64 mac;    /* first octet lowest */
};

/* Array maps round values up to 8 octets: tables of 4-octet words have 16 of them per value to stay dense. */
struct words {
	__u32 word[16];
};

struct neighbor {
	__u32 port, zero;
	__u32 addr[4]; /* network order; IPv4 as ::ffff:a.b.c.d */
};

struct route6 {
	__u64 high, low; /* host order */
	__u64 meta;      /* 1 << 63 | length << 22 | object; 0 = free */
};

struct leg_info {
	__u32 interface, flags; /* 1 = in use, 2 = has a gateway, 4 = gateway is IPv4, 8 = onlink */
	__u32 gateway[4];       /* network order */
};

#define MEMBERS 64
struct members {
	__u32 count, zero;
	struct {
		__u32 leg, weight;
	} member[MEMBERS];
};

struct lpm4 {
	__u32 length;
	__u32 addr;
};

struct lpm6 {
	__u32 length;
	__u32 addr[4];
};

/* `max_entries` of the tables are set by the loader from the configuration. */
#define ARRAY_OF(name_, entries_, value_)               \
	struct {                                        \
		__uint(type, BPF_MAP_TYPE_ARRAY);       \
		__uint(max_entries, entries_);          \
		__uint(map_flags, BPF_F_MMAPABLE);      \
		__type(key, __u32);                     \
		__type(value, value_);                  \
	} name_ SEC(".maps")

ARRAY_OF(v4_root, 1 << 20, struct words);
ARRAY_OF(v4_groups, 16, struct words);
ARRAY_OF(v6_root, 1 << 20, struct words);
ARRAY_OF(v6_groups, 16, struct words);
ARRAY_OF(v6_lists, 1, struct list);
ARRAY_OF(objects, 1, __u64);
ARRAY_OF(legs, 1, __u64);
ARRAY_OF(buckets, 1, struct words);
ARRAY_OF(ports, PORTS, struct port);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct neighbor);
	__type(value, __u64);
} neighbors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, __u64);
} devices SEC(".maps");

/* For other programs that read a plain LPM map; and, in that mode, for this one. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm4);
	__type(value, __u32);
} v4_lpm SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm6);
	__type(value, __u32);
} v6_lpm SEC(".maps");

/* Set by the loader: look up in the tries instead of the stride tables. */
const volatile __u32 lpm_mode = 0;

#define WORD(map, index)                                                \
	({                                                              \
		__u32 at_ = (index) >> 4;                               \
		struct words *words_ = bpf_map_lookup_elem(&map, &at_); \
		words_ ? &words_->word[(index) & 15] : 0;               \
	})

/* The route word of an IPv4 address in host order; 0 = no route. */
INLINE __u32 lookup4(__u32 addr)
{
	__u32 *at = WORD(v4_root, addr >> 8);
	if (!at)
		return 0;
	__u32 word = *(volatile __u32 *)at;
	if (word & EXT) {
		__u32 index = OBJECT(word) << 8 | (addr & 255);
		at = WORD(v4_groups, index);
		word = at ? *(volatile __u32 *)at : 0;
	}
	return word;
}

/* The word of a list that goes on after `depth` bits, for the 32 bits of an address from there. */
INLINE __u32 in_list(const struct list *list, __u32 window, __u32 depth)
{
	__u32 found = *(volatile __u32 *)&list->under;
#pragma unroll
	for (int at = 0; at < LIST_ROUTES; at++) {
		__u32 word = *(volatile __u32 *)&list->word[at];
		if (!word)
			break;
		/* 1 to 32 bits count, the others are shifted away. */
		if ((list->key[at] ^ window) >> ((depth - LENGTH(word)) & 31) == 0) {
			found = word;
			break;
		}
	}
	return found;
}

/* The route word of an IPv6 address in network order; 0 = no route. */
INLINE __u32 lookup6(const __u32 *addr)
{
	__u64 high = (__u64)ntoh32(addr[0]) << 32 | ntoh32(addr[1]);
	__u64 low = (__u64)ntoh32(addr[2]) << 32 | ntoh32(addr[3]);
	__u32 *at = WORD(v6_root, (__u32)(high >> 40));
	if (!at)
		return 0;
	__u32 word = *(volatile __u32 *)at;
	/* Every step goes 8 bits further at least. */
	for (int step = 0; step < 13 && (word & (EXT | LIST)); step++) {
		__u32 depth = LENGTH(word);
		__u32 number = OBJECT(word);
		/* 24 to 120, in steps of 8. */
		__u32 window = depth < 64 ? (high << (depth & 63) | low >> (-depth & 63)) >> 32 : low << (depth & 63) >> 32;
		if (word & EXT) {
			at = WORD(v6_groups, number << 8 | window >> 24);
			if (!at)
				return 0;
			word = *(volatile __u32 *)at;
		} else {
			struct list *list = bpf_map_lookup_elem(&v6_lists, &number);
			if (!list)
				return 0;
			word = in_list(list, window, depth);
		}
	}
	return word & (EXT | LIST) ? 0 : word;
}

#endif
