/* What bare rte_fib does with a set of prefixes, and what the agent's lookups and failover cost beside it, in one run.
 *
 *   fib-bench EAL-OPTIONS -- FILE
 *
 * FILE: for each prefix 18 octets - family (4 or 6), length, address in network order - in the order of adding. Prints
 * `name value` lines: seconds for all adds, nanoseconds per lookup and per store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <rte_byteorder.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "tables.h"

#define TARGETS (1 << 20)
#define BULK 64
#define ROUNDS 5
#define HOPS 64
#define GROUPS6 393216 /* random prefixes are far from each other */

struct entry {
	uint8_t family, length, addr[16];
};

static uint64_t seed = 88172645463325252ull;
static uint64_t next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545F4914F6CDD1Dull;
}

static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "fib-bench: %s\n", what);
	exit(1);
}

static struct entry *entries;
static size_t entries_len;

static void read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail(path);
	fseek(file, 0, SEEK_END);
	entries_len = (size_t)ftell(file) / sizeof(struct entry);
	rewind(file);
	entries = malloc(entries_len * sizeof(struct entry));
	if (entries == NULL || fread(entries, sizeof(struct entry), entries_len, file) != entries_len)
		fail("cannot read the prefixes");
	fclose(file);
}

static uint32_t host4(const struct entry *entry)
{
	uint32_t addr;
	memcpy(&addr, entry->addr, 4);
	return rte_be_to_cpu_32(addr);
}

/* As the notes of DPDK's own test do: add, one after the other. */
static void bare(void)
{
	struct rte_fib_conf four = { .type = RTE_FIB_DIR24_8, .max_routes = 1300000,
				     .dir24_8 = { .nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = 16384 } };
	struct rte_fib6_conf six = { .type = RTE_FIB6_TRIE, .max_routes = 300000,
				     .trie = { .nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = GROUPS6 } };
	struct rte_fib *fib4 = rte_fib_create("bare4", -1, &four);
	struct rte_fib6 *fib6 = rte_fib6_create("bare6", -1, &six);
	double took[2] = { 0, 0 };
	unsigned long failed[2] = { 0, 0 }, tried[2] = { 0, 0 };
	if (fib4 == NULL || fib6 == NULL)
		fail("no memory for the bare tables: -m 3072");
	for (int family = 0; family < 2; family++) {
		double begin = now();
		for (size_t i = 0; i < entries_len; i++) {
			const struct entry *entry = &entries[i];
			if ((entry->family == 6) != (family == 1))
				continue;
			tried[family]++;
			int error = family ? rte_fib6_add(fib6, entry->addr, entry->length, 1 + i % HOPS) :
					     rte_fib_add(fib4, host4(entry), entry->length, 1 + i % HOPS);
			failed[family] += error != 0;
		}
		took[family] = now() - begin;
	}
	printf("routes4 %lu\nroutes6 %lu\nbare-add4 %f\nbare-add6 %f\nbare-failed4 %lu\nbare-failed6 %lu\n", tried[0], tried[1],
	       took[0], took[1], failed[0], failed[1]);
	rte_fib_free(fib4);
	rte_fib6_free(fib6);
}

static uint32_t to4[TARGETS], numbers32[TARGETS];
static uint8_t to6[TARGETS][16];
static uint64_t found[TARGETS];

static void targets(void)
{
	for (size_t i = 0; i < TARGETS; i++) {
		const struct entry *entry = &entries[next() % entries_len];
		while (entry->family != 4)
			entry = &entries[next() % entries_len];
		uint32_t mask = entry->length == 32 ? 0 : UINT32_MAX >> entry->length;
		to4[i] = next() % 10 == 0 ? (uint32_t)next() : host4(entry) | ((uint32_t)next() & mask);
	}
	for (size_t i = 0; i < TARGETS; i++) {
		const struct entry *entry = &entries[next() % entries_len];
		for (int tries = 0; entry->family != 6 && tries < 10000; tries++)
			entry = &entries[next() % entries_len];
		memcpy(to6[i], entry->addr, 16);
		for (unsigned int octet = (entry->length + 7u) / 8; octet < 16; octet++)
			to6[i][octet] = (uint8_t)next();
	}
}

