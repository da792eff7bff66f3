#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Missions, their runs, and who watches them: tests/server/live.py FLYBALL. Prints TAP."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from client import FLYBALL, Server, check, documented, done, kept_contract, same

HELLO = """
name: hello
description: says hello
inputs: {who: {type: string, default: world}}
steps:
  - id: first
    run: [echo, "hello ${{ inputs.who }}"]
  - id: slow
    needs: [first]
    shell: "for i in 1 2 3; do echo line $i; sleep 0.2; done"
  - id: last
    needs: [slow]
    run: [echo, done]
"""
ASKS = """
name: asks
steps:
  - id: before
    run: [echo, before]
  - id: ask
    needs: [before]
    approve: go?
  - id: after
    needs: [ask]
    run: [echo, after]
"""
FAILS = """
name: fails
inputs: {file: {type: string}}
steps:
  - id: good
    shell: "echo once >> ${{ inputs.file }}.log"
  - id: bad
    needs: [good]
    shell: "test -e ${{ inputs.file }}"
"""
LONG = """
name: long
inputs: {file: {type: string}}
steps:
  - id: one
    shell: "echo one >> ${{ inputs.file }}"
    semantics: once
  - id: two
    needs: [one]
    semantics: idempotent
    shell: "test -e ${{ inputs.file }}.go || sleep 60; echo two >> ${{ inputs.file }}"
  - id: three
    needs: [two]
    shell: "echo three >> ${{ inputs.file }}"
"""
SECRET = """
name: secret
secrets: {token: {env: LIVE_TOKEN}}
steps:
  - {id: say, shell: 'echo "it is $T" >&2; echo "$T"', env: {T: "${{ secrets.token }}"}, cache: true}
  - {id: tell, emit: {type: said, token: "${{ secrets.token }}"}}
outputs: {token: "${{ secrets.token }} ${{ steps.say.output }}"}
"""
GROUP = """
name: {name}
inputs: {{file: {{type: string}}}}
concurrency: {{group: one, policy: {policy}}}
steps:
  - {{id: a, shell: 'echo in >> ${{{{ inputs.file }}}}; sleep {seconds}; echo out >> ${{{{ inputs.file }}}}'}}
"""
YAML = {"Content-Type": "application/yaml"}


def start(server, mission, inputs=None, **more):
    return server.ask("POST", f"/v1/missions/{mission}/runs", {"inputs": inputs or {}, **more})


def until(server, run, *states, seconds=20):
    end = time.monotonic() + seconds
    while True:
        body = server.ask("GET", f"/v1/runs/{run}")[2]
        if body.get("state") in states or time.monotonic() > end:
            return body
        time.sleep(0.03)


