/* Readers against a writer that never rests: every answer must be one that was right before or after some write, and at the
 * end all must be as a plain list of routes says. Then octets that are no messages. Ends with 0, or says what went wrong.
 *
 * The space is cut into zones; routes of a zone use next hops of that zone, so an answer from another zone is an entry read
 * from a group of rte_fib that was given away too early. In each zone one host route stands all the time and must be met by every lookup
 * of its address. Groups are so few that they are given out again and again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "tables.h"

#define ZONES 40
#define HOPS 3 /* of a zone; one more is the host route's */
#define ROUTES 48 /* candidates of a zone and family */
#define LOOKUPS 32

static struct anyhop *agent;
static volatile bool stop;
static uint64_t looked, wrong;
static uint32_t numbers[ZONES + 1][HOPS + 1]; /* the last zone is that of wide routes */
static uint8_t zone_of[1024];

static uint64_t seed = 88172645463325252ull;
static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545F4914F6CDD1Dull;
}

static void fail(const char *what)
{
	fprintf(stderr, "churn: %s\n", what);
	exit(1);
}

/* An address of a zone: IPv4 zones are /22, IPv6 zones /40. */
static void address(int six, uint32_t zone, uint64_t random, uint8_t *addr)
{
	memset(addr, 0, 16);
	if (six) {
		addr[0] = 0x20, addr[1] = 0x01, addr[2] = 0x0d, addr[3] = 0xb8, addr[4] = (uint8_t)zone;
		/* Few values per octet, so that prefixes nest and meet. */
		for (int i = 5; i < 16; i++)
			addr[i] = (uint8_t)(i > 8 && i < 15 ? 0 : random >> (i * 3) & 3);
	} else {
		addr[0] = 100, addr[1] = (uint8_t)(zone / 64), addr[2] = (uint8_t)(zone % 64 * 4 + (random & 3));
		addr[3] = (uint8_t)(random >> 8);
	}
}

static const uint8_t still[2] = { 77, 0xfd }; /* the last octet of a zone's host route */

static void still_address(int six, uint32_t zone, uint8_t *addr)
{
	address(six, zone, 0, addr);
	addr[six ? 15 : 3] = still[six];
}

