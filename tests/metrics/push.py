#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`--metrics`: what eval and run count, to a file and to a collector. push.py FLYBALL. Prints TAP.

The file is read by the strict reader. The collector here takes OTLP/HTTP and keeps what was posted.
"""
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import exposition  # noqa: E402

flyball = os.path.abspath(sys.argv[1])
count = 0


def check(what, good, detail=""):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}")
    if not good:
        print("# " + str(detail).replace("\n", "\n# "))


class Collector(http.server.BaseHTTPRequestHandler):
    posted, answer = [], 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Collector.posted.append((self.path, self.headers["Content-Type"], body))
        self.send_response(Collector.answer)
        self.end_headers()
        self.wfile.write(b"{}" if Collector.answer == 200 else b"no room")

    def log_message(self, *_):
        pass


def run(*arguments):
    return subprocess.run([flyball, *arguments], capture_output=True, text=True, timeout=60)


def value(path, name, **labels):
    with open(path, encoding="utf-8") as file:
        family = exposition.parse(file.read(), False)[name]
    return [float(text) for _, found, text in family.samples if all(found.get(k) == v for k, v in labels.items())]


def main():
    with tempfile.TemporaryDirectory() as folder:
        book, facts, mission, out = (f"{folder}/{name}" for name in ("book.yaml", "facts.ndjson", "mission.yaml", "out.prom"))
        with open(book, "w", encoding="utf-8") as file:
            file.write('rules:\n  - name: big\n    when: [o as o: o.n > 5]\n    then: [{emit: big, with: {n: "${{ o.n }}"}}]\n')
        with open(facts, "w", encoding="utf-8") as file:
            file.write("".join(f'{{"type":"o","n":{n}}}\n' for n in range(10)))
        with open(mission, "w", encoding="utf-8") as file:
            file.write("name: two\nsteps:\n  - {id: a, run: ['true']}\n  - {id: b, run: ['false'], needs: [a]}\n")
        for mode in ("session", "stateless"):
            done = run("eval", "-r", book, "--mode", mode, "--metrics", out, facts)
            check(f"eval --mode {mode}: decisions and facts", done.returncode == 0 and
                  value(out, "flyball_rules_decisions_total", ruleset=book) == [4.0] and
                  value(out, "flyball_rules_facts_asserted_total") == [10.0], done.stderr)
        check("nothing else is left beside the file", sorted(os.listdir(folder)) == ["book.yaml", "facts.ndjson", "mission.yaml", "out.prom"])
        done = run("run", mission, "--run-dir", f"{folder}/run", "--metrics", out)
        check("run: steps and the run by status, also when it fails", done.returncode == 1 and
              value(out, "flyball_mission_steps_total", status="ok") == [1.0] and
              value(out, "flyball_mission_steps_total", status="failed") == [1.0] and
              value(out, "flyball_mission_runs_total", mission="two", status="failed") == [1.0], done.stderr)
        done = run("eval", "-r", book, "--metrics", f"{folder}/no/where", facts)
        check("a file that cannot be written", done.returncode == 4 and "cannot write" in done.stderr and "big" in done.stdout, done)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = run("eval", "-r", book, "--metrics", url, facts)
        path, kind, body = Collector.posted.pop() if Collector.posted else (None, None, b"{}")
        metrics = {m["name"]: m for m in json.loads(body).get("resourceMetrics", [{}])[0].get("scopeMetrics", [{}])[0].get("metrics", [])}
        check("OTLP over HTTP, as JSON", done.returncode == 0 and path == "/v1/metrics" and kind == "application/json" and
              metrics["flyball_rules_decisions"]["sum"]["dataPoints"][0]["asInt"] == "4", (done.stderr, path, kind, body[:300]))
        run("eval", "-r", book, "--metrics", url + "/own/path", facts)
        check("a path of one's own", Collector.posted and Collector.posted.pop()[0] == "/own/path")
        Collector.answer = 503
        done = run("eval", "-r", book, "--metrics", url, facts)
        check("a collector that refuses", done.returncode == 4 and "answered 503" in done.stderr and "no room" in done.stderr, done)
        server.shutdown()
        server.server_close()
        done = run("eval", "-r", book, "--metrics", url, facts)
        check("nobody there", done.returncode == 4 and done.stderr.startswith("error[FB") and "big" in done.stdout, done)
    print(f"1..{count}")


main()
