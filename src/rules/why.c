/* SPDX-License-Identifier: Apache-2.0
 *
 * Explanation. The log has, for each firing, words: rule, number of facts, for each fact its id and the
 * firings that made and last changed it; then for each effect: 1, id (made) or 2, id, firing that had
 * changed it before (changed). log_starts tells where a firing begins. Of more than options.max_explained firings the oldest
 * are let go, many at once.
 */
#include "rules/aggregate.h"
#include "rules/session.h"

#define S_CHAIN_MAX 1000

static bool S_room(fb_session *session, size_t more) {
  while (session->log_cap < session->log_count + more)
    if (!fb_grow(&session->allocator, (void **)&session->log, &session->log_cap, session->log_cap,
                 sizeof *session->log))
      return false;
  return true;
}

/* Results of aggregates are nobody's facts. */
static bool S_is_told(const fb_rule *rule, uint32_t slot) {
  return fb_slot_is_fact(rule, slot) && !rule->conditions[rule->positives[slot]].aggregate;
}

/* Firings in the log. */
static uint64_t S_kept(const fb_session *session, uint64_t firings) {
  return firings - session->log_first;
}

/* Half of them at a time, so that what stays is moved once a firing. */
static void S_let_go(fb_session *session) {
  uint64_t max = session->options.max_explained, kept = S_kept(session, session->firing - 1);
  if (!max || kept < 2 * max) return;
  uint64_t gone = kept - max;
  size_t from = session->log_starts[gone];
  memmove(session->log, session->log + from, (session->log_count - from) * sizeof *session->log);
  for (uint64_t i = 0; i < max; i++) session->log_starts[i] = session->log_starts[i + gone] - from;
  session->log_count -= from;
  session->log_first += gone;
}

fb_status fb_why_begin(fb_session *session, const fb_rule *rule, const uint32_t *places) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < rule->positive_count; i++) count += S_is_told(rule, i);
  S_let_go(session);
  if (!fb_grow(&session->allocator, (void **)&session->log_starts, &session->log_start_cap,
               S_kept(session, session->firing - 1), sizeof *session->log_starts) ||
      !S_room(session, 2 + 3 * (size_t)count))
    return FB_E_NOMEM;
  session->log_starts[S_kept(session, session->firing - 1)] = session->log_count;
  uint64_t *words = session->log + session->log_count;
  *words++ = rule->number;
  *words++ = count;
  for (uint32_t i = 0; i < rule->positive_count; i++) {
    if (!S_is_told(rule, i)) continue;
    fb_origin origin = fb_place_origin(session, places[i]);
    *words++ = fb_place_id(session, places[i]);
    *words++ = origin.made_by;
    *words++ = origin.changed_by;
  }
  session->log_count += 2 + 3 * (size_t)count;
  return FB_OK;
}

fb_status fb_why_made(fb_session *session, uint32_t place) {
  if (!S_room(session, 2)) return FB_E_NOMEM;
  session->log[session->log_count++] = 1;
  session->log[session->log_count++] = fb_place_id(session, place);
  return FB_OK;
}

fb_status fb_why_changed(fb_session *session, uint32_t place) {
  if (!S_room(session, 3)) return FB_E_NOMEM;
  session->log[session->log_count++] = 2;
  session->log[session->log_count++] = fb_place_id(session, place);
  session->log[session->log_count++] = fb_place_origin(session, place).changed_by;
  return FB_OK;
}

/* ── Telling ── */

typedef struct S_teller {
  fb_session *session;
  fb_arena *arena;
  uint64_t *seen;  /* bits by firing */
  uint64_t *queue; /* firings found, in the order found */
  size_t count;
  bool older; /* something rests on firings that were let go */
  bool nomem;
} S_teller;

static void S_put(S_teller *teller, fb_map *map, const char *key, fb_value value) {
  if (!map || !fb_map_put(map, teller->arena, fb_string(fb_slice_of(key)), value, NULL))
    teller->nomem = true;
}

static void S_add(S_teller *teller, fb_list *list, fb_value value) {
  if (!list || !fb_list_push(list, teller->arena, value)) teller->nomem = true;
}

static void S_enqueue(S_teller *teller, uint64_t firing, uint64_t before) {
  if (!firing || firing >= before || teller->count >= S_CHAIN_MAX) return;
  if (firing <= teller->session->log_first) {
    teller->older = true;
    return;
  }
  uint64_t bit = UINT64_C(1) << firing % 64;
  if (teller->seen[firing / 64] & bit) return;
  teller->seen[firing / 64] |= bit;
  teller->queue[teller->count++] = firing;
}

