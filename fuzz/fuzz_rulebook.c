/* SPDX-License-Identifier: Apache-2.0
 * A rulebook, then a line `---facts`, then facts: loaded, run twice within limits, changed, run again. The two
 * runs must give the same firings and decisions; an error must have a text and a place in the rulebook. One that can be
 * shared out must fire the same rules in three parts. */
#include <flyball/rules.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FACTS = 40, MAX_FIRINGS = 60 };

static void S_check(bool holds) {
  if (!holds) abort();
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_buf *log = context;
  fb_arena arena;
  fb_value why;
  fb_arena_init(&arena, NULL, 0);
  S_check(fb_session_why(session, decision, &arena, &why) == FB_OK);
  fb_json_write(log, fb_map_value(decision->fields), FB_JSON_CANONICAL);
  fb_json_write(log, why, FB_JSON_CANONICAL);
  fb_arena_release(&arena);
  return FB_OK;
}

static void S_fired(void *context, fb_session *session, uint32_t rule, uint64_t firing) {
  S_check(rule < fb_ruleset_count(fb_session_ruleset(session)));
  fb_buf_printf(context, "%u %llu\n", rule, (unsigned long long)firing);
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  (void)session;
  S_check(err->text[0] != 0);
  fb_buf_printf(context, "%s\n", err->text);
}

static void S_assert_all(fb_session *session, fb_slice facts, fb_fact_id *ids,
                         uint32_t *ret_count) {
  fb_memory_source memory = {facts};
  fb_stream_options options = {.format = FB_STREAM_NDJSON, .type = FB_SLICE("a"), .batch_rows = 8};
  fb_errors errors;
  fb_stream *stream;
  fb_batch batch;
  fb_errors_init(&errors, NULL, 5);
  if (fb_stream_open(fb_source_memory(&memory), fb_session_schema(session), &options, NULL, &stream,
                     NULL) == FB_OK) {
    while (fb_stream_next(stream, &batch, &errors) == FB_OK && *ret_count < MAX_FACTS - 8)
      for (size_t i = 0; i < batch.run_count; i++) {
        uint32_t done = 0;
        fb_session_assert_rows(session, batch.runs[i].facts, batch.runs[i].first,
                               batch.runs[i].count, ids + *ret_count, &done, NULL);
        *ret_count += done;
      }
    fb_stream_free(stream);
  }
  fb_errors_release(&errors);
}

static fb_status S_echo(void *context, const fb_map *args, fb_arena *arena, fb_value *ret,
                        fb_error *err) {
  (void)context;
  (void)arena;
  (void)err;
  *ret = fb_map_value(args);
  return args->len ? FB_OK : FB_E_RULE_VALUE;
}

/* Moves the clock to where windows let go of facts and end. */
static void S_move_clock(fb_session *session) {
  for (int i = 0; i < 4; i++) {
    fb_value due = fb_session_due(session), now = fb_session_now(session);
    if (due.kind != FB_TIMESTAMP) return;
    if (now.kind == FB_TIMESTAMP && fb_value_order(due, now) < 0) due = now;
    if (fb_session_advance(session, due, NULL) != FB_OK) return;
    fb_session_fire(session, NULL, NULL);
  }
}

static void S_run(const fb_ruleset *rules, fb_slice facts, fb_buf *log) {
  static const fb_parameter parameters[] = {{"n", FB_FIELD_INT, false},
                                            {"t", FB_FIELD_TIMESTAMP, true}};
  static const fb_calculator calculators[] = {{"echo", NULL, 0, S_echo, NULL},
                                              {"typed", parameters, 2, S_echo, NULL}};
  fb_session_options options = {
      .max_firings = MAX_FIRINGS,
      .max_facts = MAX_FACTS,
      .max_activations = 2000,
      .max_candidates = 20000,
      .max_steps = 20000,
      .explain = true,
      .calculators = calculators,
      .calculator_count = 2,
      .output = {.decision = S_decision, .error = S_error, .fired = S_fired, .context = log}};
  fb_session *session;
  fb_fact_id ids[MAX_FACTS * 2];
  uint32_t count = 0;
  fb_status status = fb_session_new(rules, &options, NULL, &session);
  S_check(status == FB_OK || status == FB_E_RULE_CALL);
  if (status != FB_OK) return;
  S_assert_all(session, facts, ids, &count);
  fb_session_fire(session, NULL, NULL);
  for (uint32_t i = 0; i < count; i += 3) {
    fb_entry entry = {fb_string(FB_SLICE("n")), fb_int(i)};
    fb_map map = {.len = 1, .cap = 1, .entries = &entry};
    if (i % 2)
      fb_session_retract(session, ids[i], NULL);
    else
      fb_session_modify(session, ids[i], &map, NULL);
  }
  /* A limit that is reached while results of aggregates follow loses the session. */
  status = fb_session_swap(session, rules, NULL);
  S_check(status == FB_OK || status == FB_E_RULE_AGGREGATE || status == FB_E_RULE_SESSION);
  status = fb_session_advance(session, fb_timestamp(1780000000, 0), NULL);
  S_check(status == FB_OK || status == FB_E_RULE_LIMIT || status == FB_E_RULE_SESSION);
  fb_session_fire(session, NULL, NULL);
  S_move_clock(session);
  S_check(fb_session_statistics(session).facts <= MAX_FACTS);
  fb_session_free(session);
}

