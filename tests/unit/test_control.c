/* SPDX-License-Identifier: Apache-2.0
 * What missions can say beyond steps that start programs, while memory runs out: missions within missions, file steps,
 * schemas, RustChain's documents, matrices, caches, groups, budgets. And clocks that are set back. */
#include "test.h"

#include "mission/world_script.h"

#include <flyball/store.h>

#include <string.h>

/* ── Memory that runs out ────────────────────────────────────────────────────────────────────── */

typedef struct S_document {
  const char *text;
  bool warns; /* it has warnings */
} S_document;

static const S_document *S_now;

static const S_document S_documents[] = {
    {"name: sub\n"
     "steps:\n"
     "  - {id: each, for_each: [1, 2], mission: inner.yaml, with: {n: \"${{ item }}\", all: [a]}}\n"
     "  - {id: one, mission: inner.yaml, with: {n: \"${{ size(steps.each.output) }}\", all: []}}\n"
     "outputs: {a: \"${{ steps.one.output.n }}\"}\n",
     false},
    {"name: files\n"
     "steps:\n"
     "  - {id: r, file: {read: a.json, parse: json}}\n"
     "  - {id: ap, file: {append: log, content: \"${{ steps.r.output.n }}\"}}\n"
     "  - {id: cp, file: {copy: a.json, to: b.json}, needs: ap}\n"
     "  - {id: ls, file: {list: dir, recursive: true}}\n"
     "  - {id: mv, file: {move: b.json, to: c.json}, needs: cp}\n"
     "  - {id: rm, file: {delete: c.json}, needs: mv}\n"
     "  - {id: wr, write: {path: out, json: \"${{ steps.ls.output }}\"}}\n",
     false},
    {"name: schema\n"
     "inputs:\n"
     "  port: {type: int, minimum: 1, maximum: 65535, default: 80}\n"
     "  name: {pattern: \"^[a-z]+$\", default: web}\n"
     "  hosts: {type: list, minItems: 1, default: [{name: a}], items: {type: object, required: "
     "[name],\n"
     "          properties: {name: {type: string}}, additionalProperties: false}}\n"
     "steps: [{id: a, run: [x, \"${{ inputs.hosts[0].name }}\"]}]\n"
     "outputs: {o: {value: \"${{ steps.a.output }}\", type: string, maxLength: 100}}\n",
     false},
    {"name: chain\n"
     "steps:\n"
     "  - {id: one-two, name: first, step_type: command, parameters: {command: echo, args: [a]}}\n"
     "  - {id: b, name: b, step_type: create_file, depends_on: [one-two], parameters: {path: f, "
     "content: c}}\n"
     "  - {id: c, name: c, step_type: noop, depends_on: [b], parameters: {}, colour: red}\n",
     true},
    {"name: matrix\n"
     "steps:\n"
     "  - {id: m, matrix: {os: [a, b], level: [0, 3], exclude: [{os: a, level: 0}], include: [{os: "
     "c, level: 9}]},\n"
     "     run: [t, \"${{ matrix.os }}\", \"-O${{ matrix.level }}\"], on_error: continue}\n"
     "outputs: {n: \"${{ size(steps.m.output) }}\"}\n",
     false},
    {"name: control\n"
     "concurrency: {group: \"g-${{ 1 + 1 }}\", limit: 2, policy: refuse}\n"
     "budgets: {b: {retries: 1, ratio: 50%}}\n"
     "steps:\n"
     "  - {id: kept, run: [x], cache: {key: k, ttl: 1h, files: [a.json]}}\n"
     "  - {id: given, for_each: [1, 2], run: [x, \"${{ item }}\"], cache: true, env: {A: b}}\n"
     "  - {id: tried, run: [fails], retry: {attempts: 3, base: 1ms, budget: b}, on_error: "
     "continue}\n"
     "  - {id: off, if: \"false\", run: [x]}\n"
     "  - {id: word, if: steps.kept.status == \"good\", run: [x]}\n"
     "outputs: {k: \"${{ steps.kept.output }}\", g: \"${{ steps.given.output }}\"}\n",
     true},
};

static void S_reply(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply) {
  ++*(int *)context;
  ret_reply->out = FB_SLICE("out");
  ret_reply->code = strcmp(spec->argv[0], "fails") == 0;
}

static void S_files(fb_script_world *world) {
  fb_script_world_put(world, "a.json", FB_SLICE("{\"n\": 1}"));
  fb_script_world_put(world, "dir/x", FB_SLICE("x"));
  fb_script_world_put(world, "inner.yaml",
                      FB_SLICE("inputs: {n: {type: int}, all: {type: list, default: []}}\n"
                               "steps: [{id: s, run: [x, \"${{ inputs.n }}\"]}]\n"
                               "outputs: {n: {value: \"${{ inputs.n }}\", type: int}}\n"));
}

