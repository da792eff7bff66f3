/* SPDX-License-Identifier: Apache-2.0
 * Sessions that clients hold. One request at a time works on one of them; the others wait, on workers. */
#include "server/held.h"

#include "server/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fb_holder {
  char id[33];
  fb_holder *next; /* in its bucket */
  uint32_t users;  /* under the table's lock */
  bool gone;
  int64_t used;
  fb_edition *version;
  char ruleset[FB_SHELF_NAME];
  bool changed;         /* since it was kept; under its lock */
  pthread_mutex_t lock; /* of the seat */
  fb_seat *seat;
};

enum { BUCKETS = 1024 };

struct fb_held {
  fb_server *server;
  pthread_mutex_t lock;
  fb_holder *buckets[BUCKETS];
  uint32_t count;
};

fb_status fb_held_new(fb_server *server, fb_held **ret_held) {
  fb_held *held = calloc(1, sizeof *held);
  if (!held) return FB_E_NOMEM;
  held->server = server;
  pthread_mutex_init(&held->lock, NULL);
  *ret_held = held;
  return FB_OK;
}

static void S_free(fb_holder *holder) {
  fb_seat_free(holder->seat);
  fb_edition_drop(holder->version);
  pthread_mutex_destroy(&holder->lock);
  free(holder);
}

void fb_held_free(fb_held *held) {
  if (!held) return;
  for (size_t i = 0; i < BUCKETS; i++) {
    for (fb_holder *holder = held->buckets[i], *next; holder; holder = next) {
      next = holder->next;
      S_free(holder);
    }
  }
  pthread_mutex_destroy(&held->lock);
  free(held);
}

uint32_t fb_held_count(fb_held *held) {
  pthread_mutex_lock(&held->lock);
  uint32_t count = held->count;
  pthread_mutex_unlock(&held->lock);
  return count;
}

/* ── The table ── */

static fb_holder **S_at(fb_held *held, fb_slice id) {
  fb_holder **at = &held->buckets[fb_hash_bytes(id.ptr, id.len, held->server->seed) % BUCKETS];
  while (*at && !fb_slice_equal(fb_slice_of((*at)->id), id)) at = &(*at)->next;
  return at;
}

static const char *S_path(fb_held *held, fb_arena *arena, const char *id) {
  return fb_state_path(held->server, arena, "sessions/%s", id);
}

static void S_unkeep(fb_held *held, const char *id) {
  fb_arena arena;
  if (!held->server->options.state) return;
  fb_arena_init(&arena, NULL, 0);
  const char *path = S_path(held, &arena, id);
  if (path) unlink(path);
  fb_arena_release(&arena);
}

/* Out of the table; freed by who uses it last. Under the table's lock. */
static fb_holder *S_take_out(fb_held *held, fb_holder **at) {
  fb_holder *holder = *at;
  *at = holder->next;
  holder->gone = true;
  held->count--;
  return holder->users ? NULL : holder;
}

/* Forgets those that nobody asked for in a long time. Under the table's lock. */
static void S_forget(fb_held *held, int64_t now) {
  for (size_t i = 0; i < BUCKETS; i++) {
    for (fb_holder **at = &held->buckets[i]; *at;) {
      if ((*at)->users || now - (*at)->used < held->server->options.session_idle) {
        at = &(*at)->next;
        continue;
      }
      fb_holder *holder = S_take_out(held, at);
      S_unkeep(held, holder->id);
      S_free(holder);
    }
  }
}

static fb_holder *S_hold(fb_request *request) {
  fb_held *held = request->server->held;
  pthread_mutex_lock(&held->lock);
  fb_holder *holder = *S_at(held, request->parameters[0]);
  if (holder) {
    holder->users++;
    holder->used = request->start;
  }
  pthread_mutex_unlock(&held->lock);
  if (!holder) {
    fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no such session");
    return NULL;
  }
  pthread_mutex_lock(&holder->lock);
  return holder;
}

static void S_leave(fb_request *request, fb_holder *holder) {
  fb_held *held = request->server->held;
  pthread_mutex_unlock(&holder->lock);
  pthread_mutex_lock(&held->lock);
  bool last = --holder->users == 0 && holder->gone;
  pthread_mutex_unlock(&held->lock);
  if (last) S_free(holder);
}

/* ── Making ── */

