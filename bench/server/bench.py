#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests a second of `flyball serve` and its peers, in turns: bench.py FLYBALL BARE NPM. FB_BENCH_ROUNDS (3), FB_BENCH_SECONDS (4)."""
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

flyball, bare, npm = sys.argv[1:4]
ROUNDS = int(os.environ.get("FB_BENCH_ROUNDS", "3"))
SECONDS = int(os.environ.get("FB_BENCH_SECONDS", "4"))
FACT = {"type": "order", "id": "o1", "customer": "c1", "amount": 2500.0, "tier": "gold"}
BODY = json.dumps({"ruleset": "ten", "facts": [FACT]})
HITS = 3  # rules whose amount is below
LINES = 1000000


def book():
    rules = "".join(f"""  - name: r{i}
    when:
      - order as o: o.amount > {i * 1000}.0 && o.tier == "gold"
    then:
      - emit: hit{i}
        with: {{id: "${{{{ o.id }}}}"}}
""" for i in range(10))
    return "rules:\n" + rules


def row(workload, ours, unit, reach, met, peer=None, peer_name=None, ratio=None, **proof):
    print(json.dumps({"bench": "server", "workload": workload, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit,
                      "ratio": ratio, "reach": reach, "verdict": "not measured" if met is None else "met" if met else "missed",
                      **proof}), flush=True)


def ask(port, path, body, kind="application/json"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, body, {"Content-Type": kind})
    return connection.getresponse().read()


def wrk(port, folder, connections=32, delay=None):
    """Requests a second, and the 99th percentile in milliseconds."""
    script = os.path.join(folder, "wrk.lua")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = '{BODY}'\n")
        if delay:
            file.write(f"function delay() return {delay} end\n")
    told = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--latency", "-s", script, f"http://127.0.0.1:{port}/v1/evaluate"],
                          capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        return None, None  # a run with failures is not a throughput
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))
    late, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", told).groups()
    return rate, float(late) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) / 1024


def stream(port, folder, pid):
    """Facts a second of one request, and by how many MiB the server grew."""
    path = os.path.join(folder, "facts.ndjson")
    with open(path, "w", encoding="utf-8") as file:
        for i in range(LINES):
            file.write('{"type":"order","id":%d,"amount":%d.5,"tier":"%s"}\n' % (i, i % 1000 + 1, ("gold", "bronze")[i % 2]))
    rates, before = [], memory(pid)
    for _ in range(ROUNDS):
        with open(path, "rb") as file:
            begun = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300, blocksize=1 << 20)
            connection.request("POST", "/v1/evaluate?ruleset=ten", file,
                               {"Content-Type": "application/x-ndjson", "Content-Length": str(os.path.getsize(path))})
            answer, last, decisions = connection.getresponse(), b"", 0
            while piece := answer.read(1 << 20):
                decisions += piece.count(b"\n")
                last = (last + piece)[-4096:]
            rates.append(LINES / (time.monotonic() - begun))
        stats = json.loads(last.splitlines()[-1]).get("stats", {"facts": None, "decisions": None})
        if stats["facts"] != LINES or stats["decisions"] != decisions - 1:
            return None, None, stats
    return statistics.median(rates), memory(pid) - before, stats


def started(command, **more):
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)
    line = process.stdout.readline()
    port = int(json.loads(line)["url"].rsplit(":", 1)[1]) if line.startswith("{") else int(line)
    return process, port


def main():
    if not shutil.which("wrk"):
        row("one fact, ten rules", None, "requests/s", 25000, None)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ten.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(book())
        ours, port = started([flyball, "serve", "--json", "-l", "127.0.0.1:0", "-r", path])
        answer = ask(port, "/v1/evaluate", BODY)
        decisions = len(json.loads(answer)["decisions"])
        assert decisions == HITS, answer
        floor, floor_port = started([bare, str(os.cpu_count()), str(len(answer))])
        peer = peer_port = None
        if os.path.exists(os.path.join(npm, "peer.mjs")):
            peer, peer_port = started(["node", "peer.mjs"], cwd=npm)
            assert len(json.loads(ask(peer_port, "/", BODY))["decisions"]) == HITS
        rates = {"ours": [], "floor": [], "peer": []}
        for _ in range(ROUNDS):
            for name, at in (("ours", port), ("floor", floor_port), ("peer", peer_port)):
                if at:
                    rates[name].append(wrk(at, folder)[0])
        middle = {name: statistics.median(values) if values and None not in values else None for name, values in rates.items()}
        mine = middle["ours"]
        row("one fact, ten rules", mine, "requests/s", 25000, None if mine is None else mine >= 25000, decisions=decisions)
        for name, who, reach in (("floor", "libmicrohttpd alone", 0.6), ("peer", "json-rules-engine 7.3.1 in Node's cluster", 10)):
            pairs = [a / b for a, b in zip(rates["ours"], rates[name]) if a and b]
            ratio = statistics.median(pairs) if pairs else None
            row("one fact, ten rules", mine, "requests/s", reach, None if ratio is None else ratio >= reach, middle[name], who, ratio)
        if mine:
            # So many connections that each may wait 4 ms between requests and together they ask for half.
            rate, late = wrk(port, folder, max(1, round(mine / 2 * 0.004)), 4)
            row("99th percentile at half load", late, "ms", 5, None if late is None else late <= 5, at=rate)
        rate, grown, stats = stream(port, folder, ours.pid)
        row("1M facts in one request of lines", rate, "facts/s", 1e6, None if rate is None else rate >= 1e6,
            facts=stats["facts"], decisions=stats["decisions"])
        row("memory that it takes", grown, "MiB", 64, None if grown is None else grown < 64)
        for process in (ours, floor, peer):
            if process:
                process.stdin.close()
                process.terminate()
                process.wait()


main()
