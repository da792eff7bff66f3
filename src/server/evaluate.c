/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /v1/evaluate: facts in, decisions out, nothing kept.
 *
 * Most requests are over in microseconds and are answered on the thread that read them; one that takes longer than
 * S_AT_ONCE goes on, from where it is, on a worker.
 */
#include "server/evaluate.h"

#include <stdlib.h>

enum {
  S_AT_ONCE = 2000000, /* nanoseconds */
  S_SHORT = 64 << 10   /* bytes of a body that is read on the thread that got it */
};

typedef struct S_work {
  fb_request *request;
  fb_edition *version;
  fb_seat *seat;
  fb_verdict verdict;
  bool explain;
  const char *now; /* where the clock is to stand; NULL: the request does not say */
  uint64_t firings;
  int64_t end; /* no longer than that */
} S_work;

/* ── Which rules ── */

static fb_answered S_no_ruleset(fb_request *request, fb_slice name) {
  return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no ruleset `%.*s`",
                       (int)(name.len < 100 ? name.len : 100), name.ptr);
}

fb_edition *fb_evaluate_ruleset(fb_request *request, fb_slice name, uint64_t number) {
  fb_edition *version =
      number <= UINT32_MAX ? fb_shelf_get(request->server->rulesets, name, (uint32_t)number) : NULL;
  if (!version) S_no_ruleset(request, name);
  return version;
}

/* The rulebook as it stands in the request, so that errors have its lines; a text is a YAML document. */
static fb_edition *S_inline(fb_request *request, const fb_value *book) {
  fb_slice body = fb_spool_slice(&request->body), text = {0};
  fb_edition *version = NULL;
  fb_errors errors;
  fb_doc *doc = NULL;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = FB_OK;
  if (book->kind == FB_STRING) {
    text = fb_value_text(*book);
  } else {
    status = fb_doc_read_json(body, "request", NULL, &doc, &errors);
    const fb_node *node = status == FB_OK ? fb_node_get(fb_doc_root(doc), "rulebook") : NULL;
    if (node) text = (fb_slice){fb_doc_text(doc).ptr + node->offset, node->length};
  }
  if (status == FB_OK)
    status = fb_recent_get(request->server->recent, text,
                           book->kind == FB_STRING ? "rulebook.yaml" : "rulebook.json", &version,
                           &errors);
  if (status != FB_OK) fb_reply_problems(request, 422, &errors);
  fb_doc_free(doc);
  fb_errors_release(&errors);
  return version;
}

/* ── The request ── */

static const char *const S_keys[] = {"ruleset", "version", "rulebook", "facts", "explain", "now"};
enum { RULESET, VERSION, RULEBOOK, FACTS, EXPLAIN, NOW, KEYS };
static const uint32_t S_kinds[KEYS] = {
    FB_KIND_BIT(FB_STRING), FB_KIND_BIT(FB_INT),  FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_MAP),
    FB_KIND_BIT(FB_LIST),   FB_KIND_BIT(FB_BOOL), FB_KIND_BIT(FB_STRING)};

bool fb_evaluate_keys(fb_request *request, const fb_value *body, const char *const *names,
                      const uint32_t *kinds, size_t count, const fb_value **values) {
  for (size_t i = 0; i < count; i++) values[i] = NULL;
  if (body->kind != FB_MAP) {
    fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "the body is an object, not %s",
                  fb_kind_name((fb_kind)body->kind));
    return false;
  }
  for (uint32_t i = 0; i < body->as.map->len; i++) {
    const fb_entry *entry = &body->as.map->entries[i];
    fb_slice key = fb_value_text(entry->key);
    size_t at = 0;
    while (at < count && !fb_slice_equal(key, fb_slice_of(names[at]))) at++;
    if (at == count) {
      fb_error err;
      const char *near = fb_nearest(key, names, count);
      fb_fail(&err, FB_E_SERVER_REQUEST, "unknown key `%.*s`", (int)(key.len < 100 ? key.len : 100),
              key.ptr);
      if (near) fb_error_hint(&err, "did you mean `%s`?", near);
      fb_reply_problem(request, 0, &err);
      return false;
    }
    if (!(kinds[at] & FB_KIND_BIT(entry->value.kind))) {
      fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "`%s` may not be %s", names[at],
                    fb_kind_name((fb_kind)entry->value.kind));
      return false;
    }
    values[at] = &entry->value;
  }
  return true;
}

