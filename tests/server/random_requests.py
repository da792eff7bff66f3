#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random requests made from the server's own OpenAPI document: tests/server/random_requests.py FLYBALL [COUNT [SEED]]. Prints TAP.

Each is made of a random operation: its parameters, and a body that fits its schema, nearly fits it, or is rubbish; sent with
headers that fit or do not. No answer may be a 5xx but 503 and 507, none may break the document, and the server must run on.
"""
import http.client
import json
import random
import sys
import urllib.parse

import client
from client import Server, check, done, documented, kept_contract

COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 1500
DRAW = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 11)
BOOK = "rules: [{name: big, when: [{order as o: o.amount > 100.0}], then: [{emit: large, with: {id: '${{ o.id }}'}}]}]"
MISSION = "name: m\nsteps:\n  - {id: a, run: ['true']}\n  - {id: ask, needs: [a], approve: go?}\n"
TEXTS = ["", "a", "shop", "m", "order", "big", "x" * 300, "..", "../../etc/passwd", "%00", "\u0000", "é€😀", "0", "-1", "1e999", "2026-01-01T00:00:00Z", "rules: []", BOOK, MISSION, "*", "'", '"', "${{ 1 }}", "latest"]
NUMBERS = [0, 1, -1, 7, 2**31, 2**63 - 1, -2**63, 2**64 - 1, 1e308, 0.5, 1e-320]
NAMES = {"name": ["shop", "m", "none", "x" * 200], "fact": ["1", "2", "0", "99999999999999999999999", "x"], "limit": ["1", "0", "5", "-3", "99999999999999999999"], "version": ["1", "2", "0", "x"], "follow": ["false", "0"]}


def text():
    return DRAW.choice(TEXTS) if DRAW.random() < 0.8 else "".join(chr(DRAW.randrange(1, 0x2000)) for _ in range(DRAW.randrange(20)))


def anything(depth=0):
    kind = DRAW.randrange(7 if depth < 4 else 5)
    if kind == 0:
        return text()
    if kind == 1:
        return DRAW.choice(NUMBERS)
    if kind == 2:
        return DRAW.random() < 0.5
    if kind == 3:
        return None
    if kind == 4:
        return DRAW.randrange(100)
    if kind == 5:
        return [anything(depth + 1) for _ in range(DRAW.randrange(4))]
    return {DRAW.choice(["type", "id", "amount", "step", "facts", text()]): anything(depth + 1) for _ in range(DRAW.randrange(4))}


def fitting(document, schema, depth=0):
    """A value that fits the schema; one in twelve does not."""
    if DRAW.random() < 0.08 or depth > 8:
        return anything(depth)
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        if name == "Fact":
            return {"type": DRAW.choice(["order", text()]), "id": anything(3), "amount": DRAW.choice([50.0, 500.0, anything(3)])}
        return fitting(document, document["components"]["schemas"][name], depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return DRAW.choice(schema["enum"])
    for many in ("oneOf", "anyOf"):
        if many in schema:
            return fitting(document, DRAW.choice(schema[many]), depth + 1)
    kind = schema.get("type", "any")
    kind = DRAW.choice(kind) if isinstance(kind, list) else kind
    if kind == "object":
        known = schema.get("properties", {})
        made = {key: fitting(document, known[key], depth + 1) for key in known if key in schema.get("required", []) or DRAW.random() < 0.5}
        return made if known else anything(3) if DRAW.random() < 0.3 else {text(): anything(3)}
    if kind == "array":
        return [fitting(document, schema.get("items", {}), depth + 1) for _ in range(DRAW.randrange(4))]
    return {"string": text, "integer": lambda: DRAW.choice(NUMBERS[:8]), "number": lambda: DRAW.choice(NUMBERS), "boolean": lambda: DRAW.random() < 0.5}.get(kind, anything)()


def parameter(found, ids):
    name = found["name"]
    if name == "id" and ids and DRAW.random() < 0.7:
        return DRAW.choice(ids)
    if name in NAMES and DRAW.random() < 0.8:
        return DRAW.choice(NAMES[name])
    return text()


def request(document, ids):
    path, methods = DRAW.choice(list(document["paths"].items()))
    method, operation = DRAW.choice(list(methods.items()))
    query, headers = [], {}
    for found in operation.get("parameters", []):
        value = parameter(found, ids)
        if found["in"] == "path":
            path = path.replace("{" + found["name"] + "}", urllib.parse.quote(value or "x", safe=""))
        elif DRAW.random() < 0.5 and found["in"] == "query":
            query.append((found["name"], value))
        elif DRAW.random() < 0.5 and found["in"] == "header":
            headers[found["name"]] = "".join(c for c in value if " " < c < "\x7f")
    body = None
    if "requestBody" in operation:
        kind, content = DRAW.choice(list(operation["requestBody"]["content"].items()))
        headers["Content-Type"] = kind if DRAW.random() < 0.9 else DRAW.choice(["text/plain", "application/x-ndjson", "x"])
        body = fitting(document, content.get("schema", {}))
        if kind == "application/yaml":
            body = DRAW.choice([BOOK, MISSION, text(), json.dumps(body)]).encode("utf-8", "surrogatepass")
        else:
            body = json.dumps(body).encode()
        if DRAW.random() < 0.05:
            body = bytes(DRAW.randrange(256) for _ in range(DRAW.randrange(50)))
    if DRAW.random() < 0.05:
        headers[DRAW.choice(["If-Match", "If-None-Match", "Accept", "traceparent", "X-Request-Id", "Content-Encoding", "Accept-Encoding", "Range", "Expect"])] = DRAW.choice(["*", '"x"', "gzip", "00-x", "text/plain", "100-continue"])
    return method.upper(), path + ("?" + urllib.parse.urlencode(query, errors="surrogatepass") if query else ""), body, headers


def main():
    server = Server("--state", "@state", "-r", "shop=@shop.yaml", "-m", "m=@m.yaml", "--max-time", "2s", files={"shop.yaml": BOOK, "m.yaml": MISSION})
    document = documented(server)
    bad, codes, ids, link = [], {}, [], server.connect()
    for number in range(COUNT):
        if number % 100 == 0:
            ids = [s["id"] for s in server.ask("GET", "/v1/sessions")[2]["sessions"]][:5] + [r["id"] for r in server.ask("GET", "/v1/runs?limit=5")[2]["runs"]]
        method, path, body, headers = request(document, ids)
        if path.startswith("/v1/events"):
            continue  # it never ends
        try:
            code, _, answer = server.ask(method, path, body, headers, connection=link)
        except (http.client.HTTPException, OSError) as failure:
            link = server.connect()
            if server.process.poll() is not None:
                bad.append(f"{method} {path} {body!r} {headers}: {failure!r}")
                break
            continue
        codes[code // 100] = codes.get(code // 100, 0) + 1
        if code >= 500 and code not in (503, 507):
            bad.append(f"{method} {path} {body!r} {headers}: {code} {answer}")
    check("no failure of the server's own", not bad, "\n".join(bad[:5]))
    check("good and bad ones were among them", codes.get(2, 0) > COUNT // 20 and codes.get(4, 0) > COUNT // 20, codes)
    check("it runs on", server.process.poll() is None and server.ask("GET", "/healthz")[0] == 200)
    kept_contract(COUNT // 2)
    check("it ends", server.end() == 0, getattr(server, "told", ""))
    return done()


client.contract = None
sys.exit(main())
