#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the server share: it as a process, its contract, and TAP."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

FLYBALL = sys.argv[1]
passed = failed = 0
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}


class Contract:
    """What the server's own OpenAPI document promises: every answer of every test is held against it."""

    def __init__(self, document):
        self.document, self.broken, self.answers = document, [], 0

    def fails(self, schema, value, at="$"):
        """Where the value breaks the schema; the part of JSON Schema that the document uses."""
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
        want = schema.get("type")
        want = [want] if isinstance(want, str) else want
        if want and not any(isinstance(value, kinds[kind]) and not (kind in ("integer", "number") and isinstance(value, bool)) for kind in want):
            return f"{at} is no {want}"
        if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
            return f"{at} is {value!r}"
        if "pattern" in schema and not re.search(schema["pattern"], value) or value == "" and schema.get("minLength"):
            return f"{at} is {value!r}"
        if value.__class__ in (int, float) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            return f"{at} is {value!r}"
        found = None
        if isinstance(value, dict):
            known = schema.get("properties", {})
            found = next((f"{at}.{key} lacks" for key in schema.get("required", []) if key not in value), None)
            if schema.get("additionalProperties") is False:
                found = found or next((f"{at}.{key} is not promised" for key in value if key not in known), None)
            found = found or next(filter(None, (self.fails(known[key], value[key], f"{at}.{key}") for key in value if key in known)), None)
        elif isinstance(value, list) and "items" in schema:
            found = next(filter(None, (self.fails(schema["items"], item, f"{at}[]") for item in value)), None)
        return found

    def operation(self, method, path):
        for pattern, methods in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(pattern)), path.split("?")[0]):
                return methods.get(method.lower())
        return None

    def hold(self, method, path, code, kind, body):
        operation = self.operation("GET" if method == "HEAD" else method, path)
        if not operation or method == "HEAD":
            return
        answer = operation["responses"].get(str(code)) or (operation["responses"]["default"] if code >= 400 else None)
        content = (answer or {}).get("content", {})
        schema = content.get(kind.split(";")[0], {}).get("schema")
        self.answers += 1
        if answer is None or (body and content and schema is None):
            found = f"{code} {kind}"
        else:
            found = self.fails(schema, body) if schema and isinstance(body, (dict, list)) else None
        if found:
            self.broken.append(f"{method} {path}: {code}: {found}")


contract = None


class Server:
    """`flyball serve` in a folder of its own, on a free port or the given address."""

    def __init__(self, *options, listen="127.0.0.1:0", files=(), wrap=()):
        self.folder = tempfile.TemporaryDirectory()
        self.files = dict(files)
        for name, text in self.files.items():
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)
        self.errors = open(self.path("stderr"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [*wrap, FLYBALL, "serve", "--json", "-l", listen, *[option.replace("@", self.folder.name + "/") for option in options]],
            stdout=subprocess.PIPE, stderr=self.errors, text=True)
        line = self.process.stdout.readline()
        self.url = json.loads(line)["url"] if line else None
        match = re.match(r"https?://\[?([^\]]*)\]?:(\d+)$", self.url or "")
        self.host, self.port = (match.group(1), int(match.group(2))) if match else (None, None)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def connect(self, timeout=30):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, connection=None, raw=False):
        """Status, headers, body: an object if it is JSON."""
        connection = connection or self.connect()
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        sent = dict(JSON) if isinstance(body, (dict, list)) else {}
        sent.update(headers or {})
        connection.request(method, path, body=data, headers=sent)
        answer = connection.getresponse()
        text = answer.read()
        if raw:
            return answer.status, answer.headers, text
        kind = answer.headers.get("Content-Type", "")
        if text and kind.endswith("json") and "x-nd" not in kind:
            text = json.loads(text)
        if contract:
            contract.hold(method, path, answer.status, kind, text)
        return answer.status, answer.headers, text

    def evaluate(self, body, **more):
        return self.ask("POST", "/v1/evaluate", body, **more)

    def grown(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.errors.seek(0)
        self.told = self.errors.read()
        self.errors.close()
        self.folder.cleanup()
        return code


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"{'ok' if good else 'not ok'} {passed + failed} - {name}", flush=True)
    if not good and detail != "":
        print("\n".join(f"# {line}" for line in str(detail)[:2000].split("\n")))


def same(name, got, want):
    check(name, got == want, f"got  {got!r}\nwant {want!r}")


def documented(server):
    """From here on every answer is held against the server's own document."""
    global contract
    code, _, document = server.ask("GET", "/v1/openapi.json")
    check("it has an OpenAPI document", code == 200 and document["openapi"].startswith("3.1"), document)
    contract = Contract(document)
    return document


def kept_contract(least):
    check("all answers were as the document promises", contract.answers >= least and not contract.broken,
          f"{contract.answers} answers\n" + "\n".join(contract.broken[:20]))


def done():
    print(f"1..{passed + failed}")
    return failed != 0
