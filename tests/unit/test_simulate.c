/* SPDX-License-Identifier: Apache-2.0
 *
 * Missions on a simulated world: kills, power cuts and full disks, again and again. FB_SIM_FROM (1) is the first seed, FB_SIM_RUNS
 * (300) how many of each mission; tools/soak takes many more.
 */
#include "test.h"

#include "mission/simulate.h"

#include <stdlib.h>

typedef struct S_loaded {
  fb_doc *doc;
  fb_mission *mission;
} S_loaded;

static bool S_load(S_loaded *loaded, const char *text, const fb_allocator *allocator) {
  *loaded = (S_loaded){0};
  return fb_doc_read_yaml(fb_slice_of(text), "m.yaml", NULL, &loaded->doc, NULL) == FB_OK &&
         fb_mission_load(loaded->doc, NULL, allocator, &loaded->mission, NULL) == FB_OK;
}

static void S_unload(S_loaded *loaded) {
  fb_mission_free(loaded->mission);
  fb_doc_free(loaded->doc);
}

static const char S_plain[] =
    "name: plain\n"
    "limits: {parallel: 3}\n"
    "steps:\n"
    "  - {id: list, for_each: [1, 2, 3, 4, 5], as: x, run: [list, '${{ x }}']}\n"
    "  - {id: a, run: [a, '${{ steps.list.output.size() }}']}\n"
    "  - {id: b, run: [b], semantics: idempotent}\n"
    "  - {id: c, run: [c, '${{ steps.a.output }}', '${{ steps.b.output }}'], on_error: continue}\n"
    "  - {id: d, if: steps.c.ok, run: [d, '${{ steps.c.output }}']}\n"
    "  - {id: w, write: {path: w.txt, content: '${{ steps.b.output }}'}, needs: b}\n"
    "  - {id: p, run: [p], semantics: pure, needs: a}\n"
    "  - {id: e, run: [e], needs: [d, w, p]}\n"
    "outputs: {a: '${{ steps.a.output }}', c: '${{ steps.c.status }}', l: '${{ steps.list.output "
    "}}'}\n";

/* Steps that need others for the order alone: they begin while the disk is at work. */
static const char S_ordered[] =
    "name: ordered\n"
    "limits: {parallel: 3}\n"
    "steps:\n"
    "  - {id: a, run: [a]}\n"
    "  - {id: b, run: [b], needs: a}\n"
    "  - {id: c, run: [c], needs: b, semantics: idempotent}\n"
    "  - {id: d, run: [d], needs: c}\n"
    "  - {id: x, run: [x]}\n"
    "  - {id: y, run: [y], needs: [x, a], retry: 2, on_error: continue}\n"
    "  - {id: o, run: [o], needs: y, semantics: once}\n"
    "  - {id: e, run: [e], needs: [o, d]}\n"
    "  - {id: each, for_each: [1, 2, 3, 4, 5], run: [each, '${{ item }}'], needs: b}\n"
    "  - {id: f, run: [f, '${{ steps.e.output }}'], needs: each}\n"
    "  - {id: g, run: [g], needs: f}\n"
    "  - {id: h, run: [h], needs: g}\n";

static const char S_careful[] =
    "name: careful\n"
    "limits: {parallel: 2}\n"
    "steps:\n"
    "  - {id: pay, run: [pay], semantics: once}\n"
    "  - {id: tell, run: [tell], semantics: once, check: [told], needs: pay}\n"
    "  - {id: each, for_each: [1, 2, 3, 4], run: [each, '${{ item }}'], semantics: once, needs: "
    "pay}\n"
    "  - {id: end, run: [end, '${{ steps.tell.output }}'], needs: each}\n"
    "outputs: {pay: '${{ steps.pay.output }}'}\n";

static const char S_guarded[] =
    "name: guarded\n"
    "limits: {parallel: 4}\n"
    "steps:\n"
    "  - {id: a, run: [a], retry: 3, on_error: continue}\n"
    "  - {id: b, for_each: [1, 2, 3, 4, 5, 6], run: [b, '${{ item }}'], retry: 2, on_error: "
    "continue, timeout: 2s}\n"
    "  - {id: c, run: [c], needs: [a, b], timeout: 1s}\n";

