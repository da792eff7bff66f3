#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The order of firing against CLIPS 6.30 (Debian: clips): tests/oracle/clips_order.py FLYBALL [BOOKS]. Prints TAP.

Random rulebooks are written in both languages and run on the same facts; every firing tells its rule and fact. In what
order one change puts several activations of one salience on the agenda is CLIPS's own affair (it follows the joins that
rules, and patterns, share), so the rulebooks keep to what both define: rules with joins and guards have saliences of their own, and
share 0 only if they have one condition. One change may mend a group for several facts at once: rules with groups do nothing but tell, and
those of one rule that stand together are compared as a set. Under other strategies than depth, CLIPS fires what one change brings in the reverse order
of the book where nothing else tells; there the rulebooks keep apart what would meet so.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

TYPES = ["t0", "t1", "t2"]  # asserted and retracted by rules; `key` comes from outside only, `block` is never retracted


# Groups over facts that rules assert and retract: a, b, c are types.
GROUPS = [
    ("exists: [{a} as p: p.k == x.k && p.v > x.v]", "(exists ({a} (k ?k) (v ?p&:(> ?p ?v))))"),
    ("not: [{a} as p: p.k == x.k, {b} as q: q.k == p.k && q.v > p.v]",
     "(not (and ({a} (k ?k) (v ?p)) ({b} (k ?k) (v ?q&:(> ?q ?p)))))"),
    ("exists: [{a} as p: p.v == x.v, {b} as q: q.k == p.k && q.v < p.v]",
     "(exists ({a} (k ?pk) (v ?v)) ({b} (k ?pk) (v ?q&:(< ?q ?v))))"),
    ("forall: [{a} as p: p.k == x.k, {b} as q: q.v == p.v]", "(forall ({a} (k ?k) (v ?p)) ({b} (v ?p)))"),
    ("forall: [{a} as p: p.v == x.v, {b} as q: q.k == p.k, {c} as r: r.k == q.k && r.v > q.v]",
     "(forall ({a} (k ?pk) (v ?v)) ({b} (k ?pk) (v ?q)) ({c} (k ?pk) (v ?r&:(> ?r ?q))))"),
    ("not: [{a} as p: p.k == x.k, not: [{b} as q: q.v == p.v]]",
     "(not (and ({a} (k ?k) (v ?p)) (not ({b} (v ?p)))))"),
    ("not: [{a} as p: p.k == x.k, exists: [{b} as q: q.v == p.v, {c} as r: r.k == q.k]]",
     "(not (and ({a} (k ?k) (v ?p)) (exists ({b} (k ?qk) (v ?p)) ({c} (k ?qk)))))"),
]


STRATEGIES = ["depth", "breadth", "lex", "mea", "complexity", "simplicity"]


class Rule:
    def __init__(self, dice, number):
        self.name = "r%d" % number
        self.type = dice.choice(TYPES)
        self.test = dice.choice([(">", dice.randint(0, 4)), ("<", dice.randint(1, 5)), ("==", dice.randint(0, 4)), None])
        self.join = dice.random() < 0.3
        self.guard = dice.random() < 0.3
        self.group = None
        if dice.random() < 0.35:
            types = dict(zip("abc", (dice.choice(TYPES + ["key", "block"]) for _ in range(3))))
            self.group = [text.replace("{a}", types["a"]).replace("{b}", types["b"]).replace("{c}", types["c"]) for text in dice.choice(GROUPS)]
        complex_rule = self.join or self.guard or self.group
        self.salience = (number + 1) * dice.choice([-1, 1]) if complex_rule or dice.random() < 0.4 else 0
        self.actions = []
        if self.group:
            return
        if dice.random() < 0.6:
            self.actions.append(("assert", dice.choice(TYPES + ["block"]), dice.randint(1, 2)))
        if dice.random() < 0.3:
            self.actions.append(("assert", dice.choice(TYPES), dice.randint(1, 3)))
        if dice.random() < 0.5:
            self.actions.append(("retract",))

    def yaml(self):
        test = "x.v < 6"
        if self.test:
            test += " && x.v %s %d" % self.test
        when = ['      - %s as x: "%s"' % (self.type, test)]
        if self.join:
            when.append('      - key as y: "y.k == x.k"')
        if self.guard:
            when.append('      - not block as b: "b.k == x.k && b.v > x.v"')
        if self.group:
            when.append("      - " + self.group[0])
        then = ['      - emit: fired', '        with: {rule: %s, k: "${{ x.k }}", v: "${{ x.v }}"}' % self.name]
        for action in self.actions:
            if action[0] == "assert":
                then += ["      - assert: %s" % action[1], '        with: {k: "${{ x.k }}", v: "${{ x.v + %d }}"}' % action[2]]
            else:
                then.append("      - retract: x")
        return "\n".join(["  - name: " + self.name, "    salience: %d" % self.salience, "    when:"] + when + ["    then:"] + then)

    def clips(self):
        test = "&:(< ?v 6)"
        if self.test:
            test += "&:(%s ?v %d)" % ("=" if self.test[0] == "==" else self.test[0], self.test[1])
        when = ["?f <- (%s (k ?k) (v ?v%s))" % (self.type, test)]
        if self.join:
            when.append("(key (k ?k))")
        if self.guard:
            when.append("(not (block (k ?k) (v ?b&:(> ?b ?v))))")
        if self.group:
            when.append(self.group[1])
        then = ['(printout t "%s " ?k " " ?v crlf)' % self.name]
        for action in self.actions:
            then.append("(assert (%s (k ?k) (v (+ ?v %d))))" % (action[1], action[2]) if action[0] == "assert" else "(retract ?f)")
        return "(defrule %s (declare (salience %d)) %s => %s)" % (self.name, self.salience, " ".join(when), " ".join(then))


