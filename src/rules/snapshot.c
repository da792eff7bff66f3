/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots: a session as bytes. Numbers are varints; then:
 *
 *   "FBSNAP" version checksum        XXH3 of all that follows
 *   rulebook                         XXH3 of its text
 *   strategy, seed, clock
 *   texts, types with their fields   in the order of their numbers
 *   counters, statistics
 *   places                           facts with their fields, the stored alphas they are in, their stamps; free places
 *   windows                          whether their results were seen; facts that windows which end hold, place by place
 *   supports                         activations that fired and logical facts rest on
 *   agenda                           what waits, level by level, the last to fire first; where walks stand; or the focus stack,
 *                                    recencies, and what waits queue by queue, with its rank
 *   mends                            of lazy rules with guards
 *   log                              of firings, if the session explains
 *
 * A snapshot may come from anywhere: the reader believes nothing, and what it makes can be run without harm.
 */
#include "rules/session.h"

#include <stdlib.h>

enum { VERSION = 5, HEAD = 16, DEPTH_MAX = 256 };
static const char S_magic[] = "FBSNAP";

/* Those of CEL. */
#define TIME_MIN INT64_C(-62135596800)
#define TIME_MAX INT64_C(253402300799)
#define DURATION_MAX INT64_C(315576000000)

static void S_put_fixed(char *at, uint64_t value) {
  for (int i = 0; i < 8; i++) at[i] = (char)(value >> 8 * i);
}

static uint64_t S_book_hash(const fb_ruleset *set) {
  fb_slice text = fb_doc_text(set->doc);
  return fb_hash_bytes(text.ptr, text.len, 0);
}

/* ── Writing ── */

static void S_put(fb_buf *out, uint64_t value) {
  for (; value >= 128; value >>= 7) fb_buf_char(out, (char)(value | 128));
  fb_buf_char(out, (char)value);
}

static void S_put_text(fb_buf *out, fb_slice text) {
  S_put(out, text.len);
  fb_buf_add(out, text.ptr, text.len);
}

/* Signed numbers: the sign in the lowest bit. */
static void S_put_signed(fb_buf *out, int64_t value) {
  S_put(out, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

static bool S_put_value(fb_buf *out, fb_value value, uint32_t depth);

static bool S_put_items(fb_buf *out, fb_value value, uint32_t depth) {
  bool good = true;
  if (value.kind == FB_LIST) {
    S_put(out, value.as.list->len);
    for (uint32_t i = 0; i < value.as.list->len && good; i++)
      good = S_put_value(out, value.as.list->items[i], depth + 1);
    return good;
  }
  S_put(out, value.as.map->len);
  for (uint32_t i = 0; i < value.as.map->len && good; i++)
    good = S_put_value(out, value.as.map->entries[i].key, depth + 1) &&
           S_put_value(out, value.as.map->entries[i].value, depth + 1);
  return good;
}

/* False: nested too deep. A text in a column is a symbol (bit 7 of the kind), inside lists it stands itself. */
static bool S_put_value(fb_buf *out, fb_value value, uint32_t depth) {
  bool symbol = value.kind == FB_STRING && value.symbol && depth == 0;
  if (depth > DEPTH_MAX) return false;
  fb_buf_char(out, (char)(value.kind | (symbol ? 128 : 0)));
  switch (value.kind) {
    case FB_BOOL: fb_buf_char(out, value.as.b); return true;
    case FB_INT: S_put_signed(out, value.as.i); return true;
    case FB_UINT:
    case FB_DOUBLE: {
      char bytes[8];
      S_put_fixed(bytes, value.as.u);
      fb_buf_add(out, bytes, sizeof bytes);
      return true;
    }
    case FB_STRING:
      if (symbol) {
        S_put(out, fb_symbol_of(value));
        return true;
      }
      /* fall through */
    case FB_BYTES:
    case FB_TYPE: S_put_text(out, fb_value_text(value)); return true;
    case FB_LIST:
    case FB_MAP: return S_put_items(out, value, depth);
    case FB_TIMESTAMP:
    case FB_DURATION:
      S_put_signed(out, value.as.i);
      S_put(out, value.len);
      return true;
    case FB_OPTIONAL:
      fb_buf_char(out, value.as.optional != NULL);
      return !value.as.optional || S_put_value(out, *value.as.optional, depth + 1);
    default: return true;
  }
}

static void S_put_schema(fb_buf *out, const fb_session *session) {
  S_put(out, fb_symbols_count(session->symbols));
  for (size_t i = 1; i < fb_symbols_count(session->symbols); i++)
    S_put_text(out, fb_symbol_text(session->symbols, (fb_symbol)i));
  S_put(out, fb_schema_count(session->schema));
  for (uint32_t t = 0; t < fb_schema_count(session->schema); t++) {
    const fb_fact_type *type = fb_schema_type(session->schema, t);
    S_put_text(out, type->name);
    S_put(out, type->field_count);
    for (uint32_t f = 0; f < type->field_count; f++) S_put_text(out, type->fields[f].name);
  }
}

/* Strategy and seed as the options had them, else they are the rulebook's. */
static void S_put_control(fb_buf *out, const fb_session *session) {
  char seed[8];
  S_put(out, session->options.strategy);
  S_put_fixed(seed, session->options.seed);
  fb_buf_add(out, seed, sizeof seed);
  fb_buf_char(out, session->now.kind == FB_TIMESTAMP);
  if (session->now.kind != FB_TIMESTAMP) return;
  S_put_signed(out, session->now.as.i);
  S_put(out, session->now.len);
}

static void S_put_statistics(fb_buf *out, const fb_session *session) {
  const fb_session_stats *s = &session->stats;
  const uint64_t numbers[] = {session->tick,  session->serial, session->firing, session->halted,
                              s->facts_peak,  s->asserted,     s->modified,     s->retracted,
                              s->activations, s->decisions,    s->errors,       s->candidates,
                              s->late};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) S_put(out, numbers[i]);
  S_put(out, session->set->rule_count);
  for (uint32_t r = 0; r < session->set->rule_count; r++) {
    const fb_rule_stats *rule = &session->rule_stats[r];
    S_put(out, rule->activations);
    S_put(out, rule->firings);
    S_put(out, rule->errors);
    S_put(out, (uint64_t)rule->nanos);
  }
}

static bool S_put_fields(fb_buf *out, const fb_facts *facts, uint32_t row) {
  uint32_t fields = fb_facts_type(facts)->field_count, count = 0;
  for (uint32_t f = 0; f < fields; f++) count += fb_facts_get(facts, row, f).kind != FB_ABSENT;
  S_put(out, count);
  for (uint32_t f = 0; f < fields; f++) {
    fb_value value = fb_facts_get(facts, row, f);
    if (value.kind == FB_ABSENT) continue;
    S_put(out, f);
    if (!S_put_value(out, value, 0)) return false;
  }
  return true;
}

static void S_put_alphas(fb_buf *out, fb_session *session, const fb_fact *fact) {
  uint32_t count = fb_alpha_candidates(session, fact->type, fact->row), stored = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t number = session->candidates[i] & ~FB_RULE_WHOLE;
    if (session->set->alphas[number].stored && fb_alpha_has(session, number, fact->row))
      session->candidates[stored++] = number;
  }
  S_put(out, stored);
  for (uint32_t i = 0; i < stored; i++) S_put(out, session->candidates[i]);
}

