/* Routes and their tables, under readers that never wait.
 *
 * What rte_fib of DPDK 22.11 does beneath them: a group of 256 entries (tbl8) whose entries have become equal is replaced
 * by one entry, cleared and free at once. A reader that had already read the way to it then reads 0 - or, if the group was
 * given out again meanwhile, another prefix's next hop. So:
 *  - no route has the number 0, and lookups that come to 0 are repeated;
 *  - after a write that may have freed a group, no write that may take one begins before all readers were quiescent (settle);
 *  - a write that may free one and take one by itself is done while the readers are parked.
 * Which writes these are: one without longer routes beneath it first takes what it needs and frees at the end. Only removal, or a
 * change that makes 256 neighbors equal, frees at all. With longer routes beneath, it is done piece by piece, and pieces may
 * free and take.
 *
 * Its account of reserved groups is wrong in 22.11: every removal of a longer IPv6 route, and every IPv4 one that has the next hop
 * of the route around it, leaves it off by one or more, until it refuses everything. So the account is set back before each
 * write - if it is where we think it is, which is tried out at the start - and the agent keeps one of its own: the groups that
 * there would be if none had become one entry. That is a bound that removals and changes never raise, though they may take
 * groups: two equal neighbors need none, one of them alone does. While a piece is written there may be one group more, and
 * IPv4 wants to see one more free. So a new route is refused while one group is left, and nothing else ever is.
 *
 * The default route is no route to rte_fib but what its "no route" means (number 1 or 2): rte_fib 22.11 gets /0 wrong when
 * there is nothing beneath it. */
#include "tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_rib.h>
#include <rte_rib6.h>

/* --- Grace --- */

static void freed(struct anyhop *agent)
{
	agent->token = rte_rcu_qsbr_start(agent->view.readers);
	agent->freed = true;
}

/* Nobody looks at anything that was freed before. */
static void settle(struct anyhop *agent)
{
	if (!agent->freed)
		return;
	rte_rcu_qsbr_check(agent->view.readers, agent->token, true);
	agent->freed = false;
}

static void park(struct anyhop *agent)
{
	__atomic_store_n(&agent->view.pause, 1, __ATOMIC_SEQ_CST);
	/* A reader that had just looked at `pause` reports once more and then sees it: the second wait is for its leaving. */
	for (int i = 0; i < 2; i++)
		rte_rcu_qsbr_synchronize(agent->view.readers, RTE_QSBR_THRID_INVALID);
	agent->freed = false;
}

static void release(struct anyhop *agent) { __atomic_store_n(&agent->view.pause, 0, __ATOMIC_SEQ_CST); }

/* --- Words that packets see --- */

static uint64_t way_word(uint64_t way) { return way << 32 | ANYHOP_KIND_WAY; }

static void store_hop(struct anyhop *agent, uint32_t number, uint64_t word)
{
	__atomic_store_n(&agent->view.hops[number], word, __ATOMIC_RELEASE);
	for (int six = 0; six < 2; six++) {
		const struct family *family = &agent->families[six];
		if (family->has_default && family->default_number == number)
			__atomic_store_n(&agent->view.hops[NUMBER_NONE4 + six], word, __ATOMIC_RELEASE);
	}
}

/* --- Objects --- */

static bool port_of(const struct anyhop *agent, uint32_t ifindex, uint16_t *port)
{
	for (uint32_t i = 0; i < agent->ports_len; i++)
		if (agent->ports[i].ifindex == ifindex) {
			*port = agent->ports[i].port;
			return true;
		}
	return false;
}

static struct anyhop_neighbor neighbor_key(uint16_t port, int six, const uint8_t *addr)
{
	struct anyhop_neighbor key = { .port = port, .family = six ? AF_INET6 : AF_INET };
	memcpy(key.addr, addr, six ? 16 : 4);
	return key;
}

/* The way of an object's leg as things are now. */
static uint64_t leg_way(struct anyhop *agent, const struct object *object)
{
	uint16_t port;
	if (!port_of(agent, object->ifindex, &port))
		return ANYHOP_HOST; /* an interface of the host's that is not ours */
	if (object->family == 0)
		return ANYHOP_CONNECTED | (uint64_t)(port + 1) << 48;
	struct anyhop_neighbor key = neighbor_key(port, object->family == AF_INET6, object->gateway);
	void *way;
	return rte_hash_lookup_data(agent->view.neighbors, &key, &way) >= 0 ? (uint64_t)(uintptr_t)way : ANYHOP_ASK;
}

