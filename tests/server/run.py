#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server as its clients see it: tests/server/run.py FLYBALL. Prints TAP."""
import ctypes
import gzip
import hashlib
import http.client
import json
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from client import JSON, LINES, Server, check, documented, done, kept_contract, same

SHOP = """
facts:
  order:    {id: string, customer: string, amount: double}
  customer: {id: string, tier: string}
rules:
  - name: big order from a bronze customer
    when:
      - order as o: o.amount > 10000.0
      - customer as c: c.id == o.customer && c.tier == "bronze"
      - not review as r: r.order == o.id
    then:
      - assert: review
        with: {order: "${{ o.id }}", why: big order}
      - emit: hold
        with: {order: "${{ o.id }}", amount: "${{ o.amount }}"}
"""
FLAT = """
rules:
  - name: large
    when:
      - order as o: o.amount > 100.0
    then:
      - emit: large
        with: {id: "${{ o.id }}"}
"""
COUNT = """
rules:
  - name: count
    when:
      - counter as c: c.n < c.end
    then:
      - modify: c
        with: {n: "${{ c.n + 1 }}"}
  - name: done
    when:
      - counter as c: c.n == c.end
    then:
      - emit: done
        with: {n: "${{ c.n }}"}
"""
WINDOW = """
facts:
  user:  {id: string, active: bool}
  login: {user: string, at: timestamp}
rules:
  - name: three logins in a minute
    when:
      - user as u: u.active
      - count() as n of login as l within 1m: l.user == u.id
      - test: n >= 3
    then:
      - modify: u
        with: {active: false}
      - emit: lockout
        with: {user: "${{ u.id }}"}
"""
FACTS = [{"type": "order", "id": "o1", "customer": "c1", "amount": 25000},
         {"type": "customer", "id": "c1", "tier": "bronze"}]


# ── The contract ──

def routes(server):
    document = documented(server)
    for path, methods in document["paths"].items():
        there = re.sub(r"\{\w+\}", "none", path)
        headers = server.ask("TRACE", there)[1]
        same(f"{path} takes what it says", sorted(headers.get("Allow", "").split(", ")), sorted(m.upper() for m in methods))


# ── One request ──

def health(server):
    same("healthz", server.ask("GET", "/healthz")[2]["status"], "ok")
    same("readyz", server.ask("GET", "/readyz")[2], {"status": "ready", "rulesets": 3})
    code, headers, _ = server.ask("HEAD", "/healthz")
    check("HEAD has no body", code == 200 and int(headers["Content-Length"]) > 0)
    code, headers, body = server.ask("GET", "/healthz", headers={"X-Request-Id": "mine-7"})
    same("the client's id comes back", headers["X-Request-Id"], "mine-7")
    _, headers, _ = server.ask("GET", "/healthz", headers={"X-Request-Id": "bad id"})
    check("an id that is no id does not", re.fullmatch("[0-9a-f]{16}", headers["X-Request-Id"]), headers["X-Request-Id"])
    same("without tokens everybody is an admin", server.ask("GET", "/v1/me")[2], {"type": "flyball.me.v1", "name": "", "role": "admin", "open": True})
    code, headers, body = server.ask("GET", "/nothing")
    check("nothing at a path", code == 404 and body["code"] == "FB1704", body)
    same("problems are application/problem+json", headers["Content-Type"], "application/problem+json")
    code, headers, body = server.ask("PATCH", "/v1/rulesets/shop")
    check("a method that a path does not take", code == 405 and headers["Allow"] == "GET, PUT, DELETE", headers["Allow"])


def evaluating(server):
    code, _, body = server.evaluate({"ruleset": "shop", "facts": FACTS})
    check("a decision", code == 200 and body["decisions"] == [
        {"decision": "hold", "fields": {"order": "o1", "amount": 25000.0}, "rule": "big order from a bronze customer",
         "line": 14, "firing": 1}], body)
    same("counts", {key: body["stats"][key] for key in ("facts", "refused", "firings", "decisions", "errors")},
         {"facts": 2, "refused": 0, "firings": 1, "decisions": 1, "errors": 0})
    again = server.evaluate({"ruleset": "shop", "facts": FACTS})[2]
    same("nothing is left of the request before", again["decisions"], body["decisions"])
    fired = [server.ask("GET", "/v1/rulesets/shop")[2]["members"][0]["firings"]]
    server.evaluate({"ruleset": "shop", "facts": FACTS})
    fired.append(server.ask("GET", "/v1/rulesets/shop")[2]["members"][0]["firings"])
    same("firings of a rule are counted", fired, [2, 3])
    body = server.evaluate({"ruleset": "shop", "facts": FACTS, "explain": True})[2]
    same("why", body["decisions"][0]["why"]["bindings"]["c"]["fields"], {"id": "c1", "tier": "bronze"})
    body = server.evaluate({"ruleset": "shop", "facts": [*FACTS, {"typ": 1}, {"type": "order", "amont": 1}, 7]})[2]
    check("facts that are none are told, the others decide", body["stats"]["refused"] == 3 and len(body["decisions"]) == 1 and
          [error["code"] for error in body["errors"]] == ["FB2202", "FB2302", "FB2202"], body)
    same("no facts", server.evaluate({"ruleset": "shop", "facts": []})[2]["decisions"], [])


