/* The agent's thread: listens, takes frames apart, answers. Nothing here trusts a length. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "tables.h"

RTE_LOG_REGISTER(anyhop_log, anyhop, INFO);
#define LOG(level, ...) rte_log(RTE_LOG_##level, anyhop_log, "anyhop: " __VA_ARGS__)

/* The daemon, and somebody who looks. More are turned away. */
#define CLIENTS 4
#define IN_OCTETS (256 * 1024)
#define OUT_OCTETS (128 * 1024)
/* No answer of ours is longer: a group of 256. */
#define LONGEST_OCTETS 4096
/* A client that reads nothing for so long while we have something for it is given up. */
#define STALL_MS 5000

struct client {
	int fd;
	uint32_t in_len, out_len;
	bool broken;
	uint8_t in[IN_OCTETS];
	uint8_t out[OUT_OCTETS];
};

const char *const anyhop_reasons[ANYHOP_REASONS] = {
	[ANYHOP_FORWARDED4] = "forwarded-ipv4", [ANYHOP_FORWARDED6] = "forwarded-ipv6", [ANYHOP_OCTETS] = "octets",
	[ANYHOP_NO_ROUTE] = "no-route",		[ANYHOP_UNRESOLVED] = "unresolved",	[ANYHOP_TTL] = "ttl",
	[ANYHOP_MTU] = "mtu",			[ANYHOP_OTHER] = "to-host",		[ANYHOP_FROM_HOST] = "from-host",
	[ANYHOP_BLACKHOLE] = "blackhole",	[ANYHOP_FULL] = "queue-full",
};

/* --- Out --- */

static void flush(struct client *client)
{
	uint32_t sent = 0;
	while (sent < client->out_len && !client->broken) {
		ssize_t got = send(client->fd, client->out + sent, client->out_len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (got > 0) {
			sent += (uint32_t)got;
			continue;
		}
		struct pollfd wait = { .fd = client->fd, .events = POLLOUT };
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) || poll(&wait, 1, STALL_MS) <= 0)
			client->broken = true;
	}
	client->out_len = 0;
}

/* A frame of this kind with room for LONGEST_OCTETS; end_frame() tells its length. */
static uint8_t *begin_frame(struct client *client)
{
	if (OUT_OCTETS - client->out_len < LONGEST_OCTETS)
		flush(client);
	return client->out + client->out_len + sizeof(struct anyhop_fpm);
}

static void end_frame(struct client *client, uint8_t kind, uint32_t content)
{
	uint32_t length = content + (uint32_t)sizeof(struct anyhop_fpm);
	struct anyhop_fpm head = { ANYHOP_FPM_VERSION, kind, htons((uint16_t)length) };
	memcpy(client->out + client->out_len, &head, sizeof(head));
	client->out_len += length;
}

struct writer {
	struct client *client;
	uint8_t *start;
	uint32_t at;
};

static void put(struct writer *writer, const void *octets, uint32_t length)
{
	memcpy(writer->start + writer->at, octets, length);
	writer->at += length;
	while (writer->at % 4 != 0)
		writer->start[writer->at++] = 0;
}

static void put_attribute(struct writer *writer, uint16_t kind, const void *octets, uint32_t length)
{
	struct rtattr head = { .rta_len = (uint16_t)(sizeof(head) + length), .rta_type = kind };
	put(writer, &head, sizeof(head));
	put(writer, octets, length);
}

static struct writer begin_message(struct client *client)
{
	struct writer writer = { .client = client, .start = begin_frame(client), .at = sizeof(struct nlmsghdr) };
	return writer;
}

static void end_message(struct writer *writer, uint16_t kind, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr head = { .nlmsg_len = writer->at, .nlmsg_type = kind, .nlmsg_flags = flags, .nlmsg_seq = seq };
	memcpy(writer->start, &head, sizeof(head));
	end_frame(writer->client, ANYHOP_FPM_NETLINK, writer->at);
}

