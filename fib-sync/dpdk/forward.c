/* Run to completion: receive, look up, rewrite, send; all in one thread, nothing waits.
 *
 * What is not plain forwarding goes to the host by the port's partner: whatever is not for the router's MAC address, ARP and
 * everything but IP, local addresses, routes we do not have, neighbors that are not known, a TTL that ends here, packets too
 * large for the way, options. The kernel answers it, and what the kernel sends goes out of the wire untouched. */
#include "forward.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_spinlock.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#define BURST 32
#define IDLE_ROUNDS 64

/* One transmit queue for several threads. */
static rte_spinlock_t queue_locks[PORTS];

struct out {
	uint16_t len;
	struct rte_mbuf *packets[BURST];
};

struct worker {
	struct forwarding *all;
	const struct anyhop_view *view;
	uint64_t *counters;
	unsigned int thread;
	struct out outs[PORTS];
};

static inline void count(struct worker *worker, enum anyhop_reason reason, uint64_t by)
{
	__atomic_store_n(&worker->counters[reason], worker->counters[reason] + by, __ATOMIC_RELAXED);
}

static void flush(struct worker *worker, uint16_t port)
{
	struct out *out = &worker->outs[port];
	if (out->len == 0)
		return;
	uint16_t sent;
	if (worker->all->ports[port].shared_queue) {
		rte_spinlock_lock(&queue_locks[port]);
		sent = rte_eth_tx_burst(port, 0, out->packets, out->len);
		rte_spinlock_unlock(&queue_locks[port]);
	} else {
		sent = rte_eth_tx_burst(port, (uint16_t)worker->thread, out->packets, out->len);
	}
	if (sent < out->len) {
		count(worker, ANYHOP_FULL, out->len - sent);
		rte_pktmbuf_free_bulk(out->packets + sent, out->len - sent);
	}
	out->len = 0;
}

static void emit(struct worker *worker, uint16_t port, struct rte_mbuf *packet)
{
	struct out *out = &worker->outs[port];
	out->packets[out->len++] = packet;
	if (out->len == BURST)
		flush(worker, port);
}

static void to_host(struct worker *worker, uint16_t port, struct rte_mbuf *packet, enum anyhop_reason reason)
{
	uint16_t host = worker->all->ports[port].other;
	count(worker, reason, 1);
	if (host == NO_PORT)
		rte_pktmbuf_free(packet);
	else
		emit(worker, host, packet);
}

static void drop(struct worker *worker, struct rte_mbuf *packet, enum anyhop_reason reason)
{
	count(worker, reason, 1);
	rte_pktmbuf_free(packet);
}

/* Ports of a flow, if `octets` of transport header are there. */
static uint32_t transport(const void *at, uint8_t protocol, uint32_t octets)
{
	uint32_t ports = 0;
	if ((protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && octets >= 4)
		memcpy(&ports, at, 4);
	return ports;
}

/* Packets of one burst that are to be looked up. */
struct batch4 {
	int len;
	struct rte_mbuf *packets[BURST];
	uint32_t to[BURST];
	uint32_t hash[BURST];
	uint64_t numbers[BURST];
};

struct batch6 {
	int len;
	struct rte_mbuf *packets[BURST];
	uint8_t to[BURST][16];
	uint32_t hash[BURST];
	uint64_t numbers[BURST];
};

static bool bad_source4(uint32_t from)
{
	return from >> 24 == 0 || from >> 24 == 127 || from >> 28 >= 14;
}

/* True if it was taken for the lookup. */
static bool sort4(struct worker *worker, struct batch4 *batch, struct rte_mbuf *packet, uint16_t port)
{
	uint32_t octets = rte_pktmbuf_data_len(packet) - (uint32_t)sizeof(struct rte_ether_hdr);
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(packet, struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));
	if (octets < sizeof(*ip) || ip->version_ihl != 0x45 || rte_be_to_cpu_16(ip->total_length) > rte_pktmbuf_pkt_len(packet) -
	    sizeof(struct rte_ether_hdr) || rte_be_to_cpu_16(ip->total_length) < sizeof(*ip) ||
	    rte_raw_cksum(ip, sizeof(*ip)) != 0xffff) {
		to_host(worker, port, packet, ANYHOP_OTHER);
		return false;
	}
	uint32_t to = rte_be_to_cpu_32(ip->dst_addr);
	if (bad_source4(rte_be_to_cpu_32(ip->src_addr)) || to >> 28 >= 14 || to >> 24 == 127 || to >> 24 == 0) {
		to_host(worker, port, packet, ANYHOP_OTHER);
		return false;
	}
	if (ip->time_to_live <= 1) {
		to_host(worker, port, packet, ANYHOP_TTL);
		return false;
	}
	/* Fragments have no ports, so all of a datagram's go one way. */
	bool fragment = (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) != 0;
	uint32_t ports = fragment ? 0 : transport(ip + 1, ip->next_proto_id, octets - (uint32_t)sizeof(*ip));
	uint32_t hash = rte_hash_crc_4byte(ip->src_addr, ip->next_proto_id);
	hash = rte_hash_crc_4byte(ip->dst_addr, hash);
	batch->packets[batch->len] = packet;
	batch->to[batch->len] = to;
	batch->hash[batch->len++] = rte_hash_crc_4byte(ports, hash);
	return true;
}

