/* Structs that Rust may read as they are, and with -D such as it must not. */
struct task_id {
	unsigned long long time_ns;
	unsigned char comm[16];
};

enum step {
	STEP_ONE = 1,
};

struct pair {
	unsigned int first;
	unsigned short second[2];
};

struct step_event {
	struct task_id id;
	struct pair pairs[3];
	enum step step;
#ifdef INSIDE
	unsigned char small;
	unsigned short large;
#elif defined(AT_THE_END)
	unsigned short last;
#else
	unsigned int last;
#endif
};
struct step_event *step_event;

/* With bytes that are no value, or that have another meaning elsewhere. */
struct internal {
	_Bool known;
	void *address;
};
struct internal *internal;

/* Not at the begin. */
struct late {
	unsigned long long other;
	struct task_id id;
};
struct late *late;

#ifdef LARGE
#define ROOM 32
#else
#define ROOM 8
#endif
struct room {
	unsigned char bytes[ROOM];
};
struct room room; /* the name is a variable's too */

struct kernels {
	int padded;
	long number;
};
struct kernels *kernels;
