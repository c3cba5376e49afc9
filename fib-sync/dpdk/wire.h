/* What is spoken on the agent's socket, for both sides and for others who want to feed or watch it.
 *
 * A stream of FPM frames: four octets - version 1, kind, length of the frame in network order, these four included - and
 * then the content. Kind 1 holds one or more netlink messages in host order, as the Linux kernel takes and gives them
 * (rtnetlink(7), linux/rtnetlink.h, linux/nexthop.h, linux/neighbour.h), so the agent is to its client what the kernel is:
 *
 *   RTM_NEWNEXTHOP   creates or replaces an object: NHA_ID, and NHA_OIF with NHA_GATEWAY (none: the destination itself is on
 *                    the link), or NHA_GROUP over objects of one leg
 *   RTM_DELNEXTHOP   removes it, and the routes on it
 *   RTM_NEWROUTE     creates or replaces a route: RTA_DST with RTA_NH_ID, or rtm_type RTN_BLACKHOLE, RTN_UNREACHABLE,
 *                    RTN_PROHIBIT, RTN_LOCAL (to the host)
 *   RTM_DELROUTE     removes it
 *   RTM_NEWNEIGH     NDA_DST is at NDA_LLADDR on ndm_ifindex;  RTM_DELNEIGH: it is not
 *   RTM_GETNEXTHOP, RTM_GETROUTE, RTM_GETNEIGH with NLM_F_DUMP: the agent sends all it has (rtm_family 0: both), then NLMSG_DONE
 *
 * Every refused message is answered by NLMSG_ERROR with its sequence number and a negative errno; one with NLM_F_ACK is answered
 * in any case. Messages take effect in their order, and an answer is sent when all before it are in force.
 * ENOSPC: no room; ENOENT: no such object, route or link; EBUSY: a group has it as a member; EINVAL, EOPNOTSUPP: not understood.
 *
 * Kind 0xA0, agent to client, first thing on a connection: struct anyhop_hello. Kind 0xA1, client to agent, empty: asks for the
 * counters; the answer is of the same kind, a sequence of 64-bit numbers in the order of anyhop_reasons.
 *
 * A frame or message that is shorter than it says, or longer than a frame can be, ends the connection. */
#ifndef ANYHOP_WIRE_H
#define ANYHOP_WIRE_H

#include <stdint.h>

#define ANYHOP_FPM_VERSION 1
#define ANYHOP_FPM_NETLINK 1
#define ANYHOP_FPM_HELLO 0xA0
#define ANYHOP_FPM_COUNTERS 0xA1

/* Changes whenever an older client or agent would misunderstand. */
#define ANYHOP_PROTOCOL 1
#define ANYHOP_MAGIC 0x416e7948u /* "AnyH" */

struct anyhop_fpm {
	uint8_t version;
	uint8_t kind;
	uint16_t length; /* network order */
};

#define ANYHOP_PORTS_MAX 32

/* Host order, as all that follows the frame's head. */
struct anyhop_hello {
	uint32_t magic;
	uint32_t protocol;
	uint64_t started; /* differs after each start of the agent: its tables were empty then */
	uint32_t routes4;
	uint32_t routes6;
	uint32_t next_hops;
	uint32_t legs; /* of one group */
	uint32_t neighbors;
	uint32_t ports;
	uint32_t ifindex[ANYHOP_PORTS_MAX]; /* kernel interfaces of its ports; the rest is 0 */
	uint32_t child; /* not 0: a daemon started it, and the daemon that stops in good order ends it */
};

#endif
