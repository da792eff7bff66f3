/* SPDX-License-Identifier: Apache-2.0 */
#include "server/bingo.h"

#include "server/evaluate.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_BOOKS = 1000, TTL = 3600, MOST_TTL = 7 * 24 * 3600 };

typedef struct S_entry {
  struct S_entry *next; /* the newest first */
  char *id;
  fb_bingo_book *book;
  int64_t until; /* mono */
} S_entry;

struct fb_bingo {
  pthread_mutex_t lock;
  S_entry *entries;
  uint32_t count;
  uint64_t hits, misses, expired, compilations, rules, nodes;
  int64_t compiled; /* ns, of all */
  _Atomic uint64_t facts, memory;
};

fb_status fb_bingo_new(fb_bingo **ret_bingo) {
  fb_bingo *bingo = calloc(1, sizeof *bingo);
  if (!bingo) return FB_E_NOMEM;
  pthread_mutex_init(&bingo->lock, NULL);
  *ret_bingo = bingo;
  return FB_OK;
}

static void S_free_entry(S_entry *entry) {
  fb_bingo_book_drop(entry->book);
  free(entry->id);
  free(entry);
}

void fb_bingo_free(fb_bingo *bingo) {
  if (!bingo) return;
  for (S_entry *entry = bingo->entries, *next; entry; entry = next) {
    next = entry->next;
    S_free_entry(entry);
  }
  pthread_mutex_destroy(&bingo->lock);
  free(bingo);
}

/* ── Failures, in its form ── */

static void S_now(fb_buf *out, const char *name) {
  const fb_clock *clock = fb_clock_system();
  fb_buf_printf(out, ",\"%s\":", name);
  fb_json_time(out, clock->wall(clock->context));
}

static fb_answered S_fail(fb_request *request, unsigned code, const char *name, const char *text) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(&out, "{\"code\":\"%s\"", name);
  fb_json_member(&out, "message", fb_slice_of(text));
  fb_buf_text(&out, ",\"details\":null");
  fb_json_member(&out, "request_id", fb_slice_of(request->id));
  S_now(&out, "timestamp");
  fb_buf_text(&out, "}\n");
  return fb_reply_json(request, code, &out);
}

static fb_answered S_invalid(fb_request *request, const char *text) {
  return S_fail(request, 400, "VALIDATION_ERROR", text);
}

/* False: it is answered. */
static bool S_read(fb_request *request, fb_value *ret_body) {
  fb_error err;
  fb_json_options options = {.max_length = request->server->options.max_body};
  if (fb_json_read(fb_spool_slice(&request->body), "request", &options, &request->arena, ret_body,
                   &err) != FB_OK) {
    S_invalid(request, err.text);
    return false;
  }
  if (ret_body->kind == FB_MAP) return true;
  S_invalid(request, "the body is an object");
  return false;
}

/* ── Books by id ── */

/* Lets go of what is over, and of the oldest beyond MOST_BOOKS. Under the lock. */
static void S_expire(fb_bingo *bingo, int64_t now) {
  uint32_t kept = 0;
  for (S_entry **at = &bingo->entries; *at;) {
    S_entry *entry = *at;
    if (now < entry->until && ++kept <= MOST_BOOKS) {
      at = &entry->next;
      continue;
    }
    *at = entry->next;
    bingo->expired += now >= entry->until;
    bingo->count--;
    bingo->rules -= entry->book->rule_count;
    bingo->nodes -= entry->book->condition_count;
    S_free_entry(entry);
  }
}

static S_entry *S_find(fb_bingo *bingo, fb_slice id) {
  S_entry *entry = bingo->entries;
  while (entry && !fb_slice_equal(fb_slice_of(entry->id), id)) entry = entry->next;
  return entry;
}

/* Held. NULL: there is none. */
static fb_bingo_book *S_take(fb_bingo *bingo, fb_slice id, int64_t now) {
  pthread_mutex_lock(&bingo->lock);
  S_expire(bingo, now);
  S_entry *entry = S_find(bingo, id);
  fb_bingo_book *book = entry ? entry->book : NULL;
  if (book) atomic_fetch_add(&book->users, 1);
  *(book ? &bingo->hits : &bingo->misses) += 1;
  pthread_mutex_unlock(&bingo->lock);
  return book;
}

