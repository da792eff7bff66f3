# SPDX-License-Identifier: Apache-2.0
"""A strict reader of Prometheus text 0.0.4 and OpenMetrics 1.0: what Flyball may write, and nothing more lenient.

parse(text, openmetrics) returns {family: Family}; Broken is raised at the first thing that is wrong.
"""
import math
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
REAL = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
SUFFIXES = {"counter": {"_total", "_created"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum", "_created"}}


class Broken(Exception):
    pass


class Family:
    def __init__(self, name):
        self.name, self.type, self.help, self.unit = name, None, None, None
        self.samples = []  # (suffix, {label: value}, text of the number)


def unescape(text, quotes):
    known = {"\\": "\\", "n": "\n"}
    if quotes:
        known['"'] = '"'
    out, at = [], 0
    while at < len(text):
        if text[at] == "\\":
            if at + 1 == len(text) or text[at + 1] not in known:
                raise Broken(f"unknown escape in {text!r}")
            out.append(known[text[at + 1]])
            at += 2
            continue
        if quotes and text[at] == '"':
            raise Broken(f"bare quote in {text!r}")
        out.append(text[at])
        at += 1
    return "".join(out)


def labels(text, line):
    """text starts after '{'; returns the labels and what follows '}'."""
    found = {}
    while not text.startswith("}"):
        match = LABEL.match(text)
        if not match or not text[match.end():].startswith('="'):
            raise Broken(f"a label is expected: {line!r}")
        start = at = match.end() + 2
        while at < len(text) and text[at] != '"':
            at += 2 if text[at] == "\\" else 1
        if at >= len(text):
            raise Broken(f"a label's value does not end: {line!r}")
        if match.group() in found:
            raise Broken(f"a label twice: {line!r}")
        found[match.group()] = unescape(text[start:at], True)
        text = text[at + 1:]
        if text.startswith(","):
            text = text[1:]
            if text.startswith("}"):
                raise Broken(f"a comma before the brace: {line!r}")
        elif not text.startswith("}"):
            raise Broken(f"a comma is expected: {line!r}")
    if not found:
        raise Broken(f"empty braces: {line!r}")
    return found, text[1:]


def number(text):
    if text in ("NaN", "+Inf", "-Inf"):
        return float(text.replace("Inf", "inf"))
    if not REAL.fullmatch(text):
        raise Broken(f"no number: {text!r}")
    return float(text)


class Reader:
    def __init__(self, openmetrics):
        self.open = openmetrics
        self.families, self.family = {}, None

    def line(self, line):
        if line.startswith("#"):
            self.comment(line)
        elif line:
            self.sample(line)
        else:
            raise Broken("an empty line")

    def begin(self, name):
        """A comment about `name`: of the family at hand before its samples, or of a new one."""
        if self.family and self.family.name == name:
            if self.family.samples:
                raise Broken(f"{name}: a comment after samples")
            return
        if name in self.families:
            raise Broken(f"{name}: not in one piece")
        self.family = self.families[name] = Family(name)

    def comment(self, line):
        match = re.fullmatch(r"# (HELP|TYPE|UNIT) (\S+) (.*)", line)
        if not match or not NAME.fullmatch(match.group(2)):
            raise Broken(f"what comment is {line!r}?")
        word, name, rest = match.groups()
        if word == "UNIT" and not self.open:
            raise Broken("UNIT is not in 0.0.4")
        self.begin(name)
        if getattr(self.family, word.lower()) is not None:
            raise Broken(f"{word} of {name} twice")
        if word == "TYPE" and rest not in SUFFIXES:
            raise Broken(f"what type is {rest!r}?")
        if word == "UNIT" and not name.endswith("_" + rest):
            raise Broken(f"{name} does not end in its unit {rest}")
        setattr(self.family, word.lower(), unescape(rest, self.open) if word == "HELP" else rest)

    def sample(self, line):
        match = NAME.match(line)
        if not match or not self.family or not self.family.type:
            raise Broken(f"a sample without a TYPE before it: {line!r}")
        name, rest, found = match.group(), line[match.end():], {}
        if rest.startswith("{"):
            found, rest = labels(rest[1:], line)
        if not rest.startswith(" ") or " " in rest[1:]:
            raise Broken(f"one blank and one number are expected: {line!r}")
        number(rest[1:])
        # In 0.0.4 the family of a counter has the name of its samples.
        suffixes = SUFFIXES[self.family.type]
        if not self.open:
            suffixes = {""} if self.family.type == "counter" else suffixes - {"_created"}
        if not name.startswith(self.family.name) or name[len(self.family.name):] not in suffixes:
            raise Broken(f"{name} does not belong to {self.family.name}")
        self.family.samples.append((name[len(self.family.name):], found, rest[1:]))


def check_counts(family, openmetrics):
    for suffix, _, text in family.samples:
        value = number(text)
        if suffix == "_created" or family.type == "gauge":
            continue
        if not value >= 0 or math.isinf(value) and suffix != "_sum":
            raise Broken(f"{family.name}{suffix} is {text}")
    seen = set()
    for suffix, found, _ in family.samples:
        key = (suffix, tuple(sorted(found.items())))
        if key in seen:
            raise Broken(f"{family.name}{suffix} {found} twice")
        seen.add(key)


def points(family):
    """Samples of one label set, `le` aside, which must lie together: [(labels, [sample])]."""
    groups, seen = [], set()
    for sample in family.samples:
        key = tuple(sorted((k, v) for k, v in sample[1].items() if not (k == "le" and family.type == "histogram")))
        if not groups or groups[-1][0] != key:
            if key in seen:
                raise Broken(f"{family.name} {key}: not in one piece")
            seen.add(key)
            groups.append((key, []))
        groups[-1][1].append(sample)
    return groups


def check_histogram(family, openmetrics):
    for key, samples in points(family):
        buckets = [(found.get("le"), text) for suffix, found, text in samples if suffix == "_bucket"]
        single = {suffix: text for suffix, _, text in samples if suffix != "_bucket"}
        if [le for le, _ in buckets][-1:] != ["+Inf"] or "_count" not in single or "_sum" not in single:
            raise Broken(f"{family.name} {key}: a bucket +Inf, _count and _sum are needed")
        edges, counts = [number(le) for le, _ in buckets], [int(text) for _, text in buckets]
        if any(a >= b for a, b in zip(edges, edges[1:])) or any(a > b for a, b in zip(counts, counts[1:])):
            raise Broken(f"{family.name} {key}: buckets do not ascend: {buckets}")
        if counts[-1] != int(single["_count"]):
            raise Broken(f"{family.name} {key}: bucket +Inf is not the count")
        if openmetrics and not all(le == "+Inf" or re.search(r"[.e]", le) for le, _ in buckets):
            raise Broken(f"{family.name} {key}: le is not canonical: {buckets}")


def parse(text, openmetrics):
    if not text.endswith("\n"):
        raise Broken("line ends")
    lines = text.split("\n")[:-1]
    if openmetrics:
        if lines[-1] != "# EOF":
            raise Broken("no EOF")
        lines.pop()
    reader = Reader(openmetrics)
    for line in lines:
        reader.line(line)
    for family in reader.families.values():
        if family.type is None:
            raise Broken(f"{family.name} has no TYPE")
        check_counts(family, openmetrics)
        points(family)
        if family.type == "histogram":
            check_histogram(family, openmetrics)
    if list(reader.families) != sorted(reader.families, key=lambda name: name.removesuffix("_total").encode()):
        raise Broken("families are not in order")
    return reader.families
