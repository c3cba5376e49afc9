/* The anyhop agent: routes from the daemon into rte_fib, rte_fib6 and an array of next hops inside your DPDK process.
 *
 * Control: anyhop_create() after rte_eal_init(), anyhop_port() for each port, anyhop_start(). From then on one thread of the
 * agent's own serves the socket; nobody else writes.
 *
 * Data plane: each polling thread registers once (anyhop_reader), calls anyhop_quiescent() once per round, when it holds no
 * result of a lookup, and asks anyhop_lookup4/6 where packets go. A lookup is rte_fib's and two loads more; failover of any number of
 * routes is one store into the array.
 *
 * rte_fib of DPDK 22.11 frees groups of 256 entries under readers: it clears them, and may give them out again. A cleared
 * entry reads as 0, which no route has, and the lookup is repeated; before a group can be given out again the control
 * thread waits until all readers have been quiescent; the few operations that may do both by themselves wait until the
 * readers are parked in anyhop_quiescent() (see tables.c). */
#ifndef ANYHOP_DPDK_H
#define ANYHOP_DPDK_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_hash.h>
#include <rte_rcu_qsbr.h>

struct anyhop;

/* Zero takes the default. */
struct anyhop_config {
	const char *socket; /* path of the Unix socket, mode 0600; its directory must exist */
	uint32_t routes4, routes6; /* 1300000, 300000 */
	uint32_t groups4, groups6; /* rte_fib's tbl8: 16384, 262144 */
	uint32_t next_hops; /* 65536 */
	uint32_t buckets; /* of all groups together: 262144 */
	uint32_t neighbors; /* 16384 */
	uint32_t readers; /* 128 */
	int numa; /* socket id for the tables; -1 is any */
	bool child; /* the daemon started this process, and is to end it */
};

/* Tables, empty. NULL if there is no memory or the configuration cannot be: rte_errno. */
struct anyhop *anyhop_create(const struct anyhop_config *config);

/* Routes and neighbors of the kernel interface `ifindex` leave by `port`. Before anyhop_start. 0 or a negative errno. */
int anyhop_port(struct anyhop *agent, uint16_t port, uint32_t ifindex);

/* Listens, and starts the control thread. 0 or a negative errno. */
int anyhop_start(struct anyhop *agent);

/* Ends the control thread and frees everything. Readers must be gone. */
void anyhop_stop(struct anyhop *agent);

/* Why packets went where; counted by the application in anyhop_counters(reader). Names in anyhop_reasons. */
enum anyhop_reason {
	ANYHOP_FORWARDED4,
	ANYHOP_FORWARDED6,
	ANYHOP_OCTETS,
	ANYHOP_NO_ROUTE,
	ANYHOP_UNRESOLVED,
	ANYHOP_TTL,
	ANYHOP_MTU,
	ANYHOP_OTHER,
	ANYHOP_FROM_HOST,
	ANYHOP_BLACKHOLE,
	ANYHOP_FULL,
	ANYHOP_REASONS
};
extern const char *const anyhop_reasons[ANYHOP_REASONS];

/* A number for a polling thread, below config.readers; negative if there are no more. */
int anyhop_reader(struct anyhop *agent);
void anyhop_reader_done(struct anyhop *agent, int reader);
uint64_t *anyhop_counters(struct anyhop *agent, int reader);

/* --- The part that packets see: every word is written whole. --- */

/* Where a packet goes: port + 1 above 48 bits of MAC address, or one of these. */
#define ANYHOP_HOST 0ull /* to the host: a local address, no route, or a kind of discard that deserves an answer */
#define ANYHOP_DROP 1ull
#define ANYHOP_ASK 2ull /* to the host, which finds the neighbor */
#define ANYHOP_NONE 3ull /* to the host: no route */
#define ANYHOP_CONNECTED (1ull << 63) /* never a result */

static inline bool anyhop_is_way(uint64_t way) { return way >> 48 != 0; }
static inline uint16_t anyhop_way_port(uint64_t way) { return (uint16_t)((way >> 48) - 1); }

