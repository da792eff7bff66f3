#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at the writes of a journal: tests/crash/run.py FLYBALL KILL_AT.SO. Prints TAP.

A mission of 50 steps (a chain, a fan, a for_each, sub-missions, retries, steps to be done once with a check, steps that could be undone)
is killed at a point of what it does to its journal, then resumed until it is done; and a mission that fails in the end and is undone.
Whatever the point: a step that the journal had as ended ran once, nothing is missing, the outcome is as without a kill, the audit verifies. Then
processes fight over one run.

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


SUB = """name: sub
inputs: {name: {type: string}}
steps:
  - {id: x, shell: 'echo ${{ inputs.name }}/x >> log'}
  - {id: y, shell: 'echo ${{ inputs.name }}/y >> log; echo ${{ inputs.name }}', needs: x}
outputs: {y: '${{ steps.y.output }}'}
"""


def fifty():
    """The document, and what must be in the log in the end."""
    lines = ["name: fifty", "limits: {parallel: 4}", "steps:"]
    names = []
    for i in range(12):
        need = f", needs: c{i - 1}" if i else ""
        lines.append(f"  - {{id: c{i}, shell: 'echo c{i} >> log; echo {i}'{need}}}")
        names.append(f"c{i}")
    for i in range(12):
        undo = ", undo: {shell: 'echo undone >> log'}" if i % 3 == 0 else ""
        lines.append(f"  - {{id: f{i}, run: [sh, -c, 'echo f{i} >> log'], needs: c3{undo}}}")
        names.append(f"f{i}")
    lines.append("  - {id: each, for_each: [0, 1, 2, 3, 4, 5, 6, 7], shell: 'echo each.${{ item }} >> log; echo ${{ item }}', needs: c5}")
    names += [f"each.{i}" for i in range(8)]
    for i in range(3):
        lines.append(f"  - {{id: s{i}, mission: sub.yaml, with: {{name: s{i}}}, needs: c{i + 4}}}")
        names += [f"s{i}/x", f"s{i}/y"]
    lines.append("  - {id: subs, for_each: [0, 1], mission: sub.yaml, with: {name: 'subs.${{ item }}'}, needs: c6}")
    names += [f"subs.{i}/{step}" for i in range(2) for step in "xy"]
    for i in range(9):
        lines.append(f"  - {{id: r{i}, shell: 'echo r{i} >> log; test -e r{i} || {{ touch r{i}; exit 1; }}', retry: {{attempts: 3, base: 1ms}}, needs: c7}}")
        names.append(f"r{i}")
    for i in range(10):
        lines.append(f"  - {{id: o{i}, semantics: once, shell: 'echo o{i} >> log', check: 'grep -q o{i}$ log', needs: c{i + 2}}}")
        names.append(f"o{i}")
    lines.append("  - {id: p0, shell: 'echo p0 >> log', needs: [f1, f2]}")
    lines.append("  - {id: p1, shell: 'echo p1 >> log', needs: p0}")
    lines.append("outputs: {last: '${{ steps.c11.output }}', each: '${{ steps.each.output }}', sub: '${{ steps.s1.output.y }}'}")
    return "\n".join(lines) + "\n", names + ["p0", "p1"], 0


def undone():
    lines = ["name: undone", "limits: {parallel: 4}", "steps:"]
    names = []
    for i in range(6):
        need = f", needs: u{i - 1}" if i else ""
        lines.append(f"  - {{id: u{i}, shell: 'echo u{i} >> log'{need}, undo: {{shell: 'echo u{i}.undo >> log'}}}}")
        names += [f"u{i}", f"u{i}.undo"]
    lines.append("  - {id: e, for_each: [0, 1, 2, 3], shell: 'echo e.${{ item }} >> log', undo: {shell: 'echo e.${{ item }}.undo >> log'}, needs: u1}")
    names += [f"e.{i}{ending}" for i in range(4) for ending in ("", ".undo")]
    for i in range(4):
        lines.append(f"  - {{id: s{i}, mission: sub.yaml, with: {{name: s{i}}}, needs: u{i}, undo: {{mission: sub.yaml, with: {{name: un{i}}}}}}}")
        names += [f"s{i}/x", f"s{i}/y", f"un{i}/x", f"un{i}/y"]
    lines.append("  - {id: bad, shell: 'exit 1', needs: [u5, e, s0, s1, s2, s3]}")
    lines.append("finally:\n  - {id: f, shell: 'echo f >> log'}")
    return "\n".join(lines) + "\n", names + ["f"], 1