static fb_holder *S_new(fb_request *request, fb_edition *version, fb_slice ruleset) {
  fb_holder *holder = calloc(1, sizeof *holder);
  if (!holder) return NULL;
  pthread_mutex_init(&holder->lock, NULL);
  holder->version = version;
  fb_edition_hold(version);
  holder->used = request->start;
  holder->changed = true;
  memcpy(holder->ruleset, ruleset.ptr,
         ruleset.len < FB_SHELF_NAME ? ruleset.len : FB_SHELF_NAME - 1);
  snprintf(holder->id, sizeof holder->id, "%016llx%016llx",
           (unsigned long long)fb_random_seed_system(),
           (unsigned long long)fb_random_seed_system());
  holder->seat = fb_seat_take(request->server, version, FB_SEAT_EXPLAINS);
  if (holder->seat) return holder;
  S_free(holder);
  return NULL;
}

static bool S_add(fb_request *request, fb_holder *holder) {
  fb_held *held = request->server->held;
  pthread_mutex_lock(&held->lock);
  if (held->count >= request->server->options.max_sessions) S_forget(held, request->start);
  bool room = held->count < request->server->options.max_sessions;
  if (room) {
    *S_at(held, fb_slice_of(holder->id)) = holder;
    held->count++;
  }
  pthread_mutex_unlock(&held->lock);
  if (!room)
    fb_reply_fail(request, 503, FB_E_SERVER_BUSY, "there are as many sessions as there may be");
  return room;
}

static void S_describe(const fb_holder *holder, fb_buf *out) {
  fb_session_stats stats = fb_session_statistics(holder->seat->session);
  fb_buf_printf(out, "\"id\":\"%s\",\"ruleset\":\"%s\",\"version\":%u", holder->id, holder->ruleset,
                holder->version->number);
  fb_buf_printf(out, ",\"facts\":%llu,\"waiting\":%llu,\"firings\":%llu,\"memory\":%llu",
                (unsigned long long)stats.facts, (unsigned long long)stats.agenda,
                (unsigned long long)stats.firings, (unsigned long long)stats.memory);
}

static fb_answered S_reply(fb_request *request, unsigned code, const fb_holder *holder) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.session.v1\",");
  S_describe(holder, &out);
  fb_buf_text(&out, "}\n");
  return fb_reply_json(request, code, &out);
}

fb_answered fb_held_make(fb_request *request) {
  static const char *const names[] = {"ruleset", "version"};
  static const uint32_t kinds[] = {FB_KIND_BIT(FB_STRING), FB_KIND_BIT(FB_INT)};
  const fb_value *given[2];
  fb_value body;
  if (!fb_evaluate_read(request, &body) ||
      !fb_evaluate_keys(request, &body, names, kinds, 2, given))
    return FB_ANSWERED;
  if (!given[0]) return fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "`ruleset` is missing");
  fb_slice ruleset = fb_value_text(*given[0]);
  fb_edition *version =
      fb_evaluate_ruleset(request, ruleset, given[1] ? (uint64_t)given[1]->as.i : 0);
  if (!version) return FB_ANSWERED;
  fb_holder *holder = S_new(request, version, ruleset);
  fb_edition_drop(version);
  if (!holder) return fb_reply_fail(request, 0, FB_E_NOMEM, "no memory for a session");
  fb_reply_header(request, MHD_HTTP_HEADER_LOCATION,
                  fb_arena_printf(&request->arena, "/v1/sessions/%s", holder->id));
  S_reply(request, 201, holder);
  const char *target = fb_arena_printf(&request->arena, "%s %s", holder->id, holder->ruleset);
  if (S_add(request, holder))
    fb_audit_of(request, "session.make", fb_slice_of(target ? target : ""));
  else
    S_free(holder);
  return FB_ANSWERED;
}

/* ── Reading ── */

fb_answered fb_held_list(fb_request *request) {
  fb_held *held = request->server->held;
  const char *comma = "";
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.sessions.v1\",\"sessions\":[");
  pthread_mutex_lock(&held->lock);
  for (size_t i = 0; i < BUCKETS; i++) {
    for (const fb_holder *holder = held->buckets[i]; holder; holder = holder->next) {
      fb_buf_printf(&out, "%s{\"id\":\"%s\",\"ruleset\":\"%s\",\"version\":%u}", comma, holder->id,
                    holder->ruleset, holder->version->number);
      comma = ",";
    }
  }
  pthread_mutex_unlock(&held->lock);
  fb_buf_text(&out, "]}\n");
  return fb_reply_json(request, 200, &out);
}

