// As objects were before BTF: maps as numbers, and a kernel version.
#define SEC(name) __attribute__((section(name), used))

struct bpf_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

static void *(*lookup)(void *map, const void *key) = (void *)1;

struct bpf_map_def SEC("maps") counts = { 1, 4, 8, 100, 1 };
struct bpf_map_def SEC("maps") names = { 6, 4, 16, 1, 0 };

struct bpf_elf_map {
	unsigned int type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_elf_map SEC("maps/tc") shared = { 2, 4, 4, 1, 0, 5, 2, 0, 0 };

char _license[] SEC("license") = "Dual MIT/GPL";
unsigned int _version SEC("version") = 4 << 16 | 19 << 8 | 7;

SEC("kprobe/sys_write")
int on_write(void *ctx)
{
	int key = 0;
	long *count = lookup(&counts, &key);

	if (count)
		*count += 1;
	return lookup(&names, &key) != 0 && lookup(&shared, &key) != 0;
}