static const char S_undone[] =
    "name: undone\n"
    "limits: {parallel: 3}\n"
    "steps:\n"
    "  - {id: a, run: [a], undo: {run: [un, a]}}\n"
    "  - {id: b, for_each: [1, 2, 3], run: [b, '${{ item }}'], needs: a, undo: {run: [un, '${{ "
    "item }}']}}\n"
    "  - {id: ask, approve: 'go on?', needs: a}\n"
    "  - {id: c, run: [c], needs: [b, ask], undo: {run: [un, c]}}\n"
    "  - {id: d, run: [d], needs: c}\n"
    "finally:\n"
    "  - {id: f, run: [f]}\n";

static uint64_t S_number(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : otherwise;
}

static void S_seeds(const char *text) {
  S_loaded loaded;
  uint64_t from = S_number("FB_SIM_FROM", 1), runs = S_number("FB_SIM_RUNS", 300);
  uint64_t broke = 0, kills = 0, cuts = 0, full = 0, repeats = 0, decisions = 0;
  assert_true(S_load(&loaded, text, NULL));
  for (uint64_t seed = from; seed < from + runs; seed++) {
    fb_simulation result;
    fb_simulation_options options = {.seed = seed};
    assert_int_equal(fb_simulate(loaded.mission, &options, NULL, &result, NULL), FB_OK);
    kills += result.kills;
    cuts += result.cuts;
    full += result.full;
    repeats += result.repeats;
    decisions += result.decisions;
    if (!result.broke) continue;
    broke++;
    if (broke < 5) print_message("seed %llu: %s\n", (unsigned long long)seed, result.what);
  }
  print_message(
      "%llu runs: %llu kills, %llu power cuts, %llu full disks, %llu open repeats, %llu "
      "decisions\n",
      (unsigned long long)runs, (unsigned long long)kills, (unsigned long long)cuts,
      (unsigned long long)full, (unsigned long long)repeats, (unsigned long long)decisions);
  assert_int_equal(broke, 0);
  if (runs >= 100) assert_true(kills > runs / 4 && cuts > runs / 4 && full > 0);
  S_unload(&loaded);
}

static void test_plain(void **state) {
  (void)state;
  S_seeds(S_plain);
}

static void test_ordered(void **state) {
  (void)state;
  S_seeds(S_ordered);
}

static void test_careful(void **state) {
  (void)state;
  S_seeds(S_careful);
}

static void test_guarded(void **state) {
  (void)state;
  S_seeds(S_guarded);
}

static void test_undone(void **state) {
  (void)state;
  S_seeds(S_undone);
}

static void test_a_seed_is_a_seed(void **state) {
  (void)state;
  S_loaded loaded;
  fb_simulation one, other;
  assert_true(S_load(&loaded, S_plain, NULL));
  for (uint64_t seed = 1; seed < 20; seed++) {
    fb_simulation_options options = {.seed = seed};
    assert_int_equal(fb_simulate(loaded.mission, &options, NULL, &one, NULL), FB_OK);
    assert_int_equal(fb_simulate(loaded.mission, &options, NULL, &other, NULL), FB_OK);
    assert_memory_equal(&one, &other, sizeof one);
  }
  S_unload(&loaded);
}

static bool S_one(const fb_allocator *allocator) {
  S_loaded loaded;
  fb_simulation result;
  fb_simulation_options options = {.seed = 3, .crashes = 2};
  assert_true(S_load(&loaded, S_careful, NULL));
  bool good = fb_simulate(loaded.mission, &options, allocator, &result, NULL) == FB_OK;
  S_unload(&loaded);
  return good;
}

static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_one);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),   cmocka_unit_test(test_ordered),
      cmocka_unit_test(test_careful), cmocka_unit_test(test_guarded),
      cmocka_unit_test(test_undone),  cmocka_unit_test(test_a_seed_is_a_seed),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
