#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The examples do what they say: run.py FLYBALL EXAMPLES. Prints TAP.
#
# host-audit: every one of its rules against made-up facts (host-audit.ndjson → host-audit.expected), and the
# whole mission on this machine, as whoever runs the tests and, if that is root, as an ordinary user too.
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

flyball, examples = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
here = os.path.dirname(os.path.abspath(__file__))
count = 0


def check(what, good, detail=""):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}")
    if not good and detail:
        print("\n".join("# " + line for line in detail.splitlines()[-40:]))
    return good


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)


def rules():
    done = run(flyball, "eval", "-r", f"{examples}/host-audit/rules.yaml", f"{here}/host-audit.ndjson")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    lines = sorted(f"{f['severity']} | {f['subject']} | {f['title']}" for f in found)
    with open(f"{here}/host-audit.expected") as file:
        expected = file.read().splitlines()
    check("host-audit: the rules find what is wrong, and nothing else", lines == expected,
          done.stderr + "\n" + "\n".join(sorted(set(lines) ^ set(expected))))
    missing = [(f["title"], key) for f in found for key in ("area", "detail", "fix") if not f.get(key)]
    check("host-audit: every finding says where, why and what to do", not missing, str(missing))


class Script(html.parser.HTMLParser):
    """Collects the text of <script id="data">."""

    def __init__(self):
        super().__init__()
        self.inside, self.data = False, ""

    def handle_starttag(self, tag, attributes):
        self.inside = tag == "script" and ("id", "data") in attributes

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, text):
        if self.inside:
            self.data += text


def mission(who, prefix):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        # The other user may not see into this checkout.
        program = shutil.copy(flyball, f"{folder}/flyball")
        shutil.copytree(f"{examples}/host-audit", f"{folder}/host-audit")
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_STATE_HOME": folder + "/state",
                       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
        done = run(*prefix, program, "run", f"{folder}/host-audit/audit.yaml", "-i", f"out={folder}/out",
                   cwd=folder, env=environment)
        if not check(f"host-audit: runs to its end {who}", done.returncode == 0, done.stdout + done.stderr):
            return
        with open(f"{folder}/out/report.json") as file:
            report = json.load(file)
        with open(f"{folder}/out/report.html") as file:
            page = file.read()
        script = Script()
        script.feed(page)
        shown = json.loads(script.data)
        check(f"host-audit: page and data agree {who}",
              shown["findings"] == report["findings"] and shown["system"] == report["system"]
              and json.loads(done.stdout)["findings"] == len(report["findings"]))
        check(f"host-audit: no expression is left in the page {who}", not re.search(r"\$\{\{", page))
        check(f"host-audit: sees this machine {who}",
              report["system"]["host"] == os.uname().nodename and len(shown["packages"]) > 20
              and shown["mounts"] is not None and any(u["name"] == "root" for u in shown["logins"]),
              json.dumps(report["system"]))
        check(f"host-audit: tells whether it was root {who}", report["system"]["root"] == (os.geteuid() == 0 and not prefix))


def result(workload, metric, unit, samples):
    return json.dumps({"type": "flyball.result.v1", "bench": "code", "workload": workload, "metric": metric, "unit": unit,
                       "samples": samples}) + "\n"


def validation():
    """The suite loads and judges; its rules tell a broken level; a group of workloads builds and prints its series."""
    with tempfile.TemporaryDirectory() as folder, open(f"{examples}/validation/suite.yaml") as file:
        suite = re.sub(r"^    (run|bench): .*$", "    results: results.ndjson", file.read(), flags=re.M)
        suite = suite.replace("setup: ./build.sh", "setup: 'true'")
        shutil.copy(f"{examples}/validation/sla.yaml", folder)
        with open(f"{folder}/suite.yaml", "w") as out:
            out.write(suite)
        with open(f"{folder}/results.ndjson", "w") as out:
            out.write(result("cache read", "throughput", "/s", [100, 101, 99, 100, 102, 100]))
            out.write(result("cache write", "p95", "ns", [600, 601, 602, 603, 604, 605]))
            out.write(result("api load", "error", "%", [7, 7, 7, 7, 7, 7]))
        done = run(flyball, "report", f"{folder}/suite.yaml", "--json")
        records = [json.loads(line) for line in done.stdout.splitlines()]
        rows = {row["name"]: row["verdict"] for row in records if row["type"] == "flyball.report.row.v1"}
        check("validation: the suite loads and judges", done.returncode == 0 and len(rows) > 60
              and rows["cache read as published"] == "missed" and rows["cache write, p95"] == "met"
              and rows["hit rate"] == "not measured" and rows["breaker normal"] == "not measured", done.stderr + str(rows))
        said = {str(record["fields"]) for record in records if record.get("decision") == "fail"}
        check("validation: the service levels are rules", said == set(map(str, [
            {"level": "cache read at least 6,400/s", "value": 100.0, "unit": "/s"},
            {"level": "errors at most 5 %", "value": 7.0, "unit": "%"},
            {"alert": "critical", "what": "api load", "errors": 7.0}])), str(said))
    with open(flyball, "rb") as file:
        if re.search(rb"__[at]san_init", file.read()):
            return  # a program that is not instrumented cannot load this library
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/workloads"
        environment = {**os.environ, "FLYBALL": flyball, "VALIDATION_OUT": program}
        built = run(f"{examples}/validation/build.sh", env=environment)
        done = run(program, "tables") if built.returncode == 0 else built
        series = {(r["workload"], r["metric"]) for r in map(json.loads, done.stdout.splitlines())}
        check("validation: workloads build, and print their series", done.returncode == 0 and
              {("cache write", "p95"), ("cache read", "throughput"), ("cache invalidate", "throughput")} <= series,
              built.stderr + done.stderr)


rules()
validation()
mission("as this user", [])
if os.geteuid() == 0:
    mission("as an ordinary user", ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
print(f"1..{count}")