bool fb_evaluate_read(fb_request *request, fb_value *ret_body) {
  fb_error err;
  fb_json_options options = {.max_length = request->server->options.max_body};
  const char *type = fb_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  if (type && !fb_request_is(request, "application/json")) {
    fb_reply_fail(request, 0, FB_E_SERVER_TYPE, "the body is to be application/json");
    return false;
  }
  fb_status status = fb_json_read(fb_spool_slice(&request->body), "request", &options,
                                  &request->arena, ret_body, &err);
  if (status == FB_OK) return true;
  fb_reply_problem(request, 0, &err);
  return false;
}

/* False: it is answered. */
static bool S_open(S_work *work, const fb_value **ret_facts) {
  fb_request *request = work->request;
  const fb_value *given[KEYS];
  fb_value body;
  if (!fb_evaluate_read(request, &body) ||
      !fb_evaluate_keys(request, &body, S_keys, S_kinds, KEYS, given))
    return false;
  if (!given[FACTS] || !given[RULESET] == !given[RULEBOOK]) {
    fb_reply_fail(request, 0, FB_E_SERVER_REQUEST,
                  given[FACTS] ? "either `ruleset` or `rulebook` is needed" : "`facts` is missing");
    return false;
  }
  work->explain = given[EXPLAIN] && given[EXPLAIN]->as.b;
  if (given[NOW]) work->now = fb_arena_text(&request->arena, fb_value_text(*given[NOW]));
  work->version = given[RULEBOOK]
                      ? S_inline(request, given[RULEBOOK])
                      : fb_evaluate_ruleset(request, fb_value_text(*given[RULESET]),
                                            given[VERSION] ? (uint64_t)given[VERSION]->as.i : 0);
  *ret_facts = given[FACTS];
  return work->version != NULL;
}

/* Where there are windows, the clock goes along with the facts, unless the request says where it stands. */
static bool S_set_clock(S_work *work) {
  fb_error err;
  work->seat->replays = !work->now && fb_ruleset_windowed(work->version->set);
  fb_session_set_deadline(work->seat->session, work->end);
  fb_session_set_max_firings(work->seat->session, work->request->server->options.max_firings);
  fb_status status = fb_seat_set_clock(work->seat, work->now, &err);
  if (status == FB_OK) return true;
  fb_reply_problem(work->request, 0, &err);
  return false;
}

static bool S_take_seat(S_work *work, bool stateless, bool lines) {
  fb_server *server = work->request->server;
  work->seat = fb_seat_take(server, work->version,
                            stateless       ? FB_SEAT_STATELESS
                            : work->explain ? FB_SEAT_EXPLAINS
                                            : FB_SEAT_HOLDS);
  if (!work->seat) {
    fb_reply_fail(work->request, 0, FB_E_NOMEM, "no memory for a session");
    return false;
  }
  fb_verdict_init(&work->verdict, work->request, lines);
  work->verdict.explain = work->explain;
  work->seat->verdict = &work->verdict;
  work->end = fb_server_now(server) + server->options.max_time;
  return S_set_clock(work);
}

static void S_close(S_work *work) {
  fb_server *server = work->request->server;
  if (work->seat) {
    fb_counter_add(server->facts, work->verdict.facts);
    fb_counter_add(server->decisions, work->verdict.decision_count);
    fb_counter_add(server->firings, work->firings);
    fb_verdict_release(&work->verdict);
    fb_seat_give(work->version, work->seat);
  }
  fb_edition_drop(work->version);
  work->seat = NULL;
  work->version = NULL;
}

