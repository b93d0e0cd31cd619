# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Aligned Markdown tables, and the few statistics in them."""

from math import sqrt
from statistics import median


def show(title, heading, rows):
    """Prints a table; its first column is text, all others are numbers."""
    print(f"\n### {title}\n")
    cells = [heading] + [["–" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(heading))]

    def line(row):
        first, *rest = zip(row, widths)
        padded = [first[0].ljust(first[1])] + [cell.rjust(width) for cell, width in rest]
        print("| " + " | ".join(padded) + " |", flush=True)

    line(heading)
    rules = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    print("| " + " | ".join(rules) + " |")
    for row in cells[1:]:
        line(row)


def spread(values, digits=1, sign=False):
    """`median (min..max)`"""
    if not values:
        return None
    form = f"{{:{'+' if sign else ''}.{digits}f}}"
    low, middle, high = (form.format(f(values)) for f in (min, median, max))
    return f"{middle} ({low}..{high})"


def median_within(values):
    """The median, and two values around the true one at 95 %."""
    ordered = sorted(values)
    # The number of values below it follows the tossing of coins.
    outside = max(0, int((len(ordered) - 1.96 * sqrt(len(ordered))) / 2))
    return median(ordered), ordered[outside], ordered[-1 - outside]


class Targets:
    """Targets, and whether they are kept."""

    def __init__(self):
        self.missed = 0

    def check(self, promise, kept, measured):
        """Prints one line. `kept` is None if the measurement does not decide it."""
        verdict = {True: "pass", False: "MISS", None: "undecided"}[kept]
        self.missed += kept is False
        print(f"- target {verdict}: {promise}; measured: {measured}", flush=True)

    def at_most(self, promise, value, limit, noise, measured):
        """check() of a value. Within the noise, either verdict would be luck."""
        kept = value < limit if abs(value - limit) > noise else None
        self.check(promise, kept, measured)

    def median_at_most(self, promise, values, limit, unit):
        """check() of the median of many values. An uncertain median decides nothing."""
        middle, low, high = median_within(values)
        kept = None if low < limit <= high else middle < limit
        measured = f"{middle:+.2f} {unit}, at 95 % {low:+.2f} to {high:+.2f}, {len(values)} times"
        self.check(promise, kept, measured)
