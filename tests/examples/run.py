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


rules()
mission("as this user", [])
if os.geteuid() == 0:
    mission("as an ordinary user", ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
print(f"1..{count}")