static bool sort6(struct worker *worker, struct batch6 *batch, struct rte_mbuf *packet, uint16_t port)
{
	uint32_t octets = rte_pktmbuf_data_len(packet) - (uint32_t)sizeof(struct rte_ether_hdr);
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(packet, struct rte_ipv6_hdr *, sizeof(struct rte_ether_hdr));
	if (octets < sizeof(*ip) || (rte_be_to_cpu_32(ip->vtc_flow) >> 28) != 6 ||
	    rte_be_to_cpu_16(ip->payload_len) + sizeof(*ip) > rte_pktmbuf_pkt_len(packet) - sizeof(struct rte_ether_hdr) ||
	    ip->proto == 0 /* hop-by-hop options are for every router */) {
		to_host(worker, port, packet, ANYHOP_OTHER);
		return false;
	}
	const uint8_t *from = ip->src_addr, *to = ip->dst_addr;
	static const uint8_t low[15] = { 0 };
	bool bad = from[0] == 0xff || to[0] == 0xff || (from[0] == 0xfe && (from[1] & 0xc0) == 0x80) ||
		   (to[0] == 0xfe && (to[1] & 0xc0) == 0x80) || memcmp(from, low, 15) == 0 || memcmp(to, low, 15) == 0;
	if (bad) {
		to_host(worker, port, packet, ANYHOP_OTHER);
		return false;
	}
	if (ip->hop_limits <= 1) {
		to_host(worker, port, packet, ANYHOP_TTL);
		return false;
	}
	uint32_t ports = transport(ip + 1, ip->proto, octets - (uint32_t)sizeof(*ip));
	uint32_t hash = rte_hash_crc(from, 32, ip->vtc_flow & RTE_BE32(0x000fffff));
	memcpy(batch->to[batch->len], to, 16);
	batch->packets[batch->len] = packet;
	batch->hash[batch->len++] = rte_hash_crc_4byte(ports, hash);
	return true;
}

/* To the way that was found, or to whom it concerns. True if the packet may leave by `way`. */
static bool may_leave(struct worker *worker, uint16_t port, struct rte_mbuf *packet, uint64_t way)
{
	if (likely(anyhop_is_way(way))) {
		uint16_t mtu = port_mtu(&worker->all->ports[anyhop_way_port(way)]);
		if (likely(rte_pktmbuf_pkt_len(packet) - sizeof(struct rte_ether_hdr) <= mtu))
			return true;
		to_host(worker, port, packet, ANYHOP_MTU);
	} else if (way == ANYHOP_DROP) {
		drop(worker, packet, ANYHOP_BLACKHOLE);
	} else {
		to_host(worker, port, packet,
			way == ANYHOP_ASK ? ANYHOP_UNRESOLVED : way == ANYHOP_NONE ? ANYHOP_NO_ROUTE : ANYHOP_OTHER);
	}
	return false;
}

static void leave(struct worker *worker, struct rte_mbuf *packet, uint64_t way, enum anyhop_reason reason)
{
	uint16_t port = anyhop_way_port(way);
	struct rte_ether_hdr *ethernet = rte_pktmbuf_mtod(packet, struct rte_ether_hdr *);
	memcpy(&ethernet->dst_addr, &way, RTE_ETHER_ADDR_LEN);
	ethernet->src_addr = port_mac(&worker->all->ports[port]);
	count(worker, reason, 1);
	count(worker, ANYHOP_OCTETS, rte_pktmbuf_pkt_len(packet));
	emit(worker, port, packet);
}