static void answer(struct client *client, const struct nlmsghdr *to, int error)
{
	struct writer writer = begin_message(client);
	struct nlmsgerr body = { .error = error, .msg = *to };
	put(&writer, &body, sizeof(body));
	end_message(&writer, NLMSG_ERROR, 0, to->nlmsg_seq);
}

static void hello(struct anyhop *agent, struct client *client)
{
	struct anyhop_hello body = {
		.magic = ANYHOP_MAGIC,
		.protocol = ANYHOP_PROTOCOL,
		.started = agent->started,
		.routes4 = agent->config.routes4,
		.routes6 = agent->config.routes6,
		.next_hops = agent->config.next_hops,
		.legs = LEGS_MAX,
		.neighbors = agent->config.neighbors,
		.ports = agent->ports_len,
		.child = agent->config.child,
	};
	for (uint32_t i = 0; i < agent->ports_len; i++)
		body.ifindex[i] = agent->ports[i].ifindex;
	memcpy(begin_frame(client), &body, sizeof(body));
	end_frame(client, ANYHOP_FPM_HELLO, sizeof(body));
}

static void counters(struct anyhop *agent, struct client *client)
{
	uint64_t sums[ANYHOP_REASONS] = { 0 };
	uint32_t end = __atomic_load_n(&agent->readers_end, __ATOMIC_ACQUIRE);
	for (uint32_t reader = 0; reader < end; reader++)
		for (int reason = 0; reason < ANYHOP_REASONS; reason++)
			sums[reason] += __atomic_load_n(&agent->counters[reader][reason], __ATOMIC_RELAXED);
	memcpy(begin_frame(client), sums, sizeof(sums));
	end_frame(client, ANYHOP_FPM_COUNTERS, sizeof(sums));
}

/* --- Dumps --- */

struct dump {
	struct anyhop *agent;
	struct client *client;
	uint32_t seq;
};

static int dump_route(void *context, const struct prefix *prefix, uint32_t number)
{
	static const uint8_t kinds[NUMBER_FIRST] = {
		[NUMBER_LOCAL] = RTN_LOCAL, [NUMBER_BLACKHOLE] = RTN_BLACKHOLE, [NUMBER_UNREACHABLE] = RTN_UNREACHABLE,
		[NUMBER_PROHIBIT] = RTN_PROHIBIT,
	};
	const struct dump *dump = context;
	struct writer writer = begin_message(dump->client);
	struct rtmsg route = { .rtm_family = prefix->six ? AF_INET6 : AF_INET, .rtm_dst_len = prefix->length,
			       .rtm_table = RT_TABLE_MAIN,
			       .rtm_type = number < NUMBER_FIRST ? kinds[number] : RTN_UNICAST };
	put(&writer, &route, sizeof(route));
	put_attribute(&writer, RTA_DST, prefix->addr, prefix->six ? 16 : 4);
	if (number >= NUMBER_FIRST)
		put_attribute(&writer, RTA_NH_ID, &dump->agent->objects[number].id, 4);
	end_message(&writer, RTM_NEWROUTE, NLM_F_MULTI, dump->seq);
	return dump->client->broken;
}

static int dump_neighbor(void *context, uint32_t ifindex, int six, const uint8_t *addr, const uint8_t *mac)
{
	const struct dump *dump = context;
	struct writer writer = begin_message(dump->client);
	struct ndmsg neighbor = { .ndm_family = six ? AF_INET6 : AF_INET, .ndm_ifindex = (int)ifindex,
				  .ndm_state = NUD_REACHABLE };
	put(&writer, &neighbor, sizeof(neighbor));
	put_attribute(&writer, NDA_DST, addr, six ? 16 : 4);
	put_attribute(&writer, NDA_LLADDR, mac, 6);
	end_message(&writer, RTM_NEWNEIGH, NLM_F_MULTI, dump->seq);
	return dump->client->broken;
}

