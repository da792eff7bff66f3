#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Missions with http steps against the servers of serve.py: serve.py mission.py FLYBALL. Prints TAP."""
import json
import os
import subprocess
import sys
import tempfile

FLYBALL = os.path.abspath(sys.argv[1])
HTTP, HTTPS = os.environ["FLYBALL_TEST_HTTP"], os.environ["FLYBALL_TEST_HTTPS"]
CASES = []


def case(mission, code, outputs=None, says=()):
    def add(name):
        CASES.append((name, mission, code, outputs, says))
    return add


case("""
steps:
  - id: echo
    http: {url: "${{ env.FLYBALL_TEST_HTTP }}/echo/x", query: {q: a b}, headers: {X-A: b}, json: {n: 1}}
outputs:
  method: "${{ steps.echo.output.json.method }}"
  path: "${{ steps.echo.output.json.path }}"
  body: "${{ steps.echo.output.json.body }}"
  header: "${{ steps.echo.output.json.headers['x-a'] }}"
  type: "${{ steps.echo.output.headers['content-type'] }}"
""", 0, {"method": "POST", "path": "/echo/x?q=a%20b", "body": '{"n":1}', "header": "b",
         "type": "application/json"})("a request and its answer")

case("""
steps:
  - {id: a, http: "${{ env.FLYBALL_TEST_HTTP }}/flaky/3", retry: {attempts: 5, base: 10ms}}
outputs: {status: "${{ steps.a.output.status }}", body: "${{ steps.a.output.body }}"}
""", 0, {"status": 200, "body": "flaky"})("a retry by status")

case("""
steps:
  - id: a
    for_each: [1, 2, 3, 4, 5, 6]
    http: "${{ env.FLYBALL_TEST_HTTP }}/slow/300"
  - id: n
    needs: a
    http: "${{ env.FLYBALL_TEST_HTTP }}/count/slow/300"
limits: {parallel: 8}
outputs: {asked: "${{ steps.n.output.body }}", got: "${{ steps.a.output.map(o, o.body) }}"}
""", 0, {"asked": "1", "got": ["slow"] * 6})("identical requests under way are one")

case("""
steps:
  - {id: a, http: {url: "${{ env.FLYBALL_TEST_HTTPS }}/echo", ca: "${{ env.FLYBALL_TEST_CA }}"}}
  - {id: b, http: {url: "${{ env.FLYBALL_TEST_HTTPS }}/echo", verify: false}}
  - {id: c, http: {url: "${{ env.FLYBALL_TEST_HTTP }}/redirect/2", redirects: false, expect: 302}}
  - {id: d, http: {url: "${{ env.FLYBALL_TEST_HTTP }}/redirect/2"}}
  - {id: e, http: {url: "http://nowhere.test/x", proxy: "${{ env.FLYBALL_TEST_PROXY }}"}}
  - {id: f, http: {url: "${{ env.FLYBALL_TEST_HTTP }}/private", auth: {user: user, password: "pa:ss"}}}
outputs:
  got: "${{ [steps.a, steps.b, steps.c, steps.d, steps.e, steps.f].map(s, s.output.status) }}"
  proxy: "${{ steps.e.output.body }}"
  private: "${{ steps.f.output.body }}"
""", 0, {"got": [200, 200, 302, 200, 200, 200], "proxy": "by proxy: http://nowhere.test/x",
         "private": "secret"})("TLS, redirects, a proxy, a password")

case("""
steps:
  - {id: a, http: "${{ env.FLYBALL_TEST_HTTPS }}/echo"}
  - {id: b, http: "${{ env.FLYBALL_TEST_HTTP }}/nothing"}
  - {id: c, http: "${{ env.FLYBALL_TEST_HTTP }}/slow/60000", timeout: 300ms}
  - {id: d, http: "http://127.0.0.1:1/"}
  - {id: e, http: {url: "${{ env.FLYBALL_TEST_HTTP }}/big/5000", max_body: 1KiB}}
  - {id: f, http: "ftp://h/x"}
limits: {parallel: 8}
""", 1, None, ["FB1605", "HTTP status 404: nothing here", "not done within 300ms", "FB1604", "FB1607",
               "FB1602"])("what goes wrong is told")


def run(mission, code, outputs, says):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "m.yaml"), "w") as f:
            f.write(mission)
        got = subprocess.run([FLYBALL, "run", "-q", "--run-dir", "kept", "m.yaml"], cwd=folder, capture_output=True,
                             text=True, timeout=60)
    wrong = [f"exit code {got.returncode}, not {code}"] if got.returncode != code else []
    found = json.loads(got.stdout) if got.stdout.strip() else None
    if outputs is not None and found != outputs:
        wrong.append(f"outputs {found}, not {outputs}")
    wrong += [f"it does not say {text!r}" for text in says if text not in got.stderr]
    return wrong, got.stderr


print(f"1..{len(CASES)}")
for number, (name, *rest) in enumerate(CASES, 1):
    wrong, stderr = run(*rest)
    print(f"{'not ok' if wrong else 'ok'} {number} - {name}")
    for line in wrong + (stderr.splitlines() if wrong else []):
        print("# " + line)