/* Held. NULL: it is answered. */
static fb_bingo_book *S_compile(fb_request *request, fb_value rules) {
  fb_bingo *bingo = request->server->bingo;
  fb_bingo_book *book;
  fb_error err;
  if (!rules.as.list->len) {
    S_invalid(request, "at least one rule is needed");
    return NULL;
  }
  fb_status status = fb_bingo_book_new(rules, request->server->clock, &book, &err);
  if (status == FB_E_NOMEM)
    fb_reply_empty(request, 507);
  else if (status != FB_OK)
    S_fail(request, 400, "RULE_CONVERSION_ERROR", err.text);
  if (status != FB_OK) return NULL;
  pthread_mutex_lock(&bingo->lock);
  bingo->compilations++;
  bingo->compiled += book->compiled;
  pthread_mutex_unlock(&bingo->lock);
  return book;
}

/* False: the id is taken. */
static bool S_put(fb_bingo *bingo, S_entry *entry, int64_t now) {
  pthread_mutex_lock(&bingo->lock);
  S_expire(bingo, now);
  bool free_ = !S_find(bingo, fb_slice_of(entry->id));
  if (free_) {
    entry->next = bingo->entries;
    bingo->entries = entry;
    bingo->count++;
    bingo->rules += entry->book->rule_count;
    bingo->nodes += entry->book->condition_count;
  }
  pthread_mutex_unlock(&bingo->lock);
  return free_;
}

fb_answered fb_bingo_register(fb_request *request) {
  fb_value body;
  fb_buf out;
  if (!S_read(request, &body)) return FB_ANSWERED;
  const fb_value *id = fb_bingo_get(&body, "ruleset_id", FB_STRING),
                 *rules = fb_bingo_get(&body, "rules", FB_LIST),
                 *ttl = fb_bingo_get(&body, "ttl_seconds", FB_INT);
  if (!id || !id->len || !rules) return S_invalid(request, "`ruleset_id` and `rules` are needed");
  int64_t seconds = ttl ? ttl->as.i : TTL;
  if (seconds <= 0 || seconds > MOST_TTL) return S_invalid(request, "`ttl_seconds` is 1 to 604800");
  fb_bingo_book *book = S_compile(request, *rules);
  if (!book) return FB_ANSWERED;
  S_entry *entry = calloc(1, sizeof *entry);
  if (entry) entry->id = strdup(id->as.text);
  if (!entry || !entry->id) {
    free(entry);
    fb_bingo_book_drop(book);
    return fb_reply_empty(request, 507);
  }
  entry->book = book;
  entry->until = request->start + seconds * INT64_C(1000000000);
  fb_buf_init(&out, NULL, 0);
  fb_buf_char(&out, '{');
  fb_json_member(&out, "ruleset_id", fb_value_text(*id));
  fb_json_member(&out, "ruleset_hash", fb_slice_of(book->hash));
  fb_buf_printf(&out,
                ",\"compiled\":true,\"rule_count\":%u,\"compilation_time_ms\":%lld,"
                "\"ttl_seconds\":%lld",
                rules->as.list->len, (long long)(book->compiled / 1000000), (long long)seconds);
  S_now(&out, "registered_at");
  fb_buf_text(&out, "}\n");
  if (S_put(request->server->bingo, entry, request->start)) {
    fb_audit_of(request, "bingo.ruleset", fb_value_text(*id));
    return fb_reply_json(request, 201, &out);
  }
  fb_buf_release(&out);
  S_free_entry(entry);
  return S_fail(request, 409, "RULESET_EXISTS", "there is a ruleset of this id");
}

/* ── Evaluation ── */

typedef struct S_work {
  fb_request *request;
  fb_bingo_book *book;
  const fb_list *facts;
  fb_buf results;
  uint64_t fired;
  fb_error err;
} S_work;

static fb_status S_fired(void *context, const fb_decision *decision) {
  S_work *work = context;
  const fb_value *rule = fb_map_get_text(decision->fields, FB_SLICE("r")),
                 *number = fb_map_get_text(decision->fields, FB_SLICE("n"));
  const fb_value *fact = &work->facts->items[number->as.i];
  fb_buf *out = &work->results;
  fb_buf_text(out, work->fired++ ? ",{" : "{");
  fb_json_member(out, "rule_id",
                 fb_value_text(*fb_bingo_get(work->book->rules[rule->as.i], "id", FB_STRING)));
  fb_json_member(out, "fact_id", fb_value_text(*fb_bingo_get(fact, "id", FB_STRING)));
  fb_buf_text(out, ",\"actions_executed\":[");
  fb_status status = fb_bingo_act(work->book, (uint32_t)rule->as.i,
                                  fb_bingo_get(fact, "data", FB_MAP)->as.map, out, &work->err);
  fb_buf_text(out, "]}");
  return status != FB_OK ? status : out->failed ? FB_E_NOMEM : FB_OK;
}

