/* SPDX-License-Identifier: Apache-2.0
 * What a run records, and how it goes on after a crash at any of its events. */
#include "test.h"

#include "mission/record.h"
#include "mission/world_script.h"

static const char S_mission[] =
    "name: recorded\n"
    "inputs: {n: {type: int, default: 3}}\n"
    "limits: {parallel: 3}\n"
    "steps:\n"
    "  - {id: list, run: [list], parse: json}\n"
    "  - {id: text, run: [text]}\n"
    "  - {id: each, for_each: '${{ steps.list.output }}', as: x, run: [each, '${{ x }}']}\n"
    "  - {id: no, if: steps.text.output == 'other', run: [no]}\n"
    "  - {id: may, run: [fail], on_error: continue}\n"
    "  - {id: after, needs: [no, may], run: [after, '${{ steps.may.exit }}', '${{ "
    "steps.text.output }}']}\n"
    "  - {id: file, write: {path: out.txt, content: 'n ${{ inputs.n }}'}}\n"
    "  - {id: last, needs: [each, file], run: [last]}\n"
    "outputs:\n"
    "  text: '${{ steps.text.output }}'\n"
    "  items: '${{ steps.each.output }}'\n"
    "  path: '${{ steps.file.output.path }}'\n"
    "  may: '${{ steps.may.error }}'\n";

enum { MOST_RUNS = 64 };

/* What was really started. */
typedef struct S_trace {
  char labels[MOST_RUNS][32];
  uint32_t count;
} S_trace;

static void S_reply(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply) {
  S_trace *trace = context;
  assert_true(trace->count < MOST_RUNS);
  snprintf(trace->labels[trace->count++], 32, "%s", spec->label);
  ret_reply->duration = 1000000 * (1 + (int64_t)strlen(spec->label) % 3);
  if (strcmp(spec->argv[0], "list") == 0) ret_reply->out = FB_SLICE("[10, 20, 30, 40]");
  if (strcmp(spec->argv[0], "text") == 0) ret_reply->out = FB_SLICE("hello\n");
  if (strcmp(spec->argv[0], "each") == 0) ret_reply->out = FB_SLICE("item");
  if (strcmp(spec->argv[0], "fail") == 0) ret_reply->code = 7;
}

static uint32_t S_times(const S_trace *trace, const char *label) {
  uint32_t times = 0;
  for (uint32_t i = 0; i < trace->count; i++) times += strcmp(trace->labels[i], label) == 0;
  return times;
}

typedef struct S_play {
  fb_doc *doc;
  fb_mission *mission;
  fb_script_world *world;
  fb_mission_run *run;
  S_trace trace;
  uint32_t recorded;
} S_play;

static bool S_load(S_play *play, const char *text, const fb_allocator *allocator) {
  fb_mission_options options = {0};
  if (fb_doc_read_yaml(fb_slice_of(text), "m.yaml", NULL, &play->doc, NULL)) return false;
  return fb_mission_load(play->doc, &options, allocator, &play->mission, NULL) == FB_OK &&
         fb_script_world_new(allocator, S_reply, &play->trace, &play->world) == FB_OK;
}

static bool S_begin(S_play *play, const char *text, fb_journal *journal,
                    const fb_allocator *allocator) {
  if (!S_load(play, text, allocator)) return false;
  fb_mission_run_options options = {.journal = journal, .id = "r1"};
  return fb_mission_run_new(play->mission, fb_script_world_face(play->world), &options, allocator,
                            &play->run, NULL) == FB_OK;
}

static void S_end(S_play *play) {
  fb_mission_run_free(play->run);
  fb_script_world_free(play->world);
  fb_mission_free(play->mission);
  fb_doc_free(play->doc);
}

static void S_outputs(const S_play *play, char *out, size_t size) {
  fb_buf buf;
  fb_buf_init(&buf, NULL, 0);
  fb_json_write(&buf, fb_mission_run_outputs(play->run), FB_JSON_COMPACT);
  snprintf(out, size, "%s", buf.ptr);
  fb_buf_release(&buf);
}