/* Those that still mean something, by port. */
static void S_put_stamps(fb_buf *out, const fb_session *session, uint32_t place) {
  const fb_fact *fact = &session->facts[place];
  uint64_t serial = fb_place_serial(session, place);
  const fb_ruleset *set = session->set;
  uint32_t count = 0;
  if (!fb_lazy_is_modified(session, fact)) {
    S_put(out, 0);
    return;
  }
  for (uint32_t port = 0; port < set->port_count; port++)
    count +=
        set->ports[port].type == fact->type && fb_port_stamp(session, port, fact->row) > serial;
  S_put(out, count + 1);
  for (uint32_t port = 0; count && port < set->port_count; port++) {
    uint64_t stamp = fb_port_stamp(session, port, fact->row);
    if (set->ports[port].type != fact->type || stamp <= serial) continue;
    S_put(out, port);
    S_put(out, stamp);
  }
}

static bool S_put_places(fb_buf *out, fb_session *session) {
  S_put(out, session->fact_count);
  S_put(out, session->free_place);
  for (uint32_t place = 1; place < session->fact_count; place++) {
    const fb_fact *fact = &session->facts[place];
    bool held = fact->row != FB_RULE_NONE;
    S_put(out, held ? (uint64_t)fact->type + 1 : 0);
    S_put(out, fact->generation);
    S_put(out, held ? fb_place_serial(session, place) : fact->type);
    if (!held) continue;
    fb_origin origin = fb_place_origin(session, place);
    S_put(out, origin.made_by);
    S_put(out, origin.changed_by);
    S_put(out, origin.logical != 0);
    if (!S_put_fields(out, session->memories[fact->type].facts, fact->row)) return false;
    S_put_alphas(out, session, fact);
    S_put_stamps(out, session, place);
  }
  return true;
}

/* For each aggregate whose windows end the places of the facts that it holds, then 0. */
static void S_put_windows(fb_buf *out, const fb_session *session) {
  S_put(out, fb_windows_are_told(session));
  for (uint32_t i = 0; i < session->set->aggregate_count; i++) {
    if (!fb_window_ends_at_all(session->set, i)) continue;
    for (uint32_t place = 0; (place = fb_window_next(session, i, place));) S_put(out, place);
    S_put(out, 0);
  }
}

/* Within a firing by place: records of logical facts are numbered anew when they are restored. */
static int S_reason_order(const void *pa, const void *pb, void *context) {
  const fb_reason *a = *(fb_reason *const *)pa, *b = *(fb_reason *const *)pb;
  const fb_truth *truth = context;
  if (a->firing != b->firing) return a->firing < b->firing ? -1 : 1;
  uint32_t left = truth->items[a->logical].place, right = truth->items[b->logical].place;
  return left < right ? -1 : left > right;
}

static void S_put_support(fb_buf *out, const fb_session *session, fb_reason *const *reasons,
                          size_t count) {
  const fb_activation *owner = reasons[0]->owner;
  S_put(out, reasons[0]->firing);
  S_put(out, owner->rule);
  for (uint32_t k = 0; k < owner->count; k++) S_put(out, owner->links[k].place);
  S_put(out, count);
  for (size_t i = 0; i < count; i++) S_put(out, session->truth.items[reasons[i]->logical].place);
}

/* By firing, so that reasons come back in the order in which they were found. A firing has one activation. */
static bool S_put_supports(fb_buf *out, const fb_session *session) {
  const fb_truth *truth = &session->truth;
  size_t count = 0, cap = 0;
  void *items = NULL;
  bool good = true;
  for (uint32_t i = 1; i < truth->count; i++)
    for (fb_reason *at = truth->items[i].place ? truth->items[i].reasons : NULL; at && good;
         at = at->next) {
      good = fb_grow(session->base, &items, &cap, count, sizeof at);
      if (good) ((fb_reason **)items)[count++] = at;
    }
  fb_reason **reasons = items;
  if (good && count) qsort_r(reasons, count, sizeof *reasons, S_reason_order, (void *)truth);
  /* Activations whose facts are all gone are kept too, but nothing rests on them. */
  size_t groups = 0;
  for (size_t i = 0; good && i < count; i++)
    groups += !i || reasons[i]->firing != reasons[i - 1]->firing;
  S_put(out, groups);
  for (size_t from = 0, to = 0; good && from < count; from = to) {
    while (to < count && reasons[to]->firing == reasons[from]->firing) to++;
    S_put_support(out, session, reasons + from, to - from);
  }
  fb_free(session->base, items, cap * sizeof *reasons);
  return good;
}

static void S_put_rank(fb_buf *out, const fb_session *session, const fb_queued *item) {
  const fb_activation *a = item->activation;
  const uint64_t *tags = fb_queue_tags(session, a);
  S_put(out, a->rule);
  S_put(out, a->tick);
  S_put_signed(out, item->salience);
  S_put(out, item->key);
  for (uint32_t k = 0; tags && k < a->count; k++) S_put(out, tags[k]);
  for (uint32_t k = 0; k < a->count; k++) S_put(out, a->links[k].place);
}

static void S_put_queues(fb_buf *out, const fb_session *session) {
  const fb_agenda *agenda = &session->agenda;
  S_put(out, agenda->focus_count);
  for (size_t i = 0; i < agenda->focus_count; i++) S_put(out, agenda->focus[i]);
  uint64_t touched = 0;
  for (uint32_t pass = 0; pass < 2; pass++) {
    if (pass) S_put(out, touched);
    for (uint32_t place = 1; place < session->fact_count; place++) {
      if (session->facts[place].row == FB_RULE_NONE) continue;
      uint64_t recency = fb_queue_recency(session, place);
      if (recency == fb_place_serial(session, place)) continue;
      touched += !pass;
      if (pass) S_put(out, place);
      if (pass) S_put(out, recency);
    }
  }
  for (uint32_t q = 0; q <= session->set->group_count; q++) {
    S_put(out, agenda->queues[q].count);
    for (size_t i = 0; i < agenda->queues[q].count; i++)
      S_put_rank(out, session, &agenda->queues[q].items[i]);
  }
}

enum { ACTIVATION, PLACE, WALK, KINDS };
enum { HEAD_READY = 1, ENTERS = 2, FINISHED = 4 };

