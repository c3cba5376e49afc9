/* anyhop-dpdk: a router in a process of its own, to try and to start from.
 *
 *   anyhop-dpdk EAL-OPTIONS -- --socket /run/anyhop/dpdk.sock --port 0,host=1,link=eth0 [--port ...]
 *
 * --port WIRE[,host=PORT][,link=NAME]   frames from the DPDK port WIRE are forwarded. `host` is the port behind which the kernel has
 *       the same interface (a tap, or one end of a veth pair): it gets what is not forwarded, and what it sends leaves by WIRE.
 *       `link` names that kernel interface, whose routes, neighbors, MAC address and MTU count; without it the host port's own.
 * --child   said by a daemon that starts this, and that ends it when it stops in good order.
 * --idle MICROSECONDS   an idle thread sleeps; 0 (the default) polls on.
 * --routes4 N --routes6 N --groups4 N --groups6 N --next-hops N --neighbors N   room, see anyhop_dpdk.h. */
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "forward.h"

#define RING 512
#define MBUFS_PER_PORT 4096

static struct forwarding all;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "anyhop-dpdk: %s: %s\n", what, why);
	rte_eal_cleanup();
	exit(1);
}

static void on_signal(int number)
{
	(void)number;
	all.stop = true;
}

static uint32_t number(const char *text, const char *what)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != 0 || value > UINT32_MAX)
		fail(what, "must be a number");
	return (uint32_t)value;
}

static uint16_t port_number(const char *text)
{
	uint32_t port = number(text, "--port");
	if (port >= PORTS || !rte_eth_dev_is_valid_port((uint16_t)port))
		fail(text, "there is no such port; EAL options make ports: --vdev, --allow");
	return (uint16_t)port;
}

static void parse_port(char *text)
{
	char *rest = text;
	uint16_t wire = port_number(strsep(&rest, ","));
	struct port *port = &all.ports[wire];
	const char *name = NULL;
	if (port->used)
		fail(text, "stands twice");
	*port = (struct port){ .used = true, .wire = true, .other = NO_PORT };
	for (char *word; (word = strsep(&rest, ",")) != NULL;) {
		if (strncmp(word, "host=", 5) == 0) {
			port->other = port_number(word + 5);
			if (all.ports[port->other].used)
				fail(word, "stands twice");
			all.ports[port->other] = (struct port){ .used = true, .other = wire };
		} else if (strncmp(word, "link=", 5) == 0) {
			name = word + 5;
		} else {
			fail(word, "not known in --port");
		}
	}
	if (name != NULL) {
		port->link = if_nametoindex(name);
		if (port->link == 0)
			fail(name, "no such interface");
	} else {
		struct rte_eth_dev_info info;
		uint16_t from = port->other == NO_PORT ? wire : port->other;
		if (rte_eth_dev_info_get(from, &info) != 0 || info.if_index == 0)
			fail(text, "the port has no kernel interface: name one by link=");
		port->link = info.if_index;
	}
}

static void start_port(uint16_t port, struct rte_mempool *pool)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = { 0 };
	uint16_t rx = RING, tx = RING;
	all.ports[port].mtu_most = RTE_ETHER_MTU;
	if (rte_eth_dev_info_get(port, &info) != 0)
		fail("a port", "tells nothing of itself");
	uint16_t queues = (uint16_t)RTE_MIN(all.threads, (unsigned int)info.max_tx_queues);
	all.ports[port].shared_queue = queues < all.threads;
	if (all.ports[port].shared_queue)
		queues = 1;
	int socket = rte_eth_dev_socket_id(port);
	int error = rte_eth_dev_configure(port, 1, queues, &conf);
	if (error == 0)
		error = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx, &tx);
	if (error == 0)
		error = rte_eth_rx_queue_setup(port, 0, rx, (unsigned int)socket, NULL, pool);
	for (uint16_t queue = 0; queue < queues && error == 0; queue++)
		error = rte_eth_tx_queue_setup(port, queue, tx, (unsigned int)socket, NULL);
	if (error == 0)
		error = rte_eth_dev_start(port);
	if (error != 0)
		fail("a port cannot be started", rte_strerror(-error));
	/* The router's MAC address is the kernel interface's. A device that cannot is left as it is: it may receive all anyway. */
	(void)rte_eth_promiscuous_enable(port);
	(void)rte_eth_dev_get_mtu(port, &all.ports[port].mtu_most);
	if (all.ports[port].wire) {
		error = links_read(&all.ports[port]);
		if (error != 0)
			fail("the kernel interface of a port", strerror(-error));
	}
}