static void store_leg(struct anyhop *agent, uint32_t number)
{
	__atomic_store_n(&agent->view.legs[number], leg_way(agent, &agent->objects[number]), __ATOMIC_RELAXED);
}

uint32_t tables_find(struct anyhop *agent, uint32_t id)
{
	if (agent->last_number != 0 && agent->last_id == id)
		return agent->last_number;
	void *number;
	if (rte_hash_lookup_data(agent->ids, &id, &number) < 0)
		return 0;
	agent->last_id = id;
	agent->last_number = (uint32_t)(uintptr_t)number;
	return agent->last_number;
}

static int take_buckets(struct anyhop *agent, unsigned int log2, uint32_t *first)
{
	if (agent->free_buckets_len[log2] > 0) {
		settle(agent);
		*first = agent->free_buckets[log2][--agent->free_buckets_len[log2]];
		return 0;
	}
	if (agent->config.buckets - agent->buckets_end < 1u << log2)
		return -ENOSPC;
	*first = agent->buckets_end;
	agent->buckets_end += 1u << log2;
	return 0;
}

static void free_slice(struct anyhop *agent, unsigned int log2, uint32_t first)
{
	uint32_t *len = &agent->free_buckets_len[log2], *room = &agent->free_buckets_room[log2];
	if (*len == *room) {
		uint32_t more = *room ? *room * 2 : 64;
		uint32_t *list = realloc(agent->free_buckets[log2], more * sizeof(*list));
		if (list == NULL)
			return; /* lost until the next start */
		agent->free_buckets[log2] = list;
		*room = more;
	}
	agent->free_buckets[log2][(*len)++] = first;
	freed(agent);
}

/* Eight buckets per unit of weight, as far as there is room: shares are right within an eighth. */
static unsigned int group_log2(uint32_t weights)
{
	unsigned int log2 = 0;
	while (log2 < BUCKETS_LOG2_MAX && 1u << log2 < weights * 8)
		log2++;
	return log2;
}

static void fill_buckets(struct anyhop *agent, const struct object *group)
{
	uint32_t weights = 0, sum = 0, at = 0, size = 1u << group->log2;
	for (uint32_t i = 0; i < group->members_len; i++)
		weights += group->members[i].weight;
	for (uint32_t i = 0; i < group->members_len; i++) {
		sum += group->members[i].weight;
		uint32_t end = (uint32_t)((uint64_t)size * sum / weights);
		for (; at < end; at++)
			__atomic_store_n(&agent->view.buckets[group->first + at], group->members[i].number, __ATOMIC_RELAXED);
	}
}

static void count_members(struct anyhop *agent, const struct object *group, int by)
{
	for (uint32_t i = 0; i < group->members_len; i++)
		agent->objects[group->members[i].number].groups += by;
}

static int new_number(struct anyhop *agent, uint32_t id, uint32_t *number)
{
	if (agent->free_len > 0) {
		settle(agent);
		*number = agent->free_numbers[agent->free_len - 1];
	} else if (agent->objects_end < agent->config.next_hops + NUMBER_FIRST) {
		*number = agent->objects_end;
	} else {
		return -ENOSPC;
	}
	if (rte_hash_add_key_data(agent->ids, &id, (void *)(uintptr_t)*number) != 0)
		return -ENOSPC;
	if (agent->free_len > 0)
		agent->free_len--;
	else
		agent->objects_end++;
	memset(&agent->objects[*number], 0, sizeof(struct object));
	return 0;
}

static void free_number(struct anyhop *agent, uint32_t number)
{
	struct object *object = &agent->objects[number];
	rte_hash_del_key(agent->ids, &object->id);
	agent->last_number = 0;
	store_hop(agent, number, way_word(ANYHOP_HOST));
	object->used = false;
	if (!object->torn)
		agent->free_numbers[agent->free_len++] = number;
	freed(agent);
}

