#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# examples/c/bench.c: what it prints, and what it says to bad arguments. bench.py PROGRAM. Prints TAP.
import json
import subprocess
import sys

program = sys.argv[1]
count = 0


def check(what, good, detail=""):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}")
    if not good:
        print("# " + str(detail).replace("\n", "\n# "))


def run(*arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=100)


done = run("--samples", "8", "--time", "1ms")
lines = [json.loads(line) for line in done.stdout.splitlines()]
wall = {line["workload"]: line for line in lines if line["metric"] == "wall"}
check("each function with each argument", sorted(wall) == ["in_four/100", "in_four/10000", "plain/100", "plain/10000"], done)
check("lines that a history takes", all(l["type"] == "flyball.result.v1" and l["better"] == "less" and l["unit"] == "ns"
                                        and len(l["samples"]) == 8 and min(l["samples"]) == l["min"] > 0
                                        and l["low"] <= l["median"] <= l["high"] for l in wall.values()), wall)
# A hundred times the numbers: far from 100 means that the compiler left the work out, or that the clock was measured.
check("the work is done, and nothing else", all(40 < wall[f + "/10000"]["min"] / wall[f + "/100"]["min"] < 250
                                                for f in ("plain", "in_four")), wall)
check("a sample takes as long as was asked for", all(0.3e6 < l["iterations"] * l["min"] < 20e6 for l in wall.values()), wall)
check("--list", run("--list").stdout == "plain/100\nplain/10000\nin_four/100\nin_four/10000\n", run("--list"))
check("--filter", run("--list", "--filter", "four/100").stdout == "in_four/100\nin_four/10000\n", "")
for arguments in (["--sample", "3"], ["--samples", "0"], ["--samples"], ["--time", "soon"], ["x"], ["--filter", "none"]):
    done = run(*arguments)
    check(f"refused: {' '.join(arguments)}", done.returncode == 2 and done.stderr.startswith("error[FB1002]") and not done.stdout, done)
print(f"1..{count}")
