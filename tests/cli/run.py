#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the command-line goldens: tests/cli/run.py FLYBALL FILE.test|FOLDER…. Prints TAP. The format is in README.md."""
import concurrent.futures
import os
import sys
import tempfile

import golden


class Check:
    def __init__(self, source, line, name):
        self.source, self.line, self.name = source, line, name
        self.command = None
        self.sections = {}  # "stdout" → lines; None: not compared
        self.files = {}
        self.made = {}
        self.exit = 0


def unescape(lines):
    """A line that would look like a marker is written with a backslash before it."""
    return [line[1:] if line.startswith(("\\---", "\\===", "\\$")) else line for line in lines]


def section(check, words, where):
    """The list that the following lines go to."""
    kind = words[0] if words else ""
    if kind == "exit" and len(words) == 2:
        check.exit = int(words[1])
        return []
    if kind in ("stdout", "stderr") and words[1:] == ["any"]:
        check.sections[kind] = None
        return []
    if kind in ("stdin", "stdout", "stderr") and len(words) == 1:
        return check.sections.setdefault(kind, [])
    if kind == "file" and len(words) == 2:
        return check.files.setdefault(words[1], [])
    if kind == "made" and len(words) == 2:
        return check.made.setdefault(words[1], [])
    raise SystemExit(f"{where}: what is '--- {' '.join(words)}'?")


def read(path):
    checks, into, shared = [], None, {}
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        if line.startswith("=== "):
            checks.append(Check(path, number, line[4:].strip()))
            checks[-1].files = {name: list(text) for name, text in shared.items()}
            into = None
        elif line.startswith("--- ") and not checks:  # files before the first check are there for all
            words = line[4:].split()
            if len(words) != 2 or words[0] != "file":
                raise SystemExit(f"{path}:{number}: only '--- file NAME' may stand before the first check")
            into = shared.setdefault(words[1], [])
        elif line.startswith("--- "):
            into = section(checks[-1], line[4:].split(), f"{path}:{number}")
        elif line.startswith("$ ") and checks and into is None:
            checks[-1].command = ((checks[-1].command + "\n") if checks[-1].command else "") + line[2:]
        elif into is not None:
            into.append(line)
        elif line.strip() and not line.startswith("#"):
            raise SystemExit(f"{path}:{number}: stands in no section: {line}")
    return checks


def trimmed(lines):
    """Empty lines before the next marker are for the reader."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return unescape(lines[:end])


def compare(name, expected, actual):
    if expected is None or golden.matches(trimmed(expected), actual):
        return []
    return [f"{name}:"] + golden.show(trimmed(expected), actual)


def run(check, flyball):
    with tempfile.TemporaryDirectory(prefix="flyball-cli-") as directory:
        for name, lines in check.files.items():
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write("".join(line + "\n" for line in trimmed(lines)))
        stdin = "".join(line + "\n" for line in trimmed(check.sections.get("stdin") or []))
        code, out, err = golden.run(check.command, directory, golden.environment(flyball, directory), stdin.encode())
        wrong = compare("stdout", check.sections.get("stdout", []), out) + compare("stderr", check.sections.get("stderr", []), err)
        if code != check.exit:
            wrong.append(f"exit {code}, expected {check.exit}")
        for name, lines in check.made.items():
            try:
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    wrong += compare(name, lines, file.read())
            except OSError as problem:
                wrong.append(str(problem))
    return wrong


def sources(words):
    for word in words:
        if os.path.isdir(word):
            yield from sorted(os.path.join(word, name) for name in os.listdir(word) if name.endswith(".test"))
        else:
            yield word


def main():
    flyball = os.path.abspath(sys.argv[1])
    checks = [check for path in sources(sys.argv[2:]) for check in read(path)]
    print(f"1..{len(checks)}", flush=True)
    failed = False
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        for number, (check, wrong) in enumerate(zip(checks, pool.map(lambda c: run(c, flyball), checks)), 1):
            stem = os.path.splitext(os.path.basename(check.source))[0]
            print(f"{'not ' if wrong else ''}ok {number} - {stem}: {check.name}")
            if wrong:
                failed = True
                print(f"# {check.source}:{check.line}: $ {check.command}")
                for line in wrong:
                    print("# " + line)
    return 1 if failed else 0


sys.exit(main())