static void S_rules(const fb_holder *holder, fb_buf *out) {
  const fb_ruleset *set = holder->version->set;
  fb_buf_text(out, ",\"rules\":[");
  for (size_t i = 0; i < fb_ruleset_count(set); i++) {
    fb_rule_info info = fb_ruleset_rule(set, i);
    fb_rule_stats stats = fb_session_rule_statistics(holder->seat->session, i);
    fb_buf_text(out, i ? ",{" : "{");
    fb_json_member(out, "name", info.name);
    fb_buf_printf(out, ",\"line\":%u,\"activations\":%llu,\"firings\":%llu,\"errors\":%llu}",
                  info.line, (unsigned long long)stats.activations,
                  (unsigned long long)stats.firings, (unsigned long long)stats.errors);
  }
  fb_buf_char(out, ']');
}

fb_answered fb_held_show(fb_request *request) {
  fb_holder *holder = S_hold(request);
  fb_buf out;
  if (!holder) return FB_ANSWERED;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.session.v1\",");
  S_describe(holder, &out);
  S_rules(holder, &out);
  fb_buf_text(&out, "}\n");
  fb_reply_json(request, 200, &out);
  S_leave(request, holder);
  return FB_ANSWERED;
}

fb_answered fb_held_delete(fb_request *request) {
  fb_held *held = request->server->held;
  fb_holder *free_now = NULL;
  pthread_mutex_lock(&held->lock);
  fb_holder **at = S_at(held, request->parameters[0]);
  bool found = *at != NULL;
  if (found) S_unkeep(held, (*at)->id);
  if (found) free_now = S_take_out(held, at);
  pthread_mutex_unlock(&held->lock);
  if (!found) return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "there is no such session");
  if (free_now) S_free(free_now);
  fb_audit_of(request, "session.delete", request->parameters[0]);
  return fb_reply_empty(request, 204);
}

typedef struct S_query {
  fb_buf out;
  fb_arena arena;
  uint64_t left;
  bool more;
} S_query;

static void S_fact(fb_buf *out, fb_fact_id id, fb_slice type, const fb_map *fields) {
  fb_buf_printf(out, "{\"fact\":\"%llu\",\"type\":", (unsigned long long)id);
  fb_json_write_text(out, type, FB_JSON_COMPACT);
  fb_buf_text(out, ",\"fields\":");
  fb_json_write(out, fb_map_value(fields), FB_JSON_COMPACT);
  fb_buf_char(out, '}');
}

static fb_status S_found(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_query *query = context;
  fb_map *fields;
  (void)session;
  if (!query->left) {
    query->more = true;
    return FB_DONE;
  }
  query->left--;
  fb_status status = fb_fact_map(fact.as.facts, fact.len, &query->arena, &fields);
  if (status != FB_OK) return status;
  if (query->out.ptr[query->out.len - 1] != '[') fb_buf_char(&query->out, ',');
  S_fact(&query->out, id, fb_facts_type(fact.as.facts)->name, fields);
  fb_arena_reset(&query->arena);
  return FB_OK;
}