static bool S_all(const fb_allocator *allocator) {
  fb_doc *doc = NULL;
  fb_mission *mission = NULL;
  fb_mission_run *run = NULL;
  fb_script_world *world;
  fb_errors warnings, errors;
  fb_arena arena;
  bool good = false;
  int started = 0;
  assert_int_equal(fb_doc_read_yaml(fb_slice_of(S_now->text), "m.yaml", NULL, &doc, NULL), FB_OK);
  assert_int_equal(fb_script_world_new(NULL, S_reply, &started, &world), FB_OK);
  S_files(world);
  fb_errors_init(&warnings, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  fb_arena_init(&arena, allocator, 0);
  fb_mission_options loading = {.world = fb_script_world_face(world), .warnings = &warnings};
  fb_mission_run_options running = {.cache_dir = "cache"};
  if (fb_mission_load(doc, &loading, allocator, &mission, &errors) == FB_OK &&
      fb_mission_run_new(mission, fb_script_world_face(world), &running, allocator, &run,
                         &errors) == FB_OK) {
    fb_run_group group;
    fb_buf plan;
    fb_buf_init(&plan, allocator, 0);
    fb_mission_run_plan(run, &plan);
    good = !plan.failed && fb_mission_run_group(run, &arena, &group, NULL) == FB_OK;
    good = fb_mission_run_wait(run) == FB_MISSION_OK && good;
    fb_buf_release(&plan);
  }
  if (!allocator && errors.count) fail_msg("%s", errors.items[0].text);
  if (!allocator) assert_int_equal(warnings.count > 0, S_now->warns);
  fb_errors_release(&warnings);
  fb_errors_release(&errors);
  fb_arena_release(&arena);
  fb_mission_run_free(run);
  fb_mission_free(mission);
  fb_doc_free(doc);
  fb_script_world_free(world);
  return good;
}

static void test_memory(void **unused) {
  for (size_t i = 0; i < sizeof S_documents / sizeof *S_documents; i++) {
    S_now = &S_documents[i];
    if (!S_all(NULL)) fail_msg("not ok: %.20s", S_now->text);
    fb_test_each_failure(S_all);
  }
  (void)unused;
}

/* ── Clocks that are set back ────────────────────────────────────────────────────────────────── */

typedef struct S_clock {
  fb_clock face;
  const fb_clock *real;
  int64_t wall, step; /* ns, at each look */
} S_clock;

static int64_t S_mono(void *context) {
  const S_clock *clock = context;
  return clock->real->mono(clock->real->context);
}

static int64_t S_wall(void *context) {
  S_clock *clock = context;
  clock->wall += clock->step;
  return clock->wall;
}

static fb_mission_status S_run_by(const char *text, S_clock *clock, fb_script_world *world,
                                  fb_journal *journal) {
  fb_doc *doc = NULL;
  fb_mission *mission = NULL;
  fb_mission_run *run = NULL;
  fb_world face = *fb_script_world_face(world);
  clock->real = face.clock;
  clock->face = (fb_clock){.mono = S_mono, .wall = S_wall, .context = clock};
  face.clock = &clock->face;
  fb_mission_run_options options = {.id = "r", .journal = journal, .cache_dir = "cache"};
  assert_int_equal(fb_doc_read_yaml(fb_slice_of(text), "m.yaml", NULL, &doc, NULL), FB_OK);
  assert_int_equal(fb_mission_load(doc, NULL, NULL, &mission, NULL), FB_OK);
  assert_int_equal(fb_mission_run_new(mission, &face, &options, NULL, &run, NULL), FB_OK);
  fb_mission_status status = fb_mission_run_wait(run);
  assert_true(fb_mission_run_duration(run) >= 0);
  fb_mission_run_free(run);
  fb_mission_free(mission);
  fb_doc_free(doc);
  return status;
}

/* Every look at the wall clock finds it a minute earlier: retries, waits and limits go by the other one; the journal is
 * in order, and what it says can be read. */
static void test_clock_back(void **unused) {
  static const char text[] =
      "steps:\n"
      "  - {id: a, run: [fails], retry: {attempts: 3, base: 1s, jitter: none}, on_error: "
      "continue}\n"
      "  - {id: b, wait: 5s, needs: a}\n"
      "  - {id: c, run: [x], needs: b, timeout: 10s}\n";
  S_clock clock = {.wall = INT64_C(1790000000000000000), .step = -INT64_C(60000000000)};
  fb_script_world *world;
  fb_journal *journal;
  fb_past *past;
  int started = 0;
  assert_int_equal(fb_script_world_new(NULL, S_reply, &started, &world), FB_OK);
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  int64_t before = fb_script_world_now(world);
  assert_int_equal(S_run_by(text, &clock, world, journal), FB_MISSION_OK);
  assert_int_equal(started, 4);
  assert_int_equal(fb_script_world_now(world) - before, INT64_C(8000000000)); /* 1 s + 2 s + 5 s */
  assert_int_equal(fb_past_read(journal, NULL, &past, NULL), FB_OK);
  assert_int_equal(past->status, FB_MISSION_OK);
  assert_int_equal(past->step_count, 3);
  for (uint32_t i = 0; i < past->step_count; i++) assert_true(past->steps[i].duration >= 0);
  fb_past_free(past);
  fb_journal_memory_free(journal);
  fb_script_world_free(world);
  (void)unused;
}

/* A result of the future is of a clock that was wrong: it is made again. */
static void test_cache_clock(void **unused) {
  static const char text[] = "steps: [{id: a, run: [x], cache: {key: k, ttl: 1h}}]\n";
  S_clock clock = {.wall = INT64_C(1790000000000000000)};
  fb_script_world *world;
  int started = 0;
  assert_int_equal(fb_script_world_new(NULL, S_reply, &started, &world), FB_OK);
  assert_int_equal(S_run_by(text, &clock, world, NULL), FB_MISSION_OK);
  assert_int_equal(S_run_by(text, &clock, world, NULL), FB_MISSION_OK);
  assert_int_equal(started, 1);
  clock.wall -= INT64_C(1000000000);
  assert_int_equal(S_run_by(text, &clock, world, NULL), FB_MISSION_OK);
  assert_int_equal(started, 2);
  clock.wall += INT64_C(3600000000001);
  assert_int_equal(S_run_by(text, &clock, world, NULL), FB_MISSION_OK);
  assert_int_equal(started, 3); /* too old */
  fb_script_world_free(world);
  (void)unused;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory),
                                     cmocka_unit_test(test_clock_back),
                                     cmocka_unit_test(test_cache_clock)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