static fb_status S_count(void *user, const fb_event *event) {
  (void)event;
  ++*(uint64_t *)user;
  return FB_OK;
}

static uint64_t S_events(const fb_journal *journal) {
  uint64_t count = 0;
  assert_int_equal(journal->read(journal->context, S_count, &count, NULL), FB_OK);
  return count;
}

/* Which calls the journal has as begun, ended. */
typedef struct S_known {
  char label[32];
  bool begun, ended;
} S_known;

typedef struct S_knowledge {
  S_known known[MOST_RUNS];
  uint32_t count;
} S_knowledge;

static fb_status S_learn(void *user, const fb_event *event) {
  S_knowledge *all = user;
  char label[32];
  if (event->kind != FB_EVENT_STEP_STARTED && event->kind != FB_EVENT_STEP_ENDED) return FB_OK;
  if (event->item == FB_NO_ITEM)
    snprintf(label, sizeof label, "%.*s", (int)event->step.len, event->step.ptr);
  else
    snprintf(label, sizeof label, "%.*s.%u", (int)event->step.len, event->step.ptr, event->item);
  uint32_t i = 0;
  while (i < all->count && strcmp(all->known[i].label, label) != 0) i++;
  if (i == all->count) snprintf(all->known[all->count++].label, 32, "%s", label);
  if (event->kind == FB_EVENT_STEP_STARTED) all->known[i].begun = true;
  if (event->kind == FB_EVENT_STEP_ENDED) all->known[i].ended = true;
  return FB_OK;
}

/* ── A crash after every event ───────────────────────────────────────────────────────────────── */

static const char *const S_labels[] = {"list",   "text", "each.0", "each.1", "each.2",
                                       "each.3", "may",  "after",  "last"};

static void S_crash_at(uint64_t events, const char *wanted) {
  fb_journal *journal;
  S_play first = {0}, second = {0};
  S_knowledge known = {0};
  char outputs[400];
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  assert_true(S_begin(&first, S_mission, journal, NULL));
  assert_int_equal(fb_mission_run_wait(first.run), FB_MISSION_OK);
  S_end(&first);
  fb_journal_memory_cut(journal, events);
  assert_int_equal(journal->read(journal->context, S_learn, &known, NULL), FB_OK);
  assert_true(S_begin(&second, S_mission, journal, NULL));
  /* What was kept of the programs is on disk still. */
  static const char *const kept[][2] = {
      {"list", "[10, 20, 30, 40]"}, {"text", "hello\n"}, {"each.0", "item"}};
  for (size_t i = 0; i < 3; i++) {
    char path[64];
    snprintf(path, sizeof path, "%s.out", kept[i][0]);
    fb_script_world_put(second.world, path, fb_slice_of(kept[i][1]));
  }
  assert_int_equal(fb_mission_run_wait(second.run), FB_MISSION_OK);
  S_outputs(&second, outputs, sizeof outputs);
  assert_string_equal(outputs, wanted);
  for (size_t i = 0; i < sizeof S_labels / sizeof *S_labels; i++) {
    bool ended = false;
    for (uint32_t k = 0; k < known.count; k++)
      if (strcmp(known.known[k].label, S_labels[i]) == 0) ended = known.known[k].ended;
    assert_int_equal(S_times(&second.trace, S_labels[i]), ended ? 0 : 1);
  }
  S_end(&second);
  fb_journal_memory_free(journal);
}

static void test_a_crash_after_every_event(void **state) {
  (void)state;
  fb_journal *journal;
  S_play play = {0};
  char wanted[400];
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  assert_true(S_begin(&play, S_mission, journal, NULL));
  assert_int_equal(fb_mission_run_wait(play.run), FB_MISSION_OK);
  S_outputs(&play, wanted, sizeof wanted);
  assert_int_equal(play.trace.count, sizeof S_labels / sizeof *S_labels);
  uint64_t events = S_events(journal);
  /* run 2, nine programs and a file 2 each, `no` and `each` settled */
  assert_int_equal(events, 2 + 2 * 10 + 2);
  S_end(&play);
  fb_journal_memory_free(journal);
  for (uint64_t at = 0; at <= events; at++) S_crash_at(at, wanted);
}

