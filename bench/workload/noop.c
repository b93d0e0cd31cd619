// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program whose execution is measured. It does nothing, not even what the C library
// does before main(): that asks for the CPU's features, which alone takes ten times as long
// as all the rest where a hypervisor has to answer.
#include <unistd.h>

void _start(void)
{
	_exit(0);
}
