// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program of the live tests: it makes processes end in many ways, and writes down what
// their parents are told.
#include "../../tests/fixtures/lives.c"