/* ── Edited in between ───────────────────────────────────────────────────────────────────────── */

static void S_rerun(const char *before, const char *after, const char *started) {
  fb_journal *journal;
  S_play first = {0}, second = {0};
  char all[200] = "";
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  assert_true(S_begin(&first, before, journal, NULL));
  assert_int_equal(fb_mission_run_wait(first.run), FB_MISSION_OK);
  S_end(&first);
  assert_true(S_begin(&second, after, journal, NULL));
  assert_int_equal(fb_mission_run_wait(second.run), FB_MISSION_OK);
  for (uint32_t i = 0; i < second.trace.count; i++)
    snprintf(all + strlen(all), sizeof all - strlen(all), "%s ", second.trace.labels[i]);
  assert_string_equal(all, started);
  S_end(&second);
  fb_journal_memory_free(journal);
}

static void test_an_edited_mission(void **state) {
  (void)state;
  static const char before[] =
      "steps:\n  - {id: a, run: [a]}\n  - {id: b, run: [b], needs: [a]}\n"
      "  - {id: c, run: [c]}\n";
  S_rerun(before, before, "");
  /* Another place, another layout, another time limit: the same steps. A new one is run. */
  S_rerun(before,
          "steps:\n  - id: c\n    run:\n      - c\n    timeout: 5s\n  - {run: ['a'], id: a}\n"
          "  - {id: b, run: [b], needs: [a]}\n  - {id: d, run: [d]}\n",
          "d ");
  S_rerun(before,
          "steps:\n  - {id: a, run: [a]}\n  - {id: b, run: [b, x], needs: [a]}\n"
          "  - {id: c, run: [c]}\n",
          "b ");
  /* What needs a step that is another now is run again too, and nothing else. */
  S_rerun(before,
          "steps:\n  - {id: a, run: [a, x]}\n  - {id: b, run: [b], needs: [a]}\n"
          "  - {id: c, run: [c]}\n",
          "a b ");
}

/* The edited step was run and then came a crash: what needs it must not be taken from before. */
static void test_edited_then_crashed(void **state) {
  (void)state;
  fb_journal *journal;
  S_play plays[3] = {0};
  static const char before[] = "steps:\n  - {id: a, run: [a]}\n  - {id: b, run: [b], needs: [a]}\n";
  static const char after[] =
      "steps:\n  - {id: a, run: [a, x]}\n  - {id: b, run: [b], needs: [a]}\n";
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  for (int i = 0; i < 3; i++) {
    assert_true(S_begin(&plays[i], i ? after : before, journal, NULL));
    assert_int_equal(fb_mission_run_wait(plays[i].run), FB_MISSION_OK);
    S_end(&plays[i]);
    if (i == 1) fb_journal_memory_cut(journal, 6 + 3);
  }
  assert_int_equal(plays[1].trace.count, 2);
  assert_int_equal(S_times(&plays[2].trace, "a"), 0);
  assert_int_equal(S_times(&plays[2].trace, "b"), 1);
  fb_journal_memory_free(journal);
}

/* ── Decisions while it goes on ──────────────────────────────────────────────────────────────── */

static const char S_asking[] =
    "steps:\n"
    "  - {id: ask, approve: 'go on?'}\n"
    "  - {id: slow, run: [slow, it, is]}\n"
    "  - {id: after, run: [after], needs: ask}\n"
    "outputs: {by: '${{ steps.ask.output.by }}'}\n";

static fb_status S_decide(fb_mission_run *run, const char *step, const char *word) {
  fb_entry entries[] = {{fb_string(FB_SLICE("decision")), fb_string(fb_slice_of(word))},
                        {fb_string(FB_SLICE("by")), fb_string(FB_SLICE("me"))}};
  fb_map map = {.entries = entries, .len = 2};
  return fb_mission_run_decide(run, FB_SLICE(""), fb_slice_of(step), FB_NO_ITEM, fb_map_value(&map),
                               NULL);
}

