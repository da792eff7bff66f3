#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every fenced example of README.md and docs/: tests/docs/run.py FLYBALL ROOT [FILE.md…]. Prints TAP.

What is done with a block depends on its language, which is the first word after the fence:

  cel       each line `expr  // => JSON` is evaluated; `expr  // error` must fail. A line `// name = JSON` gives a
            variable to the lines after it. Other comment lines are passed over.
  sh        each line `$ command` is run by sh, a line that ends in `\\` goes on; what follows must be its output
            (stdout and stderr). `…` stands for any text in a line; a line of only `…` for any lines.
  yaml      `yaml rulebook` and `yaml mission` must pass `flyball check`; `yaml rulebook wrong` must not; any other
            yaml must be well-formed.
  json, ndjson, csv   must be well-formed.
  c         must compile, if it includes something.
  none, text, and blocks with the word `norun`   are not run.

A word `file=NAME` writes the block to that file first. The blocks of one document share a directory, in which
`examples` is the repository's folder of that name.
"""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import golden  # noqa: E402

FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*(.*)$")


class Block:
    def __init__(self, words, line):
        self.words, self.line, self.text = words, line, []
        self.language = words[0] if words else ""
        self.name = next((word[5:] for word in words if word.startswith("file=")), None)


def blocks(path):
    found, open_block, fence = [], None, None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file.read().split("\n"), 1):
            match = FENCE.match(line)
            if open_block is None and match:
                open_block, fence = Block(match.group(3).split(), number), match
            elif open_block is not None and match and match.group(2).startswith(fence.group(2)) and not match.group(3):
                found.append(open_block)
                open_block = None
            elif open_block is not None:
                open_block.text.append(line[len(fence.group(1)):] if line.startswith(fence.group(1)) else line)
    return found


class Document:
    def __init__(self, flyball, root, directory):
        self.flyball, self.root, self.directory = flyball, root, directory
        self.env = golden.environment(flyball, directory)
        examples = os.path.join(root, "examples")
        if os.path.isdir(examples):
            os.symlink(examples, os.path.join(directory, "examples"))

    def sh(self, command, **how):
        return golden.run(command, self.directory, self.env, **how)

    def cel(self, block):
        """Yields (line number, what, wrong)."""
        given = []
        for offset, line in enumerate(block.text, 1):
            variable = re.match(r"^// (\w+) = (.+)$", line)
            example = re.match(r"^(.*\S)\s*// (=> (.*)|error\b.*)$", line)
            if variable:
                given.append(f"-v {shlex.quote(variable.group(1) + '=' + variable.group(2))}")
                continue
            if not line.strip() or line.startswith("//"):
                continue
            if not example:
                yield offset, line, ["no result is given: write `expr  // => JSON`"]
                continue
            code, out, err = self.sh(f"flyball cel {' '.join(given)} -- {shlex.quote(example.group(1))}")
            yield offset, line, self.cel_wrong(example, code, out, err)

    @staticmethod
    def cel_wrong(example, code, out, err):
        if example.group(3) is None:
            return [] if code in (1, 3) else [f"exit {code}, an error was expected", out]
        try:
            if code == 0 and same(json.loads(out), json.loads(example.group(3))):
                return []
        except ValueError as problem:
            err += str(problem)
        return [f"exit {code}"] + (out + err).splitlines()

    def shell(self, block):
        commands = []
        for offset, line in enumerate(block.text, 1):
            if line.startswith("$ "):
                commands.append((offset, [line[2:]], []))
            elif commands and not commands[-1][2] and commands[-1][1][-1].endswith("\\"):
                commands[-1][1].append(line)
            elif commands:
                commands[-1][2].append(line)
            elif line.strip() and not line.startswith("#"):
                yield offset, line, ["nothing shows that this is run: write `$ command`, or mark the block `norun`"]
                return
        for offset, command, expected in commands:
            while expected and not expected[-1].strip():
                expected.pop()
            code, out, _ = self.sh("\n".join(command), merge=True)
            fine = golden.matches(expected, out, any_lines="…", inline="…") and code not in (126, 127) and code < 128
            yield offset, command[0], [] if fine else [f"exit {code}"] + golden.show(expected, out)

    def yaml(self, block):
        path = block.name or f"block-{block.line}.yaml"
        if not block.name:
            self.write(path, block)
        kinds = {"rulebook", "mission"} & set(block.words)
        wrong = "wrong" in block.words
        code, out, _ = self.sh(f"flyball {'check' if kinds else 'parse --from yaml'} {shlex.quote(path)}", merge=True)
        fine = code == (3 if wrong else 0)
        yield 0, " ".join(block.words), [] if fine else [f"exit {code}"] + out.splitlines()

    def parsed(self, block):
        path = f"block-{block.line}.{block.language}"
        self.write(path, block)
        code, out, _ = self.sh(f"flyball parse --from {block.language} {path}", merge=True)
        yield 0, " ".join(block.words), [] if code == 0 else [f"exit {code}"] + out.splitlines()

    def c(self, block):
        if not any(line.startswith("#include") for line in block.text):
            return
        path = f"block-{block.line}.c"
        self.write(path, block)
        done = subprocess.run(["cc", "-std=gnu11", "-fsyntax-only", "-Wall", "-I", os.path.join(self.root, "include"), path],
                              cwd=self.directory, capture_output=True, text=True)
        yield 0, "c", [] if done.returncode == 0 else done.stderr.splitlines()

    def write(self, name, block):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in block.text))

    def run(self, block):
        if block.name:
            self.write(block.name, block)
        kinds = {"cel": self.cel, "sh": self.shell, "console": self.shell, "yaml": self.yaml, "json": self.parsed,
                 "ndjson": self.parsed, "csv": self.parsed, "c": self.c}
        if "norun" in block.words or block.language not in kinds:
            return
        yield from kinds[block.language](block)


def same(a, b):
    """Equal as JSON; 1 and 1.0 are not the same, nor are 1 and true."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def documents(root):
    yield os.path.join(root, "README.md")
    for place, folders, names in os.walk(os.path.join(root, "docs")):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.join(place, name)


def reference(flyball, root):
    """Whether the parts of docs/reference that are made from tables are there, and as the tables have it now."""
    for name, command in (("cli.md", "man"), ("errors.md", "explain-error")):
        path = os.path.join(root, "docs", "reference", name)
        made = subprocess.run([flyball, command, "--markdown"], capture_output=True, text=True, check=True).stdout
        current = os.path.exists(path) and open(path, encoding="utf-8").read() == made
        yield path, [] if current else [f"`flyball {command} --markdown` says something else: run `make docs`, and commit {name}"]


def main():
    flyball, root = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    number = failed = 0

    def report(what, wrong):
        nonlocal number, failed
        number += 1
        failed += bool(wrong)
        print(f"{'not ' if wrong else ''}ok {number} - {what}".replace("#", "\\#"))
        for line in wrong:
            print("# " + line)

    for path in sys.argv[3:] or documents(root):
        if not os.path.exists(path):
            continue
        with tempfile.TemporaryDirectory(prefix="flyball-docs-") as directory:
            document = Document(flyball, root, directory)
            for block in blocks(path):
                for offset, what, wrong in document.run(block):
                    report(f"{os.path.relpath(path, root)}:{block.line + offset}: {what}", wrong)
    if len(sys.argv) == 3:
        for path, wrong in reference(flyball, root):
            report(f"{os.path.relpath(path, root)} is current", wrong)
    print(f"1..{number}")
    return 1 if failed else 0


sys.exit(main())
