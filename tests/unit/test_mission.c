/* SPDX-License-Identifier: Apache-2.0
 * Missions beyond what cases can say: random graphs against a naive oracle, size, memory that runs out, real
 * processes. */
#include "test.h"

#include "mission/world_script.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

static fb_doc *S_doc(const char *text, size_t len) {
  fb_doc *doc = NULL;
  assert_int_equal(fb_doc_read_yaml((fb_slice){text, len}, "m.yaml", NULL, &doc, NULL), FB_OK);
  return doc;
}

static fb_mission *S_load(const fb_doc *doc) {
  fb_mission *mission = NULL;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_mission_load(doc, NULL, NULL, &mission, &errors))
    fail_msg("%s", errors.count ? errors.items[0].text : "?");
  fb_errors_release(&errors);
  return mission;
}

/* ── Random graphs ───────────────────────────────────────────────────────────────────────────── */

enum { MOST_STEPS = 40 };

/* What is to happen to a random mission, and what did. */
typedef struct S_graph {
  uint32_t count, parallel;
  bool needs[MOST_STEPS][MOST_STEPS];
  bool fails[MOST_STEPS], may_fail[MOST_STEPS];
  int64_t takes[MOST_STEPS];
  int64_t start[MOST_STEPS], end[MOST_STEPS]; /* -1: it did not run */
  fb_script_world *world;
} S_graph;

static void S_make_graph(S_graph *graph, fb_random *random) {
  memset(graph, 0, sizeof *graph);
  graph->count = 1 + (uint32_t)fb_random_below(random, MOST_STEPS);
  graph->parallel = 1 + (uint32_t)fb_random_below(random, 6);
  for (uint32_t i = 0; i < graph->count; i++) {
    graph->takes[i] = (int64_t)fb_random_below(random, 5) * 1000000000;
    graph->fails[i] = fb_random_below(random, 10) == 0;
    graph->may_fail[i] = fb_random_below(random, 3) == 0;
    graph->start[i] = graph->end[i] = -1;
    for (uint32_t k = 0; k < i; k++) graph->needs[i][k] = fb_random_below(random, 6) == 0;
  }
}

/* Steps stand in the document from the last to the first, so that order in it is no order of running. */
static void S_write_graph(const S_graph *graph, fb_buf *out) {
  fb_buf_printf(out, "limits: {parallel: %u}\nsteps:\n", graph->parallel);
  for (uint32_t i = graph->count; i-- > 0;) {
    fb_buf_printf(out, "  - {id: s%u, run: [x], on_error: %s, needs: [", i,
                  graph->may_fail[i] ? "continue" : "stop");
    for (uint32_t k = 0, n = 0; k < i; k++)
      if (graph->needs[i][k]) fb_buf_printf(out, "%ss%u", n++ ? ", " : "", k);
    fb_buf_text(out, "]}\n");
  }
}

static void S_graph_reply(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply) {
  S_graph *graph = context;
  uint32_t i = (uint32_t)atoi(spec->label + 1);
  assert_int_equal(graph->start[i], -1); /* never twice */
  graph->start[i] = fb_script_world_now(graph->world);
  graph->end[i] = graph->start[i] + graph->takes[i];
  ret_reply->duration = graph->takes[i];
  ret_reply->code = graph->fails[i];
}

/* How many run at a time, by looking at all. */
static uint32_t S_running_at(const S_graph *graph, int64_t time) {
  uint32_t running = 0;
  for (uint32_t i = 0; i < graph->count; i++)
    running += graph->start[i] >= 0 && graph->start[i] <= time && time < graph->end[i];
  return running;
}

