/* SPDX-License-Identifier: Apache-2.0
 * Sessions for requests, and what they decide. */
#include "server/server.h"

#include <flyball/cel.h>
#include <stdlib.h>

enum {
  MOST_WAITING = 16,      /* seats of a version and kind */
  MOST_TEXTS = 4 << 20,   /* bytes of texts that came with facts gone by */
  MOST_MEMORY = 32 << 20, /* bytes that a reset session still holds */
  MOST_TYPES = 512,       /* learned ones included */
  MOST_USES = 1000000,
  FLUSH_FROM = 64 << 10, /* bytes of lines that are put into the reply at once */
  MOST_ERRORS = 100      /* told; further ones are counted */
};

/* ── Verdicts ── */

void fb_verdict_init(fb_verdict *verdict, fb_request *request, bool lines) {
  *verdict = (fb_verdict){.request = request, .lines = lines};
  fb_buf_init(&verdict->decisions, NULL, 0);
  fb_buf_init(&verdict->logs, NULL, 0);
  fb_buf_init(&verdict->errors, NULL, 0);
  fb_arena_init(&verdict->arena, NULL, 0);
}

void fb_verdict_release(fb_verdict *verdict) {
  fb_buf_release(&verdict->decisions);
  fb_buf_release(&verdict->logs);
  fb_buf_release(&verdict->errors);
  fb_arena_release(&verdict->arena);
}

static void S_list(fb_buf *out, const char *name, const fb_buf *items) {
  fb_buf_printf(out, ",\"%s\":[", name);
  fb_buf_add(out, items->ptr, items->len);
  fb_buf_char(out, ']');
  out->failed |= items->failed;
}

void fb_verdict_write(fb_verdict *verdict, fb_buf *out) {
  S_list(out, "decisions", &verdict->decisions);
  S_list(out, "logs", &verdict->logs);
  S_list(out, "errors", &verdict->errors);
}

/* Begins an item and returns where it goes: lines of all kinds go into one buffer, and tell their type. */
static fb_buf *S_begin(fb_verdict *verdict, fb_buf *out, const char *type) {
  if (verdict->lines) out = &verdict->decisions;
  if (verdict->lines)
    fb_buf_printf(out, "{\"type\":\"flyball.%s.v1\",", type);
  else
    fb_buf_text(out, out->len ? ",{" : "{");
  return out;
}

fb_status fb_verdict_flush(fb_verdict *verdict) {
  fb_buf *out = &verdict->decisions;
  fb_status status = out->failed ? FB_E_NOMEM : FB_OK;
  if (status == FB_OK) status = fb_spool_add(&verdict->request->reply.body, out->ptr, out->len);
  if (verdict->failed == FB_OK) verdict->failed = status;
  fb_buf_clear(out);
  return status;
}

static fb_status S_end(fb_verdict *verdict, fb_buf *out) {
  fb_buf_text(out, verdict->lines ? "}\n" : "}");
  if (verdict->lines && (out->failed || out->len >= FLUSH_FROM)) return fb_verdict_flush(verdict);
  return out->failed ? FB_E_NOMEM : FB_OK;
}

static void S_member(fb_buf *out, const char *name, fb_slice text) {
  fb_buf_printf(out, "\"%s\":", name);
  fb_json_write_text(out, text, FB_JSON_COMPACT);
}

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_verdict *verdict = ((fb_seat *)context)->verdict;
  if (verdict->decided) return verdict->decided(verdict->context, decision);
  fb_buf *out = S_begin(verdict, &verdict->decisions, "decision");
  S_member(out, "decision", decision->type);
  fb_buf_text(out, ",\"fields\":");
  fb_json_write(out, fb_map_value(decision->fields), FB_JSON_COMPACT);
  fb_buf_char(out, ',');
  S_member(out, "rule", decision->rule);
  fb_buf_printf(out, ",\"line\":%u,\"firing\":%llu", decision->line,
                (unsigned long long)decision->firing);
  if (verdict->explain) {
    fb_value why;
    fb_status status = fb_session_why(session, decision, &verdict->arena, &why);
    if (status != FB_OK) return status;
    fb_buf_text(out, ",\"why\":");
    fb_json_write(out, why, FB_JSON_COMPACT);
    fb_arena_reset(&verdict->arena);
  }
  verdict->decision_count++;
  return S_end(verdict, out);
}

