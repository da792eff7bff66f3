#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A project as it lives: tests/loop/run.py FLYBALL [ROUNDS]. Prints TAP. ROUNDS: of the kill test (3)."""
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

FLYBALL = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
passed = failed = 0
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
SECRET = "0123456789abcdef0123456789abcdef"


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"{'ok' if good else 'not ok'} {passed + failed} - {name}", flush=True)
    if not good and detail != "":
        print("\n".join(f"# {line}" for line in str(detail)[:3000].split("\n")))


def until(what, seconds=20):
    """What it gives once that is something, or the last thing it gave."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got or time.monotonic() > end:
            return got
        time.sleep(0.02)


class Project:
    def __init__(self, files):
        self.folder = tempfile.mkdtemp()
        os.mkdir(self.path("p"))
        for name, text in files.items():
            self.write(name, text)
        self.process = None

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text, mode="w"):
        path = self.path("p", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, mode, encoding="utf-8") as file:
            file.write(text)

    def replace(self, name, text):
        self.write(name + ".new", text)
        os.rename(self.path("p", name + ".new"), self.path("p", name))

    def start(self, *options):
        env = dict(os.environ, XDG_STATE_HOME=self.path("xdg"))
        self.errors = open(self.path("stderr"), "a", encoding="utf-8")
        self.process = subprocess.Popen(
            [FLYBALL, "serve", "--json", "-l", "127.0.0.1:0", "--project", self.path("p"), "--state", self.path("state"), *options],
            stdout=subprocess.PIPE, stderr=self.errors, text=True, env=env, cwd=self.path("p"))
        line = self.process.stdout.readline()
        self.port = int(json.loads(line)["url"].rsplit(":", 1)[1]) if line else None
        if not line:
            print("# " + self.told().replace("\n", "\n# "), flush=True)
        return self

    def told(self):
        with open(self.path("stderr"), encoding="utf-8") as file:
            return file.read()

    def ask(self, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        connection.request(method, path, body=data, headers=headers or (JSON if isinstance(body, (dict, list)) else {}))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def give(self, *facts, query=""):
        return self.ask("POST", "/v1/facts" + query, list(facts))[1]

    def loop(self):
        return self.ask("GET", "/v1/loop")[1]

    def source(self, name):
        return next(s for s in self.loop()["sources"] if s["name"] == name)

    def decisions(self, name="out.ndjson"):
        """Those of the file, with what is in the files that it was rotated to."""
        found = []
        names = sorted((n for n in os.listdir(self.path("p")) if n.startswith(name)), reverse=True)
        for one in names:
            with open(self.path("p", one), encoding="utf-8") as file:
                found += [json.loads(line) for line in file]
        return found

    def fields(self, key, name="out.ndjson"):
        """Of all decisions, sorted: facts of one batch are decided upon the newest first."""
        return sorted((d["fields"].get(key) for d in self.decisions(name)), key=lambda n: (isinstance(n, str), n))

    def end(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.errors.close()
        return code

    def remove(self):
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)
        shutil.rmtree(self.folder)


RULES = """
rules:
  - name: each
    when: [{item as i: "true"}]
    then: [{emit: seen, with: {n: "${{ i.n }}"}}]
"""
OUT = "sinks: [{name: out, file: out.ndjson, decisions: [seen]}]\n"


def sources():
    """Command, tail with rotation and truncation, folder, schedule."""
    project = Project({
        "rules.yaml": """
rules:
  - name: line
    when: [{line as l: "l.level == 'error'"}]
    then: [{emit: seen, with: {n: "${{ l.n }}"}}]
  - name: file
    when: [{file as f: "f.event != 'deleted'"}]
    then: [{emit: file, with: {n: "${{ f.name }}", event: "${{ f.event }}"}}]
  - name: count
    when: [{number as x: "x.value > 2"}, {clock as c: "true"}]
    then: [{emit: number, with: {n: "${{ x.value }}"}}]
""",
        "flyball.yaml": """
name: sources
rulebooks: [rules.yaml]
sources:
  - {name: log, tail: app.log, parse: {regex: '^(?<level>\\w+) (?<n>\\d+)'}}
  - {name: inbox, watch: inbox, files: '*.csv', every: 50ms}
  - {name: numbers, command: [cat, numbers.csv], every: 100ms, parse: csv, type: number}
  - {name: clock, command: [sh, -c, 'echo "{\\"now\\": 1}"'], every: 100ms, type: clock}
  - {name: broken, command: [sh, -c, 'echo no >&2; exit 3'], every: 100ms}
  - {name: own, metrics: own, every: 100ms}