static void S_check_graph(const S_graph *graph, const fb_mission_run *run) {
  bool bad[MOST_STEPS] = {0}, failed = false;
  for (uint32_t i = 0; i < graph->count; i++) {
    fb_step_state state;
    bool blocked = false;
    int64_t ready = 0;
    for (uint32_t k = 0; k < i; k++)
      if (graph->needs[i][k]) {
        blocked = blocked || bad[k];
        if (!bad[k] && graph->end[k] > ready) ready = graph->end[k];
      }
    fb_mission_run_step(run, graph->count - 1 - i, &state);
    bad[i] = blocked || (graph->fails[i] && !graph->may_fail[i]);
    failed = failed || (!blocked && bad[i]);
    fb_step_status wanted = blocked           ? FB_STEP_SKIPPED
                            : graph->fails[i] ? FB_STEP_FAILED
                                              : FB_STEP_OK;
    assert_int_equal(state.status, wanted);
    assert_int_equal(graph->start[i] >= 0, !blocked);
    if (blocked) continue;
    assert_true(graph->start[i] >= ready);
    assert_true(S_running_at(graph, graph->start[i]) <= graph->parallel);
    /* It waited only because all places were taken. */
    for (int64_t t = ready; t < graph->start[i]; t += 1000000000)
      assert_int_equal(S_running_at(graph, t), graph->parallel);
  }
  assert_int_equal(fb_mission_run_state(run), failed ? FB_MISSION_FAILED : FB_MISSION_OK);
}

static void test_random_graphs(void **unused) {
  fb_random random;
  fb_random_seed(&random, 20261120);
  for (int round = 0; round < 2000; round++) {
    S_graph graph;
    fb_buf text;
    fb_mission_run *run;
    S_make_graph(&graph, &random);
    fb_buf_init(&text, NULL, 0);
    S_write_graph(&graph, &text);
    fb_doc *doc = S_doc(text.ptr, text.len);
    fb_mission *mission = S_load(doc);
    assert_int_equal(fb_script_world_new(NULL, S_graph_reply, &graph, &graph.world), FB_OK);
    assert_int_equal(
        fb_mission_run_new(mission, fb_script_world_face(graph.world), NULL, NULL, &run, NULL),
        FB_OK);
    fb_mission_run_wait(run);
    S_check_graph(&graph, run);
    fb_mission_run_free(run);
    fb_script_world_free(graph.world);
    fb_mission_free(mission);
    fb_doc_free(doc);
    fb_buf_release(&text);
  }
}

/* ── Cancelled at any moment ─────────────────────────────────────────────────────────────────── */

static const char S_busy[] =
    "limits: {parallel: 3, one: {concurrency: 1, rate: 2/s, queue_time: 1m}}\n"
    "breakers: {br: {consecutive: 9}}\n"
    "steps:\n"
    "  - {id: a, run: [x], undo: {run: [drop, '${{ steps.a.output }}']}}\n"
    "  - {id: b, run: [x], needs: a}\n"
    "  - {id: f, run: [x], timeout: 1ms, on_error: {step: spare}}\n"
    "  - {id: spare, run: [x]}\n"
    "  - {id: i, for_each: {k: 1, l: 2}, run: [x], undo: {run: [drop, '${{ item.key }}']}}\n"
    "  - {id: g, for_each: [1, 2, 3], run: [x], limit: one, breaker: br, retry: {base: 1s, "
    "deadline: 1m}}\n"
    "  - {id: h, http: {url: 'http://h', query: {a: [1, 2]}, headers: {a: b}, json: {c: d}}, "
    "retry: 3, "
    "on_error: continue}\n"
    "  - {id: u, run: [x], until: {condition: 'result.output == \"no\"', timeout: 4s}, on_error: "
    "continue}\n"
    "  - {id: c, for_each: [1, 2, 3, 4, 5], parallel: 2, run: [x, '${{ item }}'], needs: a}\n"
    "  - {id: d, write: {path: f, json: '${{ steps.c.output }}'}}\n"
    "  - {id: e, run: [x], timeout: 2s, on_error: continue}\n"
    "finally:\n"
    "  - {id: z, run: [x, '${{ run.status }}']}\n"
    "outputs: {c: '${{ steps.c.items }}', e: '${{ steps.e }}'}\n";

static void S_busy_reply(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply) {
  ret_reply->duration = INT64_C(700000000) * (1 + (int64_t)strlen(spec->label) % 4);
  ret_reply->stubborn = spec->label[0] == 'b';
  ret_reply->out = FB_SLICE("some output\n");
  if (spec->label[0] == 'g' && !strchr(spec->label, '@')) ret_reply->code = 1;
}