def book(seed):
    dice = random.Random(seed)
    strategy = STRATEGIES[seed // 2 % len(STRATEGIES)] if seed % 2 else "depth"
    rules = [Rule(dice, number) for number in range(dice.randint(2, 7))]
    met = set()
    for rule in rules if strategy != "depth" else []:
        mark = (rule.type, strategy != "breadth" and rule.test is not None)
        if rule.salience == 0 and mark in met:
            rule.salience = 20 + len(met) + int(rule.name[1:])
        met.add(mark)
    keys = [("key", k, 0) for k in range(6) if dice.random() < 0.7]
    facts = [(dice.choice(TYPES), dice.randint(0, 5), dice.randint(0, 5)) for _ in range(dice.randint(2, 8))]
    return rules, keys + facts, strategy  # a key that came later would make several activations of one rule at once


def with_clips(books):
    """One process for all: the output of each book comes after its marker."""
    lines = []
    for number, (rules, facts, strategy) in enumerate(books):
        lines += ["(clear)", "(set-fact-duplication TRUE)", "(set-strategy %s)" % strategy]
        lines += ["(deftemplate %s (slot k) (slot v))" % name for name in TYPES + ["key", "block"]]
        lines += [rule.clips() for rule in rules]
        lines += ["(assert (%s (k %d) (v %d)))" % fact for fact in facts]
        lines += ['(printout t "=== %d" crlf)' % number, "(run 300)", '(printout t "..." crlf)']
    with tempfile.NamedTemporaryFile("w", suffix=".clp") as file:
        file.write("\n".join(lines + ["(exit)", ""]))
        file.flush()
        out = subprocess.run(["clips", "-f2", file.name], capture_output=True, text=True, timeout=120).stdout
    found, current = {}, None
    for line in out.split("\n"):
        if line.startswith("=== "):
            current = found.setdefault(int(line[4:]), [])
        elif line == "...":
            current = None
        elif current is not None and line.startswith("r"):
            current.append(line)
    return [found.get(number, []) for number in range(len(books))]


def with_flyball(flyball, rules, facts, strategy, directory):
    path = os.path.join(directory, "book.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("strategy: %s\nrules:\n" % strategy + "\n".join(rule.yaml() for rule in rules) + "\n")
    lines = "".join(json.dumps({"type": name, "k": k, "v": v}) + "\n" for name, k, v in facts)
    done = subprocess.run([flyball, "eval", "-r", path, "--max-firings", "300"], input=lines, capture_output=True, text=True, timeout=60)
    if done.stderr and "the limit" not in done.stderr:
        raise RuntimeError(done.stderr)
    return ["%(rule)s %(k)d %(v)d" % json.loads(line) for line in done.stdout.splitlines()]


def in_order(rules, firings):
    """Firings of a rule with a group that stand together, sorted."""
    loose, out = {rule.name for rule in rules if rule.group}, []
    for firing in firings:
        name = firing.split()[0]
        if name in loose and out and out[-1][0] == name:
            out[-1][1].append(firing)
        else:
            out.append((name, [firing]))
    return [firing for _, run in out for firing in sorted(run)]


def main():
    flyball, count = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500
    if not shutil.which("clips"):
        print("1..0 # SKIP clips is not installed")
        return 0
    books = [book(seed) for seed in range(count)]
    wanted, wrong, firings, grouped = with_clips(books), 0, 0, 0
    with tempfile.TemporaryDirectory() as directory:
        for seed, (rules, facts, strategy) in enumerate(books):
            ours = in_order(rules, with_flyball(flyball, rules, facts, strategy, directory))
            wanted[seed] = in_order(rules, wanted[seed])
            firings += len(ours)
            grouped += sum(1 for firing in ours if any(rule.group and firing.startswith(rule.name + " ") for rule in rules))
            if ours != wanted[seed]:
                wrong += 1
                print("# seed %d, %s\n# flyball: %s\n# clips:   %s" % (seed, strategy, ours, wanted[seed]))
                print("\n".join("# " + rule.clips() for rule in rules))
    print("1..1\n%s 1 - %d rulebooks, %d firings in the same order, %d of them of rules with groups"
          % ("not ok" if wrong else "ok", count, firings, grouped))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
