#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that a shared library exports names with the prefix fb_ only: tests/symbols/check.py LIBRARY. Prints TAP."""
import subprocess
import sys

lines = subprocess.run(["nm", "-D", "--defined-only", sys.argv[1]], check=True, capture_output=True, text=True).stdout
names = [line.split()[-1].split("@")[0] for line in lines.splitlines()]
strange = [name for name in names if not name.startswith("fb_")]
print("1..2")
print(f"{'ok' if names else 'not ok'} 1 - exports something ({len(names)} names)")
print(f"{'not ok' if strange else 'ok'} 2 - exports fb_ names only")
for name in strange:
    print("# " + name)
sys.exit(1 if strange or not names else 0)