static void S_decide_now(void *user) {
  S_play *play = user;
  fb_step_state state;
  fb_mission_run_step(play->run, 0, &state);
  assert_int_equal(state.status, FB_STEP_WAITING);
  assert_int_equal(S_decide(play->run, "after", "approved"), FB_E_RUN_STATE);
  assert_int_equal(S_decide(play->run, "none", "approved"), FB_E_RUN_STATE);
  assert_int_equal(S_decide(play->run, "ask", "approved"), FB_OK);
  assert_int_equal(S_decide(play->run, "ask", "approved"), FB_E_RUN_STATE);
}

static void test_a_decision_while_it_goes_on(void **state) {
  (void)state;
  fb_journal *journal;
  S_play play = {0}, again = {0};
  char outputs[100];
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  assert_true(S_begin(&play, S_asking, journal, NULL));
  assert_int_equal(
      fb_script_world_at(play.world, INT64_C(1000000000) + 500000, S_decide_now, &play), FB_OK);
  assert_int_equal(fb_mission_run_wait(play.run), FB_MISSION_OK);
  S_outputs(&play, outputs, sizeof outputs);
  assert_string_equal(outputs, "{\"by\":\"me\"}");
  assert_int_equal(S_decide(play.run, "ask", "approved"), FB_E_RUN_STATE);
  S_end(&play);
  /* What was decided is in the journal: nobody is asked again. */
  fb_journal_memory_cut(journal, S_events(journal) - 1);
  assert_true(S_begin(&again, S_asking, journal, NULL));
  assert_int_equal(fb_mission_run_wait(again.run), FB_MISSION_OK);
  assert_int_equal(again.trace.count, 0);
  S_end(&again);
  fb_journal_memory_free(journal);
}

/* ── A journal that fails ────────────────────────────────────────────────────────────────────── */

static void test_a_journal_that_fails(void **state) {
  (void)state;
  fb_journal *journal;
  S_play play = {0};
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  assert_true(S_begin(&play, S_mission, journal, NULL));
  fb_journal_memory_fail(journal, FB_E_DISK_FULL);
  assert_int_equal(fb_mission_run_wait(play.run), FB_MISSION_FAILED);
  assert_int_equal(play.trace.count, 0); /* nothing was started that is not recorded */
  assert_int_equal(fb_mission_run_error(play.run)->code, FB_E_DISK_FULL);
  S_end(&play);
  fb_journal_memory_cut(journal, 0);
  S_play again = {0};
  assert_true(S_begin(&again, S_mission, journal, NULL));
  assert_int_equal(fb_mission_run_wait(again.run), FB_MISSION_OK);
  S_end(&again);
  fb_journal_memory_free(journal);
}

static bool S_whole(const fb_allocator *allocator) {
  fb_journal *journal = NULL;
  S_play play = {0};
  bool done = fb_journal_memory_new(allocator, &journal) == FB_OK &&
              S_begin(&play, S_mission, journal, allocator);
  done = done && fb_mission_run_wait(play.run) == FB_MISSION_OK;
  S_end(&play);
  fb_journal_memory_free(journal);
  return done;
}

static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_whole);
}

/* ── Values as bytes ─────────────────────────────────────────────────────────────────────────── */

static void S_check_pack(const char *json) {
  fb_arena arena;
  fb_buf buf;
  fb_value value, back;
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&buf, NULL, 0);
  assert_int_equal(fb_json_read(fb_slice_of(json), "t", NULL, &arena, &value, NULL), FB_OK);
  assert_int_equal(fb_value_pack(&buf, value), FB_OK);
  assert_int_equal(fb_value_unpack(fb_buf_slice(&buf), &arena, &back, NULL), FB_OK);
  assert_int_equal(fb_value_order(value, back), 0);
  for (size_t len = 0; len < buf.len; len++) { /* no part of it is a value */
    fb_value part = fb_absent();
    assert_int_equal(fb_value_unpack((fb_slice){buf.ptr, len}, &arena, &part, NULL),
                     FB_E_JOURNAL_DAMAGED);
    assert_int_equal(part.kind, FB_ABSENT);
  }
  fb_buf_release(&buf);
  fb_arena_release(&arena);
}