static void S_busy_answer(void *context, const fb_http_request *request,
                          fb_script_answer *ret_answer) {
  *ret_answer = (fb_script_answer){.duration = INT64_C(1500000000),
                                   .code = 503,
                                   .body = FB_SLICE("{\"a\": [1, 2]}"),
                                   .type = FB_SLICE("application/json")};
}

typedef struct S_cancel {
  fb_mission_run *run;
  bool now;
} S_cancel;

static void S_cancel_run(void *context) {
  S_cancel *cancel = context;
  fb_mission_run_cancel(cancel->run, cancel->now);
}

static void test_cancel_at_any_time(void **unused) {
  fb_doc *doc = S_doc(S_busy, sizeof S_busy - 1);
  fb_mission *mission = S_load(doc);
  for (int64_t at = 0; at < INT64_C(16000000000); at += 50000000) {
    fb_script_world *world;
    S_cancel cancel = {.now = at % 100000000 == 0};
    assert_int_equal(fb_script_world_new(NULL, S_busy_reply, NULL, &world), FB_OK);
    fb_script_world_http(world, S_busy_answer);
    assert_int_equal(
        fb_mission_run_new(mission, fb_script_world_face(world), NULL, NULL, &cancel.run, NULL),
        FB_OK);
    fb_script_world_at(world, 1000000000 + at, S_cancel_run, &cancel);
    fb_mission_status status = fb_mission_run_wait(cancel.run);
    assert_true(status == FB_MISSION_CANCELLED || status == FB_MISSION_OK);
    assert_int_equal(fb_script_world_counts(world).running, 0);
    for (uint32_t i = 0; i < fb_mission_steps(mission); i++) {
      fb_step_state state;
      fb_mission_run_step(cancel.run, i, &state);
      assert_true(state.status > FB_STEP_RUNNING);
    }
    fb_mission_run_free(cancel.run);
    fb_script_world_free(world);
  }
  fb_mission_free(mission);
  fb_doc_free(doc);
}

/* ── Size ────────────────────────────────────────────────────────────────────────────────────── */

static void S_many(uint32_t count, bool chain) {
  fb_buf text;
  fb_script_world *world;
  fb_mission_run *run;
  fb_buf_init(&text, NULL, 0);
  fb_buf_text(&text, "steps:\n");
  for (uint32_t i = count; i-- > 0;) {
    fb_buf_printf(&text, "  - {id: s%u, run: [x]", i);
    if (chain && i) fb_buf_printf(&text, ", needs: s%u", i - 1);
    fb_buf_text(&text, "}\n");
  }
  fb_doc *doc = S_doc(text.ptr, text.len);
  fb_mission *mission = S_load(doc);
  assert_int_equal(fb_mission_levels(mission), chain ? count : 1);
  assert_int_equal(fb_script_world_new(NULL, NULL, NULL, &world), FB_OK);
  assert_int_equal(fb_mission_run_new(mission, fb_script_world_face(world), NULL, NULL, &run, NULL),
                   FB_OK);
  assert_int_equal(fb_mission_run_wait(run), FB_MISSION_OK);
  assert_int_equal(fb_script_world_counts(world).started, count);
  fb_mission_run_free(run);
  fb_script_world_free(world);
  fb_mission_free(mission);
  fb_doc_free(doc);
  fb_buf_release(&text);
}

static void test_size(void **unused) {
  S_many(30000, true);
  S_many(30000, false);
}

/* ── Memory that runs out ────────────────────────────────────────────────────────────────────── */

static fb_doc *S_torture_doc;

static bool S_torture_load(const fb_allocator *allocator) {
  fb_mission *mission;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_mission_load(S_torture_doc, NULL, allocator, &mission, &errors);
  if (status == FB_OK) fb_mission_free(mission);
  assert_true(status == FB_OK || status == FB_E_NOMEM);
  fb_errors_release(&errors);
  return status == FB_OK;
}

static const fb_mission *S_torture_mission;