class Watch:
    """GET /v1/events, event by event."""

    def __init__(self, server, query="", last=None, read=True):
        self.link = socket.create_connection((server.host, server.port), timeout=10)
        more = f"Last-Event-ID: {last}\r\n" if last else ""
        self.link.sendall(f"GET /v1/events{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode())
        self.file = self.link.makefile("rb")
        self.head = {}
        while read and (line := self.file.readline().decode().strip()):
            name, _, value = line.partition(":")
            self.head[name.lower()] = value.strip()
        self.rest = b""

    def more(self):
        size = int(self.file.readline() or b"0", 16)
        self.rest += self.file.read(size)
        self.file.readline()
        return size

    def next(self):
        """(id, kind, data) of the next event."""
        while True:
            while b"\n\n" not in self.rest:
                if not self.more():
                    return None
            block, self.rest = self.rest.split(b"\n\n", 1)
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            if fields:
                return int(fields["id"]), fields["event"], json.loads(fields["data"])

    def take(self, count):
        return [self.next() for _ in range(count)]

    def close(self):
        self.file.close()
        self.link.close()


def missions(server):
    same("no missions", server.ask("GET", "/v1/missions")[2]["missions"], [])
    code, headers, body = server.ask("PUT", "/v1/missions/hello", HELLO.encode(), YAML)
    check("a mission is kept", code == 201 and body["version"] == 1 and headers["ETag"] == f'"{body["hash"]}"', body)
    same("the same again is the same", server.ask("PUT", "/v1/missions/hello", HELLO.encode(), YAML)[0], 200)
    listed = server.ask("GET", "/v1/missions")[2]["missions"][0]
    check("it is listed", (listed["name"], listed["steps"], listed["description"]) == ("hello", 3, "says hello") and
          listed["inputs"] == [{"name": "who", "type": "string", "required": False, "default": "world"}], listed)
    shown = server.ask("GET", "/v1/missions/hello")[2]
    check("with its steps", [(s["id"], s["tool"], s["needs"]) for s in shown["steps"]] ==
          [("first", "run", []), ("slow", "shell", ["first"]), ("last", "run", ["slow"])] and shown["source"] == HELLO, shown)
    code, _, problem = server.ask("PUT", "/v1/missions/bad", b"name: x\nsteps:\n  - {id: a, rn: [b]}\n", YAML)
    check("one that does not load is told where", code == 422 and problem["line"] == 3 and problem["errors"][1]["hint"] == "did you mean `run`?", problem)
    code, _, problem = server.ask("PUT", "/v1/missions/hello", ASKS.encode(), {**YAML, "If-Match": '"0"'})
    same("nobody is overwritten", (code, problem["code"]), (412, "FB1713"))
    same("another version", server.ask("PUT", "/v1/missions/hello", HELLO.replace("echo, done", "echo, over").encode(), YAML)[2]["version"], 2)
    same("the first can be read", server.ask("GET", "/v1/missions/hello?version=1")[2]["source"], HELLO)
    for name in ("..%2f..%2fx", "%2e%2e", ".hidden", "a%00b", "%2fetc%2fpasswd"):
        code = server.ask("PUT", f"/v1/missions/{name}", HELLO.encode(), YAML)[0]
        check(f"{name} is no name", code in (400, 404), code)
    for name, text in (("asks", ASKS), ("fails", FAILS), ("long", LONG)):
        server.ask("PUT", f"/v1/missions/{name}", text.encode(), YAML)
    server.ask("PUT", "/v1/missions/gone", ASKS.encode(), YAML)
    same("one is deleted", (server.ask("DELETE", "/v1/missions/gone")[0], server.ask("GET", "/v1/missions/gone")[0]), (204, 404))


def runs(server):
    watch = Watch(server, "?kinds=run,step")
    code, headers, body = start(server, "hello", {"who": "you"}, key="k1")
    run = body["id"]
    check("a run is accepted", code == 202 and headers["Location"] == f"/v1/runs/{run}", body)
    same("the same key is the same run", start(server, "hello", {"who": "you"}, key="k1")[2]["id"], run)
    same("but not for something else", start(server, "hello", {"who": "me"}, key="k1")[2]["code"], "FB7032")
    body = until(server, run, "ok")
    check("it runs", [(s["id"], s["state"], s["attempts"]) for s in body["steps"]] ==
          [("first", "ok", 1), ("slow", "ok", 1), ("last", "ok", 1)] and body["counts"]["done"] == 3, body)
    same("what a step gave", body["steps"][0]["output"], "hello you\n")
    seen = watch.take(8)
    same("who watches sees it", [(kind, data.get("step"), data["state"]) for _, kind, data in seen],
         [("run", None, "running"), ("step", "first", "running"), ("step", "first", "ok"), ("step", "slow", "running"), ("step", "slow", "ok"),
          ("step", "last", "running"), ("step", "last", "ok"), ("run", None, "ok")])
    watch.close()
    watch = Watch(server, "?kinds=run,step", last=seen[2][0])
    same("and goes on where it stopped", watch.take(5), seen[3:])
    watch.close()
    same("logs", server.ask("GET", f"/v1/runs/{run}/logs")[2].decode(),
         "first | hello you\nslow | line 1\nslow | line 2\nslow | line 3\nlast | over\n")
    same("logs of a step", server.ask("GET", f"/v1/runs/{run}/logs?step=slow")[2].decode(), "line 1\nline 2\nline 3\n")
    run = start(server, "hello")[2]["id"]
    text = server.ask("GET", f"/v1/runs/{run}/logs?follow=true&step=slow")[2].decode()
    same("logs are followed to the end", text, "line 1\nline 2\nline 3\n")
    listed = server.ask("GET", "/v1/runs?mission=hello&limit=1")[2]
    check("the newest first", [r["id"] for r in listed["runs"]] == [run] and "next" in listed, listed)
    same("and the page after", [r["mission"] for r in server.ask("GET", f"/v1/runs?mission=hello&after={listed['next']}")[2]["runs"]], ["hello"])
    cases = [("an unknown mission", start(server, "none"), 404), ("an unknown input", start(server, "hello", {"wo": "x"}), 422),
             ("an input of another kind", start(server, "hello", {"who": 7}), 422), ("an unknown run", server.ask("GET", "/v1/runs/none"), 404),
             ("a path as a run", server.ask("GET", "/v1/runs/..%2f..%2fetc"), 404), ("logs of none", server.ask("GET", "/v1/runs/none/logs"), 404),
             ("cancel none", server.ask("POST", "/v1/runs/none/cancel"), 404), ("resume what is done", server.ask("POST", f"/v1/runs/{run}/resume"), 409),
             ("cancel what is done", server.ask("POST", f"/v1/runs/{run}/cancel"), 409)]
    for name, (code, _, problem), want in cases:
        check(name, code == want, problem)


def people(server):
    run = start(server, "asks")[2]["id"]
    body = until(server, run, "waiting")
    same("it waits for a person", (body["waits"], body["counts"]["waiting"]), ([{"step": "ask", "doubt": False, "for": "go?"}], 1))
    code, _, problem = server.ask("POST", f"/v1/runs/{run}/approve", {"step": "before", "decision": "approve"})
    check("not every step does", code == 409 and problem["code"] == "FB1514", problem)
    same("nonsense", server.ask("POST", f"/v1/runs/{run}/approve", {"step": "ask", "decision": "perhaps"})[0], 400)
    same("approved", server.ask("POST", f"/v1/runs/{run}/approve", {"step": "ask", "decision": "approve", "note": "fine"})[0], 202)
    same("it goes on", until(server, run, "ok")["state"], "ok")
    run = start(server, "asks")[2]["id"]
    until(server, run, "waiting")
    server.ask("POST", f"/v1/runs/{run}/approve", {"step": "ask", "decision": "reject"})
    same("rejected", until(server, run, "failed", "ok")["state"], "failed")
    gate = server.path("gate")
    run = start(server, "fails", {"file": gate})[2]["id"]
    body = until(server, run, "failed")
    check("a failure is told", body["counts"]["failed"] == 1 and "exit code 1" in body["steps"][1]["error"], body)
    open(gate, "w").close()
    same("tried again", server.ask("POST", f"/v1/runs/{run}/retry")[0], 202)
    same("it ends well", until(server, run, "ok")["state"], "ok")
    with open(gate + ".log", encoding="utf-8") as file:
        same("what was done is not done again", file.read(), "once\n")
    same("a step by name", server.ask("POST", f"/v1/runs/{run}/retry", {"from": "good"})[0], 202)
    until(server, run, "ok")
    with open(gate + ".log", encoding="utf-8") as file:
        same("is done again", file.read(), "once\nonce\n")
    run = start(server, "long", {"file": server.path("cancelled")})[2]["id"]
    until(server, run, "running")
    time.sleep(0.3)
    same("cancelled", server.ask("POST", f"/v1/runs/{run}/cancel")[0], 202)
    same("it ends", until(server, run, "cancelled")["state"], "cancelled")


def many(server):
    """More runs than may be at work: the others wait, and one that waits can be cancelled."""
    ids = [start(server, "long", {"file": server.path(f"many{i}")})[2]["id"] for i in range(6)]
    states = [until(server, run, "running", "queued")["state"] for run in ids]
    time.sleep(0.3)
    states = [server.ask("GET", f"/v1/runs/{run}")[2]["state"] for run in ids]
    same("two at once", (states.count("running"), states.count("queued")), (2, 4))
    server.ask("POST", f"/v1/runs/{ids[5]}/cancel")
    same("one that waits is cancelled", server.ask("GET", f"/v1/runs/{ids[5]}")[2]["state"] in ("cancelled", "queued"), True)
    for run in ids[:5]:
        server.ask("POST", f"/v1/runs/{run}/cancel")
    same("all end", [until(server, run, "cancelled")["state"] for run in ids], ["cancelled"] * 6)


def told(server):
    events = server.ask("GET", "/v1/audit?limit=500")[2]["events"]
    what = {event["what"] for event in events}
    check("changes are in the audit", {"server.start", "mission.put", "mission.delete", "run.start", "run.cancel", "run.approve", "run.retry"} <= what, what)
    check("with who, and a hash", all(event["who"] and len(event["hash"]) == 64 for event in events))
    page = server.ask("GET", "/v1/audit?limit=2")[2]
    more = server.ask("GET", f"/v1/audit?limit=2&after={page['next']}")[2]
    same("page by page", [e["n"] for e in page["events"] + more["events"]], [e["n"] for e in events[:4]])
    stats = server.ask("GET", "/v1/stats")[2]
    check("figures", stats["requests"]["total"] > 50 and stats["runs"]["ok"] >= 3 and stats["missions"] == 4, stats)
    check("metrics as JSON", server.ask("GET", "/v1/metrics")[2]["type"] == "flyball.metrics.v1")
    text = server.ask("GET", "/metrics")[2].decode()
    check("missions and journals are measured", 'flyball_mission_runs_total{mission="hello",status="ok"} 2' in text and
          "flyball_journal_commits_total" in text, text[-1500:])
    same("no history was given", server.ask("GET", "/v1/history")[0], 404)


def watching(server):
    stats = Watch(server, "?kinds=stats")
    check("headers of a stream", stats.head.get("content-type") == "text/event-stream" and stats.head.get("cache-control") == "no-store", stats.head)
    _, kind, data = stats.next()
    check("once a second", kind == "stats" and data["rate"] >= 0 and "at" in data, data)
    stats.close()
    same("kinds that are none", server.ask("GET", "/v1/events?kinds=,")[0], 400)
    slow = Watch(server, "", read=False)  # never reads
    quick = Watch(server, "?kinds=ruleset")
    book = "rules: [{{name: n{}, when: [a], then: [{{emit: y}}]}}]"
    link = server.connect()
    for i in range(300):
        server.ask("PUT", "/v1/rulesets/watched", book.format(i).encode(), YAML, connection=link)
    seen = quick.take(300)
    same("nothing is lost by who reads", [data["version"] for _, _, data in seen], list(range(1, 301)))
    same("ids go up", [id for id, _, _ in seen], sorted({id for id, _, _ in seen}))
    slow.close()
    quick.close()
    old = Watch(server, "?kinds=ruleset", last=5)
    id, kind, data = old.next()
    check("an id of another server is told", kind == "gap" and data.get("restarted") is True, (kind, data))
    old.close()


def command_line(server):
    """The same folder: runs of the command line are shown, runs of the server can be gone on with there."""
    state = server.path("state")
    env = {**os.environ, "XDG_STATE_HOME": os.path.dirname(state)}
    os.symlink("state", os.path.join(os.path.dirname(state), "flyball"))
    with open(server.path("cli.yaml"), "w", encoding="utf-8") as file:
        file.write(ASKS)
    subprocess.run([FLYBALL, "run", "-q", server.path("cli.yaml")], env=env, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    mine = server.ask("GET", "/v1/runs?limit=1")[2]["runs"][0]
    same("a run of the command line", (mine["mission"], mine["state"], mine["steps"]["total"]), ("asks", "waiting", 3))
    code, _, problem = server.ask("POST", f"/v1/runs/{mine['id']}/resume")
    check("is gone on with there", code == 409 and "flyball resume" in problem["hint"], problem)
    run = start(server, "asks")[2]["id"]
    until(server, run, "waiting")
    subprocess.run([FLYBALL, "approve", "-q", run, "ask"], env=env, check=True, stdout=subprocess.DEVNULL)
    same("a run of the server goes on on the command line", server.ask("GET", f"/v1/runs/{run}")[2]["state"], "ok")
    out = subprocess.run([FLYBALL, "audit", "verify", run], env=env, check=False, capture_output=True, text=True)
    same("and its journal verifies", out.returncode, 0)


def control(server):
    """Secrets, kept results and groups of runs."""
    server.ask("PUT", "/v1/missions/secret", SECRET.encode(), YAML)
    runs = [start(server, "secret")[2]["id"] for _ in range(2)]
    for run in runs:
        body = until(server, run, "ok", "failed")
        same("a mission with a secret", body["state"], "ok")
        text = json.dumps(body) + json.dumps(server.ask("GET", f"/v1/runs/{run}/logs/say")[2], default=str)
        check("shows it nowhere", "t0ken" not in text and "***" in text, text)
    found = subprocess.run(["grep", "-rl", "t0ken-of-live", server.path("state")], check=False, capture_output=True, text=True)
    same("keeps it nowhere", found.stdout, "")
    file = server.path("group")
    for name, policy, seconds in (("waits", "wait", 0.6), ("refused", "refuse", 0)):
        text = GROUP.format(name=name, policy=policy, seconds=seconds)
        server.ask("PUT", f"/v1/missions/{name}", text.encode(), YAML)
    first = start(server, "waits", {"file": file})[2]["id"]
    until(server, first, "running")
    while not os.path.exists(file):
        time.sleep(0.02)
    refused = start(server, "refused", {"file": file})[2]["id"]
    body = until(server, refused, "failed", "ok")
    check("a group that is full refuses", body["state"] == "failed" and "the group `one` is full" in json.dumps(body), body)
    second = start(server, "waits", {"file": file})[2]["id"]
    same("others wait", [until(server, run, "ok", "failed")["state"] for run in (first, second)], ["ok", "ok"])
    with open(file, encoding="utf-8") as text:
        same("one after the other", text.read().split(), ["in", "out", "in", "out"])


def restart(options):
    """The end of a server is not the end of its runs; nor is kill -9."""
    folder = tempfile.mkdtemp()
    for name, number in (("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)):
        server = Server("--state", folder + "/state", *options)
        server.ask("PUT", "/v1/missions/long", LONG.encode(), YAML)
        server.ask("PUT", "/v1/rulesets/kept", f"rules: [{{name: {name}, when: [a], then: [{{emit: y}}]}}]".encode(), YAML)
        file = f"{folder}/{name}"
        runs = [start(server, "long", {"file": f"{file}{i}"})[2]["id"] for i in range(4)]  # two of them wait
        until(server, runs[1], "running")
        time.sleep(0.5)
        server.end(number)
        for i in range(4):
            open(f"{file}{i}.go", "w").close()
        server = Server("--state", folder + "/state", *options)
        ended = [until(server, run, "ok", "failed") for run in runs]
        same(f"{name}: runs go on", [run["state"] for run in ended], ["ok"] * 4)
        texts = []
        for i in range(4):
            with open(f"{file}{i}", encoding="utf-8") as log:
                texts.append(log.read())
        check(f"{name}: no step is done twice", texts[2:] == ["one\ntwo\nthree\n"] * 2 and all(t.startswith("one\n") and t.endswith("three\n") and t.count("one") == 1 for t in texts), texts)
        kept = server.ask("GET", "/v1/rulesets/kept")[2]
        check(f"{name}: rulesets are there, with their versions", name in kept["source"] and kept["version"] == (1 if name == "SIGTERM" else 2), kept)
        same(f"{name}: missions too", server.ask("GET", "/v1/missions/long")[2]["source"], LONG)
        same("it ends", server.end(), 0)
    first = Server("--state", folder + "/state")
    second = Server("--state", folder + "/state")
    check("two servers do not share a folder", second.url is None and second.end() != 0 and "FB7030" in second.told, second.told)
    first.end()


def history():
    folder = tempfile.mkdtemp()
    database = folder + "/history.db"
    for i in range(24):
        value = 10.0 if i < 12 else 20.0
        with open(folder + "/r.ndjson", "w", encoding="utf-8") as file:
            file.write(json.dumps({"type": "flyball.result.v1", "bench": "b", "workload": "w", "metric": "seconds", "unit": "s", "samples": [value + 0.01 * (i % 3)]}) + "\n")
        subprocess.run([FLYBALL, "history", "import", "--history", database, "--commit", f"{i:040x}", "--time", f"2026-01-{i + 1:02}T00:00:00Z", folder + "/r.ndjson"],
                       check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server("--history", database)
    listed = server.ask("GET", "/v1/history")[2]
    check("series", listed.get("series") == [{"bench": "b", "workload": "w", "metric": "seconds", "unit": "s", "runs": 24}], listed)
    body = server.ask("GET", "/v1/history/series?bench=b&workload=w&metric=seconds")[2]
    check("points and the change of level", len(body.get("points", [])) == 24 and [c["commit"] for c in body["changes"]] == [f"{12:040x}"], body)
    same("no such series", server.ask("GET", "/v1/history/series?workload=x&metric=y")[0], 404)
    code, _, problem = server.ask("PUT", "/v1/missions/m", HELLO.encode(), YAML)
    check("no state, no missions", code == 404 and problem["code"] == "FB7030", problem)
    server.end()


def main():
    os.environ["LIVE_TOKEN"] = "t0ken-of-live"
    server = Server("--state", "@state", "--max-runs", "2")
    documented(server)
    for part in (missions, runs, people, many, watching, told, control, command_line):
        part(server)
    same("it ends", server.end(), 0)
    restart(("--max-runs", "2"))
    history()
    kept_contract(100)
    return done()


sys.exit(main())