static double lookups(const struct anyhop_view *view, int kind)
{
	double best = 1e9;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t sum = 0;
		double begin = now();
		for (size_t i = 0; i < TARGETS; i += BULK) {
			switch (kind) {
			case 0:
				rte_fib_lookup_bulk(view->fib4, to4 + i, found + i, BULK);
				break;
			case 1:
				anyhop_lookup4(view, to4 + i, found + i, BULK);
				break;
			case 2:
				anyhop_lookup4(view, to4 + i, found + i, BULK);
				for (size_t n = i; n < i + BULK; n++)
					sum += anyhop_way(view, found[n], (uint32_t)n, AF_INET, &to4[n]);
				break;
			case 3:
				rte_fib6_lookup_bulk(view->fib6, to6 + i, found + i, BULK);
				break;
			case 4:
				anyhop_lookup6(view, to6 + i, found + i, BULK);
				break;
			default:
				anyhop_lookup6(view, to6 + i, found + i, BULK);
				for (size_t n = i; n < i + BULK; n++)
					sum += anyhop_way(view, found[n], (uint32_t)n, AF_INET6, to6[n]);
			}
		}
		double took = now() - begin;
		numbers32[0] += (uint32_t)sum;
		if (took < best)
			best = took;
	}
	return best * 1e9 / TARGETS;
}

static void ours(void)
{
	struct anyhop_config config = { .socket = "/nowhere", .groups6 = GROUPS6, .numa = -1 };
	struct anyhop *agent = anyhop_create(&config);
	if (agent == NULL)
		fail("no memory for the agent's tables: -m 3072");
	anyhop_port(agent, 0, 1);
	const uint8_t gateways[2][4] = { { 10, 0, 0, 1 }, { 10, 0, 0, 2 } };
	for (int i = 0; i < 2; i++) {
		const uint8_t mac[6] = { 2, 0, 0, 0, 0, (uint8_t)(i + 1) };
		if (tables_set_neighbor(agent, 1, 0, gateways[i], mac) != 0)
			fail("a neighbor was refused");
	}
	uint32_t numbers[HOPS];
	for (uint32_t i = 0; i < HOPS; i++) {
		struct object object = { .id = i + 1, .ifindex = 1, .family = AF_INET };
		memcpy(object.gateway, gateways[0], 4);
		if (tables_set_object(agent, &object) != 0)
			fail("an object was refused");
		numbers[i] = tables_find(agent, object.id);
	}
	double took[2] = { 0, 0 };
	unsigned long failed[2] = { 0, 0 };
	for (int family = 0; family < 2; family++) {
		double begin = now();
		for (size_t i = 0; i < entries_len; i++) {
			struct prefix prefix = { .six = family, .length = entries[i].length };
			if ((entries[i].family == 6) != (family == 1))
				continue;
			memcpy(prefix.addr, entries[i].addr, family ? 16 : 4);
			failed[family] += tables_set_route(agent, &prefix, numbers[i % HOPS]) != 0;
		}
		took[family] = now() - begin;
	}
	printf("tables-add4 %f\ntables-add6 %f\ntables-failed4 %lu\ntables-failed6 %lu\n", took[0], took[1], failed[0], failed[1]);
	static const char *const names[6] = { "bare-lookup4", "lookup4", "lookup-way4", "bare-lookup6", "lookup6", "lookup-way6" };
	for (int kind = 0; kind < 6; kind++)
		printf("%s %.1f\n", names[kind], lookups(anyhop_view(agent), kind));
	/* The next hop of a 64th of all routes moves, back and forth. */
	double begin = now();
	for (int i = 0; i < 10000; i++) {
		struct object object = { .id = 1, .ifindex = 1, .family = AF_INET };
		memcpy(object.gateway, gateways[i % 2], 4);
		if (tables_set_object(agent, &object) != 0)
			fail("an object was refused");
	}
	printf("failover %.0f\n", (now() - begin) * 1e9 / 10000);
	anyhop_stop(agent);
}

int main(int argc, char **argv)
{
	int eal = rte_eal_init(argc, argv);
	if (eal < 0 || argc - eal != 2)
		fail("usage: fib-bench EAL-OPTIONS -- FILE");
	read_file(argv[eal + 1]);
	bare();
	targets();
	ours();
	rte_eal_cleanup();
	return 0;
}
