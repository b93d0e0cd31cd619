// Code that needs every operator, width and comparison.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define OPERATORS(type, name)                                                                      \
	type name(type a, type b)                                                                  \
	{                                                                                          \
		type x = a + b;                                                                    \
		x ^= a * 3;                                                                        \
		x |= b / 7;                                                                        \
		x -= a / b;                                                                        \
		x &= ~(b % 11);                                                                    \
		x += a % b;                                                                        \
		x <<= b & 31;                                                                      \
		x ^= a >> 5;                                                                       \
		return -x;                                                                         \
	}
OPERATORS(u32, narrow)
OPERATORS(u64, wide)

#define COMPARE(type, name)                                                                        \
	int name(type a, type b, volatile u32 *out)                                                \
	{                                                                                          \
		if (a == b)                                                                        \
			*out = 1;                                                                  \
		if (a < b)                                                                         \
			*out = 2;                                                                  \
		if (a <= 1000)                                                                     \
			*out = 3;                                                                  \
		if (a > b)                                                                         \
			*out = 4;                                                                  \
		if (b >= 77)                                                                       \
			*out = 5;                                                                  \
		if (a != 12)                                                                       \
			*out = 6;                                                                  \
		return a >> 3;                                                                     \
	}
COMPARE(u32, below)
COMPARE(int, less)
COMPARE(u64, below_wide)
COMPARE(long long, less_wide)

u64 memory(volatile u8 *a, volatile u16 *b, volatile u32 *c, volatile u64 *d)
{
	a[3] = a[-2];
	b[100] = b[5];
	c[7] = __builtin_bswap32(c[1]);
	d[9] = __builtin_bswap64(d[2]);
	b[1] = __builtin_bswap16(b[2]);
	*c = 0x12345678;
	return *d + 0x123456789abcdef0;
}

int atomics(u64 *a, u32 *b)
{
	__sync_fetch_and_add(a, 5);
	__sync_fetch_and_add(b, 6);
	return 0;
}