static void S_put_walk(fb_buf *out, const fb_walk *walk) {
  S_put(out, (walk->head ? HEAD_READY : 0) | (walk->enters ? ENTERS : 0) |
                 (walk->finished ? FINISHED : 0));
  S_put(out, walk->depth);
  for (uint32_t i = 0; i < walk->depth; i++) {
    S_put(out, walk->levels[i].place);
    S_put(out, walk->levels[i].serial);
  }
}

/* A number that tells the kind, and the rule of an activation, or the use of a place. */
static void S_put_agenda(fb_buf *out, fb_session *session) {
  if (session->queued) {
    S_put_queues(out, session);
    return;
  }
  S_put(out, fb_agenda_count(session));
  for (uint32_t l = 0; l < session->set->salience_count; l++) {
    const fb_agenda_level *level = &session->agenda.levels[l];
    for (size_t i = 0; i < level->count; i++) {
      const fb_waiting *item = &level->items[i];
      if (item->use != FB_RULE_NONE) {
        bool walks = fb_waiting_walks(item);
        S_put(out, KINDS * (uint64_t)fb_waiting_use(item) + (walks ? WALK : PLACE));
        S_put(out, fb_waiting_tick(item));
        S_put(out, item->place);
        if (walks) S_put_walk(out, item->walk);
        continue;
      }
      const fb_activation *a = item->activation;
      if (a->dead) continue;
      S_put(out, KINDS * (uint64_t)a->rule + ACTIVATION);
      S_put(out, a->tick);
      for (uint32_t k = 0; k < a->count; k++) S_put(out, a->links[k].place);
    }
  }
}

static void S_put_mends(fb_buf *out, fb_session *session) {
  for (uint32_t r = 0; r < session->set->rule_count; r++) {
    const fb_rule *rule = &session->set->rules[r];
    const fb_mends *mends = &session->agenda.mends[r];
    if (session->queued || !rule->lazy || !rule->guarded) continue;
    if (mends->waiting)
      fb_mends_sweep(session, rule);
    else
      fb_mends_clear(session, rule);
    S_put(out, mends->count);
    for (size_t i = 0; i < mends->count; i++) {
      const uint32_t *item = mends->items + i * (rule->positive_count + 2);
      S_put(out, item[0] | (uint64_t)item[1] << 32);
      for (uint32_t k = 0; k < rule->positive_count; k++) S_put(out, item[2 + k]);
    }
  }
}

static void S_put_log(fb_buf *out, const fb_session *session) {
  /* 2: not of all firings. */
  S_put(out, session->options.explain && session->log_first ? 2 : session->options.explain);
  if (!session->options.explain) return;
  if (session->log_first) S_put(out, session->log_first);
  S_put(out, session->log_count);
  for (size_t i = 0; i < session->log_count; i++) S_put(out, session->log[i]);
  for (uint64_t i = 0; i < session->firing - session->log_first; i++)
    S_put(out, session->log_starts[i]);
}

fb_status fb_session_save(fb_session *session, fb_buf *out, fb_error *err) {
  bool lost = session->lost || fb_session_paged(session, NULL) != FB_OK;
  if (lost || session->firing_rule != FB_RULE_NONE || session->options.stateless)
    return fb_fail(err, FB_E_RULE_SESSION, "%s",
                   lost ? "the session ran out of memory in the middle of a change; reset it"
                   : session->options.stateless ? "a stateless session holds nothing to be saved"
                                                : "a session cannot be saved while a rule fires");
  for (uint32_t i = 0; i < session->set->salience_count; i++)
    if (!fb_flock_unroll_level(session, i))
      return fb_fail(err, FB_E_NOMEM, "no memory to save the agenda");
  size_t start = out->len;
  char head[HEAD + 8] = {0};
  memcpy(head, S_magic, 6);
  head[6] = VERSION;
  fb_buf_add(out, head, HEAD);
  S_put_fixed(head, S_book_hash(session->set));
  fb_buf_add(out, head, 8);
  S_put_control(out, session);
  S_put_schema(out, session);
  S_put_statistics(out, session);
  bool good = S_put_places(out, session);
  S_put_windows(out, session);
  out->failed |= !S_put_supports(out, session);
  S_put_agenda(out, session);
  S_put_mends(out, session);
  S_put_log(out, session);
  fb_session_trim(session);
  fb_status paged = fb_session_paged(session, err);
  if (paged != FB_OK) {
    if (!out->failed) out->len = start;
    return paged;
  }
  if (!good || out->failed) {
    if (!out->failed) out->len = start;
    return good ? fb_fail(err, FB_E_NOMEM, "no memory for a snapshot")
                : fb_fail(err, FB_E_LIMIT, "a value is nested deeper than %d levels",
                          (int)DEPTH_MAX);
  }
  S_put_fixed(out->ptr + start + 8,
              fb_hash_bytes(out->ptr + start + HEAD, out->len - start - HEAD, 0));
  return FB_OK;
}

/* ── Reading ── */

typedef struct S_held {
  uint64_t serial;
  uint32_t type, row;
} S_held;

typedef struct S_reader {
  const unsigned char *at, *end;
  fb_session *session;
  fb_arena arena;
  fb_symbol *symbols; /* by number in the snapshot */
  uint64_t symbol_count;
  uint32_t *types; /* by number in the snapshot */
  uint32_t **fields;
  uint64_t type_count;
  uint64_t firings;
  fb_strategy strategy;
  uint64_t seed;
  fb_value now;
  bool facts_only;
  S_held *held; /* facts_only: rows to be asserted */
  size_t held_count;
  fb_status status; /* the first failure; then all is read as 0 */
} S_reader;

static void S_spoil(S_reader *r, fb_status status) {
  if (r->status == FB_OK) r->status = status;
  r->at = r->end;
}

static uint64_t S_get(S_reader *r) {
  uint64_t value = 0;
  for (unsigned shift = 0; r->at < r->end && shift < 64; shift += 7) {
    uint64_t byte = *r->at++;
    value |= (byte & 127) << shift;
    if (byte < 128) return value;
  }
  S_spoil(r, FB_E_RULE_SNAPSHOT);
  return 0;
}

/* A number below `bound`; what is not spoils the reading and is 0. */
static uint32_t S_get_below(S_reader *r, uint64_t bound) {
  uint64_t value = S_get(r);
  if (value < bound && value <= UINT32_MAX) return (uint32_t)value;
  S_spoil(r, FB_E_RULE_SNAPSHOT);
  return 0;
}

/* How many things follow that take a byte at least each. */
static uint64_t S_get_count(S_reader *r) {
  uint64_t count = S_get(r);
  if (count <= (uint64_t)(r->end - r->at)) return count;
  S_spoil(r, FB_E_RULE_SNAPSHOT);
  return 0;
}