static const uint64_t *S_words(const fb_session *session, uint64_t firing) {
  return session->log + session->log_starts[S_kept(session, firing - 1)];
}

static const uint64_t *S_end(const fb_session *session, uint64_t firing) {
  return firing < session->firing ? S_words(session, firing + 1)
                                  : session->log + session->log_count;
}

static void S_enqueue_sources(S_teller *teller, uint64_t firing) {
  const fb_session *session = teller->session;
  const uint64_t *words = S_words(session, firing), *end = S_end(session, firing);
  uint64_t facts = words[1];
  words += 2;
  for (uint64_t i = 0; i < facts; i++, words += 3) {
    S_enqueue(teller, words[1], firing);
    S_enqueue(teller, words[2], firing);
  }
  for (; words < end; words += words[0] + 1)
    if (words[0] == 2) S_enqueue(teller, words[2], firing);
}

static fb_value S_tell_firing(S_teller *teller, uint64_t firing) {
  const fb_session *session = teller->session;
  const uint64_t *words = S_words(session, firing), *end = S_end(session, firing);
  const fb_rule_info *info = /* NULL: the rulebook was swapped since, and lacks it */
      words[0] == FB_RULE_NONE ? NULL : &session->set->rules[words[0]].info;
  fb_map *map = fb_map_new(teller->arena, 8);
  fb_list *facts = fb_list_new(teller->arena, 4), *made = fb_list_new(teller->arena, 4),
          *changed = fb_list_new(teller->arena, 4);
  if (!map || !facts || !made || !changed) {
    teller->nomem = true;
    return fb_null();
  }
  uint64_t count = words[1];
  S_put(teller, map, "firing", fb_int((int64_t)firing));
  S_put(teller, map, "rule", info ? fb_string(info->name) : fb_null());
  if (info) S_put(teller, map, "line", fb_int(info->line));
  words += 2;
  for (uint64_t i = 0; i < count; i++, words += 3) S_add(teller, facts, fb_int((int64_t)words[0]));
  for (; words < end; words += words[0] + 1)
    S_add(teller, words[0] == 1 ? made : changed, fb_int((int64_t)words[1]));
  S_put(teller, map, "facts", fb_list_value(facts));
  if (made->len) S_put(teller, map, "made", fb_list_value(made));
  if (changed->len) S_put(teller, map, "changed", fb_list_value(changed));
  return fb_map_value(map);
}

static fb_value S_tell_chain(S_teller *teller) {
  fb_session *session = teller->session;
  fb_list *chain = fb_list_new(teller->arena, 4);
  if (chain && session->options.stateless) return fb_list_value(chain);
  teller->seen = fb_arena_zero(teller->arena, (session->firing / 64 + 1) * sizeof *teller->seen);
  teller->queue = fb_arena_alloc(teller->arena, S_CHAIN_MAX * sizeof *teller->queue);
  if (!chain || !teller->seen || !teller->queue) {
    teller->nomem = true;
    return fb_null();
  }
  S_enqueue_sources(teller, session->firing);
  for (size_t i = 0; i < teller->count; i++) S_enqueue_sources(teller, teller->queue[i]);
  for (uint64_t firing = session->log_first + 1; firing < session->firing; firing++)
    if (teller->seen[firing / 64] >> firing % 64 & 1)
      S_add(teller, chain, S_tell_firing(teller, firing));
  return fb_list_value(chain);
}

/* The firings that a logical fact rests on, the oldest first. */
static fb_value S_tell_reasons(S_teller *teller, uint32_t logical) {
  fb_list *list = fb_list_new(teller->arena, 4);
  uint32_t count = 0;
  const fb_reason *at = teller->session->truth.items[logical].reasons;
  for (; at && list && count < S_CHAIN_MAX; at = at->next, count++)
    S_add(teller, list, fb_int((int64_t)at->firing));
  if (!list) teller->nomem = true;
  return fb_list_value(list);
}