/* ?type=TYPE&where=CEL&limit=N */
fb_answered fb_held_query(fb_request *request) {
  const char *type = fb_request_query(request, "type"), *where = fb_request_query(request, "where"),
             *limit = fb_request_query(request, "limit");
  S_query query = {.left = limit ? strtoull(limit, NULL, 10) : 1000};
  fb_errors errors;
  fb_holder *holder = S_hold(request);
  if (!holder) return FB_ANSWERED;
  fb_buf_init(&query.out, NULL, 0);
  fb_arena_init(&query.arena, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  fb_buf_text(&query.out, "{\"type\":\"flyball.facts.v1\",\"facts\":[");
  fb_status status =
      query.out.failed
          ? FB_E_NOMEM
          : fb_session_query(holder->seat->session, fb_slice_of(type ? type : ""),
                             fb_slice_of(where ? where : ""), S_found, &query, &errors);
  S_leave(request, holder);
  fb_buf_printf(&query.out, "],\"more\":%s}\n", query.more ? "true" : "false");
  if (status == FB_OK || status == FB_DONE) {
    fb_reply_json(request, 200, &query.out);
  } else if (errors.count) {
    fb_reply_problems(request, 422, &errors);
  } else {
    fb_reply_fail(request, 0, status, "the facts cannot be listed");
  }
  fb_buf_release(&query.out);
  fb_arena_release(&query.arena);
  fb_errors_release(&errors);
  return FB_ANSWERED;
}

/* ── Changes ── */

typedef struct S_change {
  fb_request *request;
  fb_holder *holder;
  fb_verdict verdict;
  fb_buf ids;       /* of what was asserted */
  uint64_t firings; /* before the change; in the end those that it set off */
} S_change;

static void S_close(S_change *change) {
  change->holder->seat->verdict = NULL;
  S_leave(change->request, change->holder);
  fb_verdict_release(&change->verdict);
  fb_buf_release(&change->ids);
}

/* False: it is answered. */
static bool S_begin(S_change *change, fb_request *request) {
  fb_server *server = request->server;
  fb_error err;
  const char *explain = fb_request_query(request, "explain");
  *change = (S_change){.request = request, .holder = S_hold(request)};
  if (!change->holder) return false;
  change->holder->changed = true;
  fb_verdict_init(&change->verdict, request, false);
  change->verdict.explain = explain && !strcmp(explain, "true");
  change->holder->seat->verdict = &change->verdict;
  fb_buf_init(&change->ids, NULL, 0);
  change->firings = fb_session_statistics(change->holder->seat->session).firings;
  fb_session_set_deadline(change->holder->seat->session,
                          fb_server_now(server) + server->options.max_time);
  fb_status status =
      fb_seat_set_clock(change->holder->seat, fb_request_query(request, "now"), &err);
  if (status == FB_OK) return true;
  fb_reply_problem(request, 0, &err);
  S_close(change);
  return false;
}

static void S_write(S_change *change) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.change.v1\",\"facts\":[");
  fb_buf_add(&out, change->ids.ptr, change->ids.len);
  fb_buf_char(&out, ']');
  fb_verdict_write(&change->verdict, &out);
  fb_buf_printf(&out, ",\"firings\":%llu}\n", (unsigned long long)change->firings);
  out.failed |= change->ids.failed;
  fb_reply_json(change->request, 200, &out);
}

static fb_answered S_end(S_change *change, fb_status status, const fb_error *failure) {
  fb_request *request = change->request;
  fb_server *server = request->server;
  const char *fire = fb_request_query(request, "fire");
  fb_error err = *failure;
  if (status == FB_OK && !(fire && !strcmp(fire, "false"))) {
    fb_session_set_deadline(change->holder->seat->session,
                            fb_server_now(server) + server->options.max_time);
    status = fb_session_fire(change->holder->seat->session, NULL, &err);
  }
  change->firings = fb_session_statistics(change->holder->seat->session).firings - change->firings;
  if (status == FB_OK)
    S_write(change);
  else
    fb_reply_problem(request, 0, &err);
  fb_counter_add(server->facts, change->verdict.facts);
  fb_counter_add(server->decisions, change->verdict.decision_count);
  fb_counter_add(server->firings, change->firings);
  S_close(change);
  return FB_ANSWERED;
}

/* One id a fact, in order; null for one that was refused, which is listed among the errors. */
static fb_status S_assert(S_change *change, fb_value fact, uint32_t number, fb_error *err) {
  fb_fact_id id;
  fb_status status = fb_seat_assert(change->holder->seat, fact, &id, err);
  if (change->ids.len) fb_buf_char(&change->ids, ',');
  if (status == FB_OK) {
    change->verdict.facts++;
    fb_buf_printf(&change->ids, "\"%llu\"", (unsigned long long)id);
  } else if (status != FB_E_NOMEM && status != FB_E_RULE_LIMIT) {
    fb_buf_text(&change->ids, "null");
    fb_error_prefix(err, "fact %u", number);
    fb_verdict_error(&change->verdict, err);
    status = FB_OK;
  }
  return status;
}

fb_answered fb_held_assert(fb_request *request) {
  S_change change;
  fb_value body;
  fb_error err = {0};
  fb_status status = FB_OK;
  if (!fb_evaluate_read(request, &body)) return FB_ANSWERED;
  if (body.kind != FB_MAP && body.kind != FB_LIST)
    return fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "the body is a fact or a list of facts");
  if (!S_begin(&change, request)) return FB_ANSWERED;
  uint32_t count = body.kind == FB_MAP ? 1 : body.as.list->len;
  for (uint32_t i = 0; i < count && status == FB_OK; i++)
    status = S_assert(&change, body.kind == FB_MAP ? body : body.as.list->items[i], i, &err);
  return S_end(&change, status, &err);
}

