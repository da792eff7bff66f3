/* SPDX-License-Identifier: Apache-2.0
 * Snapshots with damage: the first byte picks options, each three that follow change a byte of a good snapshot. With its checksum made
 * right again it must be refused, or give a session that can be run, saved and restored; with the old one it must be refused. */
#include <flyball/rules.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char S_book[] =
    "facts:\n  a: {n: int, at: timestamp, s: string}\n"
    "rules:\n"
    "  - name: pair\n    when: [a as x: x.n > 0, b as y: y.n == x.n, not c as z: z.n == x.n]\n"
    "    then: [{emit: pair, with: {s: \"${{ x.s }}\"}}, {assert: c, with: {n: \"${{ x.n }}\"}}]\n"
    "  - name: c\n    salience: 5\n    when: [c as z, b as y: z.n + 1 == y.n]\n    then: "
    "[{retract: z}, {modify: y, with: {n: 1}}]\n"
    "  - name: sure\n    when: [b as y: y.n > 0]\n    then: [{assert: d, logical: true, with: {n: "
    "\"${{ y.n }}\"}}]\n"
    "  - name: alone\n    when: [not c]\n    then: [{log: none}]\n";
static const char S_facts[] =
    "{\"type\":\"a\",\"n\":1,\"s\":\"text\",\"at\":\"2026-01-01T00:00:00Z\"}\n{\"type\":\"b\","
    "\"n\":1,\"l\":[1,2.5,{\"k\":null}]}\n"
    "{\"type\":\"b\",\"n\":2,\"m\":{\"x\":\"y\"}}\n{\"type\":\"a\",\"n\":2,\"s\":\"t\"}\n{\"type\":"
    "\"d\",\"v\":true}\n";

static void S_check(bool holds) {
  if (!holds) abort();
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_arena arena;
  fb_value why;
  (void)context;
  fb_arena_init(&arena, NULL, 0);
  S_check(fb_session_why(session, decision, &arena, &why) == FB_OK);
  fb_arena_release(&arena);
  return FB_OK;
}

static fb_session_options S_options(bool explain) {
  return (fb_session_options){.max_firings = 3,
                              .max_facts = 100,
                              .max_activations = 2000,
                              .max_candidates = 20000,
                              .explain = explain,
                              .output = {.decision = S_decision}};
}

/* A session in the middle of its work. */
static void S_good(const fb_ruleset *rules, bool explain, fb_buf *out) {
  fb_session_options options = S_options(explain);
  fb_memory_source memory = {FB_SLICE(S_facts)};
  fb_session *session;
  fb_stream *stream;
  fb_batch batch;
  S_check(fb_session_new(rules, &options, NULL, &session) == FB_OK);
  S_check(fb_stream_open(fb_source_memory(&memory), fb_session_schema(session), NULL, NULL, &stream,
                         NULL) == FB_OK);
  while (fb_stream_next(stream, &batch, NULL) == FB_OK)
    for (size_t i = 0; i < batch.run_count; i++)
      S_check(fb_session_assert_rows(session, batch.runs[i].facts, batch.runs[i].first,
                                     batch.runs[i].count, NULL, NULL, NULL) == FB_OK);
  fb_stream_free(stream);
  fb_session_fire(session, NULL, NULL);
  S_check(fb_session_retract(session, 4, NULL) == FB_OK);
  S_check(fb_session_save(session, out, NULL) == FB_OK);
  fb_session_free(session);
}

static fb_status S_count(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  (void)fact;
  S_check(fb_session_fact(session, id).kind == FB_FACT);
  ++*(uint64_t *)context;
  return FB_OK;
}

static void S_use(fb_session *session) {
  fb_session *clone;
  uint64_t count = 0;
  S_check(fb_session_query(session, FB_SLICE(""), FB_SLICE(""), S_count, &count, NULL) == FB_OK);
  S_check(count == fb_session_count(session, FB_SLICE("")));
  fb_session_fire(session, NULL, NULL);
  for (uint32_t place = 1; place < 8; place++) {
    fb_entry entry = {fb_string(FB_SLICE("n")), fb_int(place % 3)};
    fb_map map = {.len = 1, .cap = 1, .entries = &entry};
    fb_session_modify(session, place, &map, NULL);
    fb_session_assert(session, place % 2 ? FB_SLICE("b") : FB_SLICE("c"), &map, NULL, NULL);
    fb_session_retract(session, 8 - place, NULL);
  }
  fb_session_fire(session, NULL, NULL);
  if (fb_session_clone(session, NULL, &clone, NULL) == FB_OK) {
    S_check(fb_session_count(session, FB_SLICE("")) == fb_session_count(clone, FB_SLICE("")));
    fb_session_free(clone);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fb_ruleset *rules;
  fb_session *session;
  fb_buf snapshot, good;
  fb_error err;
  if (!size) return 0;
  bool fix = data[0] & 1, facts_only = data[0] & 2, explain = data[0] & 4, changed = false;
  S_check(fb_ruleset_read(FB_SLICE(S_book), "fuzz.yaml", NULL, &rules, NULL, NULL) == FB_OK);
  fb_buf_init(&snapshot, NULL, 0);
  fb_buf_init(&good, NULL, 0);
  S_good(rules, data[0] & 8, &snapshot);
  fb_buf_add(&good, snapshot.ptr, snapshot.len);
  if (data[0] & 16) snapshot.len -= (data[0] >> 5) % snapshot.len;
  changed = (data[0] & 16) && data[0] >> 5;
  for (size_t i = 1; i + 2 < size; i += 3) {
    char *at = &snapshot.ptr[(data[i] << 8 | data[i + 1]) % snapshot.len];
    *at = (char)data[i + 2];
  }
  changed = changed ||
            memcmp(good.ptr, snapshot.ptr, snapshot.len) != 0; /* a byte may have been set back */
  if (fix) {
    uint64_t sum = fb_hash_bytes(snapshot.ptr + 16, snapshot.len - 16, 0);
    for (int i = 0; i < 8; i++) snapshot.ptr[8 + i] = (char)(sum >> 8 * i);
  }
  fb_session_options options = S_options(explain);
  fb_status status = fb_session_restore(rules, &options, NULL, fb_buf_slice(&snapshot), facts_only,
                                        &session, &err);
  S_check(status == FB_OK || err.text[0]);
  S_check(fix || !changed || status != FB_OK || facts_only);
  if (status == FB_OK) {
    S_use(session);
    fb_session_free(session);
  }
  fb_buf_release(&good);
  fb_buf_release(&snapshot);
  fb_ruleset_free(rules);
  return 0;
}