static fb_value S_tell_fact(S_teller *teller, uint32_t place) {
  fb_session *session = teller->session;
  const fb_fact *fact = &session->facts[place];
  fb_map *fields, *map = fb_map_new(teller->arena, 8);
  fb_value value = fb_place_value(session, place);
  if (!map || fb_fact_map(value.as.facts, value.len, teller->arena, &fields) != FB_OK) {
    teller->nomem = true;
    return fb_null();
  }
  uint64_t number = session->options.stateless ? session->serial : fb_place_id(session, place);
  fb_origin origin = fb_place_origin(session, place);
  S_put(teller, map, "fact", fb_int((int64_t)number));
  S_put(teller, map, "type", fb_string(fb_schema_type(session->schema, fact->type)->name));
  if (origin.made_by) S_put(teller, map, "made_by", fb_int((int64_t)origin.made_by));
  if (origin.changed_by) S_put(teller, map, "changed_by", fb_int((int64_t)origin.changed_by));
  if (origin.logical) S_put(teller, map, "reasons", S_tell_reasons(teller, origin.logical));
  S_put(teller, map, "fields", fb_map_value(fields));
  return fb_map_value(map);
}

static void S_tell_value(S_teller *teller, fb_map *map, fb_slice name, fb_value value) {
  fb_map *told = fb_map_new(teller->arena, 1);
  S_put(teller, told, "value", value.kind == FB_ABSENT ? fb_null() : value);
  if (!map || !told || !fb_map_put(map, teller->arena, fb_string(name), fb_map_value(told), NULL))
    teller->nomem = true;
}

/* What an aggregate gave names to. */
static void S_tell_result(S_teller *teller, fb_map *map, const fb_rule_aggregate *aggregate,
                          uint32_t place) {
  const fb_fact *fact = &teller->session->facts[place];
  const fb_facts *facts = teller->session->memories[fact->type].facts;
  for (uint32_t i = 0; i < aggregate->key_count; i++)
    if (aggregate->key_names[i].len)
      S_tell_value(teller, map, aggregate->key_names[i], fb_facts_get(facts, fact->row, i));
  for (uint32_t i = 0; i < aggregate->fold_count; i++)
    S_tell_value(teller, map, aggregate->folds[i].name,
                 fb_facts_get(facts, fact->row, aggregate->key_count + i));
}

static fb_value S_tell_bindings(S_teller *teller, const fb_rule *rule) {
  fb_map *map = fb_map_new(teller->arena, rule->positive_count + 1);
  for (uint32_t slot = 0; slot < rule->positive_count && !teller->nomem; slot++) {
    const fb_rule_condition *c = &rule->conditions[rule->positives[slot]];
    if (c->aggregate) {
      S_tell_result(teller, map, c->aggregate, teller->session->firing_places[slot]);
      continue;
    }
    if (!fb_slot_is_fact(rule, slot)) {
      S_tell_value(teller, map, c->variable, teller->session->slots[slot]);
      continue;
    }
    char *number =
        c->variable.len ? NULL : fb_arena_printf(teller->arena, "%u", (unsigned)slot + 1);
    fb_slice name = c->variable.len ? c->variable : fb_slice_of(number);
    fb_value fact = S_tell_fact(teller, teller->session->firing_places[slot]);
    if (!map || !name.ptr || !fb_map_put(map, teller->arena, fb_string(name), fact, NULL))
      teller->nomem = true;
  }
  if (!map) teller->nomem = true;
  return fb_map_value(map);
}

fb_status fb_session_why(fb_session *session, const fb_decision *decision, fb_arena *arena,
                         fb_value *ret_why) {
  if (session->firing_rule == FB_RULE_NONE) return FB_E_RULE_FACT;
  const fb_rule *rule = &session->set->rules[session->firing_rule];
  S_teller teller = {.session = session, .arena = arena};
  fb_map *map = fb_map_new(arena, 8);
  if (!map) return FB_E_NOMEM;
  S_put(&teller, map, "rule", fb_string(rule->info.name));
  S_put(&teller, map, "file", fb_string(fb_slice_of(fb_doc_name(session->set->doc))));
  S_put(&teller, map, "line", fb_int(decision->line));
  S_put(&teller, map, "firing", fb_int((int64_t)session->firing));
  S_put(&teller, map, "bindings", S_tell_bindings(&teller, rule));
  if (session->options.explain) S_put(&teller, map, "chain", S_tell_chain(&teller));
  if (teller.older) S_put(&teller, map, "forgotten", fb_int((int64_t)session->log_first));
  if (teller.nomem) return FB_E_NOMEM;
  *ret_why = fb_map_value(map);
  return FB_OK;
}
