#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The packaged Prometheus (Debian's `prometheus`) scrapes what the metrics wing writes: scrape.py EMIT. Prints TAP.

Two targets give one random registry, as Prometheus text and as OpenMetrics; Prometheus has to find both up, with every
sample that is in the text. Skipped where there is no Prometheus.
"""
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

TYPES = {"text": "text/plain; version=0.0.4; charset=utf-8",
         "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8"}


def parts(seed):
    data = subprocess.run([sys.argv[1], str(seed)], check=True, capture_output=True).stdout
    found = []
    while data:
        length, data = data.split(b"\n", 1)
        found.append(data[:int(length)])
        data = data[int(length):]
    return {"text": found[1], "openmetrics": found[2]}


class Target(http.server.BaseHTTPRequestHandler):
    bodies = {}

    def do_GET(self):
        kind = self.path.strip("/")
        self.send_response(200)
        self.send_header("Content-Type", TYPES[kind])
        self.end_headers()
        self.wfile.write(Target.bodies[kind])

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, query):
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = json.load(answer)["data"]["result"]
    return {one["metric"]["job"]: float(one["value"][1]) for one in found}


def wait_for(port, seconds):
    """Until both targets were scraped once."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            up = ask(port, "up")
            if len(up) == 2:
                return up
        except OSError:
            pass
        time.sleep(0.2)
    return {}


def main():
    if not shutil.which("prometheus"):
        print("1..0 # SKIP no prometheus")
        return
    Target.bodies = parts(7)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        jobs = [{"job_name": kind, "metrics_path": f"/{kind}",
                 "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}]} for kind in TYPES]
        with open(f"{folder}/prometheus.yml", "w", encoding="utf-8") as file:
            json.dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}, file)
        port = free_port()
        with open(f"{folder}/log", "w", encoding="utf-8") as log:
            prometheus = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                           f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder)
        try:
            up = wait_for(port, 60)
            samples = ask(port, "scrape_samples_scraped") if up else {}
        finally:
            prometheus.terminate()
            prometheus.wait(30)
        with open(f"{folder}/log", encoding="utf-8") as log:
            said = log.read()[-1500:]
    server.shutdown()
    for number, kind in enumerate(TYPES, 1):
        lines = [line for line in Target.bodies[kind].decode().split("\n") if line and not line.startswith("#")]
        good = up.get(kind) == 1 and samples.get(kind) == len(lines)
        print(f"{'ok' if good else 'not ok'} {number} - Prometheus scrapes {kind}: {len(lines)} samples")
        if not good:
            print(f"# up {up}, samples {samples}\n# " + said.replace("\n", "\n# "))
    print("1..2")


os.environ.pop("http_proxy", None)
main()