/* The fields that conditions look at, and its number. */
static fb_status S_assert(S_work *work, fb_seat *seat, uint32_t number, fb_error *err) {
  const fb_map *data = fb_bingo_get(&work->facts->items[number], "data", FB_MAP)->as.map;
  fb_arena *arena = &work->request->arena;
  fb_arena_mark mark = fb_arena_save(arena);
  fb_map *fact = fb_map_new(arena, 8);
  bool good =
      fact &&
      fb_map_put(fact, arena, fb_string(FB_SLICE("type")), fb_string(FB_SLICE("fact")), NULL) &&
      fb_map_put(fact, arena, fb_string(FB_SLICE("n")), fb_int(number), NULL);
  for (uint32_t i = 0; good && i < data->len; i++) {
    const fb_table_slot *slot =
        fb_table_get(&work->book->fields, fb_value_text(data->entries[i].key));
    if (!slot || data->entries[i].value.kind == FB_NULL) continue;
    const char *name = fb_arena_printf(arena, "f%u", (unsigned)slot->value.number);
    good =
        name && fb_map_put(fact, arena, fb_string(fb_slice_of(name)), data->entries[i].value, NULL);
  }
  fb_status status = good ? fb_seat_assert(seat, fb_map_value(fact), NULL, err)
                          : fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_arena_rewind(arena, mark);
  return status;
}

static fb_status S_run(S_work *work, uint64_t *ret_memory) {
  fb_server *server = work->request->server;
  fb_verdict verdict;
  fb_edition *edition = work->book->edition;
  fb_seat *seat =
      fb_seat_take(server, edition, edition->stateless ? FB_SEAT_STATELESS : FB_SEAT_HOLDS);
  if (!seat) return fb_fail(&work->err, FB_E_NOMEM, "out of memory");
  fb_verdict_init(&verdict, work->request, false);
  verdict.decided = S_fired;
  verdict.context = work;
  seat->verdict = &verdict;
  fb_session_set_deadline(seat->session, fb_server_now(server) + server->options.max_time);
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < work->facts->len && status == FB_OK; i++)
    status = S_assert(work, seat, i, &work->err);
  if (status == FB_OK) status = fb_session_fire(seat->session, NULL, &work->err);
  if (status == FB_OK && work->err.code) status = work->err.code; /* a calculator's */
  *ret_memory = fb_session_statistics(seat->session).memory;
  fb_verdict_release(&verdict);
  fb_seat_give(edition, seat);
  return status;
}

/* NULL: all are facts. */
static const char *S_wrong(const fb_list *facts) {
  for (uint32_t i = 0; i < facts->len; i++) {
    const fb_value *data = fb_bingo_get(&facts->items[i], "data", FB_MAP);
    if (!fb_bingo_get(&facts->items[i], "id", FB_STRING)) return "a fact has an `id`, a text";
    if (!data || !data->as.map->len) return "a fact has `data` with at least one field";
  }
  return facts->len ? NULL : "at least one fact is needed";
}

static fb_answered S_evaluate(S_work *work) {
  fb_request *request = work->request;
  fb_server *server = request->server;
  uint64_t memory = 0;
  fb_buf out;
  fb_buf_init(&work->results, NULL, 0);
  fb_status status = S_run(work, &memory);
  if (status != FB_OK) {
    fb_buf_release(&work->results);
    if (status == FB_E_NOMEM) return fb_reply_empty(request, 507);
    return S_fail(request, status == FB_E_RULE_LIMIT ? 503 : 400, "EVALUATION_ERROR",
                  work->err.text);
  }
  fb_buf_init(&out, NULL, 0);
  fb_buf_char(&out, '{');
  fb_json_member(&out, "request_id", fb_slice_of(request->id));
  fb_buf_text(&out, ",\"results\":[");
  fb_buf_add(&out, work->results.ptr, work->results.len);
  fb_buf_printf(&out, "],\"rules_processed\":%u,\"facts_processed\":%u,\"rules_fired\":%llu",
                work->book->rule_count, work->facts->len, (unsigned long long)work->fired);
  fb_buf_printf(&out, ",\"processing_time_ms\":%lld",
                (long long)((fb_server_now(server) - request->start) / 1000000));
  fb_buf_printf(&out,
                ",\"stats\":{\"total_facts\":%u,\"total_rules\":%u,\"network_nodes\":%u,"
                "\"memory_usage_bytes\":%llu}}\n",
                work->facts->len, work->book->rule_count, work->book->condition_count,
                (unsigned long long)memory);
  out.failed |= work->results.failed;
  fb_buf_release(&work->results);
  atomic_fetch_add(&server->bingo->facts, work->facts->len);
  server->bingo->memory = memory;
  fb_counter_add(server->facts, work->facts->len);
  fb_counter_add(server->firings, work->fired);
  fb_counter_add(server->decisions, work->fired);
  return fb_reply_json(request, 200, &out);
}

