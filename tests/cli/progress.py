#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`flyball eval` tells how far it is on a terminal, and only there: tests/cli/progress.py FLYBALL. Prints TAP."""
import os
import pty
import re
import subprocess
import sys
import tempfile
import time

RULES = "rules:\n  - {name: r, when: [n as x], then: [{emit: d, with: {v: '${{ x.v }}'}}]}\n"
LINE = b'{"type":"n","v":1}\n'


def run(flyball, folder, arguments, term="xterm", slow=True):
    """Feeds stdin for about a second; returns what stderr, a terminal, has got, and stdout."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([flyball, "eval", "-r", "rules.yaml", *arguments], cwd=folder, stderr=theirs,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TERM": term})
    os.close(theirs)
    for _ in range(12 if slow else 1):
        child.stdin.write(LINE)
        child.stdin.flush()
        time.sleep(0.1 if slow else 0)
    child.stdin.close()
    out = child.stdout.read()
    assert child.wait() == 0
    seen = b""
    try:
        while True:
            piece = os.read(ours, 65536)
            if not piece:
                break
            seen += piece
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    return seen.decode(), out


def main():
    flyball = os.path.abspath(sys.argv[1])
    results = []
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "rules.yaml"), "w", encoding="utf-8") as file:
            file.write(RULES)
        seen, out = run(flyball, folder, [])
        line = re.search(r"\r\d+ records  \d+/s  \d+ B  \d+ B/s\x1b\[K", seen)
        results.append(("a slow stream has a line of progress", line is not None, seen))
        results.append(("it is taken away at the end", seen.endswith("\r\x1b[K"), seen))
        results.append(("the decisions are all there", out.count(b"\n") == 12, out))
        results.append(("none with --json", run(flyball, folder, ["--json"])[0] == "", ""))
        results.append(("none on a terminal that cannot rewrite a line", run(flyball, folder, [], "dumb")[0] == "", ""))
        results.append(("none for what is done at once", run(flyball, folder, [], slow=False)[0] == "", ""))
    print(f"1..{len(results)}")
    for number, (name, good, got) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        if not good:
            print(f"# {got!r}")
    return 0 if all(good for _, good, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