static void S_log(void *context, fb_session *session, const fb_decision *line) {
  fb_verdict *verdict = ((fb_seat *)context)->verdict;
  (void)session;
  fb_buf *out = S_begin(verdict, &verdict->logs, "log");
  S_member(out, "rule", line->rule);
  fb_buf_text(out, ",\"fields\":");
  fb_json_write(out, fb_map_value(line->fields), FB_JSON_COMPACT);
  S_end(verdict, out);
}

void fb_verdict_error(fb_verdict *verdict, const fb_error *err) {
  if (verdict->error_count++ >= MOST_ERRORS) return;
  fb_buf *out = S_begin(verdict, &verdict->errors, "error");
  fb_buf_printf(out, "\"code\":\"FB%04d\",", (int)err->code);
  S_member(out, "detail", fb_slice_of(err->text));
  if (err->hint[0]) {
    fb_buf_char(out, ',');
    S_member(out, "hint", fb_slice_of(err->hint));
  }
  if (err->line) fb_buf_printf(out, ",\"line\":%u,\"column\":%u", err->line, err->column);
  S_end(verdict, out);
}

static void S_error(void *context, fb_session *session, const fb_error *err) {
  (void)session;
  fb_verdict_error(((fb_seat *)context)->verdict, err);
}

/* ── Seats ── */

static fb_seat *S_new(fb_server *server, const fb_edition *version, fb_seat_kind kind,
                      fb_slice snapshot) {
  bool stateless = kind == FB_SEAT_STATELESS;
  fb_seat *seat = calloc(1, sizeof *seat);
  if (!seat) return NULL;
  seat->kind = kind;
  fb_status status = fb_zones_new(NULL, NULL, &seat->zones);
  fb_session_options options = {
      .max_firings = server->options.max_firings,
      .max_facts = stateless ? 0 : server->options.max_facts,
      .clock = server->clock,
      .hash_seed = fb_random_seed_system(),
      .zone = fb_zone_system,
      .zone_context = seat->zones,
      .stateless = stateless,
      .explain = kind == FB_SEAT_EXPLAINS,
      .max_explained = server->options.max_explained,
      .output = {.decision = S_decision, .log = S_log, .error = S_error, .context = seat}};
  if (status == FB_OK)
    status = snapshot.len ? fb_session_restore(version->set, &options, NULL, snapshot, false,
                                               &seat->session, NULL)
                          : fb_session_new(version->set, &options, NULL, &seat->session);
  if (status == FB_OK) return seat;
  fb_seat_free(seat);
  return NULL;
}

void fb_seat_free(fb_seat *seat) {
  if (!seat) return;
  fb_session_free(seat->session);
  fb_zones_free(seat->zones);
  free(seat);
}

void fb_seats_free(fb_edition *version) {
  for (int kind = 0; kind < FB_SEAT_KINDS; kind++) {
    for (fb_seat *seat = version->seats[kind], *next; seat; seat = next) {
      next = seat->next;
      fb_seat_free(seat);
    }
  }
}

fb_seat *fb_seat_take(fb_server *server, fb_edition *version, fb_seat_kind kind) {
  pthread_mutex_lock(&version->lock);
  fb_seat *seat = version->seats[kind];
  if (seat) {
    version->seats[kind] = seat->next;
    version->seat_counts[kind]--;
  }
  pthread_mutex_unlock(&version->lock);
  return seat ? seat : S_new(server, version, kind, FB_SLICE(""));
}

fb_seat *fb_seat_restore(fb_server *server, fb_edition *version, fb_slice snapshot) {
  return S_new(server, version, FB_SEAT_EXPLAINS, snapshot);
}

/* What requests leave behind in a session: texts, and fields and types that were learned. */
static bool S_is_fresh(fb_seat *seat) {
  fb_schema *schema = fb_session_schema(seat->session);
  return ++seat->uses < MOST_USES && fb_schema_count(schema) < MOST_TYPES &&
         fb_symbols_memory(fb_schema_symbols(schema)) < MOST_TEXTS &&
         fb_session_statistics(seat->session).memory < MOST_MEMORY;
}

/* Into the version's counts; without memory for them there are none. */
static void S_count_fired(fb_edition *version, const fb_seat *seat) {
  if (!version->fired || !fb_session_statistics(seat->session).firings) return;
  for (size_t i = 0; i < fb_ruleset_count(version->set); i++) {
    uint64_t firings = fb_session_rule_statistics(seat->session, i).firings;
    if (firings) atomic_fetch_add_explicit(&version->fired[i], firings, memory_order_relaxed);
  }
}