static void dump_object(const struct dump *dump, const struct object *object)
{
	struct writer writer = begin_message(dump->client);
	struct nhmsg head = { .nh_family = object->family, .nh_flags = object->onlink ? RTNH_F_ONLINK : 0 };
	put(&writer, &head, sizeof(head));
	put_attribute(&writer, NHA_ID, &object->id, 4);
	if (object->members_len > 0) {
		struct nexthop_grp members[LEGS_MAX];
		for (uint32_t i = 0; i < object->members_len; i++)
			members[i] = (struct nexthop_grp){
				.id = dump->agent->objects[object->members[i].number].id,
				.weight = (uint8_t)(object->members[i].weight - 1),
			};
		put_attribute(&writer, NHA_GROUP, members, object->members_len * (uint32_t)sizeof(members[0]));
	} else {
		put_attribute(&writer, NHA_OIF, &object->ifindex, 4);
		if (object->family != 0)
			put_attribute(&writer, NHA_GATEWAY, object->gateway, object->family == AF_INET6 ? 16 : 4);
	}
	end_message(&writer, RTM_NEWNEXTHOP, NLM_F_MULTI, dump->seq);
}

static void dump_all(struct anyhop *agent, struct client *client, const struct nlmsghdr *request, uint8_t family)
{
	struct dump dump = { agent, client, request->nlmsg_seq };
	int done = 0;
	switch (request->nlmsg_type) {
	case RTM_GETNEXTHOP:
		for (uint32_t number = NUMBER_FIRST; number < agent->objects_end && !client->broken; number++)
			if (agent->objects[number].used)
				dump_object(&dump, &agent->objects[number]);
		break;
	case RTM_GETNEIGH:
		tables_neighbors(agent, dump_neighbor, &dump);
		break;
	default:
		if (family != AF_INET6)
			tables_routes(agent, 0, dump_route, &dump);
		if (family != AF_INET)
			tables_routes(agent, 1, dump_route, &dump);
	}
	struct writer writer = begin_message(client);
	put(&writer, &done, sizeof(done));
	end_message(&writer, NLMSG_DONE, NLM_F_MULTI, dump.seq);
}

/* --- In --- */

#define ATTRIBUTES_MAX 32

struct attribute {
	const uint8_t *value;
	uint32_t length;
};