/* What lookups use; the first member of struct anyhop. */
struct anyhop_view {
	struct rte_fib *fib4;
	struct rte_fib6 *fib6;
	/* By the number a route has in the FIB: the object's kind in the low octet, then log2 of its buckets, then its leg or
	 * first bucket from bit 32. */
	uint64_t *hops;
	uint64_t *legs; /* ways; with ANYHOP_CONNECTED the destination itself is looked up on the port */
	uint32_t *buckets; /* numbers of legs */
	struct rte_hash *neighbors;
	struct rte_rcu_qsbr *readers;
	uint32_t pause;
};

enum { ANYHOP_KIND_WAY, ANYHOP_KIND_LEG, ANYHOP_KIND_GROUP };

/* A key of the table of neighbors. */
struct anyhop_neighbor {
	uint32_t port;
	uint32_t family; /* AF_INET, AF_INET6 */
	uint8_t addr[16];
};

static inline const struct anyhop_view *anyhop_view(const struct anyhop *agent)
{
	return (const struct anyhop_view *)agent;
}

void anyhop_park(struct anyhop *agent, int reader);

/* Once per round, when no result of a lookup is held. */
static inline void anyhop_quiescent(struct anyhop *agent, int reader)
{
	const struct anyhop_view *view = anyhop_view(agent);
	if (unlikely(__atomic_load_n(&view->pause, __ATOMIC_SEQ_CST)))
		anyhop_park(agent, reader);
	else
		rte_rcu_qsbr_quiescent(view->readers, (unsigned int)reader);
}

/* Around sleeping: nobody waits for a reader that is away. */
static inline void anyhop_away(struct anyhop *agent, int reader)
{
	rte_rcu_qsbr_thread_offline(anyhop_view(agent)->readers, (unsigned int)reader);
}
void anyhop_back(struct anyhop *agent, int reader);

/* From a route's number to the way of a packet with this flow hash. `dst` is the packet's destination. */
uint64_t anyhop_connected(const struct anyhop_view *view, uint64_t leg, uint32_t family, const void *dst);

static inline uint64_t anyhop_way(const struct anyhop_view *view, uint64_t number, uint32_t hash, uint32_t family,
				  const void *dst)
{
	uint64_t word = __atomic_load_n(&view->hops[number], __ATOMIC_ACQUIRE);
	uint64_t leg;
	switch (word & 0xff) {
	case ANYHOP_KIND_WAY:
		return word >> 32;
	case ANYHOP_KIND_LEG:
		leg = word >> 32;
		break;
	default: {
		uint32_t mask = (1u << (word >> 8 & 0xff)) - 1;
		leg = __atomic_load_n(&view->buckets[(word >> 32) + (hash & mask)], __ATOMIC_RELAXED);
	}
	}
	uint64_t way = __atomic_load_n(&view->legs[leg], __ATOMIC_RELAXED);
	return unlikely(way & ANYHOP_CONNECTED) ? anyhop_connected(view, way, family, dst) : way;
}

/* Again for those that met a group being cleared; 0 is what no route has. */
void anyhop_again4(const struct anyhop_view *view, uint32_t *ips, uint64_t *numbers, int n);
void anyhop_again6(const struct anyhop_view *view, uint8_t (*ips)[16], uint64_t *numbers, int n);

/* Numbers of the routes for `n` destinations, IPv4 in host order; ANYHOP_HOPS_* below or an object. */
static inline void anyhop_lookup4(const struct anyhop_view *view, uint32_t *ips, uint64_t *numbers, int n)
{
	rte_fib_lookup_bulk(view->fib4, ips, numbers, n);
	uint64_t all = 1;
	for (int i = 0; i < n; i++)
		all &= numbers[i] != 0;
	if (unlikely(!all))
		anyhop_again4(view, ips, numbers, n);
}

static inline void anyhop_lookup6(const struct anyhop_view *view, uint8_t (*ips)[16], uint64_t *numbers, int n)
{
	rte_fib6_lookup_bulk(view->fib6, ips, numbers, n);
	uint64_t all = 1;
	for (int i = 0; i < n; i++)
		all &= numbers[i] != 0;
	if (unlikely(!all))
		anyhop_again6(view, ips, numbers, n);
}

#endif
