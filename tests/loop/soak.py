#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A project under load for a while: tests/loop/soak.py FLYBALL [SECONDS]. Prints TAP.

Facts come in from several clients and from a file that is rotated, rulebooks are replaced, some of them broken, a client stalls
in the middle of a request, one leaves, one sends garbage. In the end every fact was decided upon, and memory did not grow."""
import json
import os
import random
import re
import socket
import sys
import threading
import time

import run as loop

SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 10
RULES = loop.RULES + """
  - name: pairs
    when: [{item as a: "a.n % 1000 == 0"}, {line as l: "l.n == a.n"}]
    then: [{emit: pair, with: {n: "${{ a.n }}"}}]
"""
PROJECT = """
name: soak
rulebooks: [rules.yaml]
reload: 50ms
snapshot: {every: 1s}
sources:
  - {name: log, tail: app.log, parse: {regex: '^n=(?<n>\\d+)$'}, lifetime: 2s}
  - {name: in, http: true, lifetime: 2s}
  - {name: own, metrics: own, every: 200ms}
sinks:
  - {name: out, file: out.ndjson, decisions: [seen], rotate: 64MiB, keep: 100}
"""
stop = threading.Event()
accepted, refused, written = [], [0], [0]
lock = threading.Lock()
number = [0]


def client(project):
    while not stop.is_set():
        with lock:
            first = number[0]
            number[0] += 50
        code, body = project.ask("POST", "/v1/facts" + random.choice(["", "?durable=true"]),
                                 [{"type": "item", "n": n} for n in range(first, first + 50)])
        if code == 200 and body["accepted"] == 50:
            accepted.extend(range(first, first + 50))
        else:
            refused[0] += 1


def writer(project):
    while not stop.is_set():
        with open(project.path("p", "app.log"), "a", encoding="utf-8") as file:
            for _ in range(20):
                file.write(f"n={written[0]}\n")
                written[0] += 1
        if written[0] % 2000 == 0:
            os.rename(project.path("p", "app.log"), project.path("p", "app.log.1"))
        time.sleep(0.02)


def editor(project):
    while not stop.is_set():
        time.sleep(0.3)
        project.replace("rules.yaml", RULES.replace("pairs", f"pairs{random.randrange(9)}"))
        time.sleep(0.3)
        project.replace("rules.yaml", RULES.replace("then", "thne"))


def rude(project):
    head = b"POST /v1/facts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\n"
    stalled = []
    while not stop.is_set():
        for data in (head + b"Content-Length: 1000000\r\n\r\n{\"type\":\"item\"", head + b"Content-Length: 9\r\n\r\nnonsense\n", os.urandom(200)):
            connection = socket.create_connection(("127.0.0.1", project.port), timeout=5)
            connection.sendall(data)
            if data.startswith(head) and b"1000000" in data and len(stalled) < 20:
                stalled.append(connection)
            else:
                connection.close()
        time.sleep(0.1)
    for connection in stalled:
        connection.close()


def memory(project):
    with open(f"/proc/{project.process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def main():
    project = loop.Project({"rules.yaml": RULES, "flyball.yaml": PROJECT, "app.log": ""})
    project.start()
    loop.until(lambda: project.source("log")["state"] == "ok")
    time.sleep(0.5)
    threads = [threading.Thread(target=task, args=(project,)) for task in (client, client, writer, editor, rude)]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS / 2)
    middle = memory(project)
    time.sleep(SECONDS / 2)
    stop.set()
    for thread in threads:
        thread.join()
    grown = memory(project) - middle
    seen = loop.until(lambda: set(accepted) <= set(project.fields("n")) and project.fields("n"))
    print(f"# {len(accepted)} facts, {written[0]} lines, memory {middle} KiB in the middle, {grown:+} since")
    loop.check("no request of a good client was refused", refused[0] == 0, project.told())
    loop.check("every fact was decided upon", seen and len(accepted) > 100, sorted(set(accepted) - set(project.fields("n")))[:20])
    loop.check("and once", seen and len(seen) == len(set(seen)), "")
    loop.check("every line was read", loop.until(lambda: project.source("log")["facts"] == written[0]), f"{project.source('log')} {written[0]}")
    loop.check("memory does not grow", grown < 32 << 10, f"{grown} KiB")
    # what is left are the metrics of the last round
    loop.check("what has a lifetime is gone", loop.until(lambda: project.loop()["rulebooks"][0]["facts"] < 3000), project.loop())
    loop.check("it ends", project.end() == 0, project.told())
    project.remove()
    print(f"1..{loop.passed + loop.failed}")
    return 1 if loop.failed else 0


if __name__ == "__main__":
    sys.exit(main())