static void S_stats(const S_work *work, fb_buf *out) {
  fb_buf_printf(out,
                "\"stats\":{\"facts\":%llu,\"refused\":%llu,\"firings\":%llu,\"decisions\":%llu,"
                "\"errors\":%llu,\"nanos\":%lld}",
                (unsigned long long)work->verdict.facts, (unsigned long long)work->verdict.refused,
                (unsigned long long)work->firings, (unsigned long long)work->verdict.decision_count,
                (unsigned long long)work->verdict.error_count,
                (long long)(fb_server_now(work->request->server) - work->request->start));
}

/* ── One object in, one out ── */

/* False: it is answered. */
static bool S_assert_all(S_work *work, const fb_list *facts) {
  for (uint32_t i = 0; i < facts->len; i++) {
    fb_error err;
    fb_status status = fb_seat_assert(work->seat, facts->items[i], NULL, &err);
    if (status == FB_OK) {
      work->verdict.facts++;
    } else if (status == FB_E_NOMEM || status == FB_E_RULE_LIMIT) {
      fb_reply_problem(work->request, 0, &err);
      return false;
    } else {
      fb_error_prefix(&err, "fact %u", i);
      work->verdict.refused++;
      fb_verdict_error(&work->verdict, &err);
    }
  }
  return true;
}

/* Fires until `end`; *ret_late: there is more to do. False: it is answered. */
static bool S_fire(S_work *work, int64_t end, bool *ret_late) {
  fb_error err;
  fb_session *session = work->seat->session;
  fb_server *server = work->request->server;
  uint64_t max = server->options.max_firings;
  fb_session_set_deadline(session, end);
  fb_session_set_max_firings(session, max - work->firings);
  fb_status status = fb_session_fire(session, NULL, &err);
  work->firings = fb_session_statistics(session).firings;
  *ret_late = status == FB_E_RULE_LIMIT && work->firings < max && end < work->end &&
              fb_server_now(server) >= end;
  if (status == FB_OK || *ret_late) return true;
  fb_reply_problem(work->request, 0, &err);
  return false;
}

static void S_write(S_work *work) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.evaluation.v1\"");
  fb_verdict_write(&work->verdict, &out);
  fb_buf_char(&out, ',');
  S_stats(work, &out);
  fb_buf_text(&out, "}\n");
  fb_reply_json(work->request, 200, &out);
}

static fb_answered S_begin(S_work *work, int64_t patience) {
  const fb_value *facts = NULL;
  bool late = false;
  bool open = S_open(work, &facts);
  if (open && patience && (work->now || fb_ruleset_windowed(work->version->set))) {
    S_close(work); /* it may fire while facts come: not here */
    return FB_ANSWER_LATER;
  }
  if (open && S_take_seat(work, false, false) && S_assert_all(work, facts->as.list)) {
    int64_t now = fb_server_now(work->request->server);
    int64_t end = patience && now + patience < work->end ? now + patience : work->end;
    if (S_fire(work, end, &late) && late) return FB_ANSWER_LATER;
    if (!work->request->reply.code) S_write(work);
  }
  S_close(work);
  return FB_ANSWERED;
}

/* ── NDJSON in, NDJSON out ── */

static fb_status S_stream(S_work *work, fb_stream *stream, fb_error *err) {
  fb_errors errors;
  fb_batch batch;
  fb_status status = FB_OK;
  while (status == FB_OK) {
    fb_errors_init(&errors, NULL, 0);
    status = fb_stream_next(stream, &batch, &errors);
    for (size_t i = 0; i < errors.count; i++) fb_verdict_error(&work->verdict, &errors.items[i]);
    work->verdict.refused += fb_errors_total(&errors);
    if (status != FB_OK && status != FB_DONE && errors.count) *err = errors.items[errors.count - 1];
    fb_errors_release(&errors);
    for (size_t i = 0; status == FB_OK && i < batch.run_count; i++) {
      const fb_run *run = &batch.runs[i];
      status = work->seat->replays
                   ? fb_session_replay_rows(work->seat->session, run->facts, run->first, run->count,
                                            0, NULL, err)
                   : fb_session_assert_rows(work->seat->session, run->facts, run->first, run->count,
                                            NULL, NULL, err);
      if (status == FB_OK) work->verdict.facts += run->count;
    }
    if (work->seat->kind == FB_SEAT_STATELESS) fb_session_forget_texts(work->seat->session);
  }
  return status == FB_DONE ? FB_OK : status;
}