int tables_set_object(struct anyhop *agent, const struct object *wanted)
{
	uint32_t number = tables_find(agent, wanted->id);
	struct member *members = NULL;
	uint32_t first = 0, weights = 0;
	unsigned int log2 = 0;
	int error;

	if (wanted->members_len > 0) {
		if (number != 0 && agent->objects[number].groups > 0)
			return -EINVAL; /* groups do not nest */
		for (uint32_t i = 0; i < wanted->members_len; i++)
			weights += wanted->members[i].weight;
		log2 = group_log2(weights);
		members = malloc(wanted->members_len * sizeof(*members));
		if (members == NULL)
			return -ENOMEM;
		memcpy(members, wanted->members, wanted->members_len * sizeof(*members));
		error = take_buckets(agent, log2, &first);
		if (error != 0) {
			free(members);
			return error;
		}
	}
	if (number == 0) {
		error = new_number(agent, wanted->id, &number);
		if (error != 0) {
			if (members != NULL)
				free_slice(agent, log2, first);
			free(members);
			return error;
		}
	}
	struct object *object = &agent->objects[number];
	struct object before = *object;
	object->id = wanted->id;
	object->used = true;
	object->onlink = wanted->onlink;
	object->family = wanted->family;
	object->ifindex = wanted->ifindex;
	memcpy(object->gateway, wanted->gateway, sizeof(object->gateway));
	object->members = members;
	object->members_len = wanted->members_len;
	object->first = first;
	object->log2 = (uint8_t)log2;
	if (members != NULL) {
		fill_buckets(agent, object);
		count_members(agent, object, 1);
		store_hop(agent, number, (uint64_t)first << 32 | log2 << 8 | ANYHOP_KIND_GROUP);
	} else {
		store_leg(agent, number);
		if (!before.used || before.members_len > 0)
			store_hop(agent, number, (uint64_t)number << 32 | ANYHOP_KIND_LEG);
	}
	if (before.members_len > 0) {
		count_members(agent, &before, -1);
		free_slice(agent, before.log2, before.first);
		free(before.members);
	}
	return 0;
}

struct doomed {
	struct prefix *prefixes;
	uint32_t len, room, number;
};

static int gather(void *context, const struct prefix *prefix, uint32_t number)
{
	struct doomed *doomed = context;
	if (number != doomed->number)
		return 0;
	if (doomed->len == doomed->room)
		return -ENOMEM;
	doomed->prefixes[doomed->len++] = *prefix;
	return 0;
}

int tables_remove_object(struct anyhop *agent, uint32_t id)
{
	uint32_t number = tables_find(agent, id);
	if (number == 0)
		return -ENOENT;
	struct object *object = &agent->objects[number];
	if (object->groups > 0)
		return -EBUSY;
	if (object->routes > 0) {
		/* Rare: a well-behaved client takes the routes off first. */
		struct doomed doomed = { .room = object->routes, .number = number };
		doomed.prefixes = malloc(doomed.room * sizeof(struct prefix));
		int error = doomed.prefixes == NULL ? -ENOMEM : 0;
		for (int six = 0; six < 2 && error == 0; six++)
			error = tables_routes(agent, six, gather, &doomed);
		for (uint32_t i = 0; i < doomed.len && error == 0; i++)
			error = tables_remove_route(agent, &doomed.prefixes[i]);
		free(doomed.prefixes);
		if (error != 0)
			return error;
	}
	struct object old = *object;
	free_number(agent, number);
	if (old.members_len > 0) {
		count_members(agent, &old, -1);
		free_slice(agent, old.log2, old.first);
		free(old.members);
		object->members = NULL;
		object->members_len = 0;
	}
	return 0;
}

/* --- Routes --- */

static uint32_t host4(const struct prefix *prefix)
{
	uint32_t addr;
	memcpy(&addr, prefix->addr, 4);
	return rte_be_to_cpu_32(addr);
}

