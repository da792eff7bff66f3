#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the metrics wing writes, read strictly and compared with what was recorded: check.py EMIT EXAMPLE. Prints TAP.

EMIT makes random registries. EXAMPLE is examples/c/metrics.c, built. With Debian's package `prometheus`, its
promtool reads the same texts.
"""
import json
import math
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import exposition  # noqa: E402

ROUNDS = 60
KINDS = ["counter", "gauge", "histogram"]
count = 0


def check(what, wrong, skip=None):
    global count
    count += 1
    print(f"{'not ok' if wrong else 'ok'} {count} - {what}" + (f" # SKIP {skip}" if skip else ""))
    for line in wrong[:20]:
        print("#", str(line)[:400])


def parts(seed):
    data = subprocess.run([sys.argv[1], str(seed)], check=True, capture_output=True).stdout
    found = []
    while data:
        length, data = data.split(b"\n", 1)
        found.append(data[:int(length)].decode("utf-8"))
        data = data[int(length):]
    assert len(found) == 6, len(found)
    return found


def hexadecimal(text):
    return float.fromhex(text)


def merge(family):
    """What was recorded to each label set; a set may have been drawn more than once."""
    series = {}
    for one in family["series"]:
        key = tuple(sorted(one["labels"].items()))
        if family["kind"] == 0:
            series[key] = series.get(key, 0) + one["add"]
        elif family["kind"] == 1:
            series[key] = hexadecimal(one["set"])
        else:
            series.setdefault(key, []).extend(hexadecimal(value) for value in one["record"])
    return series


def same(a, b):
    return a == b and math.copysign(1, a) == math.copysign(1, b) or math.isnan(a) and math.isnan(b)


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-12)


def compare_text(recorded, families, openmetrics):
    wrong = []
    for family in recorded:
        kind = KINDS[family["kind"]]
        name = family["name"] + ("_total" if kind == "counter" and not openmetrics else "")
        shown = families.pop(name, None)
        if shown is None:
            wrong.append(f"{name} is missing")
            continue
        if shown.type != kind or (shown.help or "") != family["help"]:
            wrong.append(f"{name}: {shown.type} {shown.help!r}")
        if openmetrics and (shown.unit or "") != family["unit"]:
            wrong.append(f"{name}: unit {shown.unit!r}")
        groups = dict(exposition.points(shown))
        expected = merge(family)
        if set(groups) != set(expected):
            wrong.append(f"{name}: {set(groups) ^ set(expected)}")
            continue
        for key, value in expected.items():
            wrong += compare_samples(name, kind, groups[key], value, family["bounds"])
    own = {name.removesuffix("_total") for name in families}
    if own != {"flyball_metrics_overflows", "flyball_metrics_rejected", "flyball_metrics_dropped"}:
        wrong.append(f"what are these? {own}")
    return wrong


def compare_samples(name, kind, samples, value, bounds):
    single = {suffix: text for suffix, _, text in samples if suffix != "_bucket"}
    if kind == "counter":
        text = single.get("_total", single.get(""))
        return [] if int(text) == value else [f"{name}: {text}, not {value}"]
    if kind == "gauge":
        return [] if same(exposition.number(single[""]), value) else [f"{name}: {single['']}, not {value}"]
    wrong = []
    buckets = [(exposition.number(found["le"]), int(text)) for suffix, found, text in samples if suffix == "_bucket"]
    if bounds and len(buckets) != bounds + 1:
        wrong.append(f"{name}: {len(buckets)} buckets for {bounds} bounds")
    if int(single["_count"]) != len(value) or not close(float(single["_sum"]), math.fsum(value)):
        wrong.append(f"{name}: count and sum {single}, not {len(value)} {math.fsum(value)}")
    for edge, text in buckets:
        if text != sum(v <= edge for v in value):
            wrong.append(f"{name}: {text} up to {edge}, not {sum(v <= edge for v in value)}")
    return wrong


def double(value):
    return float(value.replace("Infinity", "inf")) if isinstance(value, str) else float(value)


def compare_quantiles(name, one, values):
    wrong = []
    values = sorted(values)
    for key, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        exact = values[max(1, math.ceil(q * len(values))) - 1]
        if abs(one[key] - exact) > exact / 128 and 2**-30 < exact <= 2**50:
            wrong.append(f"{name}: {key} {one[key]}, not {exact}")
    return wrong


def strict_json(text):
    def refuse(word):
        raise ValueError(word)
    return json.loads(text, parse_constant=refuse)


def compare_json(recorded, text):
    wrong, shown = [], strict_json(text)
    if shown["type"] != "flyball.metrics.v1" or not re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", shown["time"]):
        wrong.append("head")
    metrics = {one["name"]: one for one in shown["metrics"]}
    for family in recorded:
        metric = metrics[family["name"]]
        if [metric["kind"], metric["unit"], metric["help"]] != [KINDS[family["kind"]], family["unit"], family["help"]]:
            wrong.append(f"{metric}")
        series = {tuple(sorted(one["labels"].items())): one for one in metric["series"]}
        expected = merge(family)
        if set(series) != set(expected):
            wrong.append(f"{family['name']}: {set(series) ^ set(expected)}")
            continue
        for key, value in expected.items():
            one = series[key]
            if family["kind"] < 2:
                fine = same(double(one["value"]), float(value)) if family["kind"] else one["value"] == value
                wrong += [] if fine else [f"{family['name']}: {one['value']}, not {value}"]
            elif one["count"] != len(value) or any(n != sum(v <= edge for v in value) for edge, n in one["buckets"]):
                wrong.append(f"{family['name']}: {one}")
            elif value:
                wrong += compare_quantiles(family["name"], one, value)
                if [one["min"], one["max"]] != [min(value), max(value)]:
                    wrong.append(f"{family['name']}: {one['min']} {one['max']}")
    return wrong


def compare_point(name, kind, point, value):
    if not re.fullmatch(r"\d{19}", point["timeUnixNano"]):
        return [f"{name}: time {point['timeUnixNano']}"]
    if kind == 1:
        return [] if same(double(point["asDouble"]), value) else [f"{name}: {point}, not {value}"]
    if not int(point["startTimeUnixNano"]) <= int(point["timeUnixNano"]):
        return [f"{name}: starts after its end"]
    if kind == 0:
        return [] if point["asInt"] == str(value) else [f"{name}: {point}, not {value}"]
    edges = [-math.inf] + point["explicitBounds"] + [math.inf]
    counts = [str(sum(a < v <= b for v in value)) for a, b in zip(edges, edges[1:])]
    if point["bucketCounts"] != counts or point["count"] != str(len(value)) or not close(point["sum"], math.fsum(value)):
        return [f"{name}: {point}, not {counts}"]
    return []


def compare_otlp(recorded, text):
    shown, wrong = strict_json(text), []
    (resource,) = shown["resourceMetrics"]
    if resource["resource"]["attributes"] != [{"key": "service.name", "value": {"stringValue": 'emit "1"'}}]:
        wrong.append(resource["resource"])
    (scope,) = resource["scopeMetrics"]
    metrics = {one["name"]: one for one in scope["metrics"]}
    units = {"": None, "seconds": "s", "bytes": "By", "ratio": "1"}
    for family in recorded:
        metric, name, kind = metrics[family["name"]], family["name"], family["kind"]
        if metric["description"] != family["help"] or metric.get("unit") != units.get(family["unit"], "{widgets}"):
            wrong.append(f"{name}: {metric}")
        body = metric[["sum", "gauge", "histogram"][kind]]
        if (body.get("aggregationTemporality"), body.get("isMonotonic")) != [(2, True), (None, None), (2, None)][kind]:
            wrong.append(f"{name}: {body}")
        series = {tuple(sorted((a["key"], a["value"]["stringValue"]) for a in point["attributes"])): point for point in body["dataPoints"]}
        expected = merge(family)
        if set(series) != set(expected) or len(series) != len(body["dataPoints"]):
            wrong.append(f"{name}: {set(series) ^ set(expected)}")
            continue
        for key, value in expected.items():
            wrong += compare_point(name, kind, series[key], value)
    return wrong


def read_text(recorded, text, openmetrics):
    try:
        return compare_text(recorded, exposition.parse(text, openmetrics), openmetrics)
    except exposition.Broken as problem:
        return [problem]


def promtool(text):
    """Exit code 3 is about style (no help, odd names), which random registries do not have; 1 is about the grammar."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    return [] if done.returncode in (0, 3) else (done.stdout + done.stderr).splitlines()


