#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`flyball bench` beside hyperfine and FB_BENCH beside Google Benchmark, in turns, in one run: peers.py BUILD.

Commands: the same ones are measured by both. Overhead is what the tool and all its runs of `spin 0` (which does nothing)
take in processor time, divided by the runs; verdicts are which of two is faster: hyperfine's is the difference of its two
means beside their standard error (two of them: a difference), for it prints no verdict of its own.
Functions: the same objects, called by both; medians of nanoseconds of processor time a call over the rounds.
"""
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

BUILD = sys.argv[1]
FLYBALL, HERE = os.path.join(BUILD, "flyball"), os.path.join(BUILD, "bench", "proof")
SPIN = os.path.join(HERE, "bench-proof-spin")
ROUNDS, RUNS, PAIR_RUNS, VERDICT_ROUNDS = 5, 300, 40, 7


def line(bench, workload, ours, peer, peer_name, unit, reach, good, **proof):
    print(json.dumps({"bench": bench, "workload": workload, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit,
                      "ratio": round(ours / peer, 3) if ours and peer else None, "reach": reach,
                      "verdict": "not measured" if good is None else "met" if good else "missed", **proof}), flush=True)


def run(*command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}: {done.stderr[-300:]}")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def flyball(runs, *commands):
    out, cpu = run(FLYBALL, "bench", "--json", "-N", "--runs", str(runs), *commands)
    return json.loads(out), cpu


def hyperfine(runs, *commands):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        _, cpu = run("hyperfine", "-N", "--style", "none", "--runs", str(runs), "--export-json", file.name, *commands)
        with open(file.name, encoding="utf-8") as results:
            return json.load(results)["results"], cpu


def overhead():
    ours, peer, seen, peer_seen = [], [], [], []
    for _ in range(ROUNDS):
        report, cpu = flyball(RUNS, f"{SPIN} 0")
        ours.append(cpu / RUNS * 1e6)
        seen.append(report["candidates"][0]["measures"]["wall"]["median"] * 1e6)
        results, cpu = hyperfine(RUNS, f"{SPIN} 0")
        peer.append(cpu / RUNS * 1e6)
        peer_seen.append(results[0]["median"] * 1e6)
    a, b = statistics.median(ours), statistics.median(peer)
    line("proof.command", "processor time of a measured run that does nothing", round(a, 1), round(b, 1), "hyperfine", "us",
         "<= hyperfine's", a <= b, runs=RUNS * ROUNDS, samples=[round(x, 1) for x in ours])
    a, b = statistics.median(seen), statistics.median(peer_seen)
    line("proof.command", "wall time that is reported for a run that does nothing", round(a, 1), round(b, 1), "hyperfine", "us",
         "<= hyperfine's", a <= b, runs=RUNS * ROUNDS, samples=[round(x, 1) for x in seen])


def hyperfine_says(a, b):
    error = ((a["stddev"] ** 2 + b["stddev"] ** 2) / PAIR_RUNS) ** 0.5
    difference = b["mean"] - a["mean"]
    return "same" if abs(difference) <= 2 * error else "more" if difference > 0 else "less"


def right(said, truth):
    """Not seeing a difference that is there is no wrong verdict, but no right one either."""
    return said == truth


def verdicts():
    rounds = 1_000_000
    for name, other in (("the same", 1.0), ("5 % more work", 1.05), ("20 % more work", 1.2), ("half the work", 0.5)):
        commands = (f"{SPIN} {rounds}", f"{SPIN} {int(rounds * other)}")
        truth = "same" if other == 1 else "more" if other > 1 else "less"
        ours, theirs = [], []
        for _ in range(VERDICT_ROUNDS):
            report, _ = flyball(PAIR_RUNS, *commands)
            ours.append(report["candidates"][1]["against_reference"]["wall"]["verdict"])
            results, _ = hyperfine(PAIR_RUNS, *commands)
            theirs.append(hyperfine_says(*results))
        a, b = sum(right(said, truth) for said in ours), sum(right(said, truth) for said in theirs)
        line("proof.command", f"which is faster: {name}; right verdicts of {VERDICT_ROUNDS}", a, b, "hyperfine", "",
             "as often as hyperfine", a >= b, ours_says=ours, peer_says=theirs, truth=truth)


def functions():
    google = os.path.join(HERE, "bench-proof-google")
    ours, peer = {}, {}
    for _ in range(ROUNDS):
        for text in run(os.path.join(HERE, "bench-proof-functions"), "--samples", "15")[0].splitlines():
            record = json.loads(text)
            if record["metric"] == "cpu":
                ours.setdefault(record["workload"], []).append(statistics.median(record["samples"]))
        if os.access(google, os.X_OK):
            out, _ = run(google, "--benchmark_format=json", "--benchmark_min_time=0.1")
            for record in json.loads(out)["benchmarks"]:
                peer.setdefault(record["name"], []).append(record["cpu_time"])
    for name, samples in ours.items():
        a = round(statistics.median(samples), 3)
        b = round(statistics.median(peer[name]), 3) if name in peer else None
        good = None if b is None else a <= b + 0.5 if name == "nothing" else abs(a / b - 1) <= 0.1
        line("proof.function", f"FB_BENCH({name})", a, b, "Google Benchmark", "ns",
             "<= its cost of an empty turn" if name == "nothing" else "within 10 %", good, rounds=ROUNDS,
             samples=[round(x, 3) for x in samples])


if shutil.which("hyperfine"):
    overhead()
    verdicts()
else:
    line("proof.command", "a measured run that does nothing", None, None, "hyperfine", "us", "<= hyperfine's", None)
functions()
