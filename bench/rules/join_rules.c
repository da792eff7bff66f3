/* SPDX-License-Identifier: Apache-2.0
 * The rules of the join benchmarks, for both engines, and their facts. */
#include "join.h"

#include <stdlib.h>
#include <string.h>

/* ── Miss Manners ── */

static const char S_manners[] =
    "facts:\n"
    "  phase: {is: string}\n"
    "  table: {seats: int}\n"
    "  guest: {name: int, sex: int, hobby: int}\n"
    "  next: {value: int}\n"
    "  seating: {id: int, from: int, left: int, right: int, seat: int, done: bool}\n"
    "  path: {seating: int, guest: int, seat: int}\n"
    "  tried: {seating: int, guest: int, hobby: int}\n"
    "rules:\n"
    "- name: first seat\n"
    "  when: [{phase as p: 'p.is == \"start\"'}, guest as g]\n"
    "  then:\n"
    "  - {assert: seating, with: {id: 1, from: 0, left: '${{ g.name }}', right: '${{ g.name }}', "
    "seat: 1, done: true}}\n"
    "  - {assert: path, with: {seating: 1, guest: '${{ g.name }}', seat: 1}}\n"
    "  - {assert: next, with: {value: 2}}\n"
    "  - {modify: p, with: {is: seat}}\n"
    "- name: seat a neighbour\n"
    "  when:\n"
    "  - {phase as p: 'p.is == \"seat\"'}\n"
    "  - {seating as s: 's.done'}\n"
    "  - {guest as r: 'r.name == s.right'}\n"
    "  - {guest as g: 'g.hobby == r.hobby && g.sex != r.sex'}\n"
    "  - next as c\n"
    "  - {not path as o: 'o.seating == s.id && o.guest == g.name'}\n"
    "  - {not tried as t: 't.seating == s.id && t.guest == g.name && t.hobby == r.hobby'}\n"
    "  then:\n"
    "  - {assert: seating, with: {id: '${{ c.value }}', from: '${{ s.id }}', left: '${{ s.right "
    "}}', right: '${{ g.name }}', "
    "seat: '${{ s.seat + 1 }}', done: false}}\n"
    "  - {assert: path, with: {seating: '${{ c.value }}', guest: '${{ g.name }}', seat: '${{ "
    "s.seat + 1 }}'}}\n"
    "  - {assert: tried, with: {seating: '${{ s.id }}', guest: '${{ g.name }}', hobby: '${{ "
    "r.hobby }}'}}\n"
    "  - {modify: c, with: {value: '${{ c.value + 1 }}'}}\n"
    "  - {modify: p, with: {is: copy}}\n"
    "- name: copy the path\n"
    "  salience: 10\n"
    "  when:\n"
    "  - {phase as p: 'p.is == \"copy\"'}\n"
    "  - {seating as s: '!s.done'}\n"
    "  - {path as q: 'q.seating == s.from'}\n"
    "  - {not path as o: 'o.seating == s.id && o.guest == q.guest'}\n"
    "  then:\n"
    "  - {assert: path, with: {seating: '${{ s.id }}', guest: '${{ q.guest }}', seat: '${{ q.seat "
    "}}'}}\n"
    "- name: the path is complete\n"
    "  when: [{phase as p: 'p.is == \"copy\"'}, {seating as s: '!s.done'}]\n"
    "  then: [{modify: s, with: {done: true}}, {modify: p, with: {is: check}}]\n"
    "- name: all are seated\n"
    "  salience: 10\n"
    "  when: [{phase as p: 'p.is == \"check\"'}, table as t, {seating as s: 's.seat == t.seats'}, "
    "next as c]\n"
    "  then: [{modify: c, with: {value: 1}}, {modify: p, with: {is: print}}]\n"
    "- name: keep seating\n"
    "  when: [{phase as p: 'p.is == \"check\"'}]\n"
    "  then: [{modify: p, with: {is: seat}}]\n"
    "- name: print a seat\n"
    "  when:\n"
    "  - {phase as p: 'p.is == \"print\"'}\n"
    "  - table as t\n"
    "  - {seating as s: 's.seat == t.seats'}\n"
    "  - next as c\n"
    "  - {path as q: 'q.seating == s.id && q.seat == c.value'}\n"
    "  then: [{modify: c, with: {value: '${{ c.value + 1 }}'}}]\n"
    "- name: finished\n"
    "  salience: -10\n"
    "  when: [{phase as p: 'p.is == \"print\"'}, table as t, {next as c: 'c.value > t.seats'}]\n"
    "  then: [{retract: p}]\n";

