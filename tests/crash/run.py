#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at the writes of a journal: tests/crash/run.py FLYBALL KILL_AT.SO. Prints TAP.

A mission of 50 steps (a chain, a fan, a for_each, retries, steps to be done once with a check) is killed at a point of what it does to its
journal, then resumed until it is done. Whatever the point: a step that the journal had as ended ran once, nothing is missing, the
outputs are as without a kill, the audit verifies. Then two processes fight over one run.

FB_CRASH_EVERY (29): every so many points; 1 takes all. FB_CRASH_FROM (1): the first.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

FLYBALL, PRELOAD = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
EVERY, FROM = int(os.environ.get("FB_CRASH_EVERY", "29")), int(os.environ.get("FB_CRASH_FROM", "1"))


def mission():
    lines = ["name: fifty", "limits: {parallel: 4}", "steps:"]
    for i in range(15):
        need = f", needs: c{i - 1}" if i else ""
        lines.append(f"  - {{id: c{i}, shell: 'echo c{i} >> log; echo {i}'{need}}}")
    for i in range(15):
        lines.append(f"  - {{id: f{i}, run: [sh, -c, 'echo f{i} >> log'], needs: c3}}")
    lines.append("  - {id: each, for_each: [0, 1, 2, 3, 4, 5, 6, 7], shell: 'echo each.${{ item }} >> log; echo ${{ item }}', needs: c5}")
    for i in range(9):
        lines.append(f"  - {{id: r{i}, shell: 'echo r{i} >> log; test -e r{i} || {{ touch r{i}; exit 1; }}', retry: {{attempts: 3, base: 1ms}}, needs: c7}}")
    for i in range(10):
        lines.append(f"  - {{id: o{i}, semantics: once, shell: 'echo o{i} >> log', check: 'grep -q o{i}$ log', needs: c{i + 2}}}")
    lines.append("outputs: {last: '${{ steps.c14.output }}', each: '${{ steps.each.output }}'}")
    return "\n".join(lines) + "\n"


class Place:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="fb-crash-")
        with open(os.path.join(self.directory, "m.yaml"), "w", encoding="utf-8") as file:
            file.write(mission())
        self.env = {"PATH": os.environ["PATH"], "HOME": self.directory, "TZ": "UTC"}

    def run(self, *words, point=0, count=None):
        env = dict(self.env)
        if point or count:
            env["LD_PRELOAD"] = PRELOAD
            env["FB_KILL_AT"] = str(point)
        if count:
            env["FB_KILL_COUNT"] = count
        return subprocess.run([FLYBALL, *words], cwd=self.directory, env=env, capture_output=True, timeout=120, check=False)

    def log(self):
        try:
            with open(os.path.join(self.directory, "log"), encoding="utf-8") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def show(self):
        return json.loads(self.run("show", "--json", "latest").stdout)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def settle(place):
    """Programs that the killed process left go on: waits until they have written."""
    before = None
    while before != place.log():
        before = place.log()
        time.sleep(0.05)


def killed_at(point, wanted):
    """Why it is wrong; "" if it is right; None if it was done before the point: how writes are grouped differs from run to run."""
    place = Place()
    try:
        first = place.run("run", "-q", "m.yaml", point=point)
        if first.returncode == 0 and json.loads(first.stdout) == wanted:
            return None
        if first.returncode != -9:
            return f"it was not killed: {first.returncode} {first.stderr.decode()}"
        settle(place)
        at_kill = place.log()
        listed = place.run("runs", "--json").stdout.decode()
        if listed.strip():
            before = {step["step"]: step for step in place.show()["steps"]}
            done = place.run("resume", "-q", "latest")
        else:  # before the journal's first event: there is no run yet
            before, done = {}, place.run("run", "-q", "m.yaml")
        if done.returncode or json.loads(done.stdout) != wanted:
            return f"resumed: {done.returncode} {done.stdout.decode()} {done.stderr.decode()}"
        log = place.log()
        for label in sorted(set(log)):
            times, retries = log.count(label), label.startswith("r")
            state = before.get(label, {}).get("state")
            most = (2 if retries else 1) + (1 if state == "in doubt" and not label.startswith("o") else 0)
            if times > most:
                return f"{label} ({state}) ran {times} times"
            if state == "ok" and times != at_kill.count(label):
                return f"{label} had ended, and ran again"
        names = [f"c{i}" for i in range(15)] + [f"f{i}" for i in range(15)] + [f"each.{i}" for i in range(8)]
        missing = [name for name in names + [f"r{i}" for i in range(9)] + [f"o{i}" for i in range(10)] if name not in log]
        if missing:
            return f"missing: {missing}"
        audit = place.run("audit", "verify", "latest")
        if audit.returncode:
            return f"audit: {audit.stdout.decode()}{audit.stderr.decode()}"
        return ""
    finally:
        place.close()


def fight():
    place = Place()
    try:
        if place.run("run", "-q", "m.yaml", point=60).returncode != -9:
            return "it was not killed"
        settle(place)
        words = [FLYBALL, "resume", "-q", "latest"]
        both = [subprocess.Popen(words, cwd=place.directory, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
        codes = []
        for process in both:
            process.communicate(timeout=120)
            codes.append(process.returncode)
        if 0 not in codes or any(code not in (0, 4) for code in codes):
            return f"exit codes {codes}"
        log = place.log()
        twice = [name for name in set(log) if log.count(name) > (3 if name.startswith("r") else 2)]
        once = [f"o{i}" for i in range(10) if log.count(f"o{i}") != 1]
        return f"more than once: {twice} {once}" if twice or once else ""
    finally:
        place.close()


def main():
    place = Place()
    count = os.path.join(place.directory, "count")
    whole = place.run("run", "-q", "m.yaml", count=count)
    if whole.returncode:
        print(f"1..1\nnot ok 1 - without a kill\n# {whole.stderr.decode()}")
        return 1
    with open(count, encoding="utf-8") as file:
        points = int(file.read())
    wanted = json.loads(whole.stdout)
    place.close()
    chosen = list(range(FROM, points + 1, EVERY))
    print(f"1..{len(chosen) + 1}")
    bad = early = 0
    for number, point in enumerate(chosen, 1):
        why = killed_at(point, wanted)
        early += why is None
        if early > 1 + len(chosen) // 20:  # those near the end
            why = "it was done before, too often"
        bad += bool(why)
        print(f"{'not ' if why else ''}ok {number} - killed at {point} of {points}{' # SKIP done before' if why is None else ''}", flush=True)
        if why:
            print("# " + why.replace("\n", "\n# "), flush=True)
    why = fight()
    bad += bool(why)
    print(f"{'not ' if why else ''}ok {len(chosen) + 1} - four processes over one run")
    if why:
        print("# " + why)
    return 1 if bad else 0


sys.exit(main())
