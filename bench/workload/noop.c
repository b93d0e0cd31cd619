// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program whose execution is measured: nothing, so that what a tracer adds shows.
int main(void)
{
	return 0;
}