static const char *const S_clips_manners[] = {
    "(deftemplate phase (slot is))",
    "(deftemplate table (slot seats))",
    "(deftemplate guest (slot name) (slot sex) (slot hobby))",
    "(deftemplate next (slot value))",
    "(deftemplate seating (slot id) (slot from) (slot left) (slot right) (slot seat) (slot done))",
    "(deftemplate path (slot seating) (slot guest) (slot seat))",
    "(deftemplate tried (slot seating) (slot guest) (slot hobby))",
    "(defrule first-seat ?p <- (phase (is start)) (guest (name ?g)) => "
    "(assert (seating (id 1) (from 0) (left ?g) (right ?g) (seat 1) (done 1))) "
    "(assert (path (seating 1) (guest ?g) (seat 1))) (assert (next (value 2))) (modify ?p (is "
    "seat)))",
    "(defrule seat-neighbour ?p <- (phase (is seat)) (seating (id ?s) (right ?r) (seat ?n) (done "
    "1)) "
    "(guest (name ?r) (sex ?sex) (hobby ?h)) (guest (name ?g) (sex ~?sex) (hobby ?h)) ?c <- "
    "(next (value ?id)) "
    "(not (path (seating ?s) (guest ?g))) (not (tried (seating ?s) (guest ?g) (hobby ?h))) => "
    "(assert (seating (id ?id) (from ?s) (left ?r) (right ?g) (seat (+ ?n 1)) (done 0))) "
    "(assert (path (seating ?id) (guest ?g) (seat (+ ?n 1)))) (assert (tried (seating ?s) (guest "
    "?g) (hobby ?h))) "
    "(modify ?c (value (+ ?id 1))) (modify ?p (is copy)))",
    "(defrule copy-path (declare (salience 10)) (phase (is copy)) (seating (id ?s) (from ?f) (done "
    "0)) "
    "(path (seating ?f) (guest ?g) (seat ?n)) (not (path (seating ?s) (guest ?g))) => "
    "(assert (path (seating ?s) (guest ?g) (seat ?n))))",
    "(defrule path-complete ?p <- (phase (is copy)) ?s <- (seating (done 0)) => "
    "(modify ?s (done 1)) (modify ?p (is check)))",
    "(defrule all-seated (declare (salience 10)) ?p <- (phase (is check)) (table (seats ?n)) "
    "(seating (seat ?n)) "
    "?c <- (next) => (modify ?c (value 1)) (modify ?p (is print)))",
    "(defrule keep-seating ?p <- (phase (is check)) => (modify ?p (is seat)))",
    "(defrule print-seat (phase (is print)) (table (seats ?n)) (seating (id ?s) (seat ?n)) ?c <- "
    "(next (value ?i)) "
    "(path (seating ?s) (guest ?g) (seat ?i)) => (modify ?c (value (+ ?i 1))))",
    "(defrule finished (declare (salience -10)) ?p <- (phase (is print)) (table (seats ?n)) "
    "(next (value ?i&:(> ?i ?n))) => (retract ?p))",
    NULL};

/* ── Transitive closure ── */

static const char S_closure[] =
    "facts:\n"
    "  edge: {a: int, b: int}\n"
    "  reach: {a: int, b: int}\n"
    "rules:\n"
    "- {name: base, when: [edge as e], then: [{assert: reach, with: {a: '${{ e.a }}', b: '${{ e.b "
    "}}'}}]}\n"
    "- {name: step, when: [reach as r, {edge as e: 'e.a == r.b'}], then: [{assert: reach, with: "
    "{a: '${{ r.a }}', b: '${{ e.b }}'}}]}\n";

