#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the checkers: each must find what it is there to find. tests/tools/run.py ROOT FLYBALL. Prints TAP."""
import json
import os
import subprocess
import sys
import tempfile

ROOT, FLYBALL = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout


def tree(files):
    directory = tempfile.TemporaryDirectory(prefix="flyball-tools-")
    for name, text in files.items():
        path = os.path.join(directory.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return directory


def finds(tool, files, *wanted):
    """The tool fails on this tree and names what is wrong."""
    with tree(files) as directory:
        code, out = run(sys.executable, os.path.join(ROOT, tool), directory)
        return code == 1 and all(text in out for text in wanted)


def accepts(tool, files):
    with tree(files) as directory:
        return run(sys.executable, os.path.join(ROOT, tool), directory)[0] == 0


def layers():
    tool = "tests/layers/check.py"
    yield "a lower floor may be included", accepts(tool, {"src/cel/a.c": '#include <flyball/data.h>\n#include "base/x.h"\n#include "cel/a.h"\n'})
    yield "not a higher one", finds(tool, {"src/data/a.c": "#include <flyball/cel.h>\n"}, "src/data/a.c:1: includes upwards")
    yield "nor a room beside", finds(tool, {"src/rules/a.c": "\n#include <flyball/mission.h>\n"}, "src/rules/a.c:2: includes sideways")
    yield "not from a public header either", finds(tool, {"include/flyball/data.h": "#include <flyball/rules.h>\n"}, "includes upwards")
    yield "not by a path with dots", finds(tool, {"src/cel/a.c": '#include "../rules/b.h"\n'}, "'..'")
    yield "every folder has a floor", finds(tool, {"src/attic/a.c": "\n"}, "belongs to no floor")
    yield "the library does not print", finds(tool, {"src/mission/a.c": 'void f(void) { printf("x"); }\n'}, "calls printf()")
    yield "but may speak of it", accepts(tool, {"src/mission/a.c": '/* printf("x") */\nconst char *a = "printf(1)";\n'})
    yield "the engines have no clock", finds(tool, {"src/rules/a.c": "long f(void) { return time(0); }\n"}, "calls time()")
    yield "nor an event loop", finds(tool, {"src/rules/a.c": "#include <uv.h>\n"}, "includes <uv.h>")


def style():
    tool = "tools/check-style"
    body = "".join("  x++;\n" for _ in range(130))
    yield "good style passes", accepts(tool, {"src/base/a.c": SPDX + "int f(int x) {\n  return x;\n}\n"})
    yield "the licence is missed", finds(tool, {"src/base/a.c": "int x;\n"}, "no SPDX")
    yield "a banned function is found", finds(tool, {"src/base/a.c": SPDX + "int f(char *x) {\n  return atoi(x);\n}\n"}, "a.c:3: atoi() is banned")
    yield "a long function is found", finds(tool, {"src/base/a.c": SPDX + "int f(int x) {\n" + body + "  return x;\n}\n"}, "f has 133 lines")
    yield "a long file is found", finds(tool, {"src/base/a.c": SPDX + "int x;\n" * 1300}, "1301 lines")
    yield "unfinished work is found", finds(tool, {"src/base/a.c": SPDX + "/* TO" + "DO */\n"}, "unfinished")
    yield "a tab is found", finds(tool, {"src/base/a.c": SPDX + "\tint x;\n"}, "a tab")


def total(*tests):
    lines = "".join(json.dumps({"name": f"t{i}", "duration": 0, "returncode": 0, **test}) + "\n" for i, test in enumerate(tests))
    with tree({"log": lines}) as directory:
        code, out = run(sys.executable, os.path.join(ROOT, "tools/test-summary"), os.path.join(directory, "log"), "0")
        return code, out.splitlines()[-1]


def summary():
    yield "checks are counted", total({"result": "OK", "stdout": "1..2\nok 1 - a\nok 2 - b\n"}) == (0, "2 passed, 0 failed")
    yield "failed ones too", total({"result": "FAIL", "stdout": "ok 1\nnot ok 2\n"}, {"result": "OK", "stdout": "ok 1\n"}) == (1, "2 passed, 1 failed")
    yield "a crash is a failure", total({"result": "FAIL", "stdout": "ok 1\n", "returncode": -11}) == (1, "1 passed, 1 failed")
    yield "a program without TAP counts once", total({"result": "OK", "stdout": "fine"}) == (0, "1 passed, 0 failed")
    yield "a skipped check is neither", total({"result": "OK", "stdout": "ok 1 # SKIP no such tool\n"}) == (0, "0 passed, 0 failed")
    yield "no test at all is a failure", total() == (1, "0 passed, 1 failed")


def golden(text):
    """Exit code of the goldens' runner on one file."""
    with tree({"a.test": text}) as directory:
        return run(sys.executable, os.path.join(ROOT, "tests/cli/run.py"), FLYBALL, os.path.join(directory, "a.test"))[0]


def goldens():
    yield "what fits passes", golden("=== a\n$ echo 1.5s; cat f\n--- file f\nx\n--- stdout\n{{duration}}\nx\n") == 0
    yield "other output fails", golden("=== a\n$ echo b\n--- stdout\na\n") == 1
    yield "unexpected output fails", golden("=== a\n$ echo b\n") == 1
    yield "unexpected talk fails", golden("=== a\n$ echo b >&2\n") == 1
    yield "another exit code fails", golden("=== a\n$ exit 3\n--- exit 2\n") == 1
    yield "a signal is 128 and its number", golden("=== a\n$ kill -9 $$\n--- exit 137\n") == 0
    yield "a file that was not made fails", golden("=== a\n$ true\n--- made f\nx\n") == 1
    yield "a dot is only a dot", golden("=== a\n$ echo axb\n--- stdout\na.b\n") == 1


def doc(text):
    with tree({"a.md": text}) as directory:
        return run(sys.executable, os.path.join(ROOT, "tests/docs/run.py"), FLYBALL, directory, os.path.join(directory, "a.md"))[0]


def docs():
    yield "shown output that comes passes", doc("```sh\n$ echo a b\na …\n$ true\n```\n") == 0
    yield "other output fails", doc("```sh\n$ echo b\na\n```\n") == 1
    yield "a command that is not there fails", doc("```sh\n$ no-such-command 2>/dev/null\n```\n") == 1
    yield "a block that shows no command fails", doc("```sh\nmake demo\n```\n") == 1
    yield "unless it says so", doc("```sh norun\nmake demo\n```\n") == 0
    yield "C that does not compile fails", doc("```c\n#include <stddef.h>\nint x = ;\n```\n") == 1


def main():
    number = failed = 0
    for part in (layers, style, summary, goldens, docs):
        for what, fine in part():
            number += 1
            failed += not fine
            print(f"{'ok' if fine else 'not ok'} {number} - {part.__name__}: {what}")
    print(f"1..{number}")
    return 1 if failed else 0


sys.exit(main())