sinks:
  - {name: out, file: out.ndjson, decisions: [seen]}
  - {name: files, file: files.ndjson, decisions: [file]}
  - {name: numbers, file: numbers.ndjson, decisions: [number]}
""",
        "app.log": "error 0\n", "inbox/a.csv": "x", "inbox/b.txt": "x", "numbers.csv": "name,value\na,1\nb,3\n"})
    project.start()
    until(lambda: project.source("log")["state"] == "ok")
    time.sleep(0.3)
    project.write("app.log", "error 1\ninfo 2\nnonsense\nerror 3\nerror", "a")
    check("lines of a file, those that match", until(lambda: project.fields("n") == [1, 3]), project.decisions())
    project.write("app.log", " 4\n", "a")
    check("a line that came in two parts", until(lambda: project.fields("n") == [1, 3, 4]), project.decisions())
    project.write("app.log", "error 5\n", "a")
    os.rename(project.path("p", "app.log"), project.path("p", "app.log.1"))
    project.write("app.log.1", "error 6\n", "a")
    project.write("app.log", "error 7\n")
    check("rotation loses nothing", until(lambda: project.fields("n") == [1, 3, 4, 5, 6, 7]), project.decisions())
    time.sleep(0.5)
    project.write("app.log", "")
    time.sleep(0.5)
    project.write("app.log", "error 8\n", "a")
    check("nor truncation", until(lambda: project.fields("n") == [1, 3, 4, 5, 6, 7, 8]), project.decisions())
    project.write("inbox/c.csv", "x")
    check("a folder's files", until(lambda: sorted((d["fields"]["n"], d["fields"]["event"]) for d in project.decisions("files.ndjson")) ==
                                    [("a.csv", "found"), ("c.csv", "created")]), project.decisions("files.ndjson"))
    check("a command's output as CSV", until(lambda: 3 in project.fields("n", "numbers.ndjson")), project.decisions("numbers.ndjson"))
    facts = project.loop()["rulebooks"][0]["facts"]
    time.sleep(0.5)
    more = project.loop()["rulebooks"][0]["facts"]
    check("what a command gave before makes room", more - facts < 50, f"{facts} {more}")
    check("a command that fails is told", project.source("broken")["state"] == "failing" and
          project.source("broken")["error"] == "it ended with exit code 3", project.loop())
    check("metrics are facts", until(lambda: project.source("own")["facts"] > 10), project.loop())
    check("it ends when it is told to", project.end() == 0, project.told())
    project.write("app.log", "error 9\n", "a")
    project.start()
    check("after a restart it reads on where it was", until(lambda: project.fields("n") == [1, 3, 4, 5, 6, 7, 8, 9]), project.decisions())
    project.end()
    project.remove()


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self):
        self.got, self.refused, self.fail, self.code = [], 0, 2, 503
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.fail:
            self.server.fail -= 1
            self.server.refused += 1
            self.send_response(self.server.code)
        else:
            self.server.got.append((dict(self.headers), body))
            self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


def sinks():
    """Webhook with retries and signature, command, mission, fact; what fails for good is kept."""
    receiver = Receiver()
    port = receiver.server_address[1]
    project = Project({
        "rules.yaml": RULES + """
  - name: again
    when: [{echo as e: "e.n < 3"}]
    then: [{emit: echo, with: {n: "${{ e.n + 1 }}"}}, {emit: told, with: {n: "${{ e.n }}"}}]
  - name: run
    when: [{go as g: "true"}]
    then: [{run: job, with: {n: "${{ g.n }}"}}]
  - name: ran
    when: [{run as r: "r.state == 'ok'"}]
    then: [{emit: told, with: {n: "${{ r.mission }}"}}]
""",
        "job.yaml": "name: job\ninputs: {n: {type: int}}\nsteps:\n  - id: write\n    run: [sh, -c, 'echo ${{ inputs.n }} >> ran']\n    dir: .\n",
        "secret": SECRET + "\n",
        "flyball.yaml": f"""