static const char *const S_clips_closure[] = {
    "(deftemplate edge (slot a) (slot b))", "(deftemplate reach (slot a) (slot b))",
    "(defrule base (edge (a ?a) (b ?b)) => (assert (reach (a ?a) (b ?b))))",
    "(defrule step (reach (a ?a) (b ?b)) (edge (a ?b) (b ?c)) => (assert (reach (a ?a) (b ?c))))",
    NULL};

/* ── Tasks and workers: any of many pairs will do ── */

static const char S_assign[] =
    "facts:\n"
    "  task: {id: int, skill: int}\n"
    "  worker: {id: int, skill: int, free: int}\n"
    "rules:\n"
    "- {name: assign, when: [task as t, {worker as w: 'w.free == 1 && w.skill == t.skill'}], then: "
    "[{modify: w, with: {free: 0}}, {retract: t}]}\n";

static const char *const S_clips_assign[] = {
    "(deftemplate task (slot id) (slot skill))",
    "(deftemplate worker (slot id) (slot skill) (slot free))",
    "(defrule assign ?t <- (task (skill ?s)) ?w <- (worker (skill ?s) (free 1)) => "
    "(modify ?w (free 0)) (retract ?t))",
    NULL};

/* ── Latin squares: values of a cell are struck out until one is left ── */

static const char S_latin[] =
    "facts:\n"
    "  may: {cell: int, row: int, col: int, val: int}\n"
    "  is: {cell: int, row: int, col: int, val: int}\n"
    "rules:\n"
    "- name: decided\n"
    "  when: [may as m, {not may as o: 'o.cell == m.cell && o.val != m.val'}, {not is as i: "
    "'i.cell == m.cell'}]\n"
    "  then: [{assert: is, with: {cell: '${{ m.cell }}', row: '${{ m.row }}', col: '${{ m.col }}', "
    "val: '${{ m.val }}'}}]\n"
    "- {name: row, when: [is as i, {may as m: 'm.row == i.row && m.val == i.val && m.col != "
    "i.col'}], then: [{retract: m}]}\n"
    "- {name: column, when: [is as i, {may as m: 'm.col == i.col && m.val == i.val && m.row != "
    "i.row'}], then: [{retract: m}]}\n";

static const char *const S_clips_latin[] = {
    "(deftemplate may (slot cell) (slot row) (slot col) (slot val))",
    "(deftemplate is (slot cell) (slot row) (slot col) (slot val))",
    "(defrule decided (may (cell ?c) (row ?r) (col ?k) (val ?v)) (not (may (cell ?c) (val ~?v))) "
    "(not (is (cell ?c))) => (assert (is (cell ?c) (row ?r) (col ?k) (val ?v))))",
    "(defrule row (is (row ?r) (col ?k) (val ?v)) ?m <- (may (row ?r) (col ~?k) (val ?v)) => "
    "(retract ?m))",
    "(defrule column (is (row ?r) (col ?k) (val ?v)) ?m <- (may (row ~?r) (col ?k) (val ?v)) => "
    "(retract ?m))",
    NULL};

/* ── A chain of five conditions, in an order that finds little ── */

static const char S_chain[] =
    "facts:\n"
    "  a: {x: int, y: int}\n"
    "  b: {x: int, y: int}\n"
    "  c: {x: int, y: int}\n"
    "  d: {x: int, y: int}\n"
    "  e: {x: int, y: int}\n"
    "  hit: {x: int, y: int}\n"
    "rules:\n"
    "- {name: chain, when: [a as a, {c as c: 'c.x >= 0'}, {b as b: 'b.x == a.y && b.y == c.x'}, {d "
    "as d: 'd.x == c.y'}, {e as e: 'e.x == d.y'}], "
    "then: [{assert: hit, with: {x: '${{ a.x }}', y: '${{ e.y }}'}}]}\n";

