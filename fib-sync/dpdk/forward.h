/* The example's forwarding: what the command line says, and what the polling threads do with it. */
#ifndef ANYHOP_FORWARD_H
#define ANYHOP_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>

#include "anyhop_dpdk.h"

#define PORTS 32
#define NO_PORT UINT16_MAX

/* One side of a pair: a port to the world, and the port behind which the host's kernel has the same interface. */
struct port {
	bool used;
	bool wire;
	uint16_t other; /* the host's port of a wire and the wire of a host's port; NO_PORT if there is none */
	uint16_t mtu;
	bool shared_queue; /* fewer transmit queues than threads */
	struct rte_ether_addr mac; /* whom frames to be forwarded are for, and come from */
};

struct forwarding {
	struct anyhop *agent;
	struct port ports[PORTS];
	unsigned int threads;
	unsigned int idle_us; /* sleep of an idle thread; 0: never */
	volatile bool stop;
};

/* Polls every port whose number leaves `thread` over `threads`, until stop. */
void forward(struct forwarding *all, unsigned int thread);

#endif