name: sinks
rulebooks: [rules.yaml]
missions: {{job: job.yaml}}
sources: [{{name: runs, missions: true}}]
sinks:
  - {{name: hook, webhook: "http://127.0.0.1:{port}/x", decisions: [seen], secret_file: secret, allow: private, retry: {{attempts: 5, base: 20ms}}}}
  - {{name: public, webhook: "http://127.0.0.1:{port}/x", decisions: [seen], retry: {{attempts: 5, base: 20ms}}}}
  - {{name: program, command: [sh, -c, 'cat >> program.ndjson; echo >> program.ndjson'], decisions: [seen]}}
  - {{name: fails, command: [sh, -c, 'echo too bad >&2; exit 1'], decisions: [seen]}}
  - {{name: again, fact: echo, decisions: [echo]}}
  - {{name: told, file: out.ndjson, decisions: [told]}}
"""})
    project.start()
    project.give({"type": "item", "n": 7})
    check("a webhook that fails twice gets it at the third time", until(lambda: receiver.got) and receiver.refused == 2, project.told())
    headers, body = receiver.got[0]
    sent = json.loads(body)
    check("what it gets", sent["decision"] == "seen" and sent["fields"] == {"n": 7} and sent["rule"] == "each", sent)
    stamp, digest = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["X-Flyball-Signature"]).groups()
    check("signed", digest == hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest())
    check("with its id", headers["Idempotency-Key"] == sent["id"], headers)
    check("an address that is not public is refused", until(lambda: os.path.exists(project.path("state", "loop", "failed", "public.ndjson"))), project.told())
    check("a program gets it", until(lambda: os.path.exists(project.path("p", "program.ndjson"))) and
          until(lambda: json.loads(open(project.path("p", "program.ndjson")).read() or "{}").get("id") == sent["id"]))
    kept = until(lambda: os.path.exists(project.path("state", "loop", "failed", "fails.ndjson"))) and \
        json.loads(open(project.path("state", "loop", "failed", "fails.ndjson")).read())
    check("one that fails for good is kept", kept and kept["error"] == "it exited with 1: too bad" and kept["delivery"]["id"] == sent["id"], kept)
    project.give({"type": "echo", "n": 0})
    check("decisions that become facts", until(lambda: sorted(map(str, project.fields("n"))) == ["0", "1", "2"]), project.decisions())
    project.give({"type": "go", "n": 5})
    check("a mission that a rule runs, and its end as a fact", until(lambda: "job" in project.fields("n")), project.told())
    check("it ran", open(project.path("p", "ran")).read() == "5\n")
    runs = project.ask("GET", "/v1/runs")[1]["runs"]
    check("the server lists it", len(runs) == 1 and runs[0]["mission"] == "job" and runs[0]["state"] == "ok", runs)
    shown = project.ask("GET", "/v1/runs/" + runs[0]["id"])[1]
    check("and shows its steps", [step["id"] for step in shown["steps"]] == ["write"], shown)
    check("and its mission", [m["name"] for m in project.ask("GET", "/v1/missions")[1]["missions"]] == ["job"])
    receiver.code, receiver.fail = 400, 1
    project.give({"type": "item", "n": 8})
    check("an answer that says no is final", until(lambda: os.path.exists(project.path("state", "loop", "failed", "hook.ndjson"))), project.told())
    check("it ends", project.end() == 0, project.told())
    project.remove()
    receiver.shutdown()


def reload():
    project = Project({"rules.yaml": RULES, "flyball.yaml": "name: r\nrulebooks: [rules.yaml]\nreload: 50ms\n" + OUT})
    project.start()
    project.give({"type": "item", "n": 1})
    until(lambda: project.fields("n") == [1])
    project.replace("rules.yaml", RULES.replace("then:", "thn:"))
    check("a rulebook that does not load is told", until(lambda: "thn" in project.told()), project.told())
    check("where it is", ":5:5" in project.loop().get("reload_error", ""), project.loop())
    project.give({"type": "item", "n": 2})
    check("and the one before goes on", until(lambda: project.fields("n") == [1, 2]), project.decisions())
    project.replace("rules.yaml", RULES + """
  - name: two
    when: [{item as a: "a.n == 1"}, {item as b: "b.n == 3"}]
    then: [{emit: seen, with: {n: "${{ a.n + b.n }}"}}]
