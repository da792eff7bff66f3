# SPDX-License-Identifier: Apache-2.0
"""What the command-line goldens and the docs tests share: running a command in a directory, comparing text with placeholders."""
import functools
import os
import re
import subprocess

PLACEHOLDERS = {
    "*": r"[^\n]*?",
    "number": r"-?\d+(?:\.\d+)?",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "duration": r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+",
    "hash": r"[0-9a-f]{16,64}",
    "word": r"[^\s\"]+",
}


def pattern(expected, any_lines="{{...}}", inline=r"\{\{(\*|\w+)\}\}"):
    """A compiled pattern for the expected lines. A line that is `any_lines` stands for any number of lines."""
    out = []
    for line in expected:
        if line.strip() == any_lines:
            out.append(r"(?:[^\n]*\n)*?")
            continue
        text = ""
        at = 0
        for match in re.finditer(inline, line):
            text += re.escape(line[at:match.start()])
            name = match.group(1) if match.groups() else "*"
            if name not in PLACEHOLDERS:
                raise ValueError(f"unknown placeholder {match.group(0)}")
            text += PLACEHOLDERS[name]
            at = match.end()
        out.append(text + re.escape(line[at:]) + r"\n")
    return re.compile("".join(out))


def matches(expected, actual, **how):
    if actual and not actual.endswith("\n"):
        actual += "\n"
    return pattern(expected, **how).fullmatch(actual) is not None


def show(expected, actual):
    """Lines for a failed check: what was expected, what came."""
    return ["expected:"] + ["  " + line for line in expected] + ["got:"] + [
        "  " + line for line in actual.splitlines()]


@functools.cache
def sanitized(flyball):
    """Sanitizers reserve terabytes of address space."""
    with open(flyball, "rb") as file:
        program = file.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def environment(flyball, home):
    """A bare one, the same on every machine. `$LIMIT` in a script bounds the memory of what follows to 512 MiB."""
    keep = {k: v for k, v in os.environ.items() if re.match(r"(ASAN|UBSAN|TSAN|LSAN)_OPTIONS$", k)}
    limit = ":" if sanitized(flyball) else "ulimit -v 524288"
    return {**keep, "LIMIT": limit, "PATH": os.path.dirname(flyball) + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": home,
            "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb", "FLYBALL_STATE_DIR": os.path.join(home, ".state")}


def run(command, directory, env, stdin=b"", merge=False, timeout=60):
    """(exit code as a shell tells it, stdout, stderr)."""
    process = subprocess.Popen(["/bin/sh", "-c", command], cwd=directory, env=env, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                               start_new_session=True)
    try:
        out, err = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        return 124, out.decode("utf-8", "replace"), f"(killed: ran for more than {timeout} s)\n"
    code = process.returncode
    return (128 - code if code < 0 else code), out.decode("utf-8", "replace"), (err or b"").decode("utf-8", "replace")