void fb_seat_give(fb_edition *version, fb_seat *seat) {
  S_count_fired(version, seat);
  bool kept = fb_session_reset(seat->session) == FB_OK && S_is_fresh(seat);
  seat->verdict = NULL;
  seat->replays = false;
  pthread_mutex_lock(&version->lock);
  kept = kept && version->seat_counts[seat->kind] < MOST_WAITING;
  if (kept) {
    seat->next = version->seats[seat->kind];
    version->seats[seat->kind] = seat;
    version->seat_counts[seat->kind]++;
  }
  pthread_mutex_unlock(&version->lock);
  if (!kept) fb_seat_free(seat);
}

/* The fact's map with its type taken out. In the verdict's arena. */
static fb_status S_fields(fb_seat *seat, const fb_map *fact, fb_slice *ret_type,
                          fb_map **ret_fields, fb_error *err) {
  const fb_value *type = fb_map_get_text(fact, FB_SLICE("type"));
  fb_arena *arena = &seat->verdict->arena;
  if (!type || type->kind != FB_STRING || !type->len)
    return fb_fail(err, FB_E_STREAM_RECORD, "a fact tells its type: the key `type`, a text");
  fb_map *fields = fb_map_new(arena, fact->len);
  if (!fields) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < fact->len; i++) {
    const fb_entry *entry = &fact->entries[i];
    if (&entry->value != type && !fb_map_put(fields, arena, entry->key, entry->value, NULL))
      return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  *ret_type = fb_value_text(*type);
  *ret_fields = fields;
  return FB_OK;
}

/* As a row, so that the clock can be moved to its time first. */
static fb_status S_replay(fb_seat *seat, fb_slice type, const fb_map *fields, fb_error *err) {
  fb_schema *schema = fb_session_schema(seat->session);
  fb_fact_type *known;
  fb_facts *facts;
  uint32_t row;
  fb_status status = fb_schema_open(schema, type, &known);
  if (status == FB_OK) status = fb_facts_new(NULL, schema, known, &facts);
  if (status != FB_OK) return fb_fail(err, status, "no room for a fact of this type");
  status = fb_facts_add_map(facts, fields, &row, err);
  if (status == FB_OK) status = fb_session_replay_rows(seat->session, facts, row, 1, 0, NULL, err);
  fb_facts_free(facts);
  return status;
}

fb_status fb_seat_set_clock(fb_seat *seat, const char *text, fb_error *err) {
  const fb_ruleset *set = fb_session_ruleset(seat->session);
  if (!text && !fb_ruleset_timed(set)) return FB_OK;
  const fb_clock *clock = fb_clock_system();
  fb_value stands = fb_session_now(seat->session);
  int64_t wall = clock->wall(clock->context), seconds = wall / 1000000000;
  uint32_t nanos = (uint32_t)(wall % 1000000000);
  if (text && !fb_time_parse(fb_slice_of(text), &seconds, &nanos))
    return fb_fail(err, FB_E_SERVER_REQUEST, "`now` is no time: as in 2026-01-31T00:00:00Z");
  fb_value now = fb_timestamp(seconds, nanos);
  if (!text && stands.kind != FB_ABSENT && fb_value_order(now, stands) <= 0) return FB_OK;
  bool back = stands.kind != FB_ABSENT && fb_value_order(now, stands) < 0;
  return back ? fb_session_advance(seat->session, now, err) /* which says why not */
              : fb_session_replay_until(seat->session, now, err);
}

fb_status fb_seat_assert(fb_seat *seat, fb_value fact, fb_fact_id *ret_id, fb_error *err) {
  fb_slice type;
  fb_map *fields = NULL;
  if (fact.kind != FB_MAP)
    return fb_fail(err, FB_E_STREAM_RECORD, "a fact is an object, not %s",
                   fb_kind_name((fb_kind)fact.kind));
  fb_status status = S_fields(seat, fact.as.map, &type, &fields, err);
  if (status == FB_OK)
    status = seat->replays ? S_replay(seat, type, fields, err)
                           : fb_session_assert(seat->session, type, fields, ret_id, err);
  fb_arena_reset(&seat->verdict->arena);
  return status;
}