static bool sibling_has(struct anyhop *agent, const struct prefix *prefix, uint64_t number)
{
	/* Equal neighbors are needed for a group to become uniform, so one that differs is proof that it does not. */
	uint64_t found[2];
	unsigned int bit = prefix->length - 1u;
	if (prefix->six) {
		uint8_t ends[2][16];
		memcpy(ends[0], prefix->addr, 16);
		ends[0][bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		memcpy(ends[1], ends[0], 16);
		for (unsigned int i = prefix->length; i < 128; i++)
			ends[1][i / 8] |= (uint8_t)(0x80 >> i % 8);
		rte_fib6_lookup_bulk(agent->view.fib6, ends, found, 2);
	} else {
		uint32_t first = host4(prefix) ^ (1u << (31 - bit));
		uint32_t ends[2] = { first, first | (uint32_t)(UINT32_MAX >> 1 >> bit) };
		rte_fib_lookup_bulk(agent->view.fib4, ends, found, 2);
	}
	return found[0] == number && found[1] == number;
}

static bool any_long4(const struct anyhop *agent, const struct prefix *prefix)
{
	uint32_t first = host4(prefix) >> 16;
	uint32_t count = prefix->length < 16 ? 1u << (16 - prefix->length) : 1;
	for (uint32_t i = 0; i < count; i++)
		if (agent->long4[first + i] != 0)
			return true;
	return false;
}

/* What a write may do to groups. */
enum { PLAIN = 0, TAKES = 1, FREES = 2, PIECES = 4 };

static int judge(struct anyhop *agent, const struct prefix *prefix, uint64_t number)
{
	bool beneath;
	if (prefix->six) {
		/* Lengths up to /24 with nothing longer beneath are entries of the first table. */
		beneath = rte_rib6_get_nxt(rte_fib6_get_rib(agent->view.fib6), prefix->addr, prefix->length, NULL,
					   RTE_RIB6_GET_NXT_COVER) != NULL;
		if (prefix->length <= 24 && !beneath)
			return PLAIN;
	} else if (prefix->length <= 24) {
		return any_long4(agent, prefix) ? PIECES : PLAIN;
	} else {
		beneath = rte_rib_get_nxt(rte_fib_get_rib(agent->view.fib4), host4(prefix), prefix->length, NULL,
					  RTE_RIB_GET_NXT_COVER) != NULL;
	}
	if (beneath)
		return PIECES;
	return TAKES | (number == 0 || sibling_has(agent, prefix, number) ? FREES : 0);
}

static void count_long4(struct anyhop *agent, const struct prefix *prefix, int by)
{
	if (prefix->six || prefix->length <= 24)
		return;
	uint16_t *count = &agent->long4[host4(prefix) >> 16];
	if (*count != UINT16_MAX)
		*count = (uint16_t)(*count + by);
}

/* Groups that this route, which does not stand, calls for by itself: those in which no other route ends or goes on. */
static uint32_t own_groups(struct anyhop *agent, const struct prefix *prefix)
{
	uint32_t count = 0;
	if (!prefix->six) {
		struct rte_rib *rib = rte_fib_get_rib(agent->view.fib4);
		return prefix->length > 24 && rte_rib_get_nxt(rib, host4(prefix), 24, NULL, RTE_RIB_GET_NXT_COVER) == NULL;
	}
	struct rte_rib6 *rib = rte_fib6_get_rib(agent->view.fib6);
	for (unsigned int depth = (prefix->length - 1u) / 8 * 8; depth >= 24; depth -= 8, count++)
		if (rte_rib6_get_nxt(rib, prefix->addr, (uint8_t)depth, NULL, RTE_RIB6_GET_NXT_COVER) != NULL)
			break;
	return count;
}

/* The number of the route that stands there; 0 if none does. */
static uint32_t standing(struct anyhop *agent, const struct prefix *prefix)
{
	uint64_t number;
	if (prefix->length == 0) {
		const struct family *family = &agent->families[prefix->six];
		return family->has_default ? family->default_number : 0;
	}
	if (prefix->six) {
		struct rte_rib6_node *node =
			rte_rib6_lookup_exact(rte_fib6_get_rib(agent->view.fib6), prefix->addr, prefix->length);
		return node != NULL && rte_rib6_get_nh(node, &number) == 0 ? (uint32_t)number : 0;
	}
	struct rte_rib_node *node = rte_rib_lookup_exact(rte_fib_get_rib(agent->view.fib4), host4(prefix), prefix->length);
	return node != NULL && rte_rib_get_nh(node, &number) == 0 ? (uint32_t)number : 0;
}

static void count_routes(struct anyhop *agent, uint32_t number, int by)
{
	if (number >= NUMBER_FIRST)
		agent->objects[number].routes += by;
}

/* The head of what rte_fib_get_dp() and rte_fib6_get_dp() point to, in all versions so far. */
struct account {
	uint32_t groups;
	uint32_t reserved;
};

static bool account_is_known(struct anyhop *agent)
{
	static const uint8_t addr[16] = { 0x20, 0x01, 0x0d, 0xb8 };
	const struct account *four = rte_fib_get_dp(agent->view.fib4), *six = rte_fib6_get_dp(agent->view.fib6);
	bool known = four->groups == RTE_ALIGN_CEIL(agent->config.groups4, 64u) && four->reserved == 0 &&
		     six->groups == agent->config.groups6 && six->reserved == 0;
	known = rte_fib_add(agent->view.fib4, 0x64000000, 25, NUMBER_LOCAL) == 0 && known && four->reserved == 1;
	known = rte_fib6_add(agent->view.fib6, addr, 48, NUMBER_LOCAL) == 0 && known && six->reserved == 3;
	rte_fib_delete(agent->view.fib4, 0x64000000, 25);
	rte_fib6_delete(agent->view.fib6, addr, 48);
	return known;
}

static void set_back(struct anyhop *agent, int six)
{
	if (agent->account_known)
		((struct account *)(six ? rte_fib6_get_dp(agent->view.fib6) : rte_fib_get_dp(agent->view.fib4)))->reserved = 0;
}

static int write_fib(struct anyhop *agent, const struct prefix *prefix, uint32_t number)
{
	int kind = judge(agent, prefix, number);
	int error;
	if (kind & PIECES)
		park(agent);
	else if (kind & TAKES)
		settle(agent);
	set_back(agent, prefix->six);
	if (prefix->six)
		error = number != 0 ? rte_fib6_add(agent->view.fib6, prefix->addr, prefix->length, number) :
				      rte_fib6_delete(agent->view.fib6, prefix->addr, prefix->length);
	else
		error = number != 0 ? rte_fib_add(agent->view.fib4, host4(prefix), prefix->length, number) :
				      rte_fib_delete(agent->view.fib4, host4(prefix), prefix->length);
	if (kind & PIECES)
		release(agent);
	if (kind & FREES)
		freed(agent);
	/* A change that fails says that it did not. */
	if (error == 0 && number != 0 && standing(agent, prefix) != number)
		error = -ENOSPC;
	if (error != 0 && number >= NUMBER_FIRST && kind & PIECES)
		agent->objects[number].torn = true;
	return error;
}

int tables_set_route(struct anyhop *agent, const struct prefix *prefix, uint32_t number)
{
	struct family *family = &agent->families[prefix->six];
	uint32_t before = standing(agent, prefix);
	if (before == number)
		return 0;
	uint32_t groups = 0;
	if (before == 0 && prefix->length != 0) {
		groups = own_groups(agent, prefix);
		if (family->groups + groups > family->groups_most)
			return -ENOSPC;
	}
	if (before == 0 && family->routes >= family->most)
		return -ENOSPC;
	if (prefix->length == 0) {
		family->has_default = true;
		family->default_number = number;
		__atomic_store_n(&agent->view.hops[NUMBER_NONE4 + prefix->six], agent->view.hops[number], __ATOMIC_RELEASE);
	} else {
		int error = write_fib(agent, prefix, number);
		if (error != 0)
			return error == -ENOMEM ? -ENOSPC : error;
	}
	if (before == 0) {
		family->routes++;
		family->groups += groups;
		count_long4(agent, prefix, 1);
	}
	count_routes(agent, number, 1);
	count_routes(agent, before, -1);
	return 0;
}

int tables_remove_route(struct anyhop *agent, const struct prefix *prefix)
{
	struct family *family = &agent->families[prefix->six];
	uint32_t before = standing(agent, prefix);
	if (before == 0)
		return -ENOENT;
	if (prefix->length == 0) {
		__atomic_store_n(&agent->view.hops[NUMBER_NONE4 + prefix->six], way_word(ANYHOP_NONE), __ATOMIC_RELEASE);
		family->has_default = false;
	} else {
		int error = write_fib(agent, prefix, 0);
		if (error != 0)
			return error;
		count_long4(agent, prefix, -1);
		family->groups -= own_groups(agent, prefix);
	}
	family->routes--;
	count_routes(agent, before, -1);
	return 0;
}

int tables_routes(struct anyhop *agent, int six, int (*each)(void *, const struct prefix *, uint32_t), void *context)
{
	const struct family *family = &agent->families[six];
	struct prefix prefix = { .six = six };
	uint64_t number;
	int stop = 0;
	if (family->has_default)
		stop = each(context, &prefix, family->default_number);
	if (six) {
		const uint8_t all[16] = { 0 };
		struct rte_rib6 *rib = rte_fib6_get_rib(agent->view.fib6);
		struct rte_rib6_node *node = NULL;
		while (stop == 0 && (node = rte_rib6_get_nxt(rib, all, 0, node, RTE_RIB6_GET_NXT_ALL)) != NULL) {
			rte_rib6_get_ip(node, prefix.addr);
			rte_rib6_get_depth(node, &prefix.length);
			rte_rib6_get_nh(node, &number);
			stop = each(context, &prefix, (uint32_t)number);
		}
		return stop;
	}
	struct rte_rib *rib = rte_fib_get_rib(agent->view.fib4);
	struct rte_rib_node *node = NULL;
	while (stop == 0 && (node = rte_rib_get_nxt(rib, 0, 0, node, RTE_RIB_GET_NXT_ALL)) != NULL) {
		uint32_t addr;
		rte_rib_get_ip(node, &addr);
		addr = rte_cpu_to_be_32(addr);
		memcpy(prefix.addr, &addr, 4);
		rte_rib_get_depth(node, &prefix.length);
		rte_rib_get_nh(node, &number);
		stop = each(context, &prefix, (uint32_t)number);
	}
	return stop;
}

/* --- Neighbors --- */

int tables_set_neighbor(struct anyhop *agent, uint32_t ifindex, int six, const uint8_t *addr, const uint8_t *mac)
{
	uint16_t port;
	if (!port_of(agent, ifindex, &port))
		return -ENOENT;
	struct anyhop_neighbor key = neighbor_key(port, six, addr);
	void *old;
	bool known = rte_hash_lookup_data(agent->view.neighbors, &key, &old) >= 0;
	if (mac != NULL) {
		uint64_t way = 0;
		memcpy(&way, mac, 6);
		way |= (uint64_t)(port + 1) << 48;
		if (!known && agent->neighbors_len >= agent->config.neighbors)
			return -ENOSPC;
		if (rte_hash_add_key_data(agent->view.neighbors, &key, (void *)(uintptr_t)way) != 0)
			return -ENOSPC;
		agent->neighbors_len += !known;
	} else if (known) {
		rte_hash_del_key(agent->view.neighbors, &key);
		agent->neighbors_len--;
	}
	for (uint32_t number = NUMBER_FIRST; number < agent->objects_end; number++) {
		const struct object *object = &agent->objects[number];
		if (object->used && object->members_len == 0 && object->ifindex == ifindex &&
		    object->family == (six ? AF_INET6 : AF_INET) && memcmp(object->gateway, addr, six ? 16 : 4) == 0)
			store_leg(agent, number);
	}
	return 0;
}

int tables_neighbors(struct anyhop *agent,
		     int (*each)(void *, uint32_t ifindex, int six, const uint8_t *addr, const uint8_t *mac), void *context)
{
	const void *at;
	void *way;
	uint32_t next = 0;
	int stop = 0;
	while (stop == 0 && rte_hash_iterate(agent->view.neighbors, &at, &way, &next) >= 0) {
		const struct anyhop_neighbor *key = at;
		uint64_t octets = (uint64_t)(uintptr_t)way;
		uint8_t mac[6];
		memcpy(mac, &octets, sizeof(mac));
		for (uint32_t i = 0; i < agent->ports_len; i++)
			if (agent->ports[i].port == key->port)
				stop = each(context, agent->ports[i].ifindex, key->family == AF_INET6, key->addr, mac);
	}
	return stop;
}

/* --- Making and ending --- */

static int create_hashes(struct anyhop *agent)
{
	struct rte_hash_parameters ids = {
		.name = "anyhop_ids", .entries = agent->config.next_hops + 64, .key_len = 4, .socket_id = agent->config.numa,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	struct rte_hash_parameters neighbors = {
		.name = "anyhop_neighbors", .entries = agent->config.neighbors + 64, .key_len = sizeof(struct anyhop_neighbor),
		.socket_id = agent->config.numa, .extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF |
							       RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	struct rte_hash_rcu_config rcu = { .v = agent->view.readers, .mode = RTE_HASH_QSBR_MODE_SYNC };
	agent->ids = rte_hash_create(&ids);
	agent->view.neighbors = rte_hash_create(&neighbors);
	if (agent->ids == NULL || agent->view.neighbors == NULL)
		return -rte_errno;
	return rte_hash_rcu_qsbr_add(agent->view.neighbors, &rcu) == 0 ? 0 : -rte_errno;
}

int tables_create(struct anyhop *agent)
{
	const struct anyhop_config *config = &agent->config;
	uint32_t numbers = config->next_hops + NUMBER_FIRST;
	struct rte_fib_conf four = {
		.type = RTE_FIB_DIR24_8, .default_nh = NUMBER_NONE4, .max_routes = (int)config->routes4,
		.dir24_8 = { .nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = config->groups4 },
	};
	struct rte_fib6_conf six = {
		.type = RTE_FIB6_TRIE, .default_nh = NUMBER_NONE6, .max_routes = (int)config->routes6,
		.trie = { .nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = config->groups6 },
	};
	size_t qsbr = rte_rcu_qsbr_get_memsize(config->readers);
	struct anyhop_view *view = &agent->view;

	view->readers = rte_zmalloc_socket("anyhop_readers", qsbr, RTE_CACHE_LINE_SIZE, config->numa);
	view->hops = rte_zmalloc_socket("anyhop_hops", numbers * sizeof(uint64_t), RTE_CACHE_LINE_SIZE, config->numa);
	view->legs = rte_zmalloc_socket("anyhop_legs", numbers * sizeof(uint64_t), RTE_CACHE_LINE_SIZE, config->numa);
	view->buckets =
		rte_zmalloc_socket("anyhop_buckets", config->buckets * sizeof(uint32_t), RTE_CACHE_LINE_SIZE, config->numa);
	agent->counters =
		rte_zmalloc_socket("anyhop_counters", config->readers * sizeof(*agent->counters), RTE_CACHE_LINE_SIZE, config->numa);
	agent->objects = calloc(numbers, sizeof(*agent->objects));
	agent->free_numbers = calloc(numbers, sizeof(*agent->free_numbers));
	agent->long4 = calloc(65536, sizeof(*agent->long4));
	if (view->readers == NULL || view->hops == NULL || view->legs == NULL || view->buckets == NULL ||
	    agent->counters == NULL || agent->objects == NULL || agent->free_numbers == NULL || agent->long4 == NULL)
		return -ENOMEM;
	if (rte_rcu_qsbr_init(view->readers, config->readers) != 0)
		return -rte_errno;
	view->fib4 = rte_fib_create("anyhop4", config->numa, &four);
	view->fib6 = view->fib4 == NULL ? NULL : rte_fib6_create("anyhop6", config->numa, &six);
	if (view->fib6 == NULL)
		return rte_errno != 0 ? -rte_errno : -ENOMEM;
	agent->account_known = account_is_known(agent);
	agent->families[0].most = config->routes4;
	agent->families[1].most = config->routes6;
	agent->families[0].groups_most = RTE_ALIGN_CEIL(config->groups4, 64u) - 1;
	agent->families[1].groups_most = config->groups6 - 1;
	agent->objects_end = NUMBER_FIRST;
	for (uint32_t number = 0; number < numbers; number++)
		view->hops[number] = way_word(ANYHOP_HOST);
	view->hops[NUMBER_NONE4] = view->hops[NUMBER_NONE6] = way_word(ANYHOP_NONE);
	view->hops[NUMBER_BLACKHOLE] = way_word(ANYHOP_DROP);
	return create_hashes(agent);
}

void tables_free(struct anyhop *agent)
{
	for (uint32_t number = NUMBER_FIRST; number < agent->objects_end; number++)
		free(agent->objects[number].members);
	for (unsigned int log2 = 0; log2 <= BUCKETS_LOG2_MAX; log2++)
		free(agent->free_buckets[log2]);
	rte_hash_free(agent->ids);
	rte_hash_free(agent->view.neighbors);
	rte_fib_free(agent->view.fib4);
	rte_fib6_free(agent->view.fib6);
	rte_free(agent->view.hops);
	rte_free(agent->view.legs);
	rte_free(agent->view.buckets);
	rte_free(agent->view.readers);
	rte_free(agent->counters);
	free(agent->objects);
	free(agent->free_numbers);
	free(agent->long4);
}