def inline(server):
    book = {"rules": [{"name": "x", "when": ["a"], "then": [{"emit": "y"}]}]}
    body = server.evaluate({"rulebook": book, "facts": [{"type": "a"}]})[2]
    same("a rulebook as an object", [d["decision"] for d in body["decisions"]], ["y"])
    body = server.evaluate({"rulebook": FLAT, "facts": [{"type": "order", "id": 1, "amount": 200.0}]})[2]
    same("a rulebook as YAML", [d["fields"] for d in body["decisions"]], [{"id": 1}])
    text = '{"facts": [], "rulebook": {"rules": [\n {"name": "x", "whe": [], "then": []}]}}'
    code, _, body = server.evaluate(text.encode(), headers=JSON)
    check("all its errors, where they are", code == 422 and len(body["errors"]) > 1 and body["line"] == 2 and
          body["hint"] == "did you mean `when`?", body)
    for _ in range(200):  # more than are kept
        book["rules"][0]["name"] = f"n{random.random()}"
        code, _, body = server.evaluate({"rulebook": book, "facts": [{"type": "a"}]})
    check("many rulebooks", code == 200 and len(body["decisions"]) == 1, body)


def refusing(server):
    cases = [
        ("unknown ruleset", {"ruleset": "no", "facts": []}, 404, "FB1704"),
        ("unknown version", {"ruleset": "shop", "version": 9, "facts": []}, 404, "FB1704"),
        ("unknown key", {"ruleset": "shop", "fact": []}, 400, "FB1703"),
        ("no facts", {"ruleset": "shop"}, 400, "FB1703"),
        ("facts that are no list", {"ruleset": "shop", "facts": {}}, 400, "FB1703"),
        ("both rulebook and ruleset", {"ruleset": "shop", "rulebook": "", "facts": []}, 400, "FB1703"),
        ("a list", [], 400, "FB1703"),
        ("an empty rulebook", {"rulebook": "", "facts": []}, 422, "FB2112"),
    ]
    for name, body, want, number in cases:
        code, _, problem = server.evaluate(body)
        check(name, code == want and problem["code"] == number and problem["status"] == want, problem)
    code, _, problem = server.evaluate(b'{"ruleset":', headers=JSON)
    check("broken JSON", code == 400 and problem["line"] == 1 and problem["column"] == 12, problem)
    code, _, problem = server.evaluate(b"{}", headers={"Content-Type": "text/plain"})
    check("another type", code == 415, problem)
    code, _, problem = server.evaluate(b"[" * 100000, headers=JSON)
    check("too deep", code == 400 and problem["code"] == "FB2005", problem)


# ── Long ones ──

def late(server):
    body = {"ruleset": "count", "facts": [{"type": "counter", "n": 0, "end": 200000}]}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(server.evaluate(body)[2]))
    thread.start()
    time.sleep(0.01)
    begun = time.monotonic()
    quick = [server.ask("GET", "/healthz")[0] for _ in range(20)]
    spent = time.monotonic() - begun
    thread.join()
    check("a long evaluation goes on on a worker", answers[0]["stats"]["firings"] == 200001 and
          answers[0]["decisions"][0]["fields"] == {"n": 200000}, answers[0].get("stats", answers[0]))
    check("and others are answered meanwhile", quick == [200] * 20, spent)
    body["facts"][0]["end"] = 10**9
    code, _, problem = server.evaluate(body)
    check("an evaluation without end is ended", code == 422 and problem["code"] == "FB4012", problem)
    check("and the next is a fresh one", server.evaluate({"ruleset": "count", "facts": []})[2]["stats"]["firings"] == 0)