static const char *const S_clips_chain[] = {
    "(deftemplate a (slot x) (slot y))",
    "(deftemplate b (slot x) (slot y))",
    "(deftemplate c (slot x) (slot y))",
    "(deftemplate d (slot x) (slot y))",
    "(deftemplate e (slot x) (slot y))",
    "(deftemplate hit (slot x) (slot y))",
    "(defrule chain (a (x ?p) (y ?q)) (c (x ?s&:(>= ?s 0)) (y ?t)) (b (x ?q) (y ?s)) (d (x ?t) (y "
    "?u)) (e (x ?u) (y ?v)) => "
    "(assert (hit (x ?p) (y ?v))))",
    NULL};

/* ── Rates by range, most orders of one customer ── */

static const char S_rates[] =
    "facts:\n"
    "  order: {customer: int, amount: int}\n"
    "  rate: {customer: int, low: int, high: int, percent: int}\n"
    "  due: {amount: int}\n"
    "rules:\n"
    "- {name: rate, when: [order as o, {rate as r: 'r.customer == o.customer && r.low <= o.amount "
    "&& o.amount < r.high'}], "
    "then: [{assert: due, with: {amount: '${{ o.amount * r.percent }}'}}]}\n";

static const char *const S_clips_rates[] = {
    "(deftemplate order (slot customer) (slot amount))",
    "(deftemplate rate (slot customer) (slot low) (slot high) (slot percent))",
    "(deftemplate due (slot amount))",
    "(defrule rate (order (customer ?c) (amount ?a)) (rate (customer ?c) (low ?l&:(<= ?l ?a)) "
    "(high "
    "?h&:(< ?a ?h)) (percent ?p)) => (assert (due (amount (* ?a ?p)))))",
    NULL};

/* ── Facts ── */

static uint64_t S_next(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 33;
}

static void S_add(bench_facts *facts, bench_fact fact) {
  if (facts->count == facts->cap) {
    facts->cap = facts->cap ? facts->cap * 2 : 1024;
    facts->items = realloc(facts->items, facts->cap * sizeof *facts->items);
    if (!facts->items) abort();
  }
  facts->items[facts->count++] = fact;
}

/* As many of each sex, 3 or 4 of 5 hobbies each, so that any two share one and no search goes astray. */
static uint64_t S_make_manners(bench_facts *facts, int count) {
  uint64_t state = 1991, n = (uint64_t)count;
  int *sexes = calloc((size_t)count, sizeof *sexes);
  for (int i = 0; i < count; i++) sexes[i] = i % 2;
  for (int i = count - 1; i > 0; i--) {
    int j = (int)(S_next(&state) % (uint64_t)(i + 1)), kept = sexes[i];
    sexes[i] = sexes[j];
    sexes[j] = kept;
  }
  for (int i = 0; i < count; i++) {
    int hobbies[5] = {1, 2, 3, 4, 5}, wanted = 3 + (int)(S_next(&state) % 2);
    for (int h = 0; h < wanted; h++) {
      int other = h + (int)(S_next(&state) % (uint64_t)(5 - h)), hobby = hobbies[other];
      hobbies[other] = hobbies[h];
      S_add(facts, (bench_fact){"guest", {"name", "sex", "hobby"}, {i + 1, sexes[i], hobby}, NULL});
    }
  }
  free(sexes);
  S_add(facts, (bench_fact){"table", {"seats"}, {count}, NULL});
  S_add(facts, (bench_fact){"phase", {"is"}, {0}, "start"});
  return 1 + 3 * (n - 1) + n * (n - 1) / 2 + n + 1;
}

/* Chains of 50 nodes. */
static uint64_t S_make_closure(bench_facts *facts, int nodes) {
  for (int v = 0; v < nodes - 1; v++)
    if (v % 50 != 49) S_add(facts, (bench_fact){"edge", {"a", "b"}, {v, v + 1}, NULL});
  return (uint64_t)nodes / 50 * (49 * 50 / 2);
}