static bool S_torture_run(const fb_allocator *allocator) {
  fb_mission_run *run;
  fb_script_world *world;
  assert_int_equal(fb_script_world_new(NULL, S_busy_reply, NULL, &world), FB_OK);
  fb_script_world_http(world, S_busy_answer);
  fb_status status = fb_mission_run_new(S_torture_mission, fb_script_world_face(world), NULL,
                                        allocator, &run, NULL);
  fb_mission_status end = FB_MISSION_FAILED;
  if (status == FB_OK) {
    end = fb_mission_run_wait(run);
    assert_true(end != FB_MISSION_GOING);
    assert_int_equal(fb_script_world_counts(world).running, 0);
    fb_mission_run_free(run);
  }
  fb_script_world_free(world);
  return end == FB_MISSION_OK;
}

static void test_memory(void **unused) {
  S_torture_doc = S_doc(S_busy, sizeof S_busy - 1);
  fb_test_each_failure(S_torture_load);
  fb_mission *mission = S_load(S_torture_doc);
  S_torture_mission = mission;
  fb_test_each_failure(S_torture_run);
  fb_mission_free(mission);
  fb_doc_free(S_torture_doc);
}

/* ── Real processes ──────────────────────────────────────────────────────────────────────────── */

typedef struct S_real {
  char dir[64];
  fb_doc *doc;
  fb_world *world;
  fb_mission *mission;
  fb_mission_run *run;
} S_real;

extern char **environ;

static void S_real_new(S_real *real, const char *text) {
  strcpy(real->dir, "/tmp/flyball-test-XXXXXX");
  assert_non_null(mkdtemp(real->dir));
  real->doc = S_doc(text, strlen(text));
  real->mission = S_load(real->doc);
  fb_uv_options options = {.run_dir = real->dir};
  assert_int_equal(fb_world_uv_new(NULL, &options, &real->world, NULL), FB_OK);
  fb_mission_run_options run = {.env = (const char *const *)environ,
                                .grace = 200 * INT64_C(1000000)};
  assert_int_equal(fb_mission_run_new(real->mission, real->world, &run, NULL, &real->run, NULL),
                   FB_OK);
}

static void S_real_free(S_real *real) {
  char command[128];
  fb_mission_run_free(real->run);
  fb_world_uv_free(real->world);
  fb_mission_free(real->mission);
  fb_doc_free(real->doc);
  snprintf(command, sizeof command, "rm -rf %s", real->dir);
  assert_int_equal(system(command), 0);
}

static int64_t S_output(const S_real *real, const char *name) {
  fb_value outputs = fb_mission_run_outputs(real->run);
  const fb_value *value = fb_map_get_text(outputs.as.map, fb_slice_of(name));
  assert_non_null(value);
  assert_int_equal(value->kind, FB_INT);
  return value->as.i;
}

/* True once the process is gone (or a zombie of somebody else). Waits at most two seconds. */
static bool S_gone(pid_t pid) {
  for (int i = 0; i < 200; i++) {
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file) return true;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 'Z';
    fclose(file);
    if (state == 'Z' || state == 'X') return true;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  return false;
}

/* A step that ignores SIGTERM and leaves two grandchildren that ignore it too. */
static void test_timeout_ends_the_group(void **unused) {
  S_real real;
  S_real_new(&real,
             "steps:\n"
             "  - id: a\n"
             "    timeout: 300ms\n"
             "    on_error: continue\n"
             "    parse: lines\n"
             "    shell: |\n"
             "      trap '' TERM\n"
             "      sleep 1000 & echo $!\n"
             "      (trap '' TERM; exec sleep 1000) & echo $!\n"
             "      sleep 1000 || true\n"
             "      sleep 1000\n"
             "outputs: {one: '${{ int(steps.a.stdout.split(\"\\n\")[0]) }}', two: '${{ "
             "int(steps.a.stdout.split(\"\\n\")[1]) }}'}\n");
  assert_int_equal(fb_mission_run_wait(real.run), FB_MISSION_OK);
  fb_step_state state;
  fb_mission_run_step(real.run, 0, &state);
  assert_int_equal(state.status, FB_STEP_TIMEOUT);
  assert_int_equal(state.signal, SIGKILL);
  assert_true(S_gone((pid_t)S_output(&real, "one")));
  assert_true(S_gone((pid_t)S_output(&real, "two")));
  S_real_free(&real);
}