static int64_t S_get_signed(S_reader *r) {
  uint64_t value = S_get(r);
  return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static fb_slice S_get_text(S_reader *r, bool utf8) {
  uint64_t len = S_get_count(r);
  fb_slice text = {(const char *)r->at, (size_t)len};
  r->at += len;
  if (!utf8 || fb_utf8_valid(text.ptr, text.len, NULL)) return text;
  S_spoil(r, FB_E_RULE_SNAPSHOT);
  return (fb_slice){"", 0};
}

static uint64_t S_get_fixed(S_reader *r) {
  uint64_t value = 0;
  if (r->end - r->at < 8) {
    S_spoil(r, FB_E_RULE_SNAPSHOT);
    return 0;
  }
  for (int i = 0; i < 8; i++) value |= (uint64_t)r->at[i] << 8 * i;
  r->at += 8;
  return value;
}

static fb_value S_get_value(S_reader *r, uint32_t depth);

static fb_value S_get_list(S_reader *r, uint32_t depth) {
  uint64_t count = S_get_count(r);
  fb_list *list = fb_list_new(&r->arena, 4);
  for (uint64_t i = 0; i < count && list && r->status == FB_OK; i++)
    if (!fb_list_push(list, &r->arena, S_get_value(r, depth + 1))) list = NULL;
  if (!list) S_spoil(r, FB_E_NOMEM);
  return list ? fb_list_value(list) : fb_null();
}

static fb_value S_get_map(S_reader *r, uint32_t depth) {
  uint64_t count = S_get_count(r);
  fb_map *map = fb_map_new(&r->arena, 4);
  for (uint64_t i = 0; i < count && map && r->status == FB_OK; i++) {
    fb_value key = S_get_value(r, depth + 1), value = S_get_value(r, depth + 1);
    if (key.kind < FB_BOOL || key.kind > FB_STRING)
      S_spoil(r, FB_E_RULE_SNAPSHOT);
    else if (!fb_map_put(map, &r->arena, key, value, NULL))
      map = NULL;
  }
  if (!map) S_spoil(r, FB_E_NOMEM);
  return map ? fb_map_value(map) : fb_null();
}

static fb_value S_get_time(S_reader *r, uint8_t kind) {
  int64_t seconds = S_get_signed(r);
  uint32_t nanos = S_get_below(r, 1000000000);
  int64_t min = kind == FB_TIMESTAMP ? TIME_MIN : -DURATION_MAX,
          max = kind == FB_TIMESTAMP ? TIME_MAX : DURATION_MAX;
  if (seconds < min || seconds > max) S_spoil(r, FB_E_RULE_SNAPSHOT);
  return kind == FB_TIMESTAMP ? fb_timestamp(seconds, nanos) : fb_duration(seconds, nanos);
}

static fb_value S_get_optional(S_reader *r, uint32_t depth) {
  if (!S_get_below(r, 2)) return fb_optional(NULL);
  fb_value *inside = fb_arena_alloc(&r->arena, sizeof *inside);
  if (!inside)
    S_spoil(r, FB_E_NOMEM);
  else
    *inside = S_get_value(r, depth + 1);
  return fb_optional(inside);
}

static fb_value S_get_value(S_reader *r, uint32_t depth) {
  if (depth > DEPTH_MAX || r->at == r->end) {
    S_spoil(r, FB_E_RULE_SNAPSHOT);
    return fb_null();
  }
  uint8_t kind = *r->at++;
  switch (kind) {
    case FB_NULL: return fb_null();
    case FB_BOOL: return fb_bool(S_get_below(r, 2));
    case FB_INT: return fb_int(S_get_signed(r));
    case FB_UINT: return fb_uint(S_get_fixed(r));
    case FB_DOUBLE: {
      uint64_t bits = S_get_fixed(r);
      double number;
      memcpy(&number, &bits, sizeof number);
      return fb_double(number);
    }
    case FB_STRING | 128: {
      uint32_t number = S_get_below(r, r->symbol_count);
      return r->status == FB_OK ? fb_symbol_value(r->session->symbols, r->symbols[number])
                                : fb_null();
    }
    case FB_STRING: return fb_string(S_get_text(r, true));
    case FB_BYTES: return fb_bytes(S_get_text(r, false));
    case FB_TYPE: return fb_type_value(S_get_text(r, true));
    case FB_LIST: return S_get_list(r, depth);
    case FB_MAP: return S_get_map(r, depth);
    case FB_TIMESTAMP:
    case FB_DURATION: return S_get_time(r, kind);
    case FB_OPTIONAL: return S_get_optional(r, depth);
    default: S_spoil(r, FB_E_RULE_SNAPSHOT); return fb_null();
  }
}

static void S_get_symbols(S_reader *r) {
  uint64_t count = r->symbol_count = S_get_count(r);
  r->symbols = fb_arena_zero(&r->arena, (count + 1) * sizeof *r->symbols);
  if (!count || !r->symbols) S_spoil(r, r->symbols ? FB_E_RULE_SNAPSHOT : FB_E_NOMEM);
  for (uint64_t i = 1; i < count && r->status == FB_OK; i++) {
    fb_slice text = S_get_text(r, true);
    fb_status status = fb_symbol_intern(r->session->symbols, text, &r->symbols[i]);
    if (status != FB_OK) S_spoil(r, status);
  }
}

static void S_get_type(S_reader *r, uint64_t number) {
  fb_schema *schema = r->session->schema;
  fb_fact_type *type;
  fb_slice name = S_get_text(r, true);
  uint64_t count = S_get_count(r);
  fb_status status = name.len ? fb_schema_open(schema, name, &type) : FB_E_RULE_SNAPSHOT;
  uint32_t *fields = r->fields[number] = fb_arena_zero(&r->arena, (count + 1) * sizeof *fields);
  if (!fields) status = FB_E_NOMEM;
  if (status != FB_OK) {
    S_spoil(r, status);
    return;
  }
  r->types[number] = type->id;
  fields[0] = (uint32_t)count;
  for (uint64_t f = 0; f < count && r->status == FB_OK; f++) {
    status = fb_fact_type_learn(schema, type, S_get_text(r, true), &fields[f + 1]);
    if (status != FB_OK)
      S_spoil(r, status);
    else if (!r->facts_only && fields[f + 1] != f)
      S_spoil(r, FB_E_RULE_SNAPSHOT);
  }
  if (!r->facts_only && type->id != number) S_spoil(r, FB_E_RULE_SNAPSHOT);
}

static void S_get_types(S_reader *r) {
  uint64_t count = r->type_count = S_get_count(r);
  r->types = fb_arena_zero(&r->arena, (count + 1) * sizeof *r->types);
  r->fields = fb_arena_zero(&r->arena, (count + 1) * sizeof *r->fields);
  if (!r->types || !r->fields) S_spoil(r, FB_E_NOMEM);
  for (uint64_t t = 0; t < count && r->status == FB_OK; t++) S_get_type(r, t);
}

static void S_get_statistics(S_reader *r) {
  fb_session *session = r->session;
  fb_session_stats *s = &session->stats, ignored;
  uint64_t tick = S_get(r), serial = S_get(r), firing = S_get(r);
  bool halted = S_get_below(r, 2);
  if ((tick | serial | firing) >> 62) S_spoil(r, FB_E_RULE_SNAPSHOT); /* so that none comes round */
  if (r->facts_only) s = &ignored;
  uint64_t *const numbers[] = {&s->facts_peak, &s->asserted,    &s->modified,
                               &s->retracted,  &s->activations, &s->decisions,
                               &s->errors,     &s->candidates,  &s->late};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) *numbers[i] = S_get(r);
  r->firings = firing;
  uint64_t rules = S_get_count(r);
  if (!r->facts_only && rules != session->set->rule_count) S_spoil(r, FB_E_RULE_SNAPSHOT);
  for (uint64_t i = 0; i < rules && r->status == FB_OK; i++) {
    fb_rule_stats stats = {.activations = S_get(r), .firings = 0};
    stats.firings = S_get(r);
    stats.errors = S_get(r);
    stats.nanos = (int64_t)(S_get(r) & INT64_MAX);
    if (!r->facts_only) session->rule_stats[i] = stats;
  }
  if (r->facts_only) return;
  session->tick = tick;
  session->serial = serial;
  session->firing = firing;
  session->halted = halted;
}