static void test_values_as_bytes(void **state) {
  (void)state;
  S_check_pack("null");
  S_check_pack("[true,false,0,-1,9223372036854775807,-9223372036854775808,18446744073709551615]");
  S_check_pack("{\"a\":{\"b\":[1.5,\"x\\u0000y\",\"\"]},\"é\":[[],{}]}");
  fb_arena arena;
  fb_buf buf;
  fb_value back, inside = fb_string(FB_SLICE("in"));
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&buf, NULL, 0);
  fb_value items[] = {fb_bytes(FB_SLICE("\xff\x00")),
                      fb_timestamp(-5, 999999999),
                      fb_duration(-1, 500000000),
                      fb_type_value(FB_SLICE("int")),
                      fb_optional(NULL),
                      fb_optional(&inside),
                      fb_uint(3),
                      fb_int(3)};
  fb_list list = {8, 8, items};
  assert_int_equal(fb_value_pack(&buf, fb_list_value(&list)), FB_OK);
  assert_int_equal(fb_value_unpack(fb_buf_slice(&buf), &arena, &back, NULL), FB_OK);
  for (uint32_t i = 0; i < 8; i++) {
    assert_int_equal(back.as.list->items[i].kind, items[i].kind);
    assert_int_equal(fb_value_order(back.as.list->items[i], items[i]), 0);
  }
  fb_buf_clear(&buf);
  /* deeper than it may be; a count that the bytes cannot hold */
  fb_buf_repeat(&buf, 14, 5000);
  assert_int_equal(fb_value_unpack(fb_buf_slice(&buf), &arena, &back, NULL), FB_E_JOURNAL_DAMAGED);
  assert_int_equal(fb_value_unpack(FB_SLICE("\x08\xff\xff\xff\xff\x0f"), &arena, &back, NULL),
                   FB_E_JOURNAL_DAMAGED);
  fb_buf_release(&buf);
  fb_arena_release(&arena);
}

/* ── What began before a crash ───────────────────────────────────────────────────────────────── */

static void S_nothing(void *user) {
  (void)user;
}

/* The world's time, in seconds, when the mission is done that was begun at 0 and killed at once, and gone on with at 30. */
static int64_t S_done_at(const char *text) {
  S_play play = {0};
  fb_journal *journal;
  assert_int_equal(fb_journal_memory_new(NULL, &journal), FB_OK);
  assert_true(S_begin(&play, text, journal, NULL));
  fb_mission_run_wait(play.run);
  S_end(&play);
  fb_journal_memory_cut(journal, 2);
  play = (S_play){0};
  assert_true(S_begin(&play, text, journal, NULL));
  fb_world *face = fb_script_world_face(play.world);
  fb_script_world_at(play.world, INT64_C(31000000000), S_nothing, NULL); /* worlds begin at 1 */
  assert_true(face->turn(face->context));
  assert_int_equal(fb_script_world_now(play.world), INT64_C(30000000000));
  fb_mission_run_wait(play.run);
  int64_t now = fb_script_world_now(play.world) / 1000000000;
  S_end(&play);
  fb_journal_memory_free(journal);
  return now;
}

static void test_time_goes_on(void **state) {
  (void)state;
  assert_int_equal(S_done_at("name: w\nsteps: [{id: w, wait: 60s}]\n"), 60);
  assert_int_equal(S_done_at("name: w\nsteps: [{id: w, wait: 10s}]\n"), 30);
  assert_int_equal(S_done_at("name: w\nsteps:\n  - {id: u, run: [never], until: {condition: "
                             "'false', interval: 5s, timeout: 50s}}\n"),
                   45);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_time_goes_on),
      cmocka_unit_test(test_values_as_bytes),
      cmocka_unit_test(test_a_crash_after_every_event),
      cmocka_unit_test(test_an_edited_mission),
      cmocka_unit_test(test_edited_then_crashed),
      cmocka_unit_test(test_a_journal_that_fails),
      cmocka_unit_test(test_a_decision_while_it_goes_on),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