def streaming(server):
    one = server.ask("POST", "/v1/evaluate?ruleset=flat", b'{"type":"order","id":1,"amount":101.5}\n', LINES)
    lines = [json.loads(line) for line in one[2].splitlines()]
    check("lines in, lines out", [line["type"] for line in lines] == ["flyball.decision.v1", "flyball.evaluation.v1"] and
          lines[0]["fields"] == {"id": 1}, one)
    count = 300000
    data = b"".join(b'{"type":"order","id":%d,"amount":%d.5}\n' % (i, i % 200) for i in range(count))
    before = server.grown()
    code, _, text = server.ask("POST", "/v1/evaluate?ruleset=flat", data, LINES)
    lines = text.splitlines()
    end = json.loads(lines[-1])
    check("many lines", code == 200 and len(lines) == count // 2 + 1 and end["stats"]["facts"] == count and
          end["stats"]["decisions"] == count // 2, end)
    check("are not held in memory", server.grown() - before < 64 * 1024, f"{server.grown() - before} KiB more")
    same("in order of arrival", [json.loads(line)["fields"]["id"] for line in (lines[0], lines[99])], [100, 199])

    def pieces():
        for i in range(100):
            yield data[i * 1000:(i + 1) * 1000]
    code, _, text = server.ask("POST", "/v1/evaluate?ruleset=flat", pieces(), LINES)
    check("in pieces, the last line cut off", code == 200 and json.loads(text.splitlines()[-1])["stats"]["refused"] <= 1, text[-200:])
    code, _, text = server.ask("POST", "/v1/evaluate?ruleset=shop",
                               b"\n".join(json.dumps(fact).encode() for fact in FACTS) + b"\n{bad\n", LINES)
    lines = [json.loads(line) for line in text.splitlines()]
    check("with joins, and a line that is none", [line["type"].split(".")[1] for line in lines] == ["error", "decision", "evaluation"] and
          lines[0]["line"] == 3, lines)
    code, _, problem = server.ask("POST", "/v1/evaluate", b"", LINES)
    check("no ruleset named", code == 400, problem)
    code, _, text = server.ask("POST", "/v1/evaluate?ruleset=flat&fact_type=order", b'{"id":1,"amount":500}\n', LINES)
    check("a type for facts that tell none", code == 200 and len(text.splitlines()) == 2, text)


def limits():
    server = Server("-r", "@count.yaml", "--max-body", "1000", "--max-firings", "100", "--max-facts", "3",
                    files={"count.yaml": COUNT})
    code, _, problem = server.evaluate({"ruleset": "count", "facts": [{"type": "counter", "n": 0, "end": 101}]})
    check("most firings", code == 422 and problem["code"] == "FB4012", problem)
    code, _, problem = server.evaluate({"ruleset": "count", "facts": [{"type": "a"}] * 4})
    check("most facts", code == 422 and problem["code"] == "FB4012", problem)
    code, _, problem = server.evaluate({"ruleset": "count", "facts": ["x" * 2000]})
    check("a body that says it is too long", code == 413 and problem["code"] == "FB1707", problem)
    code, _, problem = server.evaluate((b" " * 100 for _ in range(20)), headers=JSON)
    check("one that turns out to be", code == 413, problem)
    same("it ends", server.end(), 0)


# ── Rulesets ──

def rulesets(server):
    code, headers, body = server.ask("PUT", "/v1/rulesets/prices", FLAT.encode())
    check("a new one", code == 201 and body["version"] == 1 and headers["ETag"] == f'"{body["hash"]}"', body)
    same("its hash is that of its text", body["hash"], hashlib.sha256(FLAT.encode()).hexdigest())
    tag = headers["ETag"]
    code, _, body = server.ask("PUT", "/v1/rulesets/prices", FLAT.encode())
    check("the same again is the same version", code == 200 and body["version"] == 1, body)
    code, _, body = server.ask("PUT", "/v1/rulesets/prices", FLAT.replace("100.0", "200.0").encode(), {"If-Match": tag})
    check("another text is another version", code == 200 and body["version"] == 2, body)
    code, _, body = server.ask("PUT", "/v1/rulesets/prices", SHOP.encode(), {"If-Match": tag})
    check("not over somebody else's change", code == 412 and body["code"] == "FB1713", body)
    code, _, body = server.ask("PUT", "/v1/rulesets/none", SHOP.encode(), {"If-Match": "*"})
    check("not where there is none", code == 412, body)
    fact = {"type": "order", "id": 1, "amount": 150.0}
    count = [len(server.evaluate({"ruleset": "prices", "facts": [fact], **more})[2]["decisions"])
             for more in ({}, {"version": 1}, {"version": 2})]
    same("versions decide on their own", count, [0, 1, 0])
    code, headers, body = server.ask("GET", "/v1/rulesets/prices")
    check("its text comes back", body["source"] == FLAT.replace("100.0", "200.0") and body["members"][0]["name"] == "large", body)
    code, _, body = server.ask("GET", "/v1/rulesets/prices?version=1", headers={"Accept": "application/yaml"})
    same("an old one as it was sent", body, FLAT.encode())
    code, _, _ = server.ask("GET", "/v1/rulesets/prices", headers={"If-None-Match": headers["ETag"]})
    same("unchanged", code, 304)
    code, _, body = server.ask("PUT", "/v1/rulesets/prices", b"rules: [{name: x}]")
    check("one that does not load changes nothing", code == 422 and server.ask("GET", "/v1/rulesets/prices")[2]["version"] == 2, body)
    code, _, body = server.ask("PUT", "/v1/rulesets/a%20b", FLAT.encode())
    check("a name that is none", code == 400, body)
    names = [entry["name"] for entry in server.ask("GET", "/v1/rulesets")[2]["rulesets"]]
    same("listed in order", names, sorted(names))
    same("gone", [server.ask("DELETE", "/v1/rulesets/prices")[0] for _ in range(2)], [204, 404])


def swapping(server):
    """Decisions are of one version or of the other, while it is replaced all the time."""
    books = [FLAT.replace("emit: large", f"emit: v{i}") for i in range(2)]
    stop, wrong, done = threading.Event(), [], [0]

    def clients():
        connection = server.connect()
        while not stop.is_set():
            code, _, body = server.evaluate({"ruleset": "swap", "facts": [{"type": "order", "id": 1, "amount": 500.0}] * 3},
                                            connection=connection)
            kinds = {d["decision"] for d in body.get("decisions", [])}
            done[0] += 1
            if code != 200 or len(body["decisions"]) != 3 or len(kinds) != 1:
                wrong.append(body)
    server.ask("PUT", "/v1/rulesets/swap", books[0].encode())
    threads = [threading.Thread(target=clients) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(100):
        server.ask("PUT", "/v1/rulesets/swap", books[i % 2].encode())
    stop.set()
    for thread in threads:
        thread.join()
    check("replaced under load", not wrong and done[0] > 0, wrong[:1])


# ── Sessions ──

def sessions(server):
    code, headers, body = server.ask("POST", "/v1/sessions", {"ruleset": "shop"})
    at = headers["Location"]
    check("made", code == 201 and at == f"/v1/sessions/{body['id']}" and body["facts"] == 0, body)
    code, _, body = server.ask("POST", f"{at}/facts", [{**FACTS[0], "amount": 5}, FACTS[1], {"type": "order", "x": 1}])
    check("facts with their ids", code == 200 and body["facts"] == ["1", "2", None] and body["errors"][0]["code"] == "FB2302", body)
    code, _, body = server.ask("PATCH", f"{at}/facts/1?explain=true", {"amount": 20000})
    check("modified, and decided", [d["decision"] for d in body["decisions"]] == ["hold"] and "why" in body["decisions"][0], body)
    body = server.ask("GET", f"{at}/facts?type=review&where=fact.order%20%3D%3D%20%22o1%22")[2]
    same("what the rules made", body["facts"], [{"fact": "3", "type": "review", "fields": {"order": "o1", "why": "big order"}}])
    same("so many at most", server.ask("GET", f"{at}/facts?limit=2")[2]["more"], True)
    code, _, body = server.ask("GET", f"{at}/facts?where=fact.")
    check("a condition that is none", code == 422, body)
    body = server.ask("DELETE", f"{at}/facts/3")[2]
    same("retracted: the rule fires again", [d["decision"] for d in body["decisions"]], ["hold"])
    for path in ("99", "x", "0", "99999999999999999999999"):
        check(f"no fact {path}", server.ask("DELETE", f"{at}/facts/{path}")[0] == 404)
    body = server.ask("POST", f"{at}/facts?fire=false", {"type": "order", "id": "o2", "customer": "c1", "amount": 90000})[2]
    same("not fired yet", (len(body["decisions"]), server.ask("GET", at)[2]["waiting"]), (0, 1))
    body = server.ask("POST", f"{at}/facts", [])[2]
    same("fired with the next change", len(body["decisions"]), 1)
    server.ask("DELETE", "/v1/rulesets/temporary")
    check("listed", any(entry["id"] in at for entry in server.ask("GET", "/v1/sessions")[2]["sessions"]))
    same("gone", [server.ask("DELETE", at)[0], server.ask("GET", at)[0]], [204, 404])


def session_threads(server):
    at = server.ask("POST", "/v1/sessions", {"ruleset": "shop"})[1]["Location"]

    def work(number):
        connection = server.connect()
        for i in range(50):
            server.ask("POST", f"{at}/facts", {"type": "order", "id": f"{number}-{i}", "amount": 1}, connection=connection)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same("six clients on one session", server.ask("GET", at)[2]["facts"], 300)
    server.ask("DELETE", at)


def clocks(server):
    """Windows let go of facts by the facts' own times, or by the time that the client tells."""
    server.ask("PUT", "/v1/rulesets/window", WINDOW.encode())
    users = [{"type": "user", "id": who, "active": True} for who in ("fast", "slow")]
    logins = [{"type": "login", "user": "fast", "at": f"2026-01-01T00:00:{10 * i:02}Z"} for i in range(3)]
    logins += [{"type": "login", "user": "slow", "at": f"2026-01-01T00:{5 * i + 5:02}:00Z"} for i in range(3)]
    body = server.evaluate({"ruleset": "window", "facts": users + logins})[2]
    check("the clock goes along with the facts", [d["fields"] for d in body["decisions"]] == [{"user": "fast"}] and
          body["stats"]["firings"] == 1, body)
    lines = b"\n".join(json.dumps(fact).encode() for fact in users + logins)
    text = server.ask("POST", "/v1/evaluate?ruleset=window", lines, LINES)[2].splitlines()
    same("with lines too", [json.loads(line)["fields"] for line in text[:-1]], [{"user": "fast"}])
    code, _, body = server.evaluate({"ruleset": "window", "now": "soon", "facts": []})
    check("a time that is none", code == 400, body)
    at = server.ask("POST", "/v1/sessions", {"ruleset": "window"})[1]["Location"]
    server.ask("POST", f"{at}/facts", users)
    for i, want in enumerate((0, 0, 1)):
        body = server.ask("POST", f"{at}/facts?now=2026-01-01T00:00:{10 * i + 1:02}Z", logins[i])[2]
        check(f"in a session, login {i + 1}", len(body["decisions"]) == want and body["firings"] == want, body)
    for i in range(3, 6):
        body = server.ask("POST", f"{at}/facts?now=2026-01-01T00:{5 * (i - 2):02}:01Z", logins[i])[2]
        check(f"let go of, login {i - 2}", not body["decisions"], body)
    code, _, body = server.ask("POST", f"{at}/facts?now=2026-01-01T00:00:00Z", [])
    check("the clock does not go back", code == 422, body)
    server.ask("DELETE", at)
    server.ask("DELETE", "/v1/rulesets/window")


# ── Who may, and how much ──

def roles():
    tokens = "".join(f"{role} {role[:3]} {hashlib.sha256(role.encode()).hexdigest()}\n" for role in ("viewer", "operator", "admin"))
    server = Server("-r", "@shop.yaml", "--tokens", "@tokens", listen="0.0.0.0:0", files={"shop.yaml": SHOP, "tokens": "# who\n\n" + tokens})
    server.host = "127.0.0.1"
    asks = [("GET", "/v1/rulesets", None), ("POST", "/v1/evaluate", {"ruleset": "shop", "facts": []}),
            ("PUT", "/v1/rulesets/x", FLAT.encode())]
    got = {who: [server.ask(*ask, headers={"Authorization": f"Bearer {who}"} if who else {})[0] for ask in asks]
           for who in ("", "wrong", "viewer", "operator", "admin")}
    same("roles", got, {"": [401] * 3, "wrong": [401] * 3, "viewer": [200, 403, 403], "operator": [200, 200, 403],
                        "admin": [200, 200, 201]})
    who = {token: server.ask("GET", "/v1/me", headers={"Authorization": f"Bearer {token}"} if token else {})[2] for token in ("", "wrong", "operator")}
    same("who asks", [(one["name"], one["role"], one["open"]) for one in who.values()], [("", "none", False)] * 2 + [("ope", "operator", False)])
    same("health needs no token", server.ask("GET", "/healthz")[0], 200)
    same("what is asked for", server.ask("GET", "/metrics")[1]["WWW-Authenticate"], "Bearer")
    same("it ends", server.end(), 0)
    for name, options, listen, code, text in (
            ("public without tokens", (), "0.0.0.0:0", 4, "FB1701"),
            ("tokens that are none", ("--tokens", "@tokens"), "127.0.0.1:0", 2, "line 1 of the tokens"),
            ("an address that is none", (), "here", 2, "FB1702"),
            ("a rulebook that does not load", ("-r", "@tokens"), "127.0.0.1:0", 3, "FB2")):
        server = Server(*options, listen=listen, files={"tokens": "boss me 12"})
        got = server.end()
        check(name, got == code and text in server.told, f"{got}: {server.told}")


def rates():
    server = Server("--rate", "5", files={})
    codes = [server.ask("GET", "/v1/rulesets") for _ in range(20)]
    late = [headers["Retry-After"] for code, headers, _ in codes if code == 429]
    check("so many a second", 8 <= len(late) <= 12 and set(late) == {"1"}, [code for code, _, _ in codes])
    same("health can always be asked", server.ask("GET", "/healthz")[0], 200)
    server.end()
    server = Server("--max-busy", "1", "--max-time", "3s", "-r", "@count.yaml", files={"count.yaml": COUNT})
    thread = threading.Thread(target=server.evaluate, args=({"ruleset": "count", "facts": [{"type": "counter", "n": 0, "end": 10**9}]},))
    thread.start()
    time.sleep(0.3)
    code, headers, problem = server.ask("GET", "/v1/rulesets")
    check("so many at once", code == 503 and headers["Retry-After"] == "1" and problem["code"] == "FB1711", problem)
    thread.join()
    same("and then again", server.ask("GET", "/v1/rulesets")[0], 200)
    server.end()


# ── Ways in ──

class LocalConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ways():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        server = Server("-r", "@shop.yaml", listen=f"unix:{path}", files={"shop.yaml": SHOP})
        body = server.evaluate({"ruleset": "shop", "facts": FACTS}, connection=LocalConnection(path))[2]
        same("a Unix socket", len(body["decisions"]), 1)
        second = Server(listen=f"unix:{path}")
        check("that is taken", second.end() == 4 and "FB1701" in second.told, second.told)
        server.process.kill()
        server.end()
        server = Server(listen=f"unix:{path}")
        same("one left behind is replaced", server.ask("GET", "/healthz", connection=LocalConnection(path))[0], 200)
        server.end()
        check("its file goes with it", not os.path.exists(path))
    server = Server(listen="[::1]:0")
    if server.url:
        same("IPv6", server.ask("GET", "/healthz")[0], 200)
    server.end()
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, "key"), os.path.join(folder, "cert")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        server = Server("--tls-key", key, "--tls-certificate", certificate)
        context = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection(server.host, server.port, context=context)
        same("TLS", server.ask("GET", "/healthz", connection=connection)[0], 200)
        server.end()
        server = Server("--tls-key", key)
        same("a key without a certificate", server.end(), 2)


def telling():
    server = Server("--log-level", "debug", "-r", "@shop.yaml", files={"shop.yaml": SHOP})
    server.evaluate({"ruleset": "shop", "facts": FACTS}, headers={
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-Id": "r1"})
    text = server.ask("GET", "/metrics")[2].decode()
    check("requests are counted", 'flyball_http_requests_total{method="POST",route="/v1/evaluate",status="2xx"} 1' in text and
          "flyball_decisions_total 1" in text, text)
    kind = server.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})[1]["Content-Type"]
    check("OpenMetrics", kind.startswith("application/openmetrics-text"), kind)
    server.end()
    line = next((json.loads(line) for line in server.told.splitlines() if '"r1"' in line), {})
    check("a line a request, with its trace", line.get("trace") == "0af7651916cd43dd8448eb211c80319c" and line.get("status") == "200",
          server.told)


def ending():
    server = Server("-r", "@count.yaml", "--max-time", "20s", files={"count.yaml": COUNT})
    answers = []
    body = {"ruleset": "count", "facts": [{"type": "counter", "n": 0, "end": 400000}]}
    thread = threading.Thread(target=lambda: answers.append(server.evaluate(body)))
    thread.start()
    time.sleep(0.1)
    server.process.send_signal(signal.SIGTERM)
    thread.join()
    check("what is under way is answered", answers and answers[0][0] == 200 and answers[0][2]["stats"]["firings"] == 400001, answers)
    same("then it ends", (server.process.wait(timeout=30), server.end()), (0, 0))
    server = Server("-r", "@book.yaml", files={"book.yaml": FLAT})
    fact = {"ruleset": "book", "facts": [{"type": "order", "id": 1, "amount": 150.0}]}
    counts = [len(server.evaluate(fact)[2]["decisions"])]
    for text in (FLAT.replace("100.0", "200.0"), "rules: 7"):
        with open(server.path("book.yaml"), "w", encoding="utf-8") as file:
            file.write(text)
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        counts.append(len(server.evaluate(fact)[2]["decisions"]))
    same("SIGHUP reads the rulebooks again; a broken one changes nothing", counts, [1, 0, 0])
    server.end()


def bingo(server):
    """The examples of its documents, and what its rules mean."""
    own = {"rules": [{"id": "r", "name": "n", "conditions": [{"type": "simple", "field": "qty", "operator": "greater_than", "value": 3}],
                      "actions": [{"type": "set_field", "field": "big", "value": True}], "enabled": True, "tags": [],
                      "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}],
           "facts": [{"id": "f", "data": {"qty": 5}, "created_at": "2025-01-01T00:00:00Z"}]}
    code, headers, body = server.ask("POST", "/evaluate", own)
    check("its own example", code == 200 and body["results"] == [{"rule_id": "r", "fact_id": "f", "actions_executed": [{"type": "field_set", "field": "big", "value": True}]}] and
          (body["rules_processed"], body["facts_processed"], body["rules_fired"], body["request_id"]) == (1, 1, 1, headers["X-Request-Id"]), body)

    def fired(conditions, data, **more):
        rule = {"id": "r", "name": "n", "conditions": conditions, "actions": [{"type": "log", "level": "info", "message": "m"}], **more}
        answer = server.ask("POST", "/evaluate", {"rules": [rule], "facts": [{"id": f"f{i}", "data": one} for i, one in enumerate(data)]})
        return [int(result["fact_id"][1:]) for result in answer[2]["results"]] if answer[0] == 200 else answer[2]

    def simple(operator, value, field="x"):
        return {"type": "simple", "field": field, "operator": operator, "value": value}

    data = [{"x": 1}, {"x": 5}, {"x": 5.5}, {"x": "five"}, {"x": True}, {"y": 5}, {"x": None, "y": 1}, {"x": [5]}]
    cases = [("equal", 5, [1]), ("not_equal", 5, [0, 2, 3, 4, 7]), ("greater_than", 4, [1, 2]), ("less_than", 5.5, [0, 1]), ("greater_than_or_equal", 5.5, [2]),
             ("less_than_or_equal", 1, [0]), ("equal", "five", [3]), ("contains", "iv", [3]), ("starts_with", "fi", [3]), ("ends_with", "ve", [3]), ("equal", True, [4]), ("GreaterThan", "a", [3])]
    for operator, value, want in cases:
        same(f"{operator} {value!r}", fired([simple(operator, value)], data), want)
    same("all conditions of a rule", fired([simple("greater_than", 1), simple("less_than", 5.2)], data), [1])
    same("or", fired([{"type": "complex", "operator": "or", "conditions": [simple("equal", 1), simple("equal", 5, "y")]}], data), [0, 5])
    same("not: none of them", fired([{"type": "complex", "operator": "not", "conditions": [simple("equal", 1), simple("equal", 5, "y")]}], data), [1, 2, 3, 4, 6, 7])
    same("any text is a field's name", fired([simple("equal", 1, 'a b."c')], [{'a b."c': 1}, {"a": 1}]), [0])
    same("what is not enabled does not fire", fired([simple("equal", 1)], data, enabled=False), [])
    same("many fields beside those that rules look at", fired([simple("equal", 1)], [{"x": 1, **{f"k{i}": i for i in range(1000)}}]), [0])
    rules = [{"id": f"id{i}", "name": "n", "priority": i, "conditions": [simple("greater_than", 0, "a")], "actions": [
        {"type": "call_calculator", "calculator_name": "multiply", "input_mapping": {"a": "a", "b": "b"}, "output_field": "c"},
        {"type": "create_fact", "data": {"z": i}}]} for i in range(2)]
    body = server.ask("POST", "/rulesets", {"ruleset_id": "kept", "rules": rules, "ttl_seconds": 60})[2]
    check("rules are registered", body["compiled"] is True and body["rule_count"] == 2 and body["ttl_seconds"] == 60 and len(body["ruleset_hash"]) == 64, body)
    same("an id is taken", (lambda a: (a[0], a[2]["code"]))(server.ask("POST", "/rulesets", {"ruleset_id": "kept", "rules": rules})), (409, "RULESET_EXISTS"))
    body = server.ask("POST", "/evaluate", {"ruleset_id": "kept", "facts": [{"id": "x", "data": {"a": 6, "b": 7}}]})[2]
    same("by priority, with calculators", [(r["rule_id"], r["actions_executed"][0]["result"], r["actions_executed"][1]["fact_data"]) for r in body["results"]],
         [("id1", "42", {"fields": {"z": 1}}), ("id0", "42", {"fields": {"z": 0}})])
    broken = [({"ruleset_id": "none", "facts": [{"id": "x", "data": {"a": 1}}]}, 404, "RULESET_NOT_FOUND"), ({"facts": []}, 400, "VALIDATION_ERROR"), ({"ruleset_id": "kept", "facts": []}, 400, "VALIDATION_ERROR"),
              ({"ruleset_id": "kept", "facts": [{"id": "x", "data": {}}]}, 400, "VALIDATION_ERROR"), ({"rules": [{"id": "x"}], "facts": own["facts"]}, 400, "RULE_CONVERSION_ERROR"),
              ({"ruleset_id": "kept", "facts": [{"id": "x", "data": {"a": 1}}]}, 400, "EVALUATION_ERROR")]
    for body, want, name in broken:
        code, _, answer = server.ask("POST", "/evaluate", body)
        check(f"{name}: {json.dumps(body)[:60]}", (code, answer.get("code")) == (want, name), answer)
    same("no time to live", server.ask("POST", "/rulesets", {"ruleset_id": "z", "rules": rules, "ttl_seconds": 0})[0], 400)
    server.ask("POST", "/rulesets", {"ruleset_id": "short", "rules": rules, "ttl_seconds": 1})
    time.sleep(1.2)
    same("its time is over", server.ask("POST", "/evaluate", {"ruleset_id": "short", "facts": own["facts"]})[0], 404)
    cache = server.ask("GET", "/cache/stats")[2]["cache"]
    check("figures of what is kept", cache["total_entries"] == 1 and cache["expired_entries"] == 1 and cache["cache_hits"] >= 2 and 0 < cache["hit_rate"] < 1 and cache["average_compilation_time_ms"] > 0, cache)
    stats = server.ask("GET", "/engine/stats")[2]
    check("of the engine", stats["total_rules"] == 2 and stats["network_nodes"] == 2 and stats["total_facts"] > 50, stats)
    health = server.ask("GET", "/health")[2]
    check("health", health["status"] == "healthy" and health["engine_stats"] == stats, health)


class Zstd:
    """The library itself: Python has no module for it."""

    def __init__(self):
        self.lib = ctypes.CDLL("libzstd.so.1")
        for name in ("ZSTD_compress", "ZSTD_decompress", "ZSTD_compressBound"):
            getattr(self.lib, name).restype = ctypes.c_size_t

    def compress(self, data):
        size = self.lib.ZSTD_compressBound(ctypes.c_size_t(len(data)))
        out = ctypes.create_string_buffer(size)
        length = self.lib.ZSTD_compress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)), 3)
        return out.raw[:length]

    def decompress(self, data, most=64 << 20):
        out = ctypes.create_string_buffer(most)
        length = self.lib.ZSTD_decompress(out, ctypes.c_size_t(most), data, ctypes.c_size_t(len(data)))
        return out.raw[:length]