""")
    until(lambda: "read again" in project.told())
    time.sleep(0.2)
    check("what has fired does not fire again", project.fields("n") == [1, 2], project.decisions())
    project.give({"type": "item", "n": 3})
    check("facts that came before are there for new rules", until(lambda: sorted(project.fields("n")) == [1, 2, 3, 4]), project.decisions())
    project.replace("flyball.yaml", "name: r\nrulebooks: [rules.yaml]\nreload: 50ms\nsinks: [{name: other, file: other.ndjson}]\n")
    until(lambda: [s["name"] for s in project.loop()["sinks"]] == ["other"])
    project.give({"type": "item", "n": 9})
    check("other sinks", until(lambda: project.fields("n", "other.ndjson") == [9]) and 9 not in project.fields("n"), project.told())
    project.replace("flyball.yaml", "name: r\nrulebooks: [rules.yaml]\nreload: false\n" + OUT)
    until(lambda: [s["name"] for s in project.loop()["sinks"]] == ["out"])
    project.replace("rules.yaml", RULES.replace("true", "i.n > 100"))
    time.sleep(0.3)
    project.process.send_signal(signal.SIGHUP)
    until(lambda: project.loop()["rulebooks"][0]["rules"] == 1)
    project.give({"type": "item", "n": 50}, {"type": "item", "n": 101})
    check("SIGHUP reads again, too", until(lambda: 101 in project.fields("n")) and 50 not in project.fields("n"), project.decisions())
    project.end()
    project.write("rules.yaml", RULES)
    project.start()
    check("a change while it was away is taken, with all facts",
          until(lambda: sorted(set(project.fields("n"))) == [1, 2, 3, 4, 9, 50, 101]), project.decisions())
    project.end()
    project.remove()


def crash():
    """kill -9 under load: what was accepted is there afterwards; each decision is delivered, at most a few twice."""
    project = Project({"rules.yaml": RULES, "flyball.yaml": "name: k\nrulebooks: [rules.yaml]\nsnapshot: {every: 300ms}\n" + OUT})
    accepted, stop, number = [], threading.Event(), [0]
    lock = threading.Lock()

    def client():
        while not stop.is_set():
            with lock:
                number[0] += 1
                mine = number[0]
            try:
                answer = project.give({"type": "item", "n": mine}, query="?durable=true")
                if answer.get("accepted") == 1:
                    accepted.append(mine)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)

    for _ in range(ROUNDS):
        project.start()
        stop.clear()
        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1.2)
        project.end(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join()
    project.start()
    seen = until(lambda: set(accepted) <= set(project.fields("n")) and project.fields("n"))
    check("every fact that was accepted was decided upon", seen and len(accepted) > 50,
          f"{len(accepted)} accepted, lost {sorted(set(accepted) - set(project.fields('n')))[:20]}\n{project.told()}")
    decisions = project.decisions()
    ids = [d["id"] for d in decisions]
    check("decisions that came twice have the same id", len(set(ids)) == len(set(project.fields("n"))), f"{len(ids)} {len(set(ids))}")
    check("and are few", len(ids) - len(set(ids)) <= 4 * ROUNDS, f"{len(ids)} {len(set(ids))}")
    facts = project.loop()["rulebooks"][0]["facts"]
    check("each fact is held once", facts == len(set(project.fields("n"))), f"{facts} {len(set(project.fields('n')))}")
    project.end()
    project.remove()


def missions_resume():
    project = Project({
        "rules.yaml": "rules:\n  - name: go\n    when: [{go as g: \"true\"}]\n    then: [{run: slow}]\n",
        "slow.yaml": "name: slow\nsteps:\n  - id: one\n    run: [sh, -c, 'echo one >> ran']\n    dir: .\n"
                     "  - id: two\n    needs: [one]\n    semantics: idempotent\n    run: [sh, -c, 'sleep 1; echo two >> ran']\n    dir: .\n",
        "flyball.yaml": "name: m\nrulebooks: [rules.yaml]\nmissions: [slow.yaml]\n"})
    project.start()
    project.give({"type": "go"})
    until(lambda: os.path.exists(project.path("p", "ran")))
    time.sleep(0.3)
    project.end(signal.SIGKILL)
    project.start()
    check("a run goes on after kill -9, without doing again what is done",
          until(lambda: open(project.path("p", "ran")).read().split().count("two") >= 1) and
          open(project.path("p", "ran")).read().split().count("one") == 1, open(project.path("p", "ran")).read())
    project.end()
    project.remove()


def missions_share():
    """What a mission says of runs beside each other and of kept results holds in the loop as on the command line."""
    project = Project({
        "rules.yaml": "rules:\n  - name: go\n    when: [{go as g: \"true\"}]\n    then: [{run: lone}]\n",
        "lone.yaml": "name: lone\nconcurrency: lone\nsteps:\n  - id: kept\n    cache: true\n    run: [sh, -c, 'echo k >> kept']\n    dir: .\n"
                     "  - id: turn\n    needs: [kept]\n    run: [sh, -c, 'echo b >> ran; sleep 0.4; echo e >> ran']\n    dir: .\n",
        "flyball.yaml": "name: s\nrulebooks: [rules.yaml]\nmissions: [lone.yaml]\n"})

    def lines(name):
        return open(project.path("p", name), encoding="utf-8").read().split() if os.path.exists(project.path("p", name)) else []

    project.start()
    project.give({"type": "go", "n": 1}, {"type": "go", "n": 2})
    check("runs of a group take turns", until(lambda: len(lines("ran")) == 4) and lines("ran") == ["b", "e", "b", "e"], lines("ran"))
    check("a kept result serves the next run", lines("kept") == ["k"], lines("kept"))
    project.end()
    project.remove()


def alerts():
    """A decision called `alert` is an event of that kind, and still a decision."""
    project = Project({
        "rules.yaml": RULES + "  - name: far too many\n    when: [{item as i: i.n > 100}]\n"
                              "    then: [{emit: alert, with: {level: critical, text: \"it is ${{ i.n }}\"}}]\n",
        "flyball.yaml": "name: a\nrulebooks: [rules.yaml]\n" + OUT})
    project.start()
    connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=20)
    connection.request("GET", "/v1/events?kinds=alert")
    answer = connection.getresponse()
    project.give({"type": "item", "n": 7}, {"type": "item", "n": 700})
    lines = iter(answer.readline, b"")
    data = json.loads(next(line for line in lines if line.startswith(b"data:"))[5:])
    connection.close()
    check("an alert is told", {key: data.get(key) for key in ("name", "level", "text", "fields")} ==
          {"name": "far too many", "level": "critical", "text": "it is 700",
           "fields": {"level": "critical", "text": "it is 700"}}, data)
    project.end()
    project.remove()


def queue():
    for policy in ("refuse", "drop-oldest", "block"):
        project = Project({
            "rules.yaml": "rules:\n  - name: spin\n    when: [{item as i: \"i.n < i.end\"}]\n    then: [{modify: i, with: {n: \"${{ i.n + 1 }}\"}}]\n",
            "flyball.yaml": f"name: q\nrulebooks: [rules.yaml]\nlimits: {{queue: 10, when_full: {policy}, firings: 1000000000}}\n"})
        project.start()
        threads, answers = [], []

        def send():
            answers.append(project.ask("POST", "/v1/facts", [{"type": "x"} for _ in range(6)]))
        project.give({"type": "item", "n": 0, "end": 2000000})
        for _ in range(5):
            threads.append(threading.Thread(target=send))
            threads[-1].start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        taken = sum(body.get("accepted", 0) for code, body in answers)
        dropped = sum(body.get("dropped", 0) for code, body in answers)
        if policy == "refuse":
            check("a full queue refuses", any(code == 503 and body["code"] == "FB7007" for code, body in answers) and 0 < taken < 30, answers)
        elif policy == "drop-oldest":
            check("or drops the oldest, and says so", dropped > 0 and taken + dropped == 30 and
                  project.loop()["queue"]["dropped"] == dropped, answers)
        else:
            check("or lets them wait", taken == 30, answers)
        project.end(signal.SIGKILL)
        project.remove()


def lifetimes():
    project = Project({
        "rules.yaml": RULES + "  - name: none\n    when: [{marker as m: \"true\"}, {not item as i: \"true\"}]\n    then: [{emit: seen, with: {n: -1}}]\n",
        "flyball.yaml": "name: l\nrulebooks: [rules.yaml]\n" + OUT})
    project.start()
    project.ask("POST", "/v1/facts?lifetime=400ms", [{"type": "item", "n": 1}])
    project.give({"type": "marker"})
    time.sleep(0.2)
    check("a fact is there", project.fields("n") == [1], project.decisions())
    check("until its time is over", until(lambda: project.fields("n") == [-1, 1]), project.decisions())
    check("nothing is left of it", project.loop()["rulebooks"][0]["facts"] == 1, project.loop())
    project.end()
    project.remove()


def large():
    project = Project({"rules.yaml": RULES.replace("true", "i.n % 100000 == 0"), "flyball.yaml": "name: b\nrulebooks: [rules.yaml]\n" + OUT})
    project.start()
    data = b"".join(b'{"type":"item","n":%d}\n' % i for i in range(300000)) + b'{"type":"item","n":"last"}'
    code, body = project.ask("POST", "/v1/facts", data, LINES)
    check("300,000 lines in one request", code == 200 and body == {"type": "flyball.taken.v1", "accepted": 300001}, body)
    check("and the rules had them all", until(lambda: project.fields("n") == [0, 100000, 200000]), project.decisions())
    code, body = project.ask("POST", "/v1/facts", b'{"type":"item","n":"' + b"x" * 3000000 + b'"}\n', LINES)
    check("a fact that is too long", code == 422 and body["code"] == "FB2202", body)
    code, body = project.ask("POST", "/v1/facts?lifetime=soon", [], JSON)
    check("a lifetime that is none", code == 400, body)
    code, body = project.ask("POST", "/v1/facts", b"[1", JSON)
    check("JSON that is none", code == 400 and body["code"] == "FB2001", body)
    code, body = project.ask("POST", "/v1/facts", [1, {"n": 1}], JSON)
    check("facts that are none", code == 200 and body["accepted"] == 0 and body["refused"] == 2, body)
    project.end()
    project.remove()


def two_at_once():
    project = Project({"rules.yaml": RULES, "flyball.yaml": "name: two\nrulebooks: [rules.yaml]\n" + OUT})
    project.start()
    again = subprocess.run([FLYBALL, "serve", "-l", "127.0.0.1:0", "--project", project.path("p"), "--state", project.path("state")],
                           capture_output=True, text=True, timeout=30)
    check("two do not share a state", again.returncode == 4 and "FB1512" in again.stderr, again.stderr)
    project.end()
    with open(project.path("state", "loop", max(n for n in os.listdir(project.path("state", "loop")) if n.startswith("snapshot"))), "r+b") as file:
        file.seek(100)
        file.write(b"XXXX")
    project.start()
    check("a damaged snapshot is passed over for the one before", project.port and "was passed over" in project.told(), project.told())
    project.end()
    project.remove()


def doctor():
    project = Project({"rules.yaml": RULES, "flyball.yaml": "name: d\nrulebooks: [rules.yaml]\n" + OUT})

    def ask():
        done = subprocess.run([FLYBALL, "doctor", "--json", "-l", "127.0.0.1:0", "--project", project.path("p"), "--state", project.path("state")],
                              capture_output=True, text=True, env=dict(os.environ, XDG_STATE_HOME=project.path("xdg")))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, [f"{line['check']}: {line['text']}" for line in lines if line["status"] == "fail"], lines
    code, wrong, lines = ask()
    names = {line["check"] for line in lines}
    check("doctor finds nothing wrong with a good one", code == 0 and not wrong and
          {"version", "machine", "limits", "libraries", "clock", "zones", "port", "runs", "journals", "project", "state"} <= names, lines)
    project.start()
    project.give({"type": "item", "n": 1})
    project.end()
    log = project.path("state", "loop", next(n for n in sorted(os.listdir(project.path("state", "loop"))) if n.startswith("log-")))
    with open(log, "r+b") as file:
        file.seek(30)
        file.write(b"XX")
    os.chmod(project.path("state"), 0o777)
    project.write("rules.yaml", RULES.replace("then:", "thn:"))
    code, wrong, lines = ask()
    check("and what is wrong with a bad one", code == 1 and any("thn" in line for line in wrong), lines)
    project.write("rules.yaml", RULES)
    code, wrong, lines = ask()
    check("a state that others may write to", code == 1 and any("by others" in line for line in wrong), lines)
    check("a log that is damaged", any(line["status"] == "warn" and "damaged at byte 0" in line["text"] for line in lines), lines)
    project.remove()


if __name__ == "__main__":
    for test in (doctor, sources, sinks, alerts, reload, lifetimes, queue, large, two_at_once, missions_resume, missions_share, crash):
        test()
    print(f"1..{passed + failed}")
    sys.exit(1 if failed else 0)
