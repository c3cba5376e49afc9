/* The agent's tables: what the control thread knows, and what packets see. Everything here is the control thread's. */
#ifndef ANYHOP_TABLES_H
#define ANYHOP_TABLES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "anyhop_dpdk.h"
#include "wire.h"

/* Numbers that routes have in the FIB. 0 is nobody's: a group of rte_fib that is being freed reads as 0. */
enum {
	NUMBER_NONE4 = 1, /* no route, or the default route */
	NUMBER_NONE6 = 2,
	NUMBER_LOCAL = 3,
	NUMBER_BLACKHOLE = 4,
	NUMBER_UNREACHABLE = 5,
	NUMBER_PROHIBIT = 6,
	NUMBER_FIRST = 8 /* of an object */
};

#define LEGS_MAX 256
#define BUCKETS_LOG2_MAX 11

struct member {
	uint32_t number;
	uint16_t weight; /* 1 to 256 */
};

struct object {
	uint32_t id; /* the client's */
	bool used;
	bool torn; /* a failed write may have left its number in a table: never given out again */
	uint8_t onlink;
	uint8_t family; /* of the gateway; 0: none */
	uint8_t log2; /* of a group's buckets */
	uint32_t ifindex;
	uint8_t gateway[16];
	uint32_t routes;
	uint32_t groups; /* that have it as a member */
	uint32_t members_len; /* more than 0 for a group */
	struct member *members;
	uint32_t first; /* bucket */
};

struct family {
	uint32_t routes;
	uint32_t most;
	uint32_t groups; /* that all routes longer than /24 call for, if none had become one entry */
	uint32_t groups_most;
	bool has_default;
	uint32_t default_number;
};

struct anyhop {
	struct anyhop_view view;

	struct anyhop_config config;
	struct object *objects; /* by number */
	uint32_t objects_end; /* numbers from here on were never used */
	uint32_t *free_numbers;
	uint32_t free_len;
	struct rte_hash *ids; /* to numbers */
	uint32_t last_id, last_number;

	struct family families[2];
	uint16_t *long4; /* routes longer than /24 by their first 16 bits; sticks at the top */

	uint32_t buckets_end;
	uint32_t *free_buckets[BUCKETS_LOG2_MAX + 1];
	uint32_t free_buckets_len[BUCKETS_LOG2_MAX + 1];
	uint32_t free_buckets_room[BUCKETS_LOG2_MAX + 1];

	bool freed; /* something that readers may still look at was freed after `token` was taken up */
	uint64_t token;
	bool account_known; /* rte_fib's account of its groups can be set right */

	uint32_t ports_len;
	struct { uint32_t ifindex; uint16_t port; } ports[ANYHOP_PORTS_MAX];
	uint32_t neighbors_len;

	uint64_t started;
	uint64_t (*counters)[16]; /* a cache line or two per reader */
	uint32_t readers_end;

	int listener;
	int wake[2];
	pthread_t thread;
	bool running;
};

struct prefix {
	int six; /* index of the family */
	uint8_t length;
	uint8_t addr[16]; /* network order */
};

int tables_create(struct anyhop *agent);
void tables_free(struct anyhop *agent);

/* A number of NUMBER_FIRST or above, or 0. */
uint32_t tables_find(struct anyhop *agent, uint32_t id);

/* What an object is to be: one leg (members_len 0) or a group. 0 or a negative errno. */
int tables_set_object(struct anyhop *agent, const struct object *wanted);
int tables_remove_object(struct anyhop *agent, uint32_t id);

int tables_set_route(struct anyhop *agent, const struct prefix *prefix, uint32_t number);
int tables_remove_route(struct anyhop *agent, const struct prefix *prefix);
/* Calls `each` for every route of a family until it answers other than 0; that is returned. */
int tables_routes(struct anyhop *agent, int six, int (*each)(void *, const struct prefix *, uint32_t), void *context);

/* `mac` is NULL if there is nobody. */
int tables_set_neighbor(struct anyhop *agent, uint32_t ifindex, int six, const uint8_t *addr, const uint8_t *mac);
int tables_neighbors(struct anyhop *agent,
		     int (*each)(void *, uint32_t ifindex, int six, const uint8_t *addr, const uint8_t *mac), void *context);

#endif