/* Attributes by kind; false if one is longer than what is there. */
static bool attributes(const uint8_t *at, uint32_t left, struct attribute *found)
{
	memset(found, 0, ATTRIBUTES_MAX * sizeof(*found));
	while (left >= sizeof(struct rtattr)) {
		struct rtattr head;
		memcpy(&head, at, sizeof(head));
		if (head.rta_len < sizeof(head) || head.rta_len > left)
			return false;
		uint16_t kind = head.rta_type & NLA_TYPE_MASK;
		if (kind < ATTRIBUTES_MAX)
			found[kind] = (struct attribute){ at + sizeof(head), head.rta_len - (uint32_t)sizeof(head) };
		uint32_t step = RTA_ALIGN(head.rta_len);
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	return true;
}

static bool number_in(const struct attribute *attribute, uint32_t *number)
{
	if (attribute->length != 4)
		return false;
	memcpy(number, attribute->value, 4);
	return true;
}

static int set_group(struct anyhop *agent, struct object *wanted, const struct attribute *group)
{
	static struct member members[LEGS_MAX]; /* of the one control thread */
	uint32_t count = group->length / (uint32_t)sizeof(struct nexthop_grp);
	if (count == 0 || group->length % sizeof(struct nexthop_grp) != 0)
		return -EINVAL;
	if (count > LEGS_MAX)
		return -ENOSPC;
	for (uint32_t i = 0; i < count; i++) {
		struct nexthop_grp entry;
		memcpy(&entry, group->value + i * sizeof(entry), sizeof(entry));
		uint32_t number = tables_find(agent, entry.id);
		if (number == 0)
			return -ENOENT;
		if (agent->objects[number].members_len > 0 || entry.id == wanted->id)
			return -EINVAL;
		members[i] = (struct member){ number, (uint16_t)(entry.weight + 1) };
	}
	wanted->members = members;
	wanted->members_len = count;
	return tables_set_object(agent, wanted);
}

static int on_next_hop(struct anyhop *agent, uint16_t kind, const uint8_t *body, uint32_t length)
{
	struct attribute found[ATTRIBUTES_MAX];
	struct object wanted = { 0 };
	struct nhmsg head;
	if (length < sizeof(head) || !attributes(body + sizeof(head), length - (uint32_t)sizeof(head), found))
		return -EINVAL;
	memcpy(&head, body, sizeof(head));
	if (!number_in(&found[NHA_ID], &wanted.id))
		return -EINVAL;
	if (kind == RTM_DELNEXTHOP)
		return tables_remove_object(agent, wanted.id);
	if (found[NHA_GROUP].value != NULL)
		return set_group(agent, &wanted, &found[NHA_GROUP]);
	if (!number_in(&found[NHA_OIF], &wanted.ifindex))
		return -EOPNOTSUPP;
	wanted.onlink = (head.nh_flags & RTNH_F_ONLINK) != 0;
	const struct attribute *gateway = &found[NHA_GATEWAY];
	if (gateway->value != NULL) {
		if (gateway->length != 4 && gateway->length != 16)
			return -EINVAL;
		wanted.family = gateway->length == 4 ? AF_INET : AF_INET6;
		memcpy(wanted.gateway, gateway->value, gateway->length);
	}
	return tables_set_object(agent, &wanted);
}

/* Octets beyond the length must be 0: rte_fib would take them for a part of the address. */
static bool mask(struct prefix *prefix)
{
	unsigned int bits = prefix->six ? 128 : 32;
	if (prefix->length > bits)
		return false;
	for (unsigned int octet = 0; octet < bits / 8; octet++) {
		int keep = (int)prefix->length - (int)octet * 8;
		if (keep <= 0)
			prefix->addr[octet] = 0;
		else if (keep < 8)
			prefix->addr[octet] &= (uint8_t)(0xff << (8 - keep));
	}
	return true;
}

static int on_route(struct anyhop *agent, uint16_t kind, const uint8_t *body, uint32_t length)
{
	struct attribute found[ATTRIBUTES_MAX];
	struct rtmsg head;
	uint32_t id, number;
	if (length < sizeof(head) || !attributes(body + sizeof(head), length - (uint32_t)sizeof(head), found))
		return -EINVAL;
	memcpy(&head, body, sizeof(head));
	if (head.rtm_family != AF_INET && head.rtm_family != AF_INET6)
		return -EINVAL;
	struct prefix prefix = { .six = head.rtm_family == AF_INET6, .length = head.rtm_dst_len };
	const struct attribute *to = &found[RTA_DST];
	if (to->value != NULL) {
		if (to->length != (prefix.six ? 16u : 4u))
			return -EINVAL;
		memcpy(prefix.addr, to->value, to->length);
	} else if (prefix.length != 0) {
		return -EINVAL;
	}
	if (!mask(&prefix))
		return -EINVAL;
	if (kind == RTM_DELROUTE)
		return tables_remove_route(agent, &prefix);
	switch (head.rtm_type) {
	case RTN_UNICAST:
		if (!number_in(&found[RTA_NH_ID], &id))
			return -EOPNOTSUPP; /* say the object first, and the route on it */
		number = tables_find(agent, id);
		if (number == 0)
			return -ENOENT;
		break;
	case RTN_LOCAL:
		number = NUMBER_LOCAL;
		break;
	case RTN_BLACKHOLE:
		number = NUMBER_BLACKHOLE;
		break;
	case RTN_UNREACHABLE:
		number = NUMBER_UNREACHABLE;
		break;
	case RTN_PROHIBIT:
		number = NUMBER_PROHIBIT;
		break;
	default:
		return -EOPNOTSUPP;
	}
	return tables_set_route(agent, &prefix, number);
}

static int on_neighbor(struct anyhop *agent, uint16_t kind, const uint8_t *body, uint32_t length)
{
	struct attribute found[ATTRIBUTES_MAX];
	struct ndmsg head;
	if (length < sizeof(head) || !attributes(body + sizeof(head), length - (uint32_t)sizeof(head), found))
		return -EINVAL;
	memcpy(&head, body, sizeof(head));
	int six = head.ndm_family == AF_INET6;
	if ((!six && head.ndm_family != AF_INET) || found[NDA_DST].length != (six ? 16u : 4u))
		return -EINVAL;
	if (kind == RTM_NEWNEIGH && found[NDA_LLADDR].length != 6)
		return -EINVAL;
	return tables_set_neighbor(agent, (uint32_t)head.ndm_ifindex, six, found[NDA_DST].value,
				   kind == RTM_NEWNEIGH ? found[NDA_LLADDR].value : NULL);
}

static void on_message(struct anyhop *agent, struct client *client, const struct nlmsghdr *head, const uint8_t *body)
{
	uint32_t length = head->nlmsg_len - (uint32_t)sizeof(*head);
	int error;
	switch (head->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		error = on_route(agent, head->nlmsg_type, body, length);
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		error = on_next_hop(agent, head->nlmsg_type, body, length);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		error = on_neighbor(agent, head->nlmsg_type, body, length);
		break;
	case RTM_GETROUTE:
	case RTM_GETNEXTHOP:
	case RTM_GETNEIGH:
		if (head->nlmsg_flags & NLM_F_DUMP) {
			dump_all(agent, client, head, length > 0 ? body[0] : AF_UNSPEC);
			return;
		}
		error = -EOPNOTSUPP;
		break;
	default:
		error = -EOPNOTSUPP;
	}
	if (error != 0 || head->nlmsg_flags & NLM_F_ACK)
		answer(client, head, error);
}

/* False if it is not what it says. */
static bool on_netlink(struct anyhop *agent, struct client *client, const uint8_t *at, uint32_t left)
{
	while (left > 0) {
		struct nlmsghdr head;
		if (left < sizeof(head))
			return false;
		memcpy(&head, at, sizeof(head));
		if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > left)
			return false;
		on_message(agent, client, &head, at + sizeof(head));
		uint32_t step = NLMSG_ALIGN(head.nlmsg_len);
		if (step >= left)
			break;
		at += step;
		left -= step;
	}
	return true;
}

