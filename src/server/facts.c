/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts go to the loop in pieces of whole lines, one piece at a time, so that neither a request of a million facts nor many
 * clients at once hold more than a piece each in memory. While the loop has a piece, no thread waits.
 */
#include "server/facts.h"

#include <flyball/loop.h>
#include <stdlib.h>

enum { PIECE = 256 << 10, RECORD_MAX = 1 << 20 };

typedef struct S_taking {
  fb_request *request;
  fb_memory_source memory;
  fb_source source;
  fb_buf text; /* read and not handed over yet */
  bool ended;
  fb_loop_facts facts;
  fb_loop_result last, total;
  bool pending; /* `last` is to be looked at */
} S_taking;

static void S_done(void *user, const fb_loop_result *result) {
  S_taking *taking = user;
  taking->last = *result;
  taking->pending = true;
  fb_jobs_add(taking->request->server->jobs, &taking->request->job);
}

static void S_end(S_taking *taking) {
  fb_request *request = taking->request;
  fb_buf_release(&taking->text);
  fb_request_wake(request);
}

static void S_fail(S_taking *taking, fb_error *err) {
  fb_request *request = taking->request;
  if (taking->total.accepted)
    fb_error_prefix(err, "after %llu facts", (unsigned long long)taking->total.accepted);
  if (err->code == FB_E_LOOP_FULL) fb_reply_header(request, "Retry-After", "1");
  fb_reply_problem(request, 0, err);
  S_end(taking);
}

static void S_reply(S_taking *taking) {
  fb_buf out;
  const fb_loop_result *total = &taking->total;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "{\"type\":\"flyball.taken.v1\",\"accepted\":%llu",
                (unsigned long long)total->accepted);
  if (total->refused) fb_buf_printf(&out, ",\"refused\":%llu", (unsigned long long)total->refused);
  if (total->dropped) fb_buf_printf(&out, ",\"dropped\":%llu", (unsigned long long)total->dropped);
  if (total->error.code) {
    fb_buf_printf(&out, ",\"error\":{\"code\":\"FB%04d\",\"detail\":", (int)total->error.code);
    fb_json_write_text(&out, fb_slice_of(total->error.text), FB_JSON_COMPACT);
    fb_buf_char(&out, '}');
  }
  fb_buf_text(&out, "}\n");
  fb_counter_add(taking->request->server->facts, total->accepted);
  fb_reply_json(taking->request, 200, &out);
  S_end(taking);
}

/* A JSON body as lines. */
static fb_status S_lines(S_taking *taking, fb_error *err) {
  fb_request *request = taking->request;
  fb_value value;
  fb_status status =
      fb_json_read(fb_spool_slice(&request->body), "request", NULL, &request->arena, &value, err);
  if (status) return status;
  if (value.kind != FB_MAP && value.kind != FB_LIST)
    return fb_fail(err, FB_E_SERVER_REQUEST, "the body is a fact or a list of facts");
  uint32_t count = value.kind == FB_MAP ? 1 : value.as.list->len;
  for (uint32_t i = 0; i < count; i++) {
    fb_json_write(&taking->text, value.kind == FB_MAP ? value : value.as.list->items[i],
                  FB_JSON_COMPACT);
    fb_buf_char(&taking->text, '\n');
  }
  taking->ended = true;
  return taking->text.failed ? fb_fail(err, FB_E_NOMEM, "out of memory") : FB_OK;
}

static fb_status S_read(S_taking *taking, fb_error *err) {
  while (!taking->ended && taking->text.len < PIECE) {
    if (!fb_buf_reserve(&taking->text, PIECE)) return fb_fail(err, FB_E_NOMEM, "out of memory");
    int64_t got =
        taking->source.read(taking->source.context, taking->text.ptr + taking->text.len, PIECE);
    if (got < 0) return fb_fail(err, FB_E_IO, "the body cannot be read");
    if (got == 0) taking->ended = true;
    taking->text.len += (size_t)got;
  }
  return FB_OK;
}

/* Whole lines, at most a piece of them (or one line that is longer). 0: a line is too long. */
static size_t S_piece(const S_taking *taking) {
  size_t length = taking->text.len;
  const char *bytes = taking->text.ptr;
  if (length <= PIECE && taking->ended) return length;
  size_t at = length < PIECE ? length : PIECE;
  while (at && bytes[at - 1] != '\n') at--;
  if (at) return at;
  const char *newline = memchr(bytes, '\n', length);
  if (newline) at = (size_t)(newline - bytes) + 1;
  return at <= RECORD_MAX ? at : 0;
}