/* A row with the fields that follow. */
static uint32_t S_get_row(S_reader *r, uint32_t number, fb_memory **ret_memory) {
  fb_session *session = r->session;
  uint32_t row = 0;
  fb_status status =
      fb_memory_of(session, fb_schema_type(session->schema, r->types[number]), ret_memory);
  if (status == FB_OK) status = fb_memory_new_row(session, *ret_memory, &row);
  if (status != FB_OK) S_spoil(r, status);
  uint64_t count = S_get_count(r);
  fb_arena_mark mark = fb_arena_save(&r->arena);
  for (uint64_t i = 0; i < count && r->status == FB_OK; i++) {
    uint32_t field = S_get_below(r, r->fields[number][0]);
    fb_value value = S_get_value(r, 0);
    if (r->status != FB_OK) break;
    status = fb_facts_set((*ret_memory)->facts, row, r->fields[number][field + 1], value, NULL);
    if (status != FB_OK) S_spoil(r, status);
    fb_arena_rewind(&r->arena, mark);
  }
  return row;
}

static void S_get_alphas(S_reader *r, uint32_t type, uint32_t row) {
  fb_session *session = r->session;
  uint64_t count = S_get_count(r);
  for (uint64_t i = 0; i < count && r->status == FB_OK; i++) {
    uint64_t number = S_get(r);
    if (r->facts_only) continue;
    const fb_rule_alpha *alpha =
        number < session->set->alpha_count ? &session->set->alphas[number] : NULL;
    if (!alpha || alpha->type != type || !alpha->stored ||
        fb_alpha_has(session, (uint32_t)number, row))
      S_spoil(r, FB_E_RULE_SNAPSHOT);
    else if (!fb_alpha_insert(session, (uint32_t)number, row))
      S_spoil(r, FB_E_NOMEM);
  }
}

/* What is beside a fact. */
static void S_set_aside(S_reader *r, uint32_t place, uint64_t serial, fb_origin origin) {
  fb_origin *slot = NULL;
  bool good = fb_memory_set_serial(r->session, place, serial);
  if (good && (origin.made_by || origin.changed_by))
    good = (slot = fb_memory_origin(r->session, place)) != NULL;
  if (slot) *slot = origin;
  if (!good) S_spoil(r, FB_E_NOMEM);
}

static void S_get_stamps(S_reader *r, const fb_fact *fact) {
  fb_session *session = r->session;
  const fb_ruleset *set = session->set;
  uint64_t count = S_get_count(r);
  if (!count || r->status != FB_OK) return;
  fb_status status = r->facts_only ? FB_OK : fb_lazy_modified(session, fact);
  while (--count && status == FB_OK && r->status == FB_OK) {
    uint32_t port = S_get_below(r, UINT32_MAX);
    uint64_t stamp = S_get(r);
    if (r->facts_only || r->status != FB_OK) continue;
    if (port >= set->port_count || set->ports[port].type != fact->type || stamp > session->tick)
      status = FB_E_RULE_SNAPSHOT;
    else
      status = fb_lazy_stamp(session, port, fact->row, stamp);
  }
  if (status != FB_OK) S_spoil(r, status);
}

/* Of aggregates, in the rulebook that the snapshot was made with or in this one. */
static bool S_is_hidden(const fb_session *session, uint32_t type) {
  fb_slice name = fb_schema_type(session->schema, type)->name;
  return name.len && name.ptr[0] == '@';
}

static void S_get_fact(S_reader *r, uint32_t place, uint32_t number, uint64_t serial,
                       fb_fact *fact) {
  fb_session *session = r->session;
  fb_memory *memory;
  fb_origin origin = {.made_by = S_get(r)};
  origin.changed_by = S_get(r);
  bool logical = S_get_below(r, 2);
  if (origin.made_by > r->firings || origin.changed_by > r->firings) S_spoil(r, FB_E_RULE_SNAPSHOT);
  if (r->status != FB_OK) return;
  uint32_t row = S_get_row(r, number, &memory);
  if (r->status != FB_OK) return;
  fact->type = r->types[number];
  if (r->facts_only && (logical || S_is_hidden(session, fact->type))) {
    fb_memory_free_row(session, memory, row); /* a conclusion, which the rules draw again */
  } else if (r->facts_only) {
    r->held[r->held_count++] = (S_held){serial, fact->type, row};
  } else {
    fact->row = row;
    memory->places[row] = place;
    memory->live++;
    session->stats.facts += !S_is_hidden(session, fact->type);
    S_set_aside(r, place, serial, origin);
  }
  S_get_alphas(r, fact->type, row);
  S_get_stamps(r, fact);
}

/* Each free place stands in the list once at most, so that it ends. */
static void S_check_free(S_reader *r, uint64_t free_count) {
  const fb_session *session = r->session;
  uint32_t place = session->free_place;
  for (; place && r->status == FB_OK; free_count--) {
    const fb_fact *fact = &session->facts[place];
    if (!free_count || fact->row != FB_RULE_NONE || fact->type >= session->fact_count)
      S_spoil(r, FB_E_RULE_SNAPSHOT);
    place = fact->type;
  }
}