def compressed(server):
    zstd = Zstd()
    facts = b"".join(b'{"type":"order","id":%d,"amount":%d.5}\n' % (i, i % 200) for i in range(100000))
    path, plain = "/v1/evaluate?ruleset=flat", []
    want = None
    for name, press, expand in (("identity", bytes, bytes), ("gzip", gzip.compress, gzip.decompress), ("zstd", zstd.compress, zstd.decompress)):
        code, headers, body = server.ask("POST", path, press(facts), {**LINES, "Content-Encoding": name, "Accept-Encoding": name})
        if code != 200:
            check(f"{name} is understood", False, body)
            continue
        lines = expand(body).splitlines()
        same(f"{name}: a body in, a body out", (code, headers.get("Content-Encoding", "identity"), len(lines)), (200, name, 100000 // 2 + 1))
        plain.append(sorted(lines[:-1]))
        check(f"{name}: it is shorter", name == "identity" or len(body) < len(expand(body)) / 5, len(body))
    check("whatever the coding, the same decisions", plain[0] == plain[1] == plain[2])
    same("two members are one body", server.ask("POST", path, gzip.compress(facts[:facts.index(b"\n", 5000) + 1]) + gzip.compress(facts[facts.index(b"\n", 5000) + 1:]),
                                                {**LINES, "Content-Encoding": "gzip"})[2].count(b"\n"), 100000 // 2 + 1)
    whole = gzip.compress(b'{"ruleset":"shop","facts":[]}')
    cases = [("a body that breaks off", whole[:-4], "gzip", 400), ("what is no gzip", b"x" * 100, "gzip", 400), ("rubbish after it", whole + b"rubbish", "gzip", 400),
             ("what is no zstd", b"x" * 100, "zstd", 400), ("a coding that is none", whole, "br", 415), ("two codings", whole, "gzip, zstd", 415),
             ("a bomb", gzip.compress(b" " * (200 << 20)), "gzip", 413), ("a bomb of zstd", zstd.compress(b" " * (15 << 20)), "zstd", 413), ("an empty one", b"", "gzip", 400)]
    before = server.grown()
    for name, body, coding, code in cases:
        answer = server.ask("POST", "/v1/evaluate", body, {**JSON, "Content-Encoding": coding})
        check(name, answer[0] == code, answer)
    check("bombs take no memory", server.grown() - before < 64 << 10, server.grown() - before)
    for header, coding in (("gzip;q=0, zstd;q=0", None), ("br", None), ("zstd, gzip", "zstd"), ("gzip;q=0.5", "gzip"), ("GZIP", "gzip"), ("", None)):
        same(f"Accept-Encoding: {header}", server.ask("GET", "/v1/openapi.json", headers={"Accept-Encoding": header}, raw=True)[1].get("Content-Encoding"), coding)
    same("short answers are not", server.ask("GET", "/healthz", headers={"Accept-Encoding": "gzip"})[1].get("Content-Encoding"), None)


def foreign(server):
    """What a browser sends for a page of another site."""
    cases = [({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Host": "evil.example"}, 403), ({"Host": "evil.example:80", "Origin": "http://evil.example:80"}, 403),
             ({"Origin": f"http://127.0.0.1:{server.port}"}, 200), ({"Host": "localhost"}, 200), ({"Host": "[::1]:80"}, 200), ({"Host": "1.2.3.4.evil.example"}, 403), ({"Host": "[::1].evil.example"}, 403)]
    for headers, want in cases:
        code, _, body = server.ask("GET", "/v1/rulesets", headers=headers)
        check(f"{headers}: {want}", code == want and (code == 200 or body["code"] == "FB7031"), body)
    same("whether it is alive may be asked under any name", server.ask("GET", "/healthz", headers={"Host": "pod.example"})[0], 200)


def greedy():
    server = Server("-r", "@count.yaml", "--max-client", "2", "--max-time", "3s", files={"count.yaml": COUNT})
    body = {"ruleset": "count", "facts": [{"type": "counter", "n": 0, "end": 10**9}]}
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(server.evaluate(body)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same("two at once of one client", sorted(codes), [422, 422, 429, 429])
    same("and again when they are done", server.evaluate({"ruleset": "count", "facts": []})[0], 200)
    server.end()


def sleeping():
    """Sessions outlive the server, also one that is killed, up to the last snapshot."""
    folder = tempfile.mkdtemp()
    options = ("--state", folder + "/state", "--snapshot", "1s")
    server = Server("-r", "@shop.yaml", *options, files={"shop.yaml": SHOP})
    held = [server.ask("POST", "/v1/sessions", {"ruleset": "shop"})[2]["id"] for _ in range(3)]
    server.ask("POST", f"/v1/sessions/{held[0]}/facts", FACTS[0])
    server.ask("DELETE", f"/v1/sessions/{held[2]}")
    same("it ends", server.end(), 0)
    server = Server(*options)
    listed = {s["id"] for s in server.ask("GET", "/v1/sessions")[2]["sessions"]}
    same("sessions are there again, without rules being given", listed, set(held[:2]))
    body = server.ask("POST", f"/v1/sessions/{held[0]}/facts?explain=true", FACTS[1])[2]
    check("and go on where they stood", [d["decision"] for d in body["decisions"]] == ["hold"] and body["facts"] == ["2"], body)
    time.sleep(2.5)
    server.ask("POST", f"/v1/sessions/{held[1]}/facts", FACTS[0])  # after the snapshot
    same("killed", server.end(signal.SIGKILL), -9)
    server = Server(*options)
    same("what was kept is there", server.ask("GET", f"/v1/sessions/{held[0]}")[2]["facts"], 3)
    check("at most a snapshot is lost", server.ask("GET", f"/v1/sessions/{held[1]}")[2]["facts"] in (0, 1))
    server.ask("PUT", "/v1/rulesets/shop", FLAT.encode(), {"Content-Type": "application/yaml"})
    server.ask("DELETE", "/v1/rulesets/shop")
    server.end()
    with open(f"{folder}/state/sessions/{'0' * 32}", "wb") as file:
        file.write(b'{"ruleset":"shop","hash":"x","file":"f","version":1,"text":7}\nrules:\nFBSNAP garbage')
    server = Server(*options)
    same("without the ruleset too", server.ask("GET", f"/v1/sessions/{held[0]}")[2]["facts"], 3)
    same("one that is damaged is left out", server.ask("GET", f"/v1/sessions/{'0' * 32}")[0], 404)
    server.end()
    check("which is told", "cannot be restored" in server.told, server.told)


def hostile(server):
    """Nothing that comes over the wire may end it, or hold up others."""
    draw = random.Random(7)
    good = b"POST /v1/evaluate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n" + b'{"ruleset":"shop","facts":[]} '
    kept = []
    for _ in range(300):
        data = bytearray(good)
        for _ in range(draw.randrange(1, 8)):
            at = draw.randrange(len(data))
            how = draw.randrange(3)
            if how == 0:
                data[at] = draw.randrange(256)
            elif how == 1:
                del data[at:at + draw.randrange(20)]
            else:
                data[at:at] = bytes(draw.randrange(256) for _ in range(draw.randrange(20)))
        try:
            link = socket.create_connection((server.host, server.port), timeout=5)
            link.sendall(bytes(data))
            if draw.randrange(2):
                link.close()  # in the middle
            else:
                kept.append(link)  # stalls
        except OSError:
            pass
    same("after garbage, cuts and stalls", server.evaluate({"ruleset": "shop", "facts": FACTS})[0], 200)
    for link in kept:
        link.close()
    for _ in range(50):  # the end comes together with what was before it
        link = socket.create_connection((server.host, server.port), timeout=5)
        link.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + b"{" * 500)
        link.close()
    time.sleep(0.5)
    busy = re.search("^flyball_http_busy (.*)$", server.ask("GET", "/metrics")[2].decode(), re.M).group(1)
    same("who goes away in the middle is not waited for", busy, "1")
    link = socket.create_connection((server.host, server.port), timeout=5)
    link.sendall(b"POST /v1/evaluate?ruleset=flat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5000)
    link.close()
    same("a body that breaks off", server.ask("GET", "/healthz")[0], 200)
    code, _, _ = server.ask("GET", "/" + "a" * 20000)
    check("a path without end", code in (404, 414, 431), code)
    check("it runs on", server.process.poll() is None)


def main():
    server = Server("-r", "@shop.yaml", "-r", "flat=@flat.yaml", "-r", "@count.yaml", "--max-time", "8s",
                    files={"shop.yaml": SHOP, "flat.yaml": FLAT, "count.yaml": COUNT})
    for part in (routes, health, evaluating, inline, refusing, late, streaming, rulesets, swapping, sessions, session_threads, clocks, bingo, compressed, foreign, hostile):
        part(server)
    same("it ends", server.end(), 0)
    for part in (limits, greedy, sleeping, roles, rates, ways, telling, ending):
        part()
    kept_contract(300)
    return done()


sys.exit(main())
