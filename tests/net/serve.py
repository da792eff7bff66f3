#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a program beside an HTTP server, an HTTPS server and a proxy of its own: serve.py PROGRAM [ARGUMENT…].

The program finds them in FLYBALL_TEST_HTTP, FLYBALL_TEST_HTTPS, FLYBALL_TEST_PROXY (addresses without a path) and the
authority that signed the HTTPS server's certificate in FLYBALL_TEST_CA. What the servers answer is told by the path."""
import gzip
import http.server
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import parse_qs, urlsplit

counts = {}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def answer(self, code, body=b"", headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def any(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        url = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(url.query).items()}
        with lock:
            counts[url.path] = counts.get(url.path, 0) + 1
        name = "path_" + url.path.strip("/").split("/")[0]
        getattr(self, name, self.path_none)(url.path.strip("/").split("/")[1:])

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_PROPFIND = any

    def path_none(self, _):
        self.answer(404, b"nothing here\n")

    def path_echo(self, _):
        body = {"method": self.command, "path": self.path, "body": self.body.decode("latin-1"),
                "headers": {k.lower(): v for k, v in self.headers.items()}}
        self.answer(200, json.dumps(body).encode(), [("Content-Type", "application/json"), ("X-Empty", "")])

    def path_status(self, rest):
        headers = [("Retry-After", self.query["after"])] if "after" in self.query else []
        self.answer(int(rest[0]), b"", headers)

    def path_slow(self, rest):
        time.sleep(int(rest[0]) / 1000)
        self.answer(200, b"slow")

    def path_redirect(self, rest):
        left = int(rest[0])
        self.answer(302, b"old", [("Location", f"/redirect/{left - 1}" if left > 1 else "/echo")])

    def path_to(self, _):
        self.answer(302, b"", [("Location", self.query["url"])])

    def path_big(self, rest):
        self.answer(200, b"x" * int(rest[0]))

    def path_gzip(self, rest):
        self.answer(200, gzip.compress(b"y" * int(rest[0])), [("Content-Encoding", "gzip")])

    def path_chunked(self, _):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    def path_cut(self, _):  # promises more than it sends
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"only this")
        self.wfile.flush()
        self.close_connection = True

    def path_reset(self, _):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def path_garbage(self, _):
        self.wfile.write(b"\x00\x01 what is this\r\n\r\n")
        self.close_connection = True

    def path_headers(self, rest):
        self.answer(200, b"", [(f"X-Header-{i}", "v" * 1000) for i in range(int(rest[0]))])

    def path_flaky(self, rest):  # fails until it was asked N times
        self.answer(200 if counts[urlsplit(self.path).path] >= int(rest[0]) else 503, b"flaky")

    def path_count(self, rest):
        with lock:
            body = str(counts.get("/" + "/".join(rest), 0))
        self.answer(200, body.encode())

    def path_private(self, _):
        good = self.headers.get("Authorization") == "Basic dXNlcjpwYTpzcw=="  # user:pa:ss
        self.answer(200 if good else 401, b"secret" if good else b"",
                    () if good else [("WWW-Authenticate", 'Basic realm="x"')])


class Proxy(Handler):
    def any(self):
        self.answer(200, ("by proxy: " + self.path).encode())

    do_GET = do_POST = any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass


def certificate(folder):
    def run(*words):
        subprocess.run(["openssl", *words], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
        "-subj", "/CN=Flyball tests", "-addext", "basicConstraints=critical,CA:TRUE")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    with open(os.path.join(folder, "extension"), "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "extension", "-out", "server.pem")


def start(handler, tls=None):
    server = Server(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"


def main():
    with tempfile.TemporaryDirectory() as folder:
        certificate(folder)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
        env = dict(os.environ, FLYBALL_TEST_HTTP=start(Handler), FLYBALL_TEST_HTTPS=start(Handler, tls),
                   FLYBALL_TEST_PROXY=start(Proxy), FLYBALL_TEST_CA=os.path.join(folder, "ca.pem"))
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            env.pop(name, None)
            env.pop(name.upper(), None)
        return subprocess.run(sys.argv[1:], env=env).returncode


if __name__ == "__main__":
    sys.exit(main())
