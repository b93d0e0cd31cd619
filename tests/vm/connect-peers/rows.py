# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Rows of tracers, as the file `run` prints them on stdin, against COUNT and FEW attempts.

Exit status 1 if a row of ours is missing or wrong, or there is none.
"""

import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "bench"))

from table import show  # noqa: E402 (it is found only now)

# By the second number of the destination, as attempts.c has them.
KINDS = {
    "1": ("refused", "ECONNREFUSED"),
    "2": ("successful", "OK"),
    "3": ("IPv4 through IPv6", "OK"),
    "4": ("aborted", "ABORTED"),
    "5": ("non-blocking", "OK"),
    "6": ("timed out", "ETIMEDOUT"),
}


def main():
    kernel, count, few = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    sections = re.split(r"^== (.*)\n", sys.stdin.read(), flags=re.MULTILINE)[1:]
    traced = dict(zip(sections[::2], sections[1::2]))
    table, failed, remarks = [], not any(name.startswith("ours") for name in traced), []
    for name, text in traced.items():
        ours = name.startswith("ours")
        said = re.findall(r"^-- (.*)$", text, re.MULTILINE)
        remarks += [f"- {name} {remark}" for remark in said]
        failed |= ours and bool(said)
        for kind, (what, result) in KINDS.items():
            attempts = few if what == "timed out" else count
            # The destination stands after the source, which is 127.0.0.1.
            rows = re.findall(rf"\b127\.{kind}\.(\d+\.\d+)\s+(.*)", text)
            shown = {number for number, _ in rows}
            missing, wrong = attempts - len(shown), None
            if ours:
                # Something shown twice is as wrong as another outcome.
                right = {number for number, rest in rows if rest.split()[1] == result}
                wrong = len(rows) - len(right)
                failed |= missing != 0 or wrong != 0
            table.append((f"{name}: {what}", attempts, len(rows), missing, wrong))
    heading = ["tracer", "attempts", "rows", "missing", "wrong result"]
    show(f"Attempts on Linux {kernel}", heading, table)
    for remark in remarks:
        print(remark)
    sys.exit(failed)


if __name__ == "__main__":
    main()
