// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Not a program: the types of a kernel that does not exist, for `against.bpf.c`. */
typedef unsigned int u32;
typedef u32 counter_t;

struct moved {
	long before;
	union {
		struct {
			short gap;
			int deep;
		};
		char bytes[8];
	};
	u32 list[4];
	u32 low : 3, high : 6;
	const counter_t count;
	void *to;
	u32 wider;
	long *pointer;
	struct {
		int a;
	} was_number;
	float tail[];
};

/* Two of one name, as in two files of a kernel; they agree on one member only. */
struct twice {
	int same;
	int first;
	int second;
};

struct twice___2 {
	int same;
	int second;
	int first;
	int only_here;
};

enum state {
	OFF,
	ON = 5,
	HIGH = 0x12345678,
};

union shape {
	int a;
};

typedef int (*callback_t)(struct moved *, int);

struct moved moved;
struct twice twice;
struct twice___2 twice2;
enum state state;
union shape shape;
callback_t callback;
