/* SPDX-License-Identifier: Apache-2.0
 * Rules that work by joins: Miss Manners (guests round a table, neighbours of different sex with a hobby in common) and the
 * transitive closure of chains. Beside CLIPS, in turns, in one process, with the same rules in both languages. Prints a JSON
 * line a workload. */
#include "join.h"

#include <flyball/rules.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double S_processor_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char S_manners[] =
    "facts:\n"
    "  phase: {is: string}\n"
    "  table: {seats: int}\n"
    "  guest: {name: int, sex: string, hobby: int}\n"
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

static const char S_closure[] =
    "facts:\n"
    "  edge: {a: int, b: int}\n"
    "  reach: {a: int, b: int}\n"
    "rules:\n"
    "- {name: base, when: [edge as e], then: [{assert: reach, with: {a: '${{ e.a }}', b: '${{ e.b "
    "}}'}}]}\n"
    "- {name: step, when: [reach as r, {edge as e: 'e.a == r.b'}], then: [{assert: reach, with: "
    "{a: '${{ r.a }}', b: '${{ e.b }}'}}]}\n";

/* ── Data ── */

static uint64_t S_next(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 33;
}

/* As many of each sex, 3 or 4 of 5 hobbies each, so that any two share one and no search goes astray. */
static bench_guests S_guests(int count) {
  bench_guests guests = {.seats = count};
  uint64_t state = 1991;
  bool *sexes = calloc((size_t)count, sizeof *sexes);
  guests.items = calloc((size_t)count * 4, sizeof *guests.items);
  for (int i = 0; i < count; i++) sexes[i] = i % 2;
  for (int i = count - 1; i > 0; i--) {
    int j = (int)(S_next(&state) % (uint64_t)(i + 1));
    bool kept = sexes[i];
    sexes[i] = sexes[j];
    sexes[j] = kept;
  }
  for (int i = 0; i < count; i++) {
    int hobbies[5] = {1, 2, 3, 4, 5}, wanted = 3 + (int)(S_next(&state) % 2);
    for (int h = 0; h < wanted; h++) {
      int other = h + (int)(S_next(&state) % (uint64_t)(5 - h)), hobby = hobbies[other];
      hobbies[other] = hobbies[h];
      guests.items[guests.count++] = (bench_guest){i + 1, hobby, sexes[i]};
    }
  }
  free(sexes);
  return guests;
}

/* ── Flyball ── */

static void S_must(fb_status status, const fb_error *err) {
  if (status == FB_OK) return;
  fprintf(stderr, "failed: FB%04d %s\n", (int)status, err ? err->text : "");
  exit(1);
}

static void S_assert(fb_session *session, const char *type, fb_entry *entries, uint32_t count) {
  fb_error err;
  fb_map map = {.len = count, .cap = count, .entries = entries};
  S_must(fb_session_assert(session, fb_slice_of(type), &map, NULL, &err), &err);
}

static fb_entry S_entry(const char *name, fb_value value) {
  return (fb_entry){fb_string(fb_slice_of(name)), value};
}

static void S_assert_guests(fb_session *session, const bench_guests *guests) {
  for (size_t i = 0; i < guests->count; i++) {
    const bench_guest *g = &guests->items[i];
    fb_entry entries[] = {S_entry("name", fb_int(g->name)),
                          S_entry("sex", fb_string(g->sex ? FB_SLICE("f") : FB_SLICE("m"))),
                          S_entry("hobby", fb_int(g->hobby))};
    S_assert(session, "guest", entries, 3);
  }
  fb_entry seats = S_entry("seats", fb_int(guests->seats)),
           phase = S_entry("is", fb_string(FB_SLICE("start")));
  S_assert(session, "table", &seats, 1);
  S_assert(session, "phase", &phase, 1);
}

/* Chains of 50 nodes. */
static void S_assert_edges(fb_session *session, int nodes) {
  for (int v = 0; v < nodes - 1; v++) {
    if (v % 50 == 49) continue;
    fb_entry entries[] = {S_entry("a", fb_int(v)), S_entry("b", fb_int(v + 1))};
    S_assert(session, "edge", entries, 2);
  }
}

static bench_join_result S_flyball(const bench_guests *guests, int nodes) {
  fb_ruleset *rules;
  fb_session *session;
  fb_errors errors;
  fb_error err;
  fb_errors_init(&errors, NULL, 0);
  fb_slice book = fb_slice_of(guests ? S_manners : S_closure);
  fb_status status = fb_ruleset_read(book, "bench.yaml", NULL, &rules, &errors, NULL);
  S_must(status, errors.items);
  S_must(fb_session_new(rules, NULL, NULL, &session), NULL);
  bench_join_result result = {0};
  double start = S_processor_seconds();
  if (guests)
    S_assert_guests(session, guests);
  else
    S_assert_edges(session, nodes);
  S_must(fb_session_fire(session, &result.firings, &err), &err);
  result.seconds = S_processor_seconds() - start;
  fb_session_free(session);
  fb_ruleset_free(rules);
  fb_errors_release(&errors);
  return result;
}

/* ── Side by side ── */

static int S_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double S_median(double *items, int count) {
  qsort(items, (size_t)count, sizeof *items, S_by_value);
  return items[count / 2];
}

static void S_run(const char *name, int size, double reach, int rounds) {
  bool manners = name[0] == 'm';
  bench_guests guests = {0};
  if (manners) guests = S_guests(size);
  uint64_t n = (uint64_t)size, chain = 49 * 50 / 2;
  uint64_t expected = manners ? 1 + 3 * (n - 1) + n * (n - 1) / 2 + n + 1 : n / 50 * chain;
  double ours[9], peers[9], ratios[9];
  bool same = true, measured = false;
  for (int i = 0; i < rounds; i++) {
    bench_join_result a = S_flyball(manners ? &guests : NULL, size), b = {0};
#ifdef HAVE_CLIPS
    b = bench_clips_join(manners ? &guests : NULL, size);
    measured = true;
#endif
    ours[i] = a.seconds;
    peers[i] = b.seconds;
    ratios[i] = b.seconds / a.seconds;
    same = same && a.firings == expected && (!measured || b.firings == expected);
  }
  double ratio = S_median(ratios, rounds);
  printf("{\"bench\":\"rules.join\",\"workload\":\"%s %d\",\"ours\":%.6f,", name, size,
         S_median(ours, rounds));
  if (measured)
    printf("\"peer\":%.6f,", S_median(peers, rounds));
  else
    printf("\"peer\":null,");
  printf("\"peer_name\":\"CLIPS 6.30 (as packaged)\",\"unit\":\"s\",");
  if (measured)
    printf("\"ratio\":%.2f,", ratio);
  else
    printf("\"ratio\":null,");
  printf("\"reach\":%.0f,\"verdict\":\"%s\",\"firings\":%llu,\"same_work\":%s}\n", reach,
         !measured || !same ? "not measured"
         : ratio >= reach   ? "met"
                            : "missed",
         (unsigned long long)expected, same ? "true" : "false");
  fflush(stdout);
  free(guests.items);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 3;
  if (rounds < 1 || rounds > 9) return 2;
  S_run("manners", 64, 100, rounds);
  S_run("manners", 128, 100, rounds);
  S_run("closure", 20000, 10, rounds);
  return 0;
}