/* All whole frames; what is left moves to the front. */
static void take(struct anyhop *agent, struct client *client)
{
	uint32_t at = 0;
	while (client->in_len - at >= sizeof(struct anyhop_fpm) && !client->broken) {
		struct anyhop_fpm head;
		memcpy(&head, client->in + at, sizeof(head));
		uint32_t length = ntohs(head.length);
		if (head.version != ANYHOP_FPM_VERSION || length < sizeof(head)) {
			LOG(WARNING, "no frame: version %u, length %u; the connection is closed\n", head.version, length);
			client->broken = true;
			return;
		}
		if (client->in_len - at < length)
			break;
		const uint8_t *content = client->in + at + sizeof(head);
		uint32_t octets = length - (uint32_t)sizeof(head);
		if (head.kind == ANYHOP_FPM_NETLINK) {
			if (!on_netlink(agent, client, content, octets)) {
				LOG(WARNING, "a netlink message that is not as long as it says; the connection is closed\n");
				client->broken = true;
				return;
			}
		} else if (head.kind == ANYHOP_FPM_COUNTERS) {
			counters(agent, client);
		}
		/* Other kinds are another version's, and skipped. */
		at += length;
	}
	memmove(client->in, client->in + at, client->in_len - at);
	client->in_len -= at;
}