static void S_step(S_taking *taking) {
  fb_error err = {0};
  fb_status status = S_read(taking, &err);
  if (!status && !taking->text.len) {
    S_reply(taking);
    return;
  }
  size_t length = status ? 0 : S_piece(taking);
  while (!status && !length && !taking->ended && taking->text.len <= RECORD_MAX) {
    size_t before = taking->text.len;
    if (!fb_buf_reserve(&taking->text, PIECE)) status = fb_fail(&err, FB_E_NOMEM, "out of memory");
    int64_t got =
        status ? -1 : taking->source.read(taking->source.context, taking->text.ptr + before, PIECE);
    if (got < 0 && !status) status = fb_fail(&err, FB_E_IO, "the body cannot be read");
    if (got == 0) taking->ended = true;
    if (got > 0) taking->text.len += (size_t)got;
    if (!status) length = S_piece(taking);
  }
  if (!status && taking->ended && !length && taking->text.len <= RECORD_MAX)
    length = taking->text.len;
  if (!status && !length) status = fb_fail(&err, FB_E_STREAM_RECORD, "a fact is longer than 1 MiB");
  if (status) {
    S_fail(taking, &err);
    return;
  }
  /* After this the loop's thread may be done with it, and a worker be here. */
  char *piece = malloc(length);
  if (!piece) {
    fb_fail(&err, FB_E_NOMEM, "out of memory");
    S_fail(taking, &err);
    return;
  }
  memcpy(piece, taking->text.ptr, length);
  taking->text.len -= length;
  memmove(taking->text.ptr, taking->text.ptr + length, taking->text.len);
  fb_loop_facts facts = taking->facts;
  facts.text = (fb_slice){piece, length};
  status = fb_loop_submit(taking->request->server->options.loop, &facts, S_done, taking, &err);
  free(piece);
  if (status) S_fail(taking, &err);
}

static bool S_true(const fb_request *request, const char *name) {
  const char *value = fb_request_query(request, name);
  return value && strcmp(value, "true") == 0;
}

static S_taking *S_begin(fb_request *request, fb_error *err) {
  S_taking *taking = fb_arena_zero(&request->arena, sizeof *taking);
  const char *type = fb_request_query(request, "fact_type"),
             *lifetime = fb_request_query(request, "lifetime");
  int64_t seconds = 0;
  int32_t nanos = 0;
  if (!taking) {
    fb_fail(err, FB_E_NOMEM, "out of memory");
    return NULL;
  }
  if (lifetime && (!fb_duration_parse(fb_slice_of(lifetime), &seconds, &nanos) || seconds < 0 ||
                   nanos < 0 || seconds > INT64_C(9000000000))) {
    fb_fail(err, FB_E_SERVER_REQUEST, "`lifetime` is a duration, as in 5m");
    return NULL;
  }
  taking->request = request;
  fb_buf_init(&taking->text, NULL, 0);
  taking->source = fb_spool_source(&request->body, &taking->memory);
  taking->facts = (fb_loop_facts){.type = fb_slice_of(type ? type : ""),
                                  .lifetime = seconds * 1000000000 + nanos,
                                  .durable = S_true(request, "durable")};
  request->state = taking;
  return taking;
}

/* Called first, and again after each piece. */
fb_answered fb_facts_take(fb_request *request) {
  S_taking *taking = request->state;
  fb_error err = {0};
  if (!taking) {
    if (!request->server->options.loop)
      fb_fail(&err, FB_E_LOOP_NONE, "the server has no project");
    else
      taking = S_begin(request, &err);
    bool lines = fb_request_is(request, "application/x-ndjson");
    if (taking && !lines && S_lines(taking, &err)) {
      fb_buf_release(&taking->text);
      taking = NULL;
    }
    if (!taking) {
      fb_reply_problem(request, 0, &err);
      fb_request_wake(request);
      return FB_ANSWERED;
    }
  }
  if (taking->pending) {
    fb_loop_result *last = &taking->last;
    taking->pending = false;
    taking->total.accepted += last->accepted;
    taking->total.refused += last->refused;
    taking->total.dropped += last->dropped;
    if (!taking->total.error.code) taking->total.error = last->error;
    if (last->status && last->status != FB_E_LOOP_FULL) {
      S_fail(taking, &last->error);
      return FB_ANSWERED;
    }
  }
  S_step(taking);
  return FB_ANSWERED;
}

fb_answered fb_facts_loop(fb_request *request) {
  fb_buf out;
  if (!request->server->options.loop)
    return fb_reply_fail(request, 0, FB_E_LOOP_NONE, "the server has no project");
  fb_buf_init(&out, NULL, 0);
  fb_loop_describe(request->server->options.loop, &out);
  fb_buf_char(&out, '\n');
  return fb_reply_json(request, 200, &out);
}