/* 0, which no fact has, for what is no number. */
static fb_fact_id S_id(const fb_request *request) {
  fb_slice text = request->parameters[1];
  fb_fact_id id = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9' || id > UINT64_MAX / 10 - 1) return 0;
    id = id * 10 + (fb_fact_id)(text.ptr[i] - '0');
  }
  return id;
}

fb_answered fb_held_modify(fb_request *request) {
  S_change change;
  fb_value body;
  fb_error err = {0};
  if (!fb_evaluate_read(request, &body)) return FB_ANSWERED;
  if (body.kind != FB_MAP)
    return fb_reply_fail(request, 0, FB_E_SERVER_REQUEST,
                         "the body is an object with the fields to set");
  if (!S_begin(&change, request)) return FB_ANSWERED;
  fb_status status =
      fb_session_modify(change.holder->seat->session, S_id(request), body.as.map, &err);
  return S_end(&change, status, &err);
}

fb_answered fb_held_retract(fb_request *request) {
  S_change change;
  fb_error err = {0};
  if (!S_begin(&change, request)) return FB_ANSWERED;
  fb_status status = fb_session_retract(change.holder->seat->session, S_id(request), &err);
  return S_end(&change, status, &err);
}

/* ── Keeping them: STATE/sessions/ID is a line of JSON, the rulebook's text and a snapshot ── */

static fb_status S_keep(fb_held *held, fb_holder *holder) {
  fb_arena arena;
  fb_buf head, body;
  fb_error err;
  const fb_edition *version = holder->version;
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&head, NULL, 0);
  fb_buf_init(&body, NULL, 0);
  const char *path = S_path(held, &arena, holder->id);
  fb_buf_char(&head, '{');
  fb_json_member(&head, "ruleset", fb_slice_of(holder->ruleset));
  fb_json_member(&head, "hash", fb_slice_of(version->hash));
  fb_json_member(&head, "file", fb_slice_of(version->file));
  fb_buf_printf(&head, ",\"version\":%u,\"text\":%zu}\n", version->number, version->length);
  fb_buf_add(&body, version->text, version->length);
  fb_status status = fb_session_save(holder->seat->session, &body, &err);
  if (!path || head.failed || body.failed) status = FB_E_NOMEM;
  if (status == FB_OK)
    status = fb_state_write(path, fb_buf_slice(&head), fb_buf_slice(&body), &err);
  fb_buf_release(&head);
  fb_buf_release(&body);
  fb_arena_release(&arena);
  return status;
}

/* The holders that there are now, each held. */
static fb_holder **S_all(fb_held *held, size_t *ret_count) {
  size_t count = 0;
  pthread_mutex_lock(&held->lock);
  fb_holder **all = malloc((held->count ? held->count : 1) * sizeof *all);
  for (size_t i = 0; all && i < BUCKETS; i++) {
    for (fb_holder *holder = held->buckets[i]; holder; holder = holder->next) {
      holder->users++;
      all[count++] = holder;
    }
  }
  pthread_mutex_unlock(&held->lock);
  *ret_count = count;
  return all;
}

uint32_t fb_held_save(fb_held *held) {
  size_t count;
  uint32_t failed = 0;
  if (!held || !held->server->options.state) return 0;
  fb_holder **all = S_all(held, &count);
  for (size_t i = 0; all && i < count; i++) {
    fb_holder *holder = all[i];
    pthread_mutex_lock(&holder->lock);
    fb_status status = holder->changed && !holder->gone ? S_keep(held, holder) : FB_OK;
    holder->changed = status != FB_OK;
    failed += status != FB_OK;
    pthread_mutex_unlock(&holder->lock);
    pthread_mutex_lock(&held->lock);
    if (holder->gone) S_unkeep(held, holder->id); /* deleted meanwhile */
    bool last = --holder->users == 0 && holder->gone;
    pthread_mutex_unlock(&held->lock);
    if (last) S_free(holder);
  }
  free(all);
  if (failed && held->server->options.log)
    fb_log_write(held->server->options.log, FB_LOG_ERROR, "sessions cannot be kept", NULL);
  return failed;
}