static int reader(void *context)
{
	(void)context;
	int number = anyhop_reader(agent);
	const struct anyhop_view *view = anyhop_view(agent);
	uint64_t state = 1234567;
	while (!stop) {
		uint32_t four[LOOKUPS];
		uint8_t six[LOOKUPS][16];
		uint64_t found4[LOOKUPS], found6[LOOKUPS];
		uint32_t zones[LOOKUPS];
		bool stills[LOOKUPS];
		for (int i = 0; i < LOOKUPS; i++) {
			uint64_t random = next(&state);
			uint8_t addr[16];
			zones[i] = (uint32_t)(random % ZONES);
			stills[i] = random >> 60 == 0;
			address(0, zones[i], random >> 8, addr);
			if (stills[i])
				still_address(0, zones[i], addr);
			else if (addr[3] == still[0])
				addr[3]++;
			four[i] = (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 | (uint32_t)addr[2] << 8 | addr[3];
			address(1, zones[i], random >> 8, six[i]);
			if (stills[i])
				still_address(1, zones[i], six[i]);
		}
		anyhop_lookup4(view, four, found4, LOOKUPS);
		anyhop_lookup6(view, six, found6, LOOKUPS);
		for (int i = 0; i < LOOKUPS; i++)
			for (int family = 0; family < 2; family++) {
				uint64_t found = family ? found6[i] : found4[i];
				bool right = stills[i] ? found == numbers[zones[i]][HOPS] :
					     found == (uint64_t)NUMBER_NONE4 + (uint64_t)family ||
						     (found >= NUMBER_FIRST && found < 1024 && found != numbers[zones[i]][HOPS] &&
						      (zone_of[found] == zones[i] || zone_of[found] == ZONES));
				if (!right && wrong++ < 5)
					fprintf(stderr, "churn: IPv%d, zone %u%s: number %lu of zone %u\n", family ? 6 : 4, zones[i],
						stills[i] ? " (host route)" : "", found, found < 1024 ? zone_of[found] : 0);
			}
		looked += 2 * LOOKUPS;
		anyhop_quiescent(agent, number);
	}
	anyhop_reader_done(agent, number);
	return 0;
}

struct candidate {
	struct prefix prefix;
	uint32_t zone, number; /* 0: not there */
};

static bool covers(const struct prefix *prefix, const uint8_t *addr)
{
	for (unsigned int bit = 0; bit < prefix->length; bit++)
		if ((prefix->addr[bit / 8] ^ addr[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

static struct candidate candidates[2 * (ZONES * ROUTES + 16)];
static uint32_t candidates_len;

static bool is_there(const struct prefix *prefix)
{
	for (uint32_t i = 0; i < candidates_len; i++)
		if (candidates[i].prefix.six == prefix->six && candidates[i].prefix.length == prefix->length &&
		    memcmp(candidates[i].prefix.addr, prefix->addr, 16) == 0)
			return true;
	return false;
}

static void candidate(int six, uint32_t zone, uint8_t length, uint64_t random)
{
	struct candidate *new = &candidates[candidates_len];
	memset(new, 0, sizeof(*new));
	new->prefix.six = six;
	new->prefix.length = length;
	new->zone = zone;
	address(six, zone == ZONES ? 0 : zone, random, new->prefix.addr);
	for (unsigned int bit = length; bit < 128; bit++)
		new->prefix.addr[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	if (!is_there(&new->prefix))
		candidates_len++;
}

static void prepare(void)
{
	for (uint32_t zone = 0; zone <= ZONES; zone++)
		for (uint32_t hop = 0; hop <= HOPS; hop++) {
			struct object object = { .id = 1000 + zone * 10 + hop, .ifindex = 1 };
			if (tables_set_object(agent, &object) != 0)
				fail("an object was refused");
			numbers[zone][hop] = tables_find(agent, object.id);
			zone_of[numbers[zone][hop]] = (uint8_t)zone;
		}
	for (uint32_t zone = 0; zone < ZONES; zone++)
		for (int six = 0; six < 2; six++) {
			struct prefix host = { .six = six, .length = six ? 128 : 32 };
			still_address(six, zone, host.addr);
			if (tables_set_route(agent, &host, numbers[zone][HOPS]) != 0)
				fail("a host route was refused");
			for (int n = 0; n < ROUTES; n++) {
				static const uint8_t lengths[2][8] = { { 22, 23, 24, 25, 25, 26, 28, 31 },
								       { 40, 44, 47, 48, 49, 56, 64, 65 } };
				uint64_t random = next(&seed);
				candidate(six, zone, lengths[six][random % 8], random >> 8);
			}
		}
	static const uint8_t wide[2][4] = { { 8, 12, 16, 20 }, { 16, 24, 32, 36 } };
	for (int six = 0; six < 2; six++)
		for (int n = 0; n < 4; n++)
			candidate(six, ZONES, wide[six][n], 0);
}

static uint64_t millis(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void churn(void)
{
	uint64_t writes = 0, full = 0, end = millis() + 4000;
	while (millis() < end) {
		for (int n = 0; n < 64; n++) {
			struct candidate *one = &candidates[next(&seed) % candidates_len];
			uint64_t random = next(&seed);
			bool is_new = one->number == 0;
			int error;
			if (one->number != 0 && random % 2 == 0) {
				error = tables_remove_route(agent, &one->prefix);
				if (error == 0)
					one->number = 0;
			} else {
				/* Mostly the same, so that groups become uniform. */
				uint32_t number = numbers[one->zone][random >> 8 & 3 ? 0 : random >> 16 & 1 ? 1 : 2];
				error = tables_set_route(agent, &one->prefix, number);
				if (error == 0)
					one->number = number;
			}
			/* Only what was not there can want for room. */
			if (error == -ENOSPC && is_new)
				full++;
			else if (error != 0)
				fail(strerror(-error));
			writes++;
		}
	}
	printf("churn: %lu writes (%lu without room), ", writes, full);
}

/* Every answer against the list. */
static void compare(void)
{
	for (uint32_t n = 0; n < 20000; n++) {
		int six = (int)(n & 1);
		uint32_t zone = (uint32_t)(next(&seed) % ZONES);
		uint8_t addr[16];
		uint64_t found;
		address(six, zone, next(&seed), addr);
		uint32_t expected = six ? NUMBER_NONE6 : NUMBER_NONE4;
		int longest = -1;
		for (uint32_t i = 0; i < candidates_len; i++) {
			const struct candidate *one = &candidates[i];
			if (one->number != 0 && one->prefix.six == six && one->prefix.length > longest && covers(&one->prefix, addr)) {
				longest = one->prefix.length;
				expected = one->number;
			}
		}
		uint8_t host[16];
		still_address(six, zone, host);
		if (memcmp(addr, host, six ? 16 : 4) == 0)
			expected = numbers[zone][HOPS];
		if (six) {
			anyhop_lookup6(anyhop_view(agent), (uint8_t(*)[16])addr, &found, 1);
		} else {
			uint32_t four = (uint32_t)addr[0] << 24 | (uint32_t)addr[1] << 16 | (uint32_t)addr[2] << 8 | addr[3];
			anyhop_lookup4(anyhop_view(agent), &four, &found, 1);
		}
		if (found != expected) {
			fprintf(stderr, "churn: IPv%d, zone %u: %lu instead of %u (/%d)\n", six ? 6 : 4, zone, found, expected, longest);
			wrong++;
		}
	}
}

/* Everything goes, in any order, and the tables are as they were. */
static void empty(void)
{
	for (uint32_t left = candidates_len; left > 0; left--) {
		struct candidate *one = &candidates[next(&seed) % left];
		if (one->number != 0 && tables_remove_route(agent, &one->prefix) != 0)
			fail("a removal was refused");
		*one = candidates[left - 1];
	}
	for (uint32_t zone = 0; zone < ZONES; zone++)
		for (int six = 0; six < 2; six++) {
			struct prefix host = { .six = six, .length = six ? 128 : 32 };
			still_address(six, zone, host.addr);
			if (tables_remove_route(agent, &host) != 0)
				fail("a removal was refused");
		}
	for (int six = 0; six < 2; six++)
		if (agent->families[six].groups != 0 || agent->families[six].routes != 0)
			fail("something is left in the books");
}

static int connected(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		fail("the agent does not listen");
	struct timeval limit = { .tv_sec = 5 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	uint8_t hello[sizeof(struct anyhop_fpm) + sizeof(struct anyhop_hello)];
	if (recv(fd, hello, sizeof(hello), MSG_WAITALL) != sizeof(hello))
		fail("the agent does not greet");
	return fd;
}

/* Octets that are no message: the agent closes the connection or answers with an error, and serves the next. */
static void hostile(const char *path)
{
	for (int round = 0; round < 3000; round++) {
		int fd = connected(path);
		uint8_t frame[512];
		uint32_t length = 4 + (uint32_t)(next(&seed) % (sizeof(frame) - 4));
		for (uint32_t i = 0; i < length; i++)
			frame[i] = (uint8_t)next(&seed);
		if (round % 4 != 0) {
			/* A frame that is one, and a netlink message that nearly is. */
			static const uint8_t kinds[10] = { 24, 25, 26, 28, 29, 30, 104, 105, 106, 24 };
			uint32_t claims = round % 4 == 1 ? length - 4 : (uint32_t)(next(&seed) % 600);
			frame[0] = 1, frame[1] = 1, frame[2] = (uint8_t)(length >> 8), frame[3] = (uint8_t)length;
			if (length >= 24) {
				memcpy(frame + 4, &claims, 4);
				frame[8] = kinds[next(&seed) % 10], frame[9] = 0;
				frame[20] = next(&seed) & 1 ? AF_INET : AF_INET6;
				frame[21] = (uint8_t)(next(&seed) % 140);
			}
		}
		if (send(fd, frame, length, MSG_NOSIGNAL) < 0)
			fail("the agent has gone");
		shutdown(fd, SHUT_WR);
		uint8_t sink[65536];
		while (recv(fd, sink, sizeof(sink), 0) > 0)
			;
		close(fd);
	}
	close(connected(path));
}

int main(int argc, char **argv)
{
	char path[108];
	if (rte_eal_init(argc, argv) < 0)
		fail("EAL");
	snprintf(path, sizeof(path), "/tmp/anyhop-churn-%d.sock", (int)getpid());
	struct anyhop_config config = { .socket = path, .routes4 = 5000, .routes6 = 5000, .groups4 = 128, .groups6 = 800,
					.next_hops = 1000, .numa = -1 };
	agent = anyhop_create(&config);
	if (agent == NULL)
		fail(rte_strerror(rte_errno));
	prepare();
	if (rte_lcore_count() < 2)
		fail("needs two lcores, as by -l 0,1");
	rte_eal_mp_remote_launch(reader, NULL, SKIP_MAIN);
	churn();
	stop = true;
	rte_eal_mp_wait_lcore();
	compare();
	empty();
	printf("%lu lookups beside them, %lu wrong\n", looked, wrong);
	if (anyhop_start(agent) != 0)
		fail("cannot listen");
	hostile(path);
	printf("churn: 3000 hostile frames survived\n");
	anyhop_stop(agent);
	rte_eal_cleanup();
	return wrong != 0;
}
