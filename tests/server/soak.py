#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server for a long time: tests/server/soak.py FLYBALL [SECONDS]. Prints TAP.

Clients evaluate without a pause, rulesets are replaced, one client stalls in the middle of a body, one goes away in the middle, one sends
garbage, watchers come and go, one never reads. Each answer is held against what it must be: no decision may be lost or wrong. Memory after
the first fifth is compared with memory at the end. Then it is killed under load, and must be there again with all that it had accepted.
20 s in the tests; 3600 is an hour.
"""
import http.client
import json
import os
import random
import re
import signal
import socket
import sys
import tempfile
import threading
import time

from client import JSON, Server, check, done, same

# What AddressSanitizer keeps of freed memory is no growth of the server.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=16"
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
BOOK = "rules: [{{name: n{}, when: [{{order as o: o.amount > 100.0}}], then: [{{emit: large, with: {{id: '${{{{ o.id }}}}'}}}}]}}]"
MISSION = "name: m\nsteps:\n  - {id: a, shell: 'echo ${{ run.id }}'}\n  - {id: b, needs: [a], run: [sleep, '0.2']}\n"
YAML = {"Content-Type": "application/yaml"}


class Load:
    def __init__(self, server):
        self.server, self.ends, self.wrong, self.answers, self.busy = server, False, [], 0, 0
        self.threads = []

    def start(self, work, *arguments):
        thread = threading.Thread(target=self.run, args=(work, *arguments), daemon=True)
        self.threads.append(thread)
        thread.start()

    def run(self, work, *arguments):
        while not self.ends:
            try:
                work(self, *arguments)
            except (OSError, http.client.HTTPException) as failure:
                if not self.ends:
                    self.wrong.append(f"{work.__name__}: {failure!r}")
                    time.sleep(0.1)

    def end(self):
        self.ends = True
        for thread in self.threads:
            thread.join(timeout=30)


def evaluate(load, number):
    """One connection, 200 requests; what is decided is known."""
    link, draw = load.server.connect(), random.Random(number)
    for _ in range(200):
        if load.ends:
            break
        facts = [{"type": "order", "id": draw.randrange(10**6), "amount": draw.choice([50.0, 150.0])} for _ in range(draw.randrange(1, 6))]
        code, _, body = load.server.ask("POST", "/v1/evaluate", {"ruleset": "shop", "facts": facts}, connection=link)
        if code == 503:
            load.busy += 1
            continue
        want = sorted(fact["id"] for fact in facts if fact["amount"] > 100)
        if code != 200 or sorted(d["fields"]["id"] for d in body["decisions"]) != want:
            load.wrong.append(f"{code} {body} for {facts}")
        load.answers += 1
        time.sleep(0.002)
    link.close()


def reload(load, every):
    time.sleep(every)
    code, _, body = load.server.ask("PUT", "/v1/rulesets/shop", BOOK.format(time.monotonic_ns()).encode(), YAML)
    if code not in (200, 201):
        load.wrong.append(f"reload: {code} {body}")


def raw(load):
    return socket.create_connection((load.server.host, load.server.port), timeout=10)


def stall(load):
    """Half a body, and then nothing."""
    link = raw(load)
    link.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"ruleset\":")
    for _ in range(50):
        if load.ends:
            break
        time.sleep(0.1)
    link.close()


def loris(load):
    """A header a byte at a time."""
    link = raw(load)
    for byte in b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"a" * 40:
        if load.ends:
            break
        link.sendall(bytes([byte]))
        time.sleep(0.05)
    link.close()


def vanish(load):
    link = raw(load)
    link.sendall(b"POST /v1/evaluate?ruleset=shop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\nContent-Length: 10000000\r\n\r\n" + b'{"type":"order","amount":1.5}\n' * 1000)
    link.close()
    time.sleep(0.05)


def garbage(load):
    link = raw(load)
    link.sendall(bytes(random.randrange(256) for _ in range(2000)))
    link.close()
    time.sleep(0.05)


def watch(load, reads):
    link = raw(load)
    link.sendall(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    for _ in range(20):
        if load.ends:
            break
        if reads:
            link.recv(65536)
        time.sleep(0.1)
    link.close()


def session(load):
    code, _, made = load.server.ask("POST", "/v1/sessions", {"ruleset": "shop"})
    if code == 201:
        for i in range(20):
            body = load.server.ask("POST", f"/v1/sessions/{made['id']}/facts?explain=true", {"type": "order", "id": i, "amount": 200.0})[2]
            if len(body.get("decisions", [])) != 1:
                load.wrong.append(f"session: {body}")
        load.server.ask("DELETE", f"/v1/sessions/{made['id']}")
    time.sleep(0.05)


def mission(load):
    load.server.ask("POST", "/v1/missions/m/runs", {})
    time.sleep(1)


def resident(server):
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def soak(folder):
    server = Server("--state", folder + "/state", "--snapshot", "2s")
    server.ask("PUT", "/v1/rulesets/shop", BOOK.format(0).encode(), YAML)
    server.ask("PUT", "/v1/missions/m", MISSION.encode(), YAML)
    load = Load(server)
    for number in range(3):
        load.start(evaluate, number)
    for work in ((reload, min(10.0, SECONDS / 8)), (stall,), (loris,), (vanish,), (garbage,), (watch, True), (watch, False), (session,), (mission,)):
        load.start(*work)
    time.sleep(SECONDS / 5)
    early, most = resident(server), 0
    while time.sleep(0.5) or time.monotonic() < soak.end:
        most = max(most, resident(server))
    late = resident(server)
    load.end()
    print(f"# {load.answers} answers in {SECONDS:.0f} s, {load.busy} told to come again; memory {early} kB, {late} kB at the end, {most} kB at most")
    check("every decision is as it must be", load.answers > 10 * SECONDS and not load.wrong, "\n".join(load.wrong[:5]))
    check("memory stays", late < early * 1.3 + 16384, (early, late))
    errors = server.ask("GET", "/v1/stats")[2]["requests"]["errors"]
    same("no error that was not caused", errors - load.busy, 0)
    return server


def killed(server, folder):
    """Everything that was accepted before the kill is there after it."""
    accepted, load = [], Load(server)

    def put(load):
        name = f"k{len(accepted)}"
        if load.server.ask("PUT", f"/v1/rulesets/{name}", BOOK.format(name).encode(), YAML)[0] == 201:
            run = load.server.ask("POST", "/v1/missions/m/runs", {"key": name})[2].get("id")
            accepted.append((name, run))

    load.start(put)
    load.start(evaluate, 9)
    time.sleep(min(3.0, SECONDS / 5))
    load.ends = True
    server.process.send_signal(signal.SIGKILL)
    load.end()
    server.end()
    server = Server("--state", folder + "/state")
    names = {r["name"] for r in server.ask("GET", "/v1/rulesets")[2]["rulesets"]}
    check("rulesets that were accepted are there", len(accepted) > 3 and all(name in names for name, _ in accepted), (len(accepted), len(names)))
    end, left = time.monotonic() + 60, [run for _, run in accepted if run]
    while left and time.monotonic() < end:
        left = [run for run in left if server.ask("GET", f"/v1/runs/{run}")[2].get("state") != "ok"]
        time.sleep(0.2)
    check("runs that were accepted are run", not left, left[:5])
    same("each key is one run", server.ask("POST", "/v1/missions/m/runs", {"key": accepted[0][0]})[2]["id"], accepted[0][1])
    same("it ends", server.end(), 0)


def main():
    folder = tempfile.mkdtemp()
    soak.end = time.monotonic() + SECONDS
    killed(soak(folder), folder)
    return done()


sys.exit(main())