static void forward4(struct worker *worker, struct batch4 *batch, uint16_t port)
{
	anyhop_lookup4(worker->view, batch->to, batch->numbers, batch->len);
	for (int i = 0; i < batch->len; i++) {
		struct rte_mbuf *packet = batch->packets[i];
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(packet, struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));
		uint64_t way = anyhop_way(worker->view, batch->numbers[i], batch->hash[i], AF_INET, &ip->dst_addr);
		if (!may_leave(worker, port, packet, way))
			continue;
		/* RFC 1624: the checksum grows by what the TTL loses. */
		uint32_t sum = (uint32_t)ip->hdr_checksum + RTE_BE16(0x0100);
		ip->hdr_checksum = (uint16_t)(sum + (sum >= 0xffff));
		ip->time_to_live--;
		leave(worker, packet, way, ANYHOP_FORWARDED4);
	}
}

static void forward6(struct worker *worker, struct batch6 *batch, uint16_t port)
{
	anyhop_lookup6(worker->view, batch->to, batch->numbers, batch->len);
	for (int i = 0; i < batch->len; i++) {
		struct rte_mbuf *packet = batch->packets[i];
		struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(packet, struct rte_ipv6_hdr *, sizeof(struct rte_ether_hdr));
		uint64_t way = anyhop_way(worker->view, batch->numbers[i], batch->hash[i], AF_INET6, ip->dst_addr);
		if (!may_leave(worker, port, packet, way))
			continue;
		ip->hop_limits--;
		leave(worker, packet, way, ANYHOP_FORWARDED6);
	}
}

static void from_wire(struct worker *worker, uint16_t port, struct rte_mbuf **packets, uint16_t len)
{
	struct batch4 four = { .len = 0 };
	struct batch6 six = { .len = 0 };
	const struct rte_ether_addr mac = port_mac(&worker->all->ports[port]);
	for (uint16_t i = 0; i < len; i++) {
		struct rte_mbuf *packet = packets[i];
		const struct rte_ether_hdr *ethernet = rte_pktmbuf_mtod(packet, struct rte_ether_hdr *);
		if (rte_pktmbuf_data_len(packet) < sizeof(*ethernet))
			drop(worker, packet, ANYHOP_OTHER);
		else if (!rte_is_same_ether_addr(&ethernet->dst_addr, &mac))
			to_host(worker, port, packet, ANYHOP_OTHER);
		else if (ethernet->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
			sort4(worker, &four, packet, port);
		else if (ethernet->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
			sort6(worker, &six, packet, port);
		else
			to_host(worker, port, packet, ANYHOP_OTHER);
	}
	if (four.len > 0)
		forward4(worker, &four, port);
	if (six.len > 0)
		forward6(worker, &six, port);
}

void forward(struct forwarding *all, unsigned int thread)
{
	int reader = anyhop_reader(all->agent);
	if (reader < 0)
		return;
	struct worker worker = { .all = all, .view = anyhop_view(all->agent), .thread = thread,
				 .counters = anyhop_counters(all->agent, reader) };
	struct rte_mbuf *packets[BURST];
	unsigned int idle = 0;
	while (!all->stop) {
		bool busy = false;
		for (uint16_t port = 0; port < PORTS; port++) {
			if (!all->ports[port].used || port % all->threads != thread)
				continue;
			uint16_t len = rte_eth_rx_burst(port, 0, packets, BURST);
			if (len == 0)
				continue;
			busy = true;
			if (all->ports[port].wire) {
				from_wire(&worker, port, packets, len);
			} else {
				count(&worker, ANYHOP_FROM_HOST, len);
				for (uint16_t i = 0; i < len; i++)
					emit(&worker, all->ports[port].other, packets[i]);
			}
		}
		for (uint16_t port = 0; port < PORTS; port++)
			flush(&worker, port);
		anyhop_quiescent(all->agent, reader);
		idle = busy ? 0 : idle + 1;
		if (all->idle_us != 0 && idle > IDLE_ROUNDS) {
			anyhop_away(all->agent, reader);
			usleep(all->idle_us);
			anyhop_back(all->agent, reader);
		}
	}
	anyhop_reader_done(all->agent, reader);
}