static int worker(void *context)
{
	(void)context;
	unsigned int thread = rte_lcore_index((int)rte_lcore_id()) < 0 ? 0 : (unsigned int)rte_lcore_index((int)rte_lcore_id());
	forward(&all, thread);
	return 0;
}

static struct anyhop_config arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },    { "port", required_argument, NULL, 'p' },
		{ "idle", required_argument, NULL, 'i' },      { "routes4", required_argument, NULL, '4' },
		{ "routes6", required_argument, NULL, '6' },   { "groups4", required_argument, NULL, 'g' },
		{ "groups6", required_argument, NULL, 'G' },   { "next-hops", required_argument, NULL, 'n' },
		{ "neighbors", required_argument, NULL, 'N' }, { "child", no_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	struct anyhop_config config = { .socket = "/run/anyhop/dpdk.sock", .numa = -1 };
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 's':
			config.socket = optarg;
			break;
		case 'p':
			parse_port(optarg);
			break;
		case 'i':
			all.idle_us = number(optarg, "--idle");
			break;
		case '4':
			config.routes4 = number(optarg, "--routes4");
			break;
		case '6':
			config.routes6 = number(optarg, "--routes6");
			break;
		case 'g':
			config.groups4 = number(optarg, "--groups4");
			break;
		case 'G':
			config.groups6 = number(optarg, "--groups6");
			break;
		case 'n':
			config.next_hops = number(optarg, "--next-hops");
			break;
		case 'N':
			config.neighbors = number(optarg, "--neighbors");
			break;
		case 'c':
			config.child = true;
			break;
		default:
			fail("usage", "anyhop-dpdk EAL-OPTIONS -- [--socket PATH] [--port WIRE,host=PORT,link=NAME ...] [--idle US]");
		}
	}
	return config;
}

int main(int argc, char **argv)
{
	int eal = rte_eal_init(argc, argv);
	if (eal < 0)
		fail("EAL", rte_strerror(rte_errno));
	struct anyhop_config config = arguments(argc - eal, argv + eal);
	all.threads = rte_lcore_count();
	all.agent = anyhop_create(&config);
	if (all.agent == NULL)
		fail("tables", rte_errno == ENOMEM ? "no memory for them: more hugepages, -m, or smaller --routes4, --routes6, --groups6" :
						     rte_strerror(rte_errno));
	unsigned int ports = 0;
	for (uint16_t port = 0; port < PORTS; port++)
		ports += all.ports[port].used;
	struct rte_mempool *pool = NULL;
	if (ports > 0)
		pool = rte_pktmbuf_pool_create("packets", ports * MBUFS_PER_PORT - 1, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	for (uint16_t port = 0; port < PORTS; port++) {
		if (!all.ports[port].used)
			continue;
		if (pool == NULL)
			fail("packet buffers", rte_strerror(rte_errno));
		start_port(port, pool);
		if (all.ports[port].wire && anyhop_port(all.agent, port, all.ports[port].link) != 0)
			fail("a port", "too many of them");
	}
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	int error = links_follow(&all);
	if (error != 0)
		fail("links cannot be followed", strerror(-error));
	error = anyhop_start(all.agent);
	if (error != 0)
		fail(config.socket, rte_strerror(-error));
	printf("anyhop-dpdk: %u ports, listening at %s\n", ports, config.socket);
	fflush(stdout);
	if (ports == 0) {
		/* Tables only: for trials and measurements. */
		while (!all.stop)
			usleep(10000);
	} else {
		rte_eal_mp_remote_launch(worker, NULL, CALL_MAIN);
		rte_eal_mp_wait_lcore();
	}
	anyhop_stop(all.agent);
	for (uint16_t port = 0; port < PORTS; port++)
		if (all.ports[port].used) {
			rte_eth_dev_stop(port);
			rte_eth_dev_close(port);
		}
	rte_eal_cleanup();
	return 0;
}