static fb_status S_read_lines(S_work *work, fb_error *err) {
  fb_request *request = work->request;
  fb_memory_source memory;
  fb_stream *stream;
  const char *type = fb_request_query(request, "fact_type");
  fb_stream_options options = {
      .format = FB_STREAM_NDJSON, .name = "request", .type = fb_slice_of(type ? type : "")};
  fb_status status =
      fb_stream_open(fb_spool_source(&request->body, &memory),
                     fb_session_schema(work->seat->session), &options, NULL, &stream, err);
  if (status != FB_OK) return status;
  status = S_stream(work, stream, err);
  fb_stream_free(stream);
  return status;
}

/* The last line tells how it went; the answer's head is sent before that is known only if all decisions fit in memory. */
static void S_write_end(S_work *work, fb_status status, const fb_error *err) {
  fb_request *request = work->request;
  fb_buf out;
  if (status == FB_OK) status = fb_verdict_flush(&work->verdict);
  if (status == FB_OK) status = work->verdict.failed;
  if (status != FB_OK) {
    fb_reply_problem(request, 0, err);
    return;
  }
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.evaluation.v1\",");
  S_stats(work, &out);
  fb_buf_text(&out, "}\n");
  if (out.failed || fb_spool_add(&request->reply.body, out.ptr, out.len) != FB_OK) {
    fb_reply_empty(request, 507);
  } else {
    request->reply.code = 200;
    request->reply.type = "application/x-ndjson";
  }
  fb_buf_release(&out);
}

static void S_lines(S_work *work) {
  fb_request *request = work->request;
  fb_error err = {.code = FB_E_IO, .text = "the decisions cannot be kept"};
  const char *name = fb_request_query(request, "ruleset"),
             *number = fb_request_query(request, "version"),
             *explain = fb_request_query(request, "explain");
  work->explain = explain && !strcmp(explain, "true");
  work->now = fb_request_query(request, "now");
  if (!name) {
    fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "`?ruleset=NAME` is missing");
    return;
  }
  work->version =
      fb_evaluate_ruleset(request, fb_slice_of(name), number ? strtoull(number, NULL, 10) : 0);
  if (!work->version || !S_take_seat(work, work->version->stateless, true)) return;
  fb_session *session = work->seat->session;
  fb_session_set_deadline(session, work->end);
  fb_status status = FB_OK;
  if (work->seat->kind == FB_SEAT_STATELESS) status = fb_session_fire(session, NULL, &err);
  if (status == FB_OK) status = S_read_lines(work, &err);
  if (status == FB_OK && work->seat->kind != FB_SEAT_STATELESS)
    status = fb_session_fire(session, NULL, &err);
  work->firings = fb_session_statistics(session).firings;
  S_write_end(work, status, &err);
}

/* ── The route ── */

fb_answered fb_evaluate(fb_request *request) {
  S_work *work = fb_arena_zero(&request->arena, sizeof *work);
  if (!work) return fb_reply_empty(request, 507);
  work->request = request;
  request->state = work;
  if (fb_request_is(request, "application/x-ndjson") || request->body.size > S_SHORT)
    return FB_ANSWER_LATER;
  return S_begin(work, S_AT_ONCE);
}

void fb_evaluate_later(fb_request *request) {
  S_work *work = request->state;
  bool late;
  if (fb_request_is(request, "application/x-ndjson")) {
    S_lines(work);
  } else if (!work->seat) {
    S_begin(work, 0);
    return;
  } else if (S_fire(work, work->end, &late)) {
    S_write(work);
  }
  S_close(work);
}