fb_answered fb_bingo_evaluate(fb_request *request) {
  fb_value body;
  S_work work = {.request = request};
  if (!S_read(request, &body)) return FB_ANSWERED;
  const fb_value *rules = fb_bingo_get(&body, "rules", FB_LIST),
                 *id = fb_bingo_get(&body, "ruleset_id", FB_STRING),
                 *facts = fb_bingo_get(&body, "facts", FB_LIST);
  if (!rules == !id) return S_invalid(request, "either `rules` or `ruleset_id` is needed");
  if (!facts) return S_invalid(request, "`facts` are needed");
  work.facts = facts->as.list;
  const char *wrong = S_wrong(work.facts);
  if (wrong) return S_invalid(request, wrong);
  work.book = rules ? S_compile(request, *rules)
                    : S_take(request->server->bingo, fb_value_text(*id), request->start);
  if (!work.book)
    return rules ? FB_ANSWERED
                 : S_fail(request, 404, "RULESET_NOT_FOUND", "there is no ruleset of this id");
  S_evaluate(&work);
  fb_bingo_book_drop(work.book);
  return FB_ANSWERED;
}

/* ── Figures: what is counted, nothing that is made up ── */

static void S_engine(fb_request *request, fb_buf *out) {
  fb_bingo *bingo = request->server->bingo;
  pthread_mutex_lock(&bingo->lock);
  S_expire(bingo, request->start);
  fb_buf_printf(out,
                "{\"total_facts\":%llu,\"total_rules\":%llu,\"network_nodes\":%llu,"
                "\"memory_usage_bytes\":%llu}",
                (unsigned long long)bingo->facts, (unsigned long long)bingo->rules,
                (unsigned long long)bingo->nodes, (unsigned long long)bingo->memory);
  pthread_mutex_unlock(&bingo->lock);
}

fb_answered fb_bingo_health(fb_request *request) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_printf(
      &out, "{\"status\":\"healthy\",\"version\":\"%s\",\"uptime_seconds\":%lld,\"engine_stats\":",
      fb_version(), (long long)((request->start - request->server->started) / 1000000000));
  S_engine(request, &out);
  S_now(&out, "timestamp");
  fb_buf_text(&out, "}\n");
  return fb_reply_json(request, 200, &out);
}

fb_answered fb_bingo_engine(fb_request *request) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  S_engine(request, &out);
  fb_buf_char(&out, '\n');
  return fb_reply_json(request, 200, &out);
}

fb_answered fb_bingo_cache(fb_request *request) {
  fb_bingo *bingo = request->server->bingo;
  fb_buf out;
  char rate[32], average[32];
  fb_buf_init(&out, NULL, 0);
  pthread_mutex_lock(&bingo->lock);
  S_expire(bingo, request->start);
  uint64_t asked = bingo->hits + bingo->misses;
  fb_double_format(asked ? (double)bingo->hits / (double)asked : 0, rate);
  fb_double_format(
      bingo->compilations ? (double)bingo->compiled / 1e6 / (double)bingo->compilations : 0,
      average);
  fb_buf_printf(&out, "{\"cache\":{\"total_entries\":%u,\"cache_hits\":%llu,\"cache_misses\":%llu",
                bingo->count, (unsigned long long)bingo->hits, (unsigned long long)bingo->misses);
  fb_buf_printf(&out, ",\"hit_rate\":%s,\"expired_entries\":%llu,\"total_compilations\":%llu", rate,
                (unsigned long long)bingo->expired, (unsigned long long)bingo->compilations);
  pthread_mutex_unlock(&bingo->lock);
  fb_buf_printf(&out, ",\"average_compilation_time_ms\":%s}}\n", average);
  return fb_reply_json(request, 200, &out);
}
