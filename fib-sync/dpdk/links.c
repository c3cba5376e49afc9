/* The kernel's interfaces behind the wires: the administrator sets their MTU and MAC address, and the router does as they say. */
#include "forward.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_lcore.h>

int links_read(struct port *port)
{
	struct ifreq request = { 0 };
	uint64_t mac = 0;
	if (if_indextoname(port->link, request.ifr_name) == NULL)
		return -errno;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int error = ioctl(fd, SIOCGIFHWADDR, &request) != 0 ? -errno : 0;
	memcpy(&mac, request.ifr_hwaddr.sa_data, RTE_ETHER_ADDR_LEN);
	if (error == 0 && ioctl(fd, SIOCGIFMTU, &request) != 0)
		error = -errno;
	close(fd);
	if (error != 0)
		return error;
	__atomic_store_n(&port->mac, mac, __ATOMIC_RELAXED);
	__atomic_store_n(&port->mtu, (uint16_t)RTE_MIN(request.ifr_mtu, (int)port->mtu_most), __ATOMIC_RELAXED);
	return 0;
}

static struct {
	struct forwarding *all;
	int fd;
	pthread_t thread;
} follower;

static void *follow(void *context)
{
	(void)context;
	char events[8192];
	/* What the events say is read anew; that some had to be dropped (ENOBUFS) is an event like others. */
	do {
		/* A port whose interface is gone keeps what it had: the daemon takes its routes away. */
		for (uint16_t port = 0; port < PORTS; port++)
			if (follower.all->ports[port].wire)
				(void)links_read(&follower.all->ports[port]);
	} while (recv(follower.fd, events, sizeof(events), 0) >= 0 || errno == ENOBUFS || errno == EINTR);
	return NULL;
}

int links_follow(struct forwarding *all)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	follower.all = all;
	follower.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (follower.fd < 0 || bind(follower.fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
		return -errno;
	return rte_ctrl_thread_create(&follower.thread, "anyhop-links", NULL, follow, NULL);
}