def reader_is_strict():
    """The reader refuses what is slightly wrong, else all the rest proves little."""
    good = '# HELP a_b x\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{l="\\"v"} 1\n# EOF\n'
    exposition.parse(good, True)
    changes = [("# EOF\n", ""), ("counter", "count"), ("a_b_total", "a_b"), ("a_b_total", "a_c_total"), ('\\"', '"'), ('"v"', '"v'),
               (" 1\n", " 1 \n"), (" 1\n", "  1\n"), (" 1\n", " 0x1\n"), (" 1\n", " -1\n"), (" 1\n", " NaN\n"), ("{", "{ "),
               ('v"}', 'v",}'), ("UNIT a_b b", "UNIT a_b c"), ("# TYPE a_b counter\n", ""), ("\n# EOF", "\n\n# EOF"),
               ("# EOF", 'a_b_total{l="\\"v"} 1\n# EOF'), ("\\", "\\x"), ("# HELP a_b x\n", "# HELP a_b x\n# HELP a_b x\n")]
    histogram = '# TYPE h histogram\nh_bucket{le="1.0"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n# EOF\n'
    exposition.parse(histogram, True)
    cases = [good.replace(*change, 1) for change in changes]
    cases += [histogram.replace(*change, 1) for change in
              [("} 1", "} 3"), ("count 2", "count 1"), ('"1.0"', '"1"'), ("+Inf", "2.0"), ("h_sum 3\n", ""), ('le="1.0"', 'l="1.0"')]]
    wrong = []
    for case in cases:
        try:
            exposition.parse(case, True)
            wrong.append(f"accepted: {case!r}")
        except (exposition.Broken, TypeError):
            pass
    return wrong


