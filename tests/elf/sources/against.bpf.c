// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What programs may ask of the types in `kernel.bpf.c`; one global for each answer. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define HERE __attribute__((preserve_access_index))

struct moved___own {
	int deep;
	__u32 list[4];
	__u32 high : 6;
	__u32 count;
	struct moved___own *to;
	unsigned long wider;
	int was_number;
	int gone;
	float tail[];
} HERE;

struct twice {
	int same;
	int first;
} HERE;

struct alone {
	int x;
} HERE;

enum state___own {
	HIGH___own = 3,
	LOW = 4,
};

/* Of another kind than the kernel's union. */
struct shape {
	int a;
} HERE;

typedef int (*callback_t)(struct moved___own *, int);

unsigned long got[32];

#define OFFSET(type, member) ((unsigned long)&((struct type *)0)->member)

SEC("socket")
int offsets(void *ctx)
{
	got[0] = OFFSET(moved___own, deep);
	got[1] = OFFSET(moved___own, list[3]);
	got[2] = OFFSET(moved___own, count);
	got[3] = OFFSET(moved___own, tail[5]);
	got[4] = OFFSET(twice, same);
	got[5] = ((struct moved___own *)ctx)->wider;
	return 0;
}

SEC("socket")
int numbers(void *ctx)
{
	struct moved___own *moved = ctx;

	got[0] = __builtin_preserve_field_info(moved->high, BPF_FIELD_BYTE_OFFSET);
	got[1] = __builtin_preserve_field_info(moved->high, BPF_FIELD_LSHIFT_U64);
	got[2] = __builtin_preserve_field_info(moved->high, BPF_FIELD_RSHIFT_U64);
	got[3] = __builtin_preserve_field_info(moved->high, BPF_FIELD_SIGNED);
	got[4] = bpf_core_field_size(moved->list);
	got[5] = bpf_core_type_size(struct moved___own);
	got[6] = bpf_core_enum_value(enum state___own, HIGH___own);
	return 0;
}

SEC("socket")
int questions(void *ctx)
{
	struct moved___own *moved = ctx;

	got[0] = bpf_core_field_exists(moved->deep);
	got[1] = bpf_core_field_exists(moved->gone);
	got[2] = bpf_core_field_exists(moved->was_number);
	got[3] = bpf_core_field_exists(moved->to);
	got[4] = bpf_core_type_exists(struct alone);
	got[5] = bpf_core_type_exists(struct shape);
	got[6] = bpf_core_type_exists(callback_t);
	got[7] = bpf_core_enum_value_exists(enum state___own, LOW);
	return 0;
}

SEC("socket")
int fails(void *ctx)
{
	struct moved___own *moved = ctx;

	if (bpf_core_field_exists(moved->gone))
		return OFFSET(moved___own, gone);
	if (got[0])
		return OFFSET(alone, x);
	return OFFSET(moved___own, was_number);
}

SEC("socket")
int ambiguous(void *ctx)
{
	return OFFSET(twice, first);
}

char LICENSE[] SEC("license") = "GPL";
