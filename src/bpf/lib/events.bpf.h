/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SNOOP_EVENTS_BPF_H
#define SNOOP_EVENTS_BPF_H

/*
 * Transport: one set of functions for ring buffer and perf buffer. User space
 * turns `events` into a perf buffer before loading by changing the map's type and
 * snoop_config.perf; the verifier then removes the other half of each function.
 */

#include "common.h"

const volatile struct snoop_config snoop_config SEC(".rodata.common");
struct snoop_counters snoop_counters SEC(".data.common");

/* The reader's last wakeup; apart from `snoop_counters`, which are rarely written. */
__u64 last_wakeup_ns SEC(".data.wakeup");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024); /* user space sets --buffer-size */
} events SEC(".maps");

/*
 * On machines with many CPUs these would wait for each other at one buffer: there, user space
 * makes several of them, each for some of the CPUs. They then stand in for `events`.
 */
struct event_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, struct event_ring);
} event_rings SEC(".maps");

/* The ring buffer of this CPU. NULL: there is none. */
static __always_inline void *event_ring(void)
{
	__u32 index;

	if (!snoop_config.rings)
		return &events;
	index = (__u64)bpf_get_smp_processor_id() * snoop_config.ring_scale >> 16;
	if (index >= snoop_config.rings) /* a CPU that was not there at the start */
		index = snoop_config.rings - 1;
	return bpf_map_lookup_elem(&event_rings, &index);
}

/*
 * Gives Rust the type of an event: clang describes the types of maps and variables, not those
 * that only functions use. The pointer lies beside snoop_config, so that it needs no map.
 */
#define EVENT(name) struct name *const event_type_##name SEC(".rodata.common")

/*
 * How many slots event_reserve() is called with. A tool that uses more than one defines it
 * before it includes this file.
 */
#ifndef PERF_SLOTS
#define PERF_SLOTS 1
#endif

/*
 * Scratch for a record of the perf buffer: perf copies, so the record must be complete
 * first. One slot for each program that may interrupt another on one CPU. A value of a
 * per-CPU map has at most 32 KiB. Not created for the ring buffer.
 */
#define PERF_RECORD_MAX (32 * 1024)
struct perf_record {
	__u8 bytes[PERF_RECORD_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PERF_SLOTS);
	__type(key, __u32);
	__type(value, struct perf_record);
} perf_records SEC(".maps");

/*
 * Waking the reader costs the traced program more than everything else here. So wake it
 * only if it may sleep for long (nobody woke it lately), or if the buffer fills. In
 * between the reader looks by itself: see channel.rs, whose tick is longer than
 * WAKEUP_INTERVAL_NS.
 */
#define WAKEUP_INTERVAL_NS (20 * 1000 * 1000)
#define WAKEUP_MIN_INTERVAL_NS (500 * 1000)

static __always_inline bool event_ring_fills(void)
{
	void *ring = event_ring();

	return ring && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >= snoop_config.wakeup_bytes;
}

/* `looks`: whether to ask if the buffer fills. */
static __always_inline __u64 event_wakeup_flags(__u64 now, bool looks)
{
	__u64 since = now - last_wakeup_ns;

	if (since < WAKEUP_MIN_INTERVAL_NS)
		return BPF_RB_NO_WAKEUP;
	if (since < WAKEUP_INTERVAL_NS && !(looks && event_ring_fills()))
		return BPF_RB_NO_WAKEUP;
	last_wakeup_ns = now;
	return BPF_RB_FORCE_WAKEUP;
}

/* Room in a ring buffer for a record of `size` bytes, which is a constant, or NULL. */
static __always_inline void *event_reserve_in_ring(const __u32 size)
{
	void *ring = event_ring();

	return ring ? bpf_ringbuf_reserve(ring, size, 0) : NULL;
}

/* The same for both transports. NULL: see event_lost(). */
static __always_inline void *event_reserve(__u32 slot, const __u32 size)
{
	if (snoop_config.perf)
		return bpf_map_lookup_elem(&perf_records, &slot);
	return event_reserve_in_ring(size);
}

/* An event cannot be reported: count it, so that the totals stay exact. */
static __always_inline void event_lost(void)
{
	__sync_fetch_and_add(&snoop_counters.lost, 1);
}

/*
 * Sends a reserved record. A perf buffer gets only the `used` first bytes of it. False:
 * no room, so the caller must count it.
 */
static __always_inline bool event_try_submit(void *ctx, void *record, __u32 used, __u64 now)
{
	if (!snoop_config.perf) {
		bpf_ringbuf_submit(record, event_wakeup_flags(now, true));
		return true;
	}
	if (used > PERF_RECORD_MAX)
		used = PERF_RECORD_MAX;
	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, record, used) == 0;
}

/* Gives a reserved record back. */
static __always_inline void event_drop(void *record)
{
	if (!snoop_config.perf)
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
}

/* Sends a reserved record, and counts it if it found no room. */
static __always_inline void event_submit(void *ctx, void *record, __u32 used, __u64 now)
{
	if (!event_try_submit(ctx, record, used, now))
		event_lost();
}

/* The lower half of an address, as a number: the verifier lets nobody mask an address. */
static __always_inline __u32 lower_half(const void *address)
{
	__u32 half = (__u64)address;

	asm volatile("%0 = %0" : "+w"(half));
	return half;
}

#define RING_HEADER 8 /* in front of each record */
#define RING_PAGE 4096 /* or more: it only says how often to look */

/*
 * event_submit() for millions of records a second, all `size` bytes long: asks whether the buffer
 * fills only where the next record begins on another page.
 */
static __always_inline void event_submit_often(void *ctx, void *record, const __u32 size, __u64 now)
{
	__u32 next = lower_half(record) % RING_PAGE + size + RING_HEADER;

	if (snoop_config.perf)
		event_submit(ctx, record, size, now);
	else
		bpf_ringbuf_submit(record, event_wakeup_flags(now, next >= RING_PAGE));
}

/*
 * Sends a small event from the stack: for programs that may interrupt each other on one
 * CPU, and so cannot share scratch memory. False: no room.
 */
static __always_inline bool event_try_send(void *ctx, void *event, const __u32 size, __u64 now)
{
	void *ring;

	if (snoop_config.perf)
		return !bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, event, size);
	ring = event_ring();
	return ring && !bpf_ringbuf_output(ring, event, size, event_wakeup_flags(now, true));
}

/* Likewise, and counts it if it found no room. */
static __always_inline void event_send(void *ctx, void *event, const __u32 size, __u64 now)
{
	if (!event_try_send(ctx, event, size, now))
		event_lost();
}

#endif /* SNOOP_EVENTS_BPF_H */