/* ── In parts ── */

static void S_note(void *context, fb_session *session, uint32_t rule, uint64_t firing) {
  (void)session;
  fb_buf_printf(context, "%u %llu\n", rule, (unsigned long long)firing);
}

/* Facts that are in order: one session and three parts take all of them, in one batch a run. */
static fb_status S_feed(fb_session *session, fb_partition *group, fb_slice facts) {
  fb_memory_source memory = {facts};
  fb_stream_options options = {.format = FB_STREAM_NDJSON, .type = FB_SLICE("a")};
  fb_schema *schema = group ? fb_partition_schema(group) : fb_session_schema(session);
  fb_stream *stream;
  fb_batch batch;
  fb_status status =
      fb_stream_open(fb_source_memory(&memory), schema, &options, NULL, &stream, NULL);
  if (status != FB_OK) return status;
  if (fb_stream_next(stream, &batch, NULL) == FB_OK)
    for (size_t i = 0; i < batch.run_count && status == FB_OK; i++) {
      const fb_run *run = &batch.runs[i];
      status = group
                   ? fb_partition_assert_rows(group, run->facts, run->first, run->count, NULL, NULL)
                   : fb_session_assert_rows(session, run->facts, run->first, run->count, NULL, NULL,
                                            NULL);
    }
  fb_stream_free(stream);
  return status;
}

static void S_share_out(const fb_ruleset *rules, fb_slice facts) {
  fb_buf one, many;
  fb_session *session;
  fb_partition *group;
  fb_error err;
  fb_buf_init(&one, NULL, 0);
  fb_buf_init(&many, NULL, 0);
  fb_session_options options = {.max_firings = MAX_FIRINGS,
                                .max_facts = MAX_FACTS,
                                .max_activations = 2000,
                                .max_candidates = 20000,
                                .max_steps = 20000,
                                .output = {.fired = S_note, .context = &many}};
  fb_partition_options parts = {.session = options, .parts = 3};
  fb_status status = fb_partition_new(rules, &parts, NULL, &group, &err);
  if (status == FB_OK) {
    options.output.context = &one;
    S_check(fb_session_new(rules, &options, NULL, &session) == FB_OK);
    /* Limits of facts may be reached in another place. */
    if (S_feed(session, NULL, facts) == FB_OK && S_feed(NULL, group, facts) == FB_OK &&
        fb_session_fire(session, NULL, NULL) == FB_OK) {
      S_check(fb_partition_fire(group, NULL, NULL) == FB_OK);
      S_check(fb_slice_equal(fb_buf_slice(&one), fb_buf_slice(&many)));
    }
    fb_session_free(session);
    fb_partition_free(group);
  } else {
    S_check(status == FB_E_RULE_PARTITION && err.text[0]);
  }
  fb_buf_release(&one);
  fb_buf_release(&many);
}

static void S_check_errors(const fb_errors *errors) {
  S_check(errors->count > 0);
  for (size_t i = 0; i < errors->count; i++)
    S_check(errors->items[i].text[0] && errors->items[i].line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  if (size > 8192) return 0;
  const char *cut = size ? memmem(text, size, "\n---facts\n", 10) : NULL;
  fb_slice book = {text, cut ? (size_t)(cut - text) : size}, facts = {"", 0};
  if (cut) facts = (fb_slice){cut + 10, size - book.len - 10};
  fb_ruleset *rules;
  fb_errors errors, warnings;
  fb_errors_init(&errors, NULL, 0);
  fb_errors_init(&warnings, NULL, 0);
  if (fb_ruleset_read(book, "fuzz.yaml", NULL, &rules, &errors, &warnings) == FB_OK) {
    fb_buf first, second;
    fb_buf_init(&first, NULL, 0);
    fb_buf_init(&second, NULL, 0);
    S_run(rules, facts, &first);
    S_run(rules, facts, &second);
    S_check(fb_slice_equal(fb_buf_slice(&first), fb_buf_slice(&second)));
    S_share_out(rules, facts);
    fb_ruleset_dump(rules, &first);
    fb_buf_release(&first);
    fb_buf_release(&second);
    fb_ruleset_free(rules);
  } else {
    S_check_errors(&errors);
  }
  fb_errors_release(&errors);
  fb_errors_release(&warnings);
  return 0;
}