def example():
    done = subprocess.run([sys.argv[2]], capture_output=True, text=True, timeout=60)
    try:
        families = exposition.parse(done.stdout, False)
        fine = done.returncode == 0 and int(families["jobs_done_total"].samples[0][2]) > 0
        check("examples/c/metrics.c runs, and what it prints is read", [] if fine else [done.stdout, done.stderr])
    except (exposition.Broken, KeyError) as problem:
        check("examples/c/metrics.c runs, and what it prints is read", [problem, done.stderr])
    tool = shutil.which("promtool")
    check("promtool finds nothing in the example's metrics",
          [] if not tool or subprocess.run([tool, "check", "metrics"], input=done.stdout, text=True, capture_output=True).returncode == 0
          else ["promtool check metrics < its output"], None if tool else "no promtool")


def main():
    check("the reader refuses what is slightly wrong", reader_is_strict())
    wrong = {what: [] for what in ("Prometheus text", "OpenMetrics", "OpenMetrics with _created", "JSON", "OTLP", "promtool")}
    tool = shutil.which("promtool")
    for seed in range(ROUNDS):
        model, text, openmetrics, created, plain, otlp = parts(seed)
        recorded = json.loads(model)
        found = {
            "Prometheus text": read_text(recorded, text, False), "OpenMetrics": read_text(recorded, openmetrics, True),
            "OpenMetrics with _created": read_text(recorded, created, True), "JSON": compare_json(recorded, plain),
            "OTLP": compare_otlp(recorded, otlp), "promtool": promtool(text) if tool and seed < 10 else [],
        }
        for what, problems in found.items():
            wrong[what] += [f"seed {seed}: {problem}" for problem in problems]
    for what, problems in wrong.items():
        check(f"{what}: {ROUNDS} random registries say what was recorded", problems, "no promtool" if what == "promtool" and not tool else None)
    example()
    print(f"1..{count}")


main()