static bool S_places_room(S_reader *r, uint64_t count) {
  fb_session *session = r->session;
  if (r->facts_only)
    return (r->held = fb_arena_zero(&r->arena, (count + 1) * sizeof *r->held)) != NULL;
  return fb_memory_room(session, count);
}

static void S_get_places(S_reader *r) {
  fb_session *session = r->session;
  uint64_t count = S_get_count(r), free_count = 0;
  if (!count || count > UINT32_MAX) S_spoil(r, FB_E_RULE_SNAPSHOT);
  uint32_t free_place = S_get_below(r, count);
  if (r->status == FB_OK && !S_places_room(r, count)) S_spoil(r, FB_E_NOMEM);
  for (uint32_t place = 1; place < count && r->status == FB_OK; place++) {
    uint32_t type = S_get_below(r, r->type_count + 1);
    fb_fact fact = {.row = FB_RULE_NONE, .generation = S_get_below(r, UINT64_C(1) << 32)};
    uint64_t serial = S_get(r);
    free_count += !type;
    if (!type && serial >= count) S_spoil(r, FB_E_RULE_SNAPSHOT);
    fact.type = (uint32_t)serial; /* of a free place */
    if (type && r->status == FB_OK) S_get_fact(r, place, type - 1, serial, &fact);
    if (r->facts_only) continue;
    session->facts[place] = fact;
    session->fact_count = place + 1;
  }
  if (r->facts_only || r->status != FB_OK) return;
  session->free_place = free_place;
  S_check_free(r, free_count);
}

static void S_get_windows(S_reader *r) {
  fb_session *session = r->session;
  if (S_get_below(r, 2)) fb_windows_told(session);
  fb_status status = fb_aggregates_restored(session);
  for (uint32_t i = 0; i < session->set->aggregate_count && status == FB_OK; i++) {
    uint32_t place;
    if (!fb_window_ends_at_all(session->set, i)) continue;
    while (status == FB_OK && (place = S_get_below(r, session->fact_count)))
      status = fb_window_restore(session, i, place);
  }
  if (status != FB_OK) S_spoil(r, status);
}

/* Binds session->places to those that follow, one a positive condition of the rule. */
static void S_get_tuple(S_reader *r, const fb_rule *rule) {
  fb_session *session = r->session;
  for (uint32_t slot = 0; slot < rule->positive_count && r->status == FB_OK; slot++) {
    const fb_rule_condition *c = &rule->conditions[rule->positives[slot]];
    bool fact = fb_slot_is_fact(rule, slot);
    uint32_t place = S_get_below(r, fact ? session->fact_count : UINT32_MAX);
    if (!place || (fact && (session->facts[place].row == FB_RULE_NONE ||
                            session->facts[place].type != c->type)))
      S_spoil(r, FB_E_RULE_SNAPSHOT);
    if (r->status != FB_OK) return;
    fb_slot_bind(session, rule, slot, place);
    if (!fact && !fb_slot_stands(session, rule, slot, place)) S_spoil(r, FB_E_RULE_SNAPSHOT);
  }
}

static void S_get_support(S_reader *r) {
  fb_session *session = r->session;
  const fb_ruleset *set = session->set;
  uint64_t firing = S_get(r);
  uint32_t number = S_get_below(r, set->rule_count);
  if (!firing || firing > r->firings || r->status != FB_OK || !set->rules[number].logical) {
    S_spoil(r, FB_E_RULE_SNAPSHOT);
    return;
  }
  S_get_tuple(r, &set->rules[number]);
  uint64_t count = S_get_count(r);
  fb_arena_mark mark = fb_arena_save(&r->arena);
  uint32_t *places = fb_arena_alloc(&r->arena, (count + 1) * sizeof *places);
  if (!places) S_spoil(r, FB_E_NOMEM);
  for (uint64_t i = 0; i < count && r->status == FB_OK; i++) {
    places[i] = S_get_below(r, session->fact_count);
    if (!places[i] || session->facts[places[i]].row == FB_RULE_NONE) S_spoil(r, FB_E_RULE_SNAPSHOT);
  }
  fb_status status = r->status;
  if (status == FB_OK)
    status = fb_logical_restore(session, &set->rules[number], firing, places, (uint32_t)count);
  if (status != FB_OK) S_spoil(r, status);
  fb_arena_rewind(&r->arena, mark);
}

/* Before the agenda is filled: fb_logical_restore needs it empty. */
static void S_get_supports(S_reader *r) {
  fb_session *session = r->session;
  uint64_t count = S_get_count(r), firing = session->firing, tick = session->tick;
  for (uint64_t i = 0; i < count && r->status == FB_OK; i++) S_get_support(r);
  session->firing = firing;
  session->tick = tick;
}

/* Where the walk from the place that was just put on the agenda stands. Whatever is told of facts, the walk believes only
 * what the facts are. */
static void S_get_walk(S_reader *r, const fb_rule *rule, uint64_t tick) {
  fb_session *session = r->session;
  fb_agenda_level *level = &session->agenda.levels[rule->level];
  fb_waiting *item = &level->items[level->count - 1];
  uint32_t flags = S_get_below(r, 8), depth = S_get_below(r, rule->positive_count);
  bool whole = depth + 1 == rule->positive_count;
  if (rule->single || ((flags & HEAD_READY) && !whole) || ((flags & ENTERS) && whole && depth))
    S_spoil(r, FB_E_RULE_SNAPSHOT);
  fb_walk *walk = r->status == FB_OK ? fb_lazy_new_walk(session, rule, tick) : NULL;
  if (!walk) {
    S_spoil(r, FB_E_NOMEM);
    return;
  }
  walk->head = flags & HEAD_READY;
  walk->enters = flags & ENTERS;
  walk->finished = flags & FINISHED;
  walk->depth = (uint16_t)depth;
  for (uint32_t i = 0; i < depth; i++) {
    uint32_t place = S_get_below(r, session->fact_count);
    if (!place) S_spoil(r, FB_E_RULE_SNAPSHOT);
    walk->levels[i] = (fb_walk_level){S_get(r), place, FB_WALK_UNKNOWN};
  }
  item->walk = walk;
  item->use |= FB_WAITING_WALKS;
}

static void S_get_waiting(S_reader *r, uint32_t number, bool walks, uint64_t now) {
  fb_session *session = r->session;
  const fb_ruleset *set = session->set;
  uint64_t tick = S_get(r);
  uint32_t place = S_get_below(r, session->fact_count);
  if (number >= set->use_count || tick > now) S_spoil(r, FB_E_RULE_SNAPSHOT);
  if (r->status != FB_OK) return;
  const fb_rule *rule = &set->rules[set->uses[number].rule];
  const fb_rule_condition *c = &rule->conditions[set->uses[number].condition];
  if (c->port == FB_RULE_NONE || !place || session->facts[place].row == FB_RULE_NONE ||
      session->facts[place].type != c->type)
    S_spoil(r, FB_E_RULE_SNAPSHOT);
  if (r->status != FB_OK) return;
  fb_status status = fb_agenda_push_place(session, rule, number, place, tick);
  if (status != FB_OK)
    S_spoil(r, status);
  else if (walks)
    S_get_walk(r, rule, tick);
}