static void serve(struct anyhop *agent, struct client *client)
{
	ssize_t got = recv(client->fd, client->in + client->in_len, IN_OCTETS - client->in_len, MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
		client->broken = true;
		return;
	}
	if (got > 0) {
		client->in_len += (uint32_t)got;
		take(agent, client);
		flush(client);
	}
}

static void accept_client(struct anyhop *agent, struct client **clients)
{
	int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; i < CLIENTS; i++) {
		if (clients[i] != NULL)
			continue;
		clients[i] = malloc(sizeof(struct client));
		if (clients[i] == NULL)
			break;
		int room = 4 << 20;
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
		clients[i]->fd = fd;
		clients[i]->in_len = clients[i]->out_len = 0;
		clients[i]->broken = false;
		hello(agent, clients[i]);
		flush(clients[i]);
		return;
	}
	LOG(WARNING, "too many clients: one is turned away\n");
	close(fd);
}

static void *run(void *context)
{
	struct anyhop *agent = context;
	struct client *clients[CLIENTS] = { NULL };
	for (;;) {
		struct pollfd fds[CLIENTS + 2] = {
			{ .fd = agent->wake[0], .events = POLLIN },
			{ .fd = agent->listener, .events = POLLIN },
		};
		for (int i = 0; i < CLIENTS; i++)
			fds[i + 2] = (struct pollfd){ .fd = clients[i] != NULL ? clients[i]->fd : -1, .events = POLLIN };
		if (poll(fds, CLIENTS + 2, -1) < 0)
			continue;
		if (fds[0].revents != 0)
			break;
		for (int i = 0; i < CLIENTS; i++) {
			if (clients[i] == NULL || fds[i + 2].revents == 0)
				continue;
			serve(agent, clients[i]);
			if (clients[i]->broken) {
				close(clients[i]->fd);
				free(clients[i]);
				clients[i] = NULL;
			}
		}
		if (fds[1].revents != 0)
			accept_client(agent, clients);
	}
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i] != NULL) {
			close(clients[i]->fd);
			free(clients[i]);
		}
	return NULL;
}

/* --- For applications --- */

static void or_default(uint32_t *value, uint32_t other)
{
	if (*value == 0)
		*value = other;
}

struct anyhop *anyhop_create(const struct anyhop_config *config)
{
	struct anyhop *agent = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*agent), RTE_CACHE_LINE_SIZE));
	if (agent == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	memset(agent, 0, sizeof(*agent));
	agent->config = *config;
	or_default(&agent->config.routes4, 1300000);
	or_default(&agent->config.routes6, 300000);
	or_default(&agent->config.groups4, 16384);
	or_default(&agent->config.groups6, 262144);
	or_default(&agent->config.next_hops, 65536);
	or_default(&agent->config.buckets, 262144);
	or_default(&agent->config.neighbors, 16384);
	or_default(&agent->config.readers, RTE_MAX_LCORE);
	agent->listener = agent->wake[0] = agent->wake[1] = -1;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	agent->started = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	int error = agent->config.next_hops < 1u << 24 ? tables_create(agent) : -EINVAL;
	if (error != 0) {
		tables_free(agent);
		free(agent);
		rte_errno = -error;
		return NULL;
	}
	if (!agent->account_known)
		LOG(WARNING, "this version of rte_fib is not known: its account of groups is left alone\n");
	return agent;
}

int anyhop_port(struct anyhop *agent, uint16_t port, uint32_t ifindex)
{
	if (agent->running || ifindex == 0)
		return -EINVAL;
	if (agent->ports_len == ANYHOP_PORTS_MAX)
		return -ENOSPC;
	agent->ports[agent->ports_len].ifindex = ifindex;
	agent->ports[agent->ports_len].port = port;
	agent->ports_len++;
	return 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat old;
	if (path == NULL || strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* A socket that nobody answers at is what an earlier run left. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (stat(path, &old) == 0 && S_ISSOCK(old.st_mode))
		unlink(path);
	mode_t before = umask(0177);
	int error = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, CLIENTS) != 0 ? -errno : 0;
	umask(before);
	if (error != 0) {
		close(fd);
		return error;
	}
	return fd;
}

