#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What lies in deploy/ holds together: tests/deploy/check.py FLYBALL ROOT. Prints TAP."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

FLYBALL, ROOT = os.path.abspath(sys.argv[1]), sys.argv[2]
passed = failed = 0


def check(name, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(f"{'ok' if good else 'not ok'} {passed + failed} - {name}", flush=True)
    if not good and detail != "":
        print("\n".join(f"# {line}" for line in str(detail)[:2000].split("\n")))


def read(name):
    with open(os.path.join(ROOT, "deploy", name), encoding="utf-8") as file:
        return file.read()


def documents(text):
    """Read by our own reader: one document at a time."""
    for part in re.split(r"(?m)^---$", text):
        done = subprocess.run([FLYBALL, "parse", "-"], input=part, capture_output=True, text=True)
        yield json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}


def options(words):
    """Are these options of `flyball serve`?"""
    known = subprocess.run([FLYBALL, "help", "serve"], capture_output=True, text=True).stdout
    return [word for word in words if word.startswith("--") and word not in re.findall(r"--[a-z-]+", known)]


def unit():
    text = read("flyball.service")
    command = re.search(r"ExecStart=/usr/bin/flyball serve (.*)", text).group(1).split()
    check("the unit's options are known", not options(command), options(command))
    check("it says when it is ready, reloads, is closed off", all(word in text for word in (
        "Type=notify", "ExecReload=", "StateDirectory=", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n",
        "SystemCallFilter=", "DynamicUser=yes")))
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        print("# systemd-analyze is not installed: not verified")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "flyball.service")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("/usr/bin/flyball", FLYBALL))
        done = subprocess.run([analyze, "verify", "--man=no", path], capture_output=True, text=True)
        own = [line for line in done.stderr.split("\n") if "flyball" in line]
        check("systemd-analyze verify", done.returncode == 0 and not own, done.stderr)


def container():
    text = read("Containerfile")
    entry = json.loads(re.search(r"ENTRYPOINT (\[.*\])", text).group(1))
    check("the image's options are known", not options(entry), options(entry))
    check("it is not root", re.search(r"(?m)^USER flyball$", text))
    libraries = subprocess.run(["ldd", FLYBALL], capture_output=True, text=True).stdout
    packages = {"libfyaml": "libfyaml0", "libuv": "libuv1", "libsqlite3": "libsqlite3-0", "libsodium": "libsodium23", "libpcre2-8": "libpcre2-8-0"}
    missing = [name for name, package in packages.items() if name in libraries and package not in text]
    check("the image has the libraries", not missing, missing)
    known = set(packages) | {"libc", "libm", "ld-linux-x86-64", "linux-vdso", "libpthread", "libdl"}
    others = [name for name in re.findall(r"(?m)^\s*/?(?:\S*/)?([\w.+-]+?)\.so", libraries) if name not in known and not re.match(r"lib(asan|ubsan|tsan|gcc_s|stdc)", name)]
    check("and needs no others", not others, others)


def kubernetes():
    found = list(documents(read("kubernetes.yaml")))
    kinds = [document.get("kind") for document in found]
    check("the manifests", kinds == ["StatefulSet", "Service", "Deployment", "Service", "HorizontalPodAutoscaler"], found)
    for document in found:
        if document["kind"] not in ("StatefulSet", "Deployment"):
            continue
        name, spec = document["metadata"]["name"], document["spec"]
        pod = spec["template"]["spec"]
        box = pod["containers"][0]
        check(f"{name}: selector and labels agree", spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"])
        check(f"{name}: probes", all(box[probe]["httpGet"]["path"] == path for probe, path in (
            ("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"))))
        check(f"{name}: options", not options(box["args"]), options(box["args"]))
        volumes = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        check(f"{name}: what is mounted is there", {mount["name"] for mount in box["volumeMounts"]} == volumes, volumes)
        check(f"{name}: closed off", box["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}} and pod["securityContext"]["runAsNonRoot"])
    services = [document["spec"]["selector"] for document in found if document["kind"] == "Service"]
    labels = [document["spec"]["selector"]["matchLabels"] for document in found if document["kind"] in ("StatefulSet", "Deployment")]
    check("services find them", services == labels, (services, labels))
    scaler = found[-1]["spec"]
    check("what is scaled is what holds nothing", scaler["scaleTargetRef"]["name"] == "flyball-evaluate" and scaler["minReplicas"] >= 2 and
          scaler["metrics"][0]["resource"]["name"] == "cpu", scaler)
    check("the loop is one", found[0]["spec"]["replicas"] == 1)


unit()
container()
kubernetes()
print(f"1..{passed + failed}")
sys.exit(1 if failed else 0)