static void S_get_queued(S_reader *r, uint32_t queue) {
  fb_session *session = r->session;
  const fb_ruleset *set = session->set;
  fb_ranked rank;
  uint32_t number = S_get_below(r, set->rule_count);
  uint64_t tick = S_get(r);
  int64_t salience = S_get_signed(r);
  rank.key = S_get(r);
  if (salience < -FB_RULE_MAX_SALIENCE || salience > FB_RULE_MAX_SALIENCE || tick > session->tick)
    S_spoil(r, FB_E_RULE_SNAPSHOT);
  if (r->status != FB_OK) return;
  const fb_rule *rule = &set->rules[number];
  if (!rule->info.enabled || (queue != rule->group && !(queue == set->group_count && rule->timed)))
    S_spoil(r, FB_E_RULE_SNAPSHOT);
  rank.salience = (int32_t)salience;
  for (uint32_t k = 0; fb_queue_has_tags(session) && k < rule->positive_count; k++)
    rank.tags[k] = S_get(r);
  S_get_tuple(r, rule);
  if (r->status != FB_OK) return;
  fb_status status = fb_agenda_restore(session, rule, tick, queue, &rank);
  if (status != FB_OK) S_spoil(r, status);
}

static void S_get_queues(S_reader *r) {
  fb_session *session = r->session;
  uint64_t focus = S_get_count(r);
  for (uint64_t i = 0; i < focus && r->status == FB_OK; i++) {
    fb_status status = fb_queue_focus(session, S_get_below(r, session->set->group_count));
    if (status != FB_OK) S_spoil(r, status == FB_E_NOMEM ? status : FB_E_RULE_SNAPSHOT);
  }
  uint64_t touched = S_get_count(r), tick = session->tick;
  for (uint64_t i = 0; i < touched && r->status == FB_OK; i++) {
    uint32_t place = S_get_below(r, session->fact_count);
    uint64_t recency = S_get(r);
    if (!place || recency > tick) S_spoil(r, FB_E_RULE_SNAPSHOT);
    if (r->status != FB_OK) break;
    session->tick = recency;
    fb_status status = fb_queue_touch(session, place);
    if (status != FB_OK) S_spoil(r, status);
    session->tick = tick;
  }
  for (uint32_t q = 0; q <= session->set->group_count; q++) {
    uint64_t count = S_get_count(r);
    for (uint64_t i = 0; i < count && r->status == FB_OK; i++) S_get_queued(r, q);
  }
}

static void S_get_agenda(S_reader *r) {
  fb_session *session = r->session;
  const fb_ruleset *set = session->set;
  if (session->queued) {
    S_get_queues(r);
    return;
  }
  uint64_t count = S_get_count(r), tick = session->tick;
  for (uint64_t i = 0; i < count && r->status == FB_OK; i++) {
    uint32_t number = S_get_below(r, UINT32_MAX);
    uint32_t kind = number % KINDS;
    number /= KINDS;
    if (kind != ACTIVATION) {
      S_get_waiting(r, number, kind == WALK, tick);
      continue;
    }
    if (number >= set->rule_count) S_spoil(r, FB_E_RULE_SNAPSHOT);
    if (r->status != FB_OK) break;
    const fb_rule *rule = &set->rules[number];
    session->tick = S_get(r);
    if (session->tick > tick || (r->status == FB_OK && !rule->info.enabled))
      S_spoil(r, FB_E_RULE_SNAPSHOT);
    if (r->status == FB_OK) S_get_tuple(r, rule);
    if (r->status != FB_OK) break;
    fb_status status = fb_agenda_add(session, rule);
    if (status == FB_OK) status = fb_agenda_settle(session);
    if (status != FB_OK) S_spoil(r, status);
  }
  session->tick = tick;
}

static void S_get_mends_of(S_reader *r, const fb_rule *rule) {
  uint32_t places[FB_RULE_SLOTS];
  fb_session *session = r->session;
  fb_mends_clear(session, rule); /* activations that were put back have been noted */
  for (uint64_t i = 0, count = S_get_count(r); i < count && r->status == FB_OK; i++) {
    uint64_t tick = S_get(r);
    for (uint32_t k = 0; k < rule->positive_count; k++)
      if (!(places[k] = S_get_below(r, session->fact_count))) S_spoil(r, FB_E_RULE_SNAPSHOT);
    fb_status status = r->status == FB_OK ? fb_mends_note(session, rule, places, tick) : r->status;
    if (status != FB_OK) S_spoil(r, status);
  }
}

static void S_get_mends(S_reader *r) {
  const fb_ruleset *set = r->session->set;
  for (uint32_t i = 0; !r->session->queued && i < set->rule_count && r->status == FB_OK; i++)
    if (set->rules[i].lazy && set->rules[i].guarded) S_get_mends_of(r, &set->rules[i]);
}

/* A firing's words must be what why.c expects of them. */
static bool S_log_holds(const fb_session *session, size_t from, size_t to) {
  const uint64_t *words = session->log;
  if (to < from || to > session->log_count || to - from < 2) return false;
  bool known = words[from] < session->set->rule_count || words[from] == FB_RULE_NONE;
  if (!known || words[from + 1] > FB_RULE_MAX_POSITIVE) return false;
  size_t at = from + 2 + 3 * (size_t)words[from + 1];
  while (at < to) {
    if (words[at] != 1 && words[at] != 2) return false;
    at += (size_t)words[at] + 1;
  }
  return at == to;
}

static void S_get_log(S_reader *r) {
  fb_session *session = r->session;
  uint32_t logged = S_get_below(r, 3);
  if (!logged && session->options.explain && r->firings) S_spoil(r, FB_E_RULE_SESSION);
  if (!logged || r->status != FB_OK) return;
  if (logged == 2) session->log_first = S_get(r);
  if (session->log_first > r->firings) S_spoil(r, FB_E_RULE_SNAPSHOT);
  if (r->status != FB_OK) return;
  uint64_t words = S_get_count(r), kept = r->firings - session->log_first;
  if (kept > (uint64_t)(r->end - r->at)) S_spoil(r, FB_E_RULE_SNAPSHOT);
  for (uint64_t i = 0; i < words && r->status == FB_OK; i++) {
    if (!fb_grow(&session->allocator, (void **)&session->log, &session->log_cap, session->log_count,
                 sizeof *session->log))
      S_spoil(r, FB_E_NOMEM);
    else
      session->log[session->log_count++] = S_get(r);
  }
  for (uint64_t i = 0; i < kept && r->status == FB_OK; i++) {
    if (!fb_grow(&session->allocator, (void **)&session->log_starts, &session->log_start_cap, i,
                 sizeof *session->log_starts))
      S_spoil(r, FB_E_NOMEM);
    else
      session->log_starts[i] = (size_t)S_get(r);
  }
  for (uint64_t i = 0; i < kept && r->status == FB_OK; i++)
    if (!S_log_holds(session, session->log_starts[i],
                     i + 1 < kept ? session->log_starts[i + 1] : session->log_count))
      S_spoil(r, FB_E_RULE_SNAPSHOT);
}

