/* The example's forwarding: what the command line says, and what the polling threads do with it. */
#ifndef ANYHOP_FORWARD_H
#define ANYHOP_FORWARD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_ether.h>

#include "anyhop_dpdk.h"

#define PORTS 32
#define NO_PORT UINT16_MAX

/* One side of a pair: a port to the world, and the port behind which the host's kernel has the same interface. */
struct port {
	bool used;
	bool wire;
	uint16_t other; /* the host's port of a wire and the wire of a host's port; NO_PORT if there is none */
	uint16_t mtu_most; /* of the device */
	bool shared_queue; /* fewer transmit queues than threads */
	unsigned int link; /* index of the kernel's interface */
	/* Of the kernel's interface, and followed: the MTU, and the MAC address that frames to be forwarded are for, and come from, with
	 * its first octet lowest. Written whole while others read. */
	uint16_t mtu;
	uint64_t mac;
};

static inline uint16_t port_mtu(const struct port *port) { return __atomic_load_n(&port->mtu, __ATOMIC_RELAXED); }

static inline struct rte_ether_addr port_mac(const struct port *port)
{
	uint64_t word = __atomic_load_n(&port->mac, __ATOMIC_RELAXED);
	struct rte_ether_addr mac;
	memcpy(&mac, &word, sizeof(mac));
	return mac;
}

struct forwarding {
	struct anyhop *agent;
	struct port ports[PORTS];
	unsigned int threads;
	unsigned int idle_us; /* sleep of an idle thread; 0: never */
	volatile bool stop;
};

/* Reads MTU and MAC address of the kernel's interface `port->link`. 0 or a negative errno. */
int links_read(struct port *port);

/* Follows them from here on, in a thread of its own, until the process ends. 0 or a negative errno. */
int links_follow(struct forwarding *all);

/* Polls every port whose number leaves `thread` over `threads`, until stop. */
void forward(struct forwarding *all, unsigned int thread);

#endif