int anyhop_start(struct anyhop *agent)
{
	agent->listener = listen_at(agent->config.socket);
	if (agent->listener < 0)
		return agent->listener;
	if (pipe2(agent->wake, O_CLOEXEC) != 0)
		return -errno;
	int error = rte_ctrl_thread_create(&agent->thread, "anyhop-agent", NULL, run, agent);
	if (error != 0)
		return error;
	agent->running = true;
	return 0;
}

void anyhop_stop(struct anyhop *agent)
{
	if (agent->running) {
		if (write(agent->wake[1], "", 1) == 1)
			pthread_join(agent->thread, NULL);
		unlink(agent->config.socket);
	}
	for (int i = 0; i < 2; i++)
		if (agent->wake[i] >= 0)
			close(agent->wake[i]);
	if (agent->listener >= 0)
		close(agent->listener);
	tables_free(agent);
	free(agent);
}

/* --- For readers --- */

int anyhop_reader(struct anyhop *agent)
{
	uint32_t reader = __atomic_fetch_add(&agent->readers_end, 1, __ATOMIC_ACQ_REL);
	if (reader >= agent->config.readers) {
		__atomic_fetch_sub(&agent->readers_end, 1, __ATOMIC_ACQ_REL);
		return -ENOSPC;
	}
	rte_rcu_qsbr_thread_register(agent->view.readers, reader);
	anyhop_back(agent, (int)reader);
	return (int)reader;
}

void anyhop_reader_done(struct anyhop *agent, int reader)
{
	anyhop_away(agent, reader);
	rte_rcu_qsbr_thread_unregister(agent->view.readers, (unsigned int)reader);
}

uint64_t *anyhop_counters(struct anyhop *agent, int reader) { return agent->counters[reader]; }

void anyhop_back(struct anyhop *agent, int reader)
{
	for (;;) {
		while (__atomic_load_n(&agent->view.pause, __ATOMIC_SEQ_CST))
			rte_pause();
		rte_rcu_qsbr_thread_online(agent->view.readers, (unsigned int)reader);
		/* Whoever pauses from here on waits for us; whoever did before does not know of us yet. */
		if (!__atomic_load_n(&agent->view.pause, __ATOMIC_SEQ_CST))
			return;
		anyhop_away(agent, reader);
	}
}

void anyhop_park(struct anyhop *agent, int reader)
{
	anyhop_away(agent, reader);
	anyhop_back(agent, reader);
}

uint64_t anyhop_connected(const struct anyhop_view *view, uint64_t leg, uint32_t family, const void *dst)
{
	struct anyhop_neighbor key = { .port = anyhop_way_port(leg & ~ANYHOP_CONNECTED), .family = family };
	void *way;
	memcpy(key.addr, dst, family == AF_INET6 ? 16 : 4);
	return rte_hash_lookup_data(view->neighbors, &key, &way) >= 0 ? (uint64_t)(uintptr_t)way : ANYHOP_ASK;
}

/* More often than a writer can be met. */
#define AGAIN_MOST 1000

void anyhop_again4(const struct anyhop_view *view, uint32_t *ips, uint64_t *numbers, int n)
{
	for (int i = 0; i < n; i++)
		for (int times = 0; numbers[i] == 0 && times < AGAIN_MOST; times++)
			rte_fib_lookup_bulk(view->fib4, &ips[i], &numbers[i], 1);
}

void anyhop_again6(const struct anyhop_view *view, uint8_t (*ips)[16], uint64_t *numbers, int n)
{
	for (int i = 0; i < n; i++)
		for (int times = 0; numbers[i] == 0 && times < AGAIN_MOST; times++)
			rte_fib6_lookup_bulk(view->fib6, &ips[i], &numbers[i], 1);
}