static uint64_t S_make_assign(bench_facts *facts, int count) {
  for (int i = 0; i < count; i++)
    S_add(facts, (bench_fact){"worker", {"id", "skill", "free"}, {i, i % 4, 1}, NULL});
  for (int i = 0; i < count; i++)
    S_add(facts, (bench_fact){"task", {"id", "skill"}, {i, i % 4}, NULL});
  return (uint64_t)count;
}

enum { SIDE = 9, CELLS = SIDE * SIDE };

/* Strikes out what the rules would, until nothing changes; returns how much, and how many cells are decided. */
static uint64_t S_solve(bool may[CELLS][SIDE]) {
  uint64_t struck = 0, decided = 0;
  for (bool more = true; more;) {
    more = false;
    for (int cell = 0; cell < CELLS; cell++) {
      int left = 0, value = 0;
      for (int v = 0; v < SIDE; v++)
        if (may[cell][v]) {
          left++;
          value = v;
        }
      for (int k = 0; left == 1 && k < SIDE; k++) {
        int in_row = cell / SIDE * SIDE + k, in_column = k * SIDE + cell % SIDE;
        if (in_row != cell && may[in_row][value]) more = true, struck++, may[in_row][value] = false;
        if (in_column != cell && may[in_column][value])
          more = true, struck++, may[in_column][value] = false;
      }
    }
  }
  for (int cell = 0; cell < CELLS; cell++) {
    int left = 0;
    for (int v = 0; v < SIDE; v++) left += may[cell][v];
    decided += left == 1;
  }
  return struck + decided;
}

static uint64_t S_make_latin(bench_facts *facts, int squares) {
  uint64_t state = 7, firings = 0;
  for (int s = 0; s < squares; s++) {
    bool may[CELLS][SIDE];
    for (int cell = 0; cell < CELLS; cell++) {
      int row = cell / SIDE, col = cell % SIDE, value = (row * 4 + col + s) % SIDE;
      bool given = S_next(&state) % 100 < 55;
      for (int v = 0; v < SIDE; v++) {
        may[cell][v] = !given || v == value;
        if (may[cell][v])
          S_add(facts, (bench_fact){"may",
                                    {"cell", "row", "col", "val"},
                                    {s * CELLS + cell, s * SIDE + row, s * SIDE + col, v},
                                    NULL});
      }
    }
    firings += S_solve(may);
  }
  return firings;
}

static uint64_t S_make_chain(bench_facts *facts, int count) {
  static const char *const types[] = {"a", "b", "c", "d", "e"};
  for (int t = 0; t < 5; t++)
    for (int i = 0; i < count; i++) S_add(facts, (bench_fact){types[t], {"x", "y"}, {i, i}, NULL});
  return (uint64_t)count;
}

static uint64_t S_make_rates(bench_facts *facts, int count) {
  for (int i = 0; i < 200; i++)
    S_add(facts,
          (bench_fact){
              "rate", {"customer", "low", "high", "percent"}, {0, i * 10, i * 10 + 10, i}, NULL});
  for (int i = 0; i < count; i++)
    S_add(facts,
          (bench_fact){
              "order", {"customer", "amount"}, {i % 4 ? 0 : i, (long long)i * 7919 % 2000}, NULL});
  return (uint64_t)(count - (count + 3) / 4) + 1; /* order 0 is of customer 0 too */
}

const bench_join bench_joins[] = {
    {"manners", 128, 100, S_manners, S_clips_manners, S_make_manners},
    {"manners", 256, 1000, S_manners, S_clips_manners, S_make_manners},
    {"closure", 20000, 10, S_closure, S_clips_closure, S_make_closure},
    {"assign", 2000, 10, S_assign, S_clips_assign, S_make_assign},
    {"latin", 100, 10, S_latin, S_clips_latin, S_make_latin},
    {"chain", 2000, 10, S_chain, S_clips_chain, S_make_chain},
    {"rates", 20000, 10, S_rates, S_clips_rates, S_make_rates},
};
const size_t bench_join_count = sizeof bench_joins / sizeof *bench_joins;