static void test_output(void **unused) {
  S_real real;
  S_real_new(
      &real,
      "limits: {output: 100KiB}\n"
      "steps:\n"
      "  - {id: big, shell: 'head -c 100000000 /dev/zero'}\n"
      "  - {id: lines, shell: 'seq 1 200000', parse: lines}\n"
      "  - {id: bin, shell: 'printf \"\\377\\000\\376\"'}\n"
      "outputs:\n"
      "  big: '${{ size(steps.big.stdout) }}'\n"
      "  lines: '${{ size(steps.lines.output) }}'\n"
      "  bin: '${{ size(steps.bin.output) + (type(steps.bin.output) == bytes ? 100 : 0) }}'\n");
  assert_int_equal(fb_mission_run_wait(real.run), FB_MISSION_OK);
  assert_int_equal(S_output(&real, "big"), 100 << 10);
  assert_int_equal(S_output(&real, "lines"), 200000);
  assert_int_equal(S_output(&real, "bin"), 103);
  S_real_free(&real);
}

static void test_input_and_files(void **unused) {
  S_real real;
  char text[1024];
  snprintf(
      text, sizeof text,
      "steps:\n"
      "  - {id: a, run: [wc, -c], stdin: '${{ [1,2,3].map(i, \"%s\").join(\"\") }}'}\n"
      "  - {id: w, write: {path: '${{ run.dir }}x/deep/er/file', content: hello, mode: 0640}}\n"
      "  - {id: r, run: [cat, '${{ steps.w.output.path }}']}\n"
      "  - {id: m, shell: 'stat -c %%a \"$F\"', env: {F: '${{ steps.w.output.path }}'}}\n"
      "  - {id: z, shell: 'rm -r \"$F\"', env: {F: '${{ run.dir }}x'}, needs: [r, m]}\n"
      "outputs: {a: '${{ int(steps.a.output) }}', r: '${{ size(steps.r.output) }}', m: '${{ "
      "int(steps.m.output) }}'}\n",
      "0123456789");
  S_real_new(&real, text);
  fb_mission_run_free(real.run);
  fb_mission_run_options run = {.env = (const char *const *)environ, .dir = real.dir};
  assert_int_equal(fb_mission_run_new(real.mission, real.world, &run, NULL, &real.run, NULL),
                   FB_OK);
  assert_int_equal(fb_mission_run_wait(real.run), FB_MISSION_OK);
  assert_int_equal(S_output(&real, "a"), 30);
  assert_int_equal(S_output(&real, "r"), 5);
  assert_int_equal(S_output(&real, "m"), 640);
  S_real_free(&real);
}

static void S_cancel_in_real(void *context) {
  S_cancel *cancel = context;
  fb_mission_run_cancel(cancel->run, cancel->now);
}

static void test_cancel_leaves_no_orphan(void **unused) {
  S_real real;
  S_real_new(&real,
             "steps:\n"
             "  - {id: a, shell: 'sleep 1000 & echo $!; wait'}\n"
             "  - {id: b, run: [sleep, 1000]}\n"
             "  - {id: c, run: [sleep, 1000], needs: a}\n"
             "outputs: {pid: '${{ int(steps.a.stdout.trim()) }}'}\n");
  S_cancel cancel = {.run = real.run};
  fb_timer *timer = real.world->timer_start(
      real.world->context, real.world->clock->mono(NULL) + 300000000, S_cancel_in_real, &cancel);
  assert_non_null(timer);
  assert_int_equal(fb_mission_run_wait(real.run), FB_MISSION_CANCELLED);
  assert_true(S_gone((pid_t)S_output(&real, "pid")));
  S_real_free(&real);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_graphs),
      cmocka_unit_test(test_cancel_at_any_time),
      cmocka_unit_test(test_size),
      cmocka_unit_test(test_memory),
      cmocka_unit_test(test_timeout_ends_the_group),
      cmocka_unit_test(test_output),
      cmocka_unit_test(test_input_and_files),
      cmocka_unit_test(test_cancel_leaves_no_orphan),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