static int S_order(const void *a, const void *b) {
  uint64_t sa = ((const S_held *)a)->serial, sb = ((const S_held *)b)->serial;
  return sa < sb ? -1 : sa > sb;
}

static fb_status S_assert_held(S_reader *r, fb_error *err) {
  fb_status status = FB_OK;
  uint32_t place;
  qsort(r->held, r->held_count, sizeof *r->held, S_order);
  for (size_t i = 0; i < r->held_count && status == FB_OK; i++)
    status = fb_session_insert_row(r->session, r->held[i].type, r->held[i].row, &place, err);
  return status;
}

static fb_status S_fail(fb_status status, fb_error *err) {
  switch (status) {
    case FB_E_RULE_SNAPSHOT: return fb_fail(err, status, "the snapshot is damaged");
    case FB_E_NOMEM: return fb_fail(err, status, "no memory to restore a session");
    case FB_E_RULE_SESSION:
      return fb_fail(
          err, status,
          "the session that was saved kept no log of its firings: restore it without `explain`");
    default:
      return fb_fail(err, status, "a fact of the snapshot does not fit the types of the rulebook");
  }
}

static fb_status S_read(S_reader *r, fb_error *err) {
  fb_session *session = r->session;
  if (!r->facts_only) session->now = r->now;
  S_get_symbols(r);
  if (r->status == FB_OK) S_get_types(r);
  if (r->status == FB_OK) S_get_statistics(r);
  fb_session_stats stats = session->stats;
  fb_rule_stats *rules = NULL;
  fb_aggregates_quiet(session, !r->facts_only);
  if (r->status == FB_OK) S_get_places(r);
  fb_aggregates_quiet(session, false);
  if (r->status == FB_OK && r->facts_only) return S_assert_held(r, err);
  if (r->status == FB_OK) S_get_windows(r);
  size_t size = session->set->rule_count * sizeof *rules;
  if (r->status == FB_OK && !(rules = fb_arena_copy(&r->arena, session->rule_stats, size)))
    S_spoil(r, FB_E_NOMEM);
  if (r->status == FB_OK) S_get_supports(r);
  if (r->status == FB_OK) S_get_agenda(r);
  if (r->status == FB_OK) S_get_mends(r);
  if (r->status == FB_OK) S_get_log(r);
  if (r->status == FB_OK && r->at != r->end) S_spoil(r, FB_E_RULE_SNAPSHOT);
  if (r->status != FB_OK) return S_fail(r->status, err);
  /* Putting activations back has counted them again. */
  stats.facts = session->stats.facts;
  session->stats = stats;
  memcpy(session->rule_stats, rules, size);
  return FB_OK;
}

static void S_get_control(S_reader *r) {
  r->strategy = (fb_strategy)S_get_below(r, FB_STRATEGY_RANDOM + 1);
  r->seed = S_get_fixed(r);
  r->now = S_get_below(r, 2) ? S_get_time(r, FB_TIMESTAMP) : fb_absent();
}

/* FB_OK: the head is good, and r->at is behind it. */
static fb_status S_check_head(const fb_ruleset *set, fb_slice snapshot, bool facts_only,
                              S_reader *r, fb_error *err) {
  const unsigned char *bytes = (const unsigned char *)snapshot.ptr;
  if (snapshot.len < HEAD + 8 || memcmp(bytes, S_magic, 6) != 0)
    return fb_fail(err, FB_E_RULE_SNAPSHOT, "this is no snapshot of a session");
  if (bytes[6] != VERSION || bytes[7] != 0)
    return fb_fail(err, FB_E_RULE_SNAPSHOT,
                   "the snapshot is of version %u, this can read version %d",
                   bytes[6] + 256u * bytes[7], (int)VERSION);
  *r = (S_reader){.at = bytes + 8, .end = bytes + snapshot.len, .facts_only = facts_only};
  uint64_t sum = S_get_fixed(r);
  if (sum != fb_hash_bytes(bytes + HEAD, snapshot.len - HEAD, 0))
    return S_fail(FB_E_RULE_SNAPSHOT, err);
  if (S_get_fixed(r) != S_book_hash(set) && !facts_only)
    return fb_fail(
        err, FB_E_RULE_BOOK,
        "the snapshot is of a session of another rulebook; only its facts can be restored");
  S_get_control(r);
  return r->status == FB_OK ? FB_OK : S_fail(r->status, err);
}

fb_status fb_session_restore(const fb_ruleset *ruleset, const fb_session_options *options,
                             const fb_allocator *allocator, fb_slice snapshot, bool facts_only,
                             fb_session **ret_session, fb_error *err) {
  S_reader reader;
  fb_session *session = NULL;
  fb_status status = S_check_head(ruleset, snapshot, facts_only, &reader, err);
  if (status != FB_OK) return status;
  if (options && options->stateless)
    return fb_fail(err, FB_E_RULE_SESSION, "a stateless session has no facts to restore");
  fb_session_options same = options ? *options : (fb_session_options){0};
  same.strategy = reader.strategy;
  same.seed = reader.seed;
  status = facts_only ? fb_session_new(ruleset, options, allocator, &session)
                      : fb_session_new_bare(ruleset, &same, allocator, &session);
  if (status != FB_OK) return S_fail(status, err);
  reader.session = session;
  fb_arena_init(&reader.arena, allocator, 0);
  status = S_read(&reader, err);
  if (reader.status != FB_OK) status = S_fail(reader.status, err);
  fb_arena_release(&reader.arena);
  fb_session_trim(session);
  if (status == FB_OK) status = fb_session_paged(session, err);
  if (status == FB_OK)
    *ret_session = session;
  else
    fb_session_free(session);
  return status;
}

fb_status fb_session_clone(fb_session *session, const fb_session_options *options,
                           fb_session **ret_clone, fb_error *err) {
  fb_buf snapshot;
  fb_buf_init(&snapshot, session->base, 0);
  fb_status status = fb_session_save(session, &snapshot, err);
  if (status == FB_OK)
    status = fb_session_restore(session->set, options ? options : &session->options, session->base,
                                fb_buf_slice(&snapshot), false, ret_clone, err);
  fb_buf_release(&snapshot);
  return status;
}