class Place:
    def __init__(self, document):
        self.directory = tempfile.mkdtemp(prefix="fb-crash-")
        for name, text in (("m.yaml", document), ("sub.yaml", SUB)):
            with open(os.path.join(self.directory, name), "w", encoding="utf-8") as file:
                file.write(text)
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


def label_of(step):
    return step["step"] + (".undo" if step.get("phase") == "undo" else "")


def most_of(label, before):
    """How often it may have run in all."""
    state = before.get(label, {}).get("state")
    tries = 2 if label[0] == "r" else 1
    return tries + (1 if state == "in doubt" and label[0] != "o" else 0)


def killed_at(mission, point, wanted):
    """Why it is wrong; "" if it is right; None if it was done before the point: how writes are grouped differs from run to run."""
    document, names, code = mission
    place = Place(document)
    try:
        first = place.run("run", "-q", "m.yaml", point=point)
        if first.returncode == code and first.stdout == wanted:
            return None
        if first.returncode != -9:
            return f"it was not killed: {first.returncode} {first.stderr.decode()}"
        settle(place)
        at_kill = place.log()
        listed = place.run("runs", "--json").stdout.decode()
        if listed.strip():
            before = {label_of(step): step for step in place.show()["steps"]}
            done = place.run("resume", "-q", "latest")
        else:  # before the journal's first event: there is no run yet
            before, done = {}, place.run("run", "-q", "m.yaml")
        over = b"is over" in done.stderr or b"nothing to" in done.stderr
        if not over and (done.returncode != code or done.stdout != wanted):
            return f"resumed: {done.returncode} {done.stdout.decode()} {done.stderr.decode()}"
        log = place.log()
        for label in sorted(set(log)):
            times = log.count(label)
            if times > most_of(label, before) and not label.startswith("un"):
                return f"{label} ({before.get(label, {}).get('state')}) ran {times} times"
            if before.get(label, {}).get("state") == "ok" and times != at_kill.count(label):
                return f"{label} had ended, and ran again"
        missing = [name for name in names if name not in log]
        if missing or (code == 0 and "undone" in log):
            return f"missing: {missing}, or undone for nothing"
        audit = place.run("audit", "verify", "latest")
        if audit.returncode:
            return f"audit: {audit.stdout.decode()}{audit.stderr.decode()}"
        return ""
    finally:
        place.close()


def fight(mission):
    place = Place(mission[0])
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


def points_of(mission):
    """How many there are, and what comes out without a kill."""
    place = Place(mission[0])
    try:
        count = os.path.join(place.directory, "count")
        whole = place.run("run", "-q", "m.yaml", count=count)
        missing = [name for name in mission[1] if name not in place.log()]
        if whole.returncode != mission[2] or missing:
            raise SystemExit(f"1..1\nnot ok 1 - without a kill\n# {missing} {whole.stderr.decode()}")
        with open(count, encoding="utf-8") as file:
            return int(file.read()), whole.stdout
    finally:
        place.close()


def tell(number, why, what):
    skip = " # SKIP done before" if why is None else ""
    print(f"{'not ' if why else ''}ok {number} - {what}{skip}", flush=True)
    if why:
        print("# " + why.replace("\n", "\n# "), flush=True)
    return bool(why)


def main():
    missions = [("fifty", fifty(), *points_of(fifty())), ("undone", undone(), *points_of(undone()))]
    chosen = [(name, mission, point, points, wanted) for name, mission, points, wanted in missions for point in range(FROM, points + 1, EVERY)]
    print(f"1..{len(chosen) + 1}")
    bad = early = 0
    for number, (name, mission, point, points, wanted) in enumerate(chosen, 1):
        why = killed_at(mission, point, wanted)
        early += why is None
        if early > 2 + len(chosen) // 20:  # those near the end
            why = "it was done before, too often"
        bad += tell(number, why, f"{name}: killed at {point} of {points}")
    bad += tell(len(chosen) + 1, fight(fifty()), "four processes over one run")
    return 1 if bad else 0


sys.exit(main())
