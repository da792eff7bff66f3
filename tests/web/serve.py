#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard's files as a browser gets them, without a browser: tests/web/serve.py FLYBALL ROOT. Prints TAP."""
import gzip
import http.client
import json
import os
import re
import subprocess
import sys

FLYBALL, ROOT = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FIRST_LOAD = 60000  # bytes, compressed: the page and all that it loads before anything is clicked
results = []


def check(name, good, got=""):
    results.append((name, bool(good), got))


def ask(port, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST" if body else "GET", path, body, {"Accept-Encoding": "gzip", **(headers or {})})
    answer = connection.getresponse()
    got = answer.status, answer.headers, answer.read()
    connection.close()
    return got


def page(port):
    """Returns the version in the paths of the assets."""
    code, headers, body = ask(port, "/")
    text = gzip.decompress(body).decode()
    check("the page is there, compressed", code == 200 and headers["Content-Encoding"] == "gzip" and headers["Content-Type"] == "text/html; charset=utf-8", code)
    policy = headers["Content-Security-Policy"]
    check("nothing inline may run, nor anything of others", "script-src 'self';" in policy and "default-src 'none'" in policy and "unsafe" not in policy, policy)
    check("the page has nothing inline", not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|https?://", text))
    check("its type is not guessed", headers["X-Content-Type-Options"] == "nosniff")
    check("it is asked for again", headers["Cache-Control"] == "no-cache")
    return re.search(r"assets/([0-9a-f]{16})/app\.js", text).group(1), text


def caching(port, version):
    path = f"/assets/{version}/app.js"
    _, packed_headers, packed = ask(port, path)
    code, headers, body = ask(port, path, {"Accept-Encoding": "identity"})
    check("without gzip it comes as it is", code == 200 and headers["Content-Encoding"] is None and gzip.decompress(packed) == body, headers["Content-Encoding"])
    check("and so for a weight of zero", ask(port, path, {"Accept-Encoding": "br, gzip;q=0"})[2] == body and ask(port, path, {"Accept-Encoding": "gzip; q=0.00"})[2] == body)
    check("not for one above", ask(port, path, {"Accept-Encoding": "gzip;q=0.5"})[2] == packed)
    check("the two are told apart", headers["ETag"] != packed_headers["ETag"] and headers["Vary"] == "Accept-Encoding" and not headers["ETag"].startswith("W/"))
    check("an asset is kept for ever", "immutable" in headers["Cache-Control"])
    code, again, empty = ask(port, path, {"If-None-Match": packed_headers["ETag"]})
    check("what is kept is not sent again", code == 304 and empty == b"" and again["ETag"] == packed_headers["ETag"], code)
    check("what has changed is", ask(port, path, {"If-None-Match": '"0123"'})[0] == 200)
    with open(os.path.join(ROOT, "web", "app.js"), "rb") as file:
        check("it is the file of the tree", file.read() == body)


def unknown(port, version):
    for path in (f"/assets/{version}/nothing.js", "/assets/0000000000000000/app.js", f"/assets/{version}/index.html", f"/assets/{version}/..%2fVERSION",
                 f"/assets/{version}/../../VERSION", "/assets/", "/assets"):
        code, headers, _ = ask(port, path)
        check(f"nothing at {path}", code == 404 and headers["Content-Type"] == "application/problem+json", code)


def modules(port, version, text):
    """What is loaded before anything is clicked: the page, what it names, and what those import."""
    sizes, plain = {"/": len(ask(port, "/")[2])}, {}
    waiting = re.findall(r'(?:src|href)="assets/[0-9a-f]{16}/([\w.-]+)"', text)
    check("all that is loaded first is asked for at once", set(waiting) >= {"app.js", "ui.js", "api.js", "live.js", "chart.js", "overview.js"}, waiting)
    while waiting:
        name = waiting.pop()
        if name in sizes:
            continue
        code, _, body = ask(port, f"/assets/{version}/{name}")
        check(f"{name} is there", code == 200, code)
        sizes[name], plain[name] = len(body), gzip.decompress(body).decode()
        waiting += re.findall(r'^import [^"]*"\./([\w.-]+)";$', plain[name], re.M)
    total = sum(sizes.values())
    check(f"the first load is {total} bytes, {FIRST_LOAD} at most", total <= FIRST_LOAD, sizes)
    for name in sorted(os.listdir(os.path.join(ROOT, "web"))):
        if name == "index.html" or name == "README.md":
            continue
        code, _, body = ask(port, f"/assets/{version}/{name}")
        source = gzip.decompress(body).decode() if code == 200 else ""
        check(f"{name} is part of the program, and calls nobody else", code == 200 and not re.search(r"(?:https?:)?//(?!www\.w3\.org/)[\w-]+\.[a-z]{2,}/", source), code)
        check(f"{name} makes no HTML of text", not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source))


def examples(port):
    with open(os.path.join(ROOT, "web", "examples.js"), encoding="utf-8") as file:
        found = re.findall(r'name: "([^"]+)", rules: `((?:\\.|[^`\\])*)`, facts: `((?:\\.|[^`\\])*)`', file.read())
    check("the playground has examples", len(found) >= 6, found)
    for name, rules, facts in found:
        rules, facts = (re.sub(r"\\(.)", r"\1", text) for text in (rules, facts))
        body = json.dumps({"rulebook": rules, "explain": True, "facts": [json.loads(line) for line in facts.splitlines()]})
        code, _, answer = ask(port, "/v1/evaluate", {"Content-Type": "application/json", "Accept-Encoding": "identity"}, body)
        answer = json.loads(answer)
        check(f"example: {name}", code == 200 and answer["decisions"] and not answer["errors"], answer)


def main():
    server = subprocess.Popen([FLYBALL, "serve", "-l", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+)$", server.stderr.readline().strip()).group(1))
        version, text = page(port)
        caching(port, version)
        unknown(port, version)
        modules(port, version, text)
        examples(port)
    finally:
        server.terminate()
        server.wait()
    print(f"1..{len(results)}")
    for number, (name, good, got) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        if not good:
            print(f"# {got}")
    return 0 if all(good for _, good, _ in results) else 1


sys.exit(main())