/* The edition that the session worked with, or one made of the text that was kept. NULL: neither. */
static fb_edition *S_edition(fb_server *server, const fb_map *head, fb_slice text) {
  const fb_value *ruleset = fb_map_get_text(head, FB_SLICE("ruleset")),
                 *hash = fb_map_get_text(head, FB_SLICE("hash")),
                 *file = fb_map_get_text(head, FB_SLICE("file")),
                 *number = fb_map_get_text(head, FB_SLICE("version"));
  fb_edition *version;
  fb_errors errors;
  if (!ruleset || ruleset->kind != FB_STRING || !hash || hash->kind != FB_STRING || !file ||
      file->kind != FB_STRING || !number || number->kind != FB_INT)
    return NULL;
  version = fb_shelf_get(server->rulesets, fb_value_text(*ruleset), (uint32_t)number->as.i);
  if (version && !strcmp(version->hash, hash->as.text)) return version;
  fb_edition_drop(version);
  fb_errors_init(&errors, NULL, 0);
  fb_status status =
      fb_edition_new(text, file->as.text, NULL, FB_SHELF_RULESETS, &version, &errors);
  fb_errors_release(&errors);
  if (status != FB_OK) return NULL;
  version->number = (uint32_t)number->as.i;
  return version;
}

static fb_holder *S_restored(fb_held *held, const char *id, fb_slice bytes, fb_arena *arena) {
  const char *line = bytes.len ? memchr(bytes.ptr, '\n', bytes.len) : NULL;
  fb_value head;
  if (!line || strlen(id) >= sizeof((fb_holder *)0)->id) return NULL;
  size_t at = (size_t)(line - bytes.ptr) + 1;
  if (fb_json_read((fb_slice){bytes.ptr, at}, id, NULL, arena, &head, NULL) != FB_OK ||
      head.kind != FB_MAP)
    return NULL;
  const fb_value *size = fb_map_get_text(head.as.map, FB_SLICE("text"));
  if (!size || size->kind != FB_INT || size->as.i < 0 || (uint64_t)size->as.i > bytes.len - at)
    return NULL;
  size_t length = (size_t)size->as.i;
  fb_edition *version = S_edition(held->server, head.as.map, (fb_slice){bytes.ptr + at, length});
  fb_holder *holder = version ? calloc(1, sizeof *holder) : NULL;
  if (!holder) {
    fb_edition_drop(version);
    return NULL;
  }
  pthread_mutex_init(&holder->lock, NULL);
  holder->version = version;
  holder->used = fb_server_now(held->server);
  snprintf(holder->id, sizeof holder->id, "%s", id);
  snprintf(holder->ruleset, sizeof holder->ruleset, "%s",
           fb_map_get_text(head.as.map, FB_SLICE("ruleset"))->as.text);
  holder->seat = fb_seat_restore(held->server, version,
                                 (fb_slice){bytes.ptr + at + length, bytes.len - at - length});
  if (holder->seat) return holder;
  S_free(holder);
  return NULL;
}

static bool S_restore_one(fb_held *held, const char *id) {
  fb_arena arena;
  fb_buf bytes;
  fb_holder *holder = NULL;
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&bytes, NULL, 0);
  const char *path = S_path(held, &arena, id);
  if (path && fb_state_read(path, SIZE_MAX >> 1, &bytes) == FB_OK)
    holder = S_restored(held, id, fb_buf_slice(&bytes), &arena);
  if (holder) {
    *S_at(held, fb_slice_of(holder->id)) = holder;
    held->count++;
  }
  fb_buf_release(&bytes);
  fb_arena_release(&arena);
  return holder != NULL;
}

void fb_held_restore(fb_held *held) {
  fb_server *server = held->server;
  fb_arena arena;
  size_t count = 0;
  if (!server->options.state) return;
  fb_arena_init(&arena, NULL, 0);
  const char *folder = fb_state_path(server, &arena, "sessions");
  const char *const *ids = folder ? fb_state_list(folder, &arena, &count) : NULL;
  for (size_t i = 0; ids && i < count; i++)
    if (!S_restore_one(held, ids[i]) && server->options.log)
      fb_log_write(server->options.log, FB_LOG_ERROR, "a session cannot be restored", "session",
                   ids[i], NULL);
  fb_arena_release(&arena);
}
