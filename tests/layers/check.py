#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the house stands: tests/layers/check.py ROOT. Prints TAP.

A file includes only from its own folder or from a lower floor; rooms on one floor do not know each other.
The library does not print, exit or read the environment, and the engines have no clock of their own.
"""
import os
import re
import sys

FLOORS = {
    "base": 0,
    "data": 1, "metrics": 1,
    "cel": 2, "guard": 2, "cache": 2, "store": 2, "net": 2,
    "rules": 3, "mission": 3, "scan": 3, "proof": 3,
    "loop": 4,
    "server": 5, "cli": 5,
}
ALSO = {("cli", "server")}  # the command line knows all
ELSEWHERE = {"errors": "base", "bench": "proof"}  # public headers without a folder of their name

# What is taken as an input, not called. Calls are looked for after comments and text are taken out.
PRINTS = r"(?:v?f?printf|puts|fputs|putchar|perror|exit|_exit|abort|fork|system|popen|getenv|setenv|signal)"
CLOCKS = r"(?:time|clock|clock_gettime|gettimeofday|nanosleep|usleep|sleep|rand|random|srand|getrandom|socket|connect|pthread_create|uv_\w+)"
CALLS = {folder: PRINTS for folder in FLOORS if folder not in ("cli",)}
for engine in ("data", "cel", "rules"):
    CALLS[engine] = f"(?:{PRINTS}|{CLOCKS})"
HEADERS = {"uv.h": {"mission", "loop", "net", "server", "scan", "proof", "cli"},
           "sqlite3.h": {"store"}, "sodium.h": {"store"}, "curl/curl.h": {"net"}}
# (file, call): why it may.
EXCEPTIONS = {}


def strip(text):
    """The text without comments and literals, line numbers kept."""
    def blank(match):
        return "\n" * match.group(0).count("\n") + " "
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def may_include(here, there):
    return here == there or FLOORS[there] < FLOORS[here] or (here, there) in ALSO


def target(folder, name, quoted):
    """The folder that an include is from; None for the system's; a str starting with '!' is a complaint."""
    if ".." in name.split("/"):
        return "!includes by a path with '..'"
    if name.startswith("flyball/"):
        stem = os.path.splitext(name.split("/")[1])[0]
        stem = ELSEWHERE.get(stem, stem)
        return stem if stem in FLOORS else f"!includes <{name}>, whose floor is not known"
    if not quoted:
        allowed = HEADERS.get(name)
        return f"!includes <{name}>" if allowed is not None and folder not in allowed else None
    if "/" not in name:
        return folder
    there = name.split("/")[0]
    return there if there in FLOORS else f"!includes \"{name}\", whose floor is not known"


def check(path, folder):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not match:
            continue
        there = target(folder, match.group(2), match.group(1) == '"')
        if there and there.startswith("!"):
            found.append(f"{path}:{number}: {there[1:]}")
        elif there and not may_include(folder, there):
            way = "sideways" if FLOORS[there] == FLOORS[folder] else "upwards"
            found.append(f"{path}:{number}: includes {way}: {folder} (floor {FLOORS[folder]}) "
                         f"may not know {there} (floor {FLOORS[there]})")
    banned = CALLS.get(folder) if path.endswith(".c") else None
    if banned:
        for number, line in enumerate(strip(text).split("\n"), 1):
            for call in re.findall(r"(?<![\w.>])(" + banned + r")\s*\(", line):
                if (path, call) not in EXCEPTIONS:
                    found.append(f"{path}:{number}: calls {call}()")
    return found


def files():
    for top in ("src", "include/flyball"):
        for place, _, names in os.walk(top):
            for name in sorted(names):
                if name.endswith((".c", ".h", ".def")):
                    yield os.path.join(place, name)


def main():
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
    results = []
    for path in sorted(files()):
        folder = path.split("/")[1] if path.startswith("src/") else os.path.splitext(os.path.basename(path))[0]
        folder = ELSEWHERE.get(folder, folder) if path.startswith("include/") else folder
        if folder not in FLOORS:
            results.append((path, [f"{path}: belongs to no floor"]))
        else:
            results.append((path, check(path, folder)))
    print(f"1..{len(results)}")
    for number, (path, found) in enumerate(results, 1):
        print(f"{'not ' if found else ''}ok {number} - {path}")
        for line in found:
            print("# " + line)
    return 1 if any(found for _, found in results) else 0


sys.exit(main())
