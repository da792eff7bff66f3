/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks that stop at a match and go on when the next one is wanted. From a place that came into a condition of a lazy
 * rule the other conditions are bound as they are written, each from its latest fact to its earliest, so that matches come in
 * the order in which they fire. Where that order would go through many facts in vain, all matches are collected on the
 * planner's way and sorted.
 *
 * A walk sees no fact that came into its condition after the walk's tick: such a fact sets off a walk of its own. Between
 * two matches facts may come, go and change, but what a walk may still find can only become less: so where the fact at
 * which it stands has gone, it goes on at the one that came after it, or, if that has gone too, at the first in the list
 * that is earlier.
 */
#include "rules/join.h"

#include <stdlib.h>

enum {
  FEW_OF = 4,       /* a list is made of so many at most: one of … in a group */
  FEW = 4,          /* times as many facts may be looked at to have the matches in order */
  LOOK_EVERY = 4096 /* facts, for the clock */
};

typedef struct S_walker {
  fb_session *session;
  const fb_rule *rule;
  const fb_rule_condition *start;
  fb_walk *walk;
  uint32_t place;   /* of the start */
  bool latest;      /* nothing came after the walk's tick */
  uint64_t *causes; /* by level: slots from which it follows that nothing was found there */
} S_walker;

static inline const fb_rule_condition *S_condition(const S_walker *w, uint32_t level) {
  return &w->rule->conditions[w->start->written[level].condition];
}

static inline fb_index_memory *S_index(const S_walker *w, uint32_t level) {
  return &w->session->indexes[w->start->written[level].index];
}

/* Is the fact, which is in the condition, there since the tick? */
static inline bool S_sees(const S_walker *w, const fb_rule_condition *c, uint32_t place,
                          uint64_t serial) {
  return w->latest ||
         (serial <= w->walk->tick && fb_port_sees(w->session, c->port, place, w->walk->tick));
}

static bool S_stands(const S_walker *w, uint32_t level) {
  const fb_walk_level *at = &w->walk->levels[level];
  const fb_session *session = w->session;
  const fb_fact *fact = &session->facts[at->place];
  const fb_rule_condition *c = S_condition(w, level);
  return fact->row != FB_RULE_NONE && fact->type == c->type &&
         fb_place_serial(session, at->place) == at->serial &&
         fb_alpha_has(session, c->alpha, fact->row) && S_sees(w, c, at->place, at->serial);
}

static void S_bind_start(const S_walker *w) {
  fb_join_bind(w->session, w->start->slot, w->place);
}

static void S_bind(const S_walker *w, uint32_t level) {
  fb_join_bind(w->session, S_condition(w, level)->slot, w->walk->levels[level].place);
}

/* Do the guards hold for what is bound, and did they since? *ret_cause: if not, slots that this follows from. */
static bool S_tell(const S_walker *w, uint64_t *ret_cause) {
  if (!w->rule->guarded) return true;
  if (!fb_match_guards_tell(w->session, w->rule, ret_cause)) return false;
  *ret_cause = UINT64_MAX;
  return !fb_mends_later(w->session, w->rule, w->walk->tick);
}

static bool S_holds(const S_walker *w) {
  uint64_t cause;
  return S_tell(w, &cause);
}

/* ── Lists, where a sorted index finds few among many ── */

static fb_walk_list *S_list(const S_walker *w, uint32_t level) {
  fb_walk_list *lists = w->walk->lists;
  return lists && lists[level].used ? &lists[level] : NULL;
}

void fb_walk_release(fb_session *session, fb_walk *walk) {
  const fb_allocator *allocator = &session->allocator;
  fb_free(allocator, walk->found, walk->found_cap * sizeof *walk->found);
  for (uint32_t i = 0; walk->lists && i < walk->count; i++)
    fb_free(allocator, walk->lists[i].items, walk->lists[i].cap * sizeof *walk->lists[i].items);
  fb_free(allocator, walk->lists, walk->count * sizeof *walk->lists);
  walk->found = NULL;
  walk->lists = NULL;
}

static int S_later(const void *pa, const void *pb) {
  const fb_walk_entry *a = pa, *b = pb;
  return a->serial > b->serial ? -1 : a->serial < b->serial;
}

/* False: there are too many, or no memory. */
static bool S_fill_list(const S_walker *w, const fb_rule_level *plan, const fb_sorted_found *found,
                        fb_walk_list *list) {
  fb_session *session = w->session;
  const uint32_t *places = session->memories[w->rule->conditions[plan->condition].type].places;
  fb_sorted_cursor cursor;
  fb_sorted_start(session, plan->sorted, found, &cursor);
  list->count = list->at = 0;
  for (uint32_t row; (row = fb_sorted_next(&cursor));) {
    uint32_t place = places[row - 1];
    if (list->count * FEW_OF > found->all || !fb_grow(&session->allocator, (void **)&list->items,
                                                      &list->cap, list->count, sizeof *list->items))
      return false;
    list->items[list->count++] = (fb_walk_entry){fb_place_serial(session, place), place};
  }
  if (list->count) qsort(list->items, list->count, sizeof *list->items, S_later);
  return true;
}

/* Makes the level's list if that leaves most facts out; if not, the facts are gone through in their order. */
static void S_make_list(const S_walker *w, uint32_t level) {
  const fb_rule_level *plan = &w->start->written[level];
  fb_walk *walk = w->walk;
  fb_sorted_found found;
  if (!fb_sorted_find(w->session, plan, &found) ||
      (!found.least && (uint64_t)(found.to - found.from) * FEW_OF > found.all))
    return;
  if (!walk->lists &&
      !(walk->lists = fb_alloc_zero(&w->session->allocator, walk->count * sizeof *walk->lists)))
    return;
  fb_walk_list *list = &walk->lists[level];
  list->used = S_fill_list(w, plan, &found, list);
  if (list->used) walk->levels[level].next = list->count ? FB_WALK_UNKNOWN : 0;
}

/* ── In order ── */

static bool S_is_over(const S_walker *w) {
  fb_session *session = w->session;
  if (session->stats.candidates > session->candidates_end) return true;
  return session->stats.candidates % LOOK_EVERY == 0 && fb_fire_is_late(session);
}

/* At the list of the facts that the level may bind, for those of the levels before. */
static fb_status S_enter(const S_walker *w, uint32_t level) {
  const fb_rule_level *plan = &w->start->written[level];
  fb_walk_level *at = &w->walk->levels[level];
  w->walk->enters = true; /* as long as it fails */
  w->walk->depth = (uint16_t)level;
  at->next = 0;
  w->causes[level] = plan->reads;
  if (w->walk->lists) w->walk->lists[level].used = false;
  if (!w->session->alphas[S_condition(w, level)->alpha].count) {
    w->walk->enters = false;
    return FB_OK;
  }
  if (!fb_index_ready(w->session, plan->index) || !fb_index_mended(w->session, plan->index))
    return FB_E_NOMEM;
  at->next = fb_join_first(w->session, plan);
  w->walk->enters = false;
  if (plan->sorted != FB_RULE_NONE && fb_join_is_long(S_index(w, level), at->next))
    S_make_list(w, level);
  return FB_OK;
}

/* The first fact of the level's list that is earlier than the one it stood at. */
static fb_status S_seek(const S_walker *w, uint32_t level) {
  fb_walk_level *at = &w->walk->levels[level];
  const fb_memory *memory = &w->session->memories[S_condition(w, level)->type];
  fb_status status = S_enter(w, level);
  if (status != FB_OK) {
    w->walk->enters = false;
    w->walk->depth = (uint16_t)(level + 1);
  }
  fb_walk_list *list = S_list(w, level);
  if (status == FB_OK && list) {
    while (list->at < list->count && list->items[list->at].serial >= at->serial) list->at++;
    at->next = list->at < list->count ? FB_WALK_UNKNOWN : 0;
    return FB_OK;
  }
  while (status == FB_OK && at->next &&
         fb_place_serial(w->session, memory->places[at->next - 1]) >= at->serial)
    at->next = S_index(w, level)->next[at->next - 1];
  return status;
}

/* Is what came next at the level still in its list? A fact that did not change is where it was. */
static bool S_next_stands(const S_walker *w, uint32_t level) {
  const fb_walk_level *at = &w->walk->levels[level];
  const fb_rule_condition *c = S_condition(w, level);
  const fb_index_memory *index = S_index(w, level);
  if (at->next == FB_WALK_UNKNOWN || at->next > index->rows ||
      index->next[at->next - 1] == FB_INDEX_OUT)
    return false;
  uint32_t place = w->session->memories[c->type].places[at->next - 1];
  uint64_t serial = fb_place_serial(w->session, place);
  return serial < at->serial && S_sees(w, c, place, serial);
}

/* Binds what still stands of where the walk was; *ret_level is where to go on, NONE at the end. */
static fb_status S_resume(const S_walker *w, uint32_t *ret_level) {
  fb_walk *walk = w->walk;
  uint32_t level = 0;
  for (; level < walk->depth; level++) {
    const fb_rule_level *plan = &w->start->written[level];
    fb_walk_level *at = &walk->levels[level];
    const fb_walk_list *list = S_list(w, level);
    if (!list &&
        (!fb_index_ready(w->session, plan->index) || !fb_index_mended(w->session, plan->index)))
      return FB_E_NOMEM;
    uint32_t row = w->session->facts[at->place].row;
    const fb_index_memory *index = S_index(w, level);
    if (!S_stands(w, level) || (!list && (row >= index->rows || index->next[row] == FB_INDEX_OUT)))
      break;
    if (!list) at->next = index->next[row];
    S_bind(w, level);
    w->causes[level] = UINT64_MAX; /* something may have been found below */
  }
  *ret_level = level;
  if (level < walk->depth) {
    walk->enters = false;
    w->causes[level] = UINT64_MAX;
    return S_list(w, level) || !walk->levels[level].next || S_next_stands(w, level)
               ? FB_OK
               : S_seek(w, level);
  }
  if (walk->enters) return S_enter(w, level);
  *ret_level = level ? level - 1 : FB_RULE_NONE;
  return FB_OK;
}

/* Does the row go with what is bound before the level? It is bound then. */
static bool S_fits(const S_walker *w, uint32_t level, const fb_memory *memory, uint32_t row) {
  fb_session *session = w->session;
  const fb_rule_level *plan = &w->start->written[level];
  const fb_rule_condition *c = &w->rule->conditions[plan->condition];
  uint32_t place = memory->places[row];
  session->stats.candidates++;
  if (!w->latest && !S_sees(w, c, place, fb_place_serial(session, place))) return false;
  if (plan->other && place == w->place && fb_port_tick(session, c->port, place) == w->walk->tick)
    return false;
  session->places[c->slot] = place;
  session->slots[c->slot] = fb_fact_value(memory->facts, row);
  for (uint32_t i = 0; i < plan->join_count; i++)
    if (!fb_join_tell(session, plan->joins[i])) return false;
  return true;
}

/* The walk stands at the row. */
static void S_stand(const S_walker *w, uint32_t level, uint32_t row) {
  fb_walk_level *at = &w->walk->levels[level];
  at->place = w->session->memories[S_condition(w, level)->type].places[row];
  at->serial = fb_place_serial(w->session, at->place);
  at->next = S_index(w, level)->next[row];
}

/* Does the fact in the list still stand in the condition, and go with what is bound? The list was made by hashes. */
static bool S_listed_fits(const S_walker *w, uint32_t level, const fb_memory *memory,
                          const fb_walk_entry *entry) {
  fb_session *session = w->session;
  const fb_rule_level *plan = &w->start->written[level];
  const fb_rule_condition *c = &w->rule->conditions[plan->condition];
  const fb_fact *fact = &session->facts[entry->place];
  if (fact->row == FB_RULE_NONE || fact->type != c->type ||
      fb_place_serial(session, entry->place) != entry->serial ||
      !fb_alpha_has(session, c->alpha, fact->row) || !S_fits(w, level, memory, fact->row))
    return false;
  for (uint32_t i = 0; i < plan->probe_count; i++)
    if (!fb_join_tell(session, plan->probes[i].join)) return false;
  return true;
}

static bool S_advance_list(const S_walker *w, uint32_t level, fb_walk_list *list, bool *ret_over) {
  const fb_memory *memory = &w->session->memories[S_condition(w, level)->type];
  fb_walk_level *at = &w->walk->levels[level];
  bool fits = false;
  while (list->at < list->count && !fits && !*ret_over) {
    const fb_walk_entry *entry = &list->items[list->at++];
    at->place = entry->place;
    at->serial = entry->serial;
    fits = S_listed_fits(w, level, memory, entry);
    *ret_over = !fits && S_is_over(w);
  }
  at->next = list->at < list->count ? FB_WALK_UNKNOWN : 0;
  return fits;
}

static bool S_advance_row(const S_walker *w, uint32_t level, bool *ret_over) {
  const fb_memory *memory = &w->session->memories[S_condition(w, level)->type];
  const uint32_t *next = S_index(w, level)->next;
  uint32_t row = w->walk->levels[level].next, last = 0;
  bool fits = false;
  while (row && !fits && !*ret_over) {
    last = row;
    fits = S_fits(w, level, memory, row - 1);
    *ret_over = !fits && S_is_over(w);
    row = next[row - 1];
  }
  if (last) S_stand(w, level, last - 1);
  return fits;
}

/* Goes down the level's list to the next fact that fits; false: there is none, or it is time to stop. Stands there, or at
 * the last one that was looked at. */
static bool S_advance(const S_walker *w, uint32_t level, bool *ret_over) {
  uint64_t before = w->session->stats.candidates;
  fb_walk_list *list = S_list(w, level);
  bool fits = list ? S_advance_list(w, level, list, ret_over) : S_advance_row(w, level, ret_over);
  fb_profile_uses(w->session, w->start->written[level].use, w->session->stats.candidates - before,
                  fits);
  return fits;
}

static bool S_is_last(const fb_walk *walk) {
  for (uint32_t level = 0; level < walk->count; level++)
    if (walk->levels[level].next) return false;
  return true;
}

/* Nothing was found below the level, which follows from the slots of `cause`: back to the last level that could change it. False:
 * there is none. */
static bool S_back(const S_walker *w, uint64_t cause, uint32_t *level) {
  for (uint32_t at = *level + 1; at-- > 0;) {
    if (!(cause >> S_condition(w, at)->slot & 1)) continue;
    w->causes[at] |= cause;
    *level = at;
    return true;
  }
  return false;
}

static fb_status S_stream(const S_walker *w) {
  fb_walk *walk = w->walk;
  uint32_t level;
  uint64_t cause;
  fb_status status = S_resume(w, &level);
  if (status != FB_OK) return status;
  if (level == FB_RULE_NONE) return FB_DONE;
  for (bool over = false;;) {
    if (S_advance(w, level, &over)) {
      if (level + 1 < walk->count) {
        if ((status = S_enter(w, ++level)) != FB_OK) return status;
        continue;
      }
      if (S_tell(w, &cause)) {
        walk->depth = walk->count;
        walk->finished = S_is_last(walk);
        return FB_OK;
      }
      if (!S_back(w, cause, &level)) return FB_DONE;
    } else if (!over) {
      cause = w->causes[level];
      if (!level-- || !S_back(w, cause, &level)) return FB_DONE;
    }
    if (over || S_is_over(w)) {
      walk->depth = (uint16_t)(level + 1);
      return FB_E_RULE_LIMIT;
    }
  }
}

/* ── All at once ── */

static int S_order(const void *pa, const void *pb, void *context) {
  const S_walker *w = context;
  const uint32_t *a = pa, *b = pb;
  for (uint32_t slot = 0; slot < w->rule->positive_count; slot++) {
    if (a[slot] == b[slot]) continue;
    int order = fb_slot_order(w->session, w->rule, slot, a[slot], b[slot]);
    if (order) return order;
  }
  return 0;
}

/* Is the collected match one of those that the walk has been at? */
static bool S_is_past(const S_walker *w, const uint32_t *places) {
  for (uint32_t level = 0; level < w->walk->depth; level++) {
    uint64_t serial = fb_place_serial(w->session, places[S_condition(w, level)->slot]);
    if (serial != w->walk->levels[level].serial) return serial > w->walk->levels[level].serial;
  }
  return !w->walk->enters;
}

static fb_status S_collect(const S_walker *w, uint32_t use) {
  fb_walk *walk = w->walk;
  uint32_t width = w->rule->positive_count;
  walk->found_count = walk->at = 0;
  fb_status status = fb_match_collect(w->session, use, w->place, walk);
  if (status != FB_OK) return status;
  walk->found_count /= width;
  if (walk->found_count > 1)
    qsort_r(walk->found, walk->found_count, width * sizeof *walk->found, S_order, (void *)w);
  while (walk->at < walk->found_count && S_is_past(w, walk->found + walk->at * width)) walk->at++;
  walk->collected = true;
  return FB_OK;
}

static void S_stand_at(const S_walker *w, const uint32_t *places) {
  for (uint32_t level = 0; level < w->walk->count; level++) {
    uint32_t place = places[S_condition(w, level)->slot];
    uint64_t serial = fb_place_serial(w->session, place);
    w->walk->levels[level] = (fb_walk_level){serial, place, FB_WALK_UNKNOWN};
  }
  w->walk->depth = w->walk->count;
  w->walk->enters = false;
}

/* ── Either ── */

/* Is what the levels have a match still? Binds it. */
static bool S_head_stands(const S_walker *w) {
  for (uint32_t level = 0; level < w->walk->count; level++) {
    if (!S_stands(w, level)) return false;
    S_bind(w, level);
  }
  return S_holds(w);
}

static fb_status S_next_collected(const S_walker *w) {
  fb_walk *walk = w->walk;
  uint32_t width = w->rule->positive_count;
  while (walk->at < walk->found_count) {
    S_stand_at(w, walk->found + walk->at++ * width);
    walk->finished = walk->at == walk->found_count;
    if (S_head_stands(w)) return FB_OK;
  }
  return FB_DONE;
}

/* How many facts the levels without probes go through, at most. */
static double S_loose(const S_walker *w, const fb_rule_level *levels) {
  double product = 1;
  for (uint32_t i = 0; i < w->walk->count; i++) {
    double count = w->session->alphas[w->rule->conditions[levels[i].condition].alpha].count;
    if (!levels[i].probe_count) product *= levels[i].bound_count ? 1 + count / FEW_OF : count;
  }
  return product;
}

static bool S_goes_in_order(const S_walker *w) {
  return w->start->in_order || S_loose(w, w->start->written) <= FEW * S_loose(w, w->start->walk);
}

static fb_status S_find(const S_walker *w, uint32_t use) {
  fb_walk *walk = w->walk;
  if (walk->collected) return S_next_collected(w);
  if (!walk->count) {
    walk->finished = true;
    return S_holds(w) ? FB_OK : FB_DONE;
  }
  if (S_goes_in_order(w)) return S_stream(w);
  fb_status status = S_collect(w, use);
  return status == FB_OK ? S_next_collected(w) : status;
}

fb_status fb_walk_head(fb_session *session, uint32_t use_number, uint32_t place, fb_walk *walk) {
  const fb_rule_use *use = &session->set->uses[use_number];
  const fb_rule *rule = &session->set->rules[use->rule];
  uint64_t causes[FB_RULE_SLOTS];
  S_walker w = {session, rule,  &rule->conditions[use->condition],
                walk,    place, walk->tick == session->tick,
                causes};
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  int64_t start = fb_profile_start(session);
  S_bind_start(&w);
  fb_status status = FB_OK;
  if (!walk->head || !S_head_stands(&w)) {
    walk->head = false;
    status = walk->finished ? FB_DONE : S_find(&w, use_number);
    walk->head = status == FB_OK;
    walk->finished |= status == FB_DONE;
  }
  fb_profile_stop(session, use_number, start);
  fb_arena_rewind(&session->scratch, mark);
  return status;
}

void fb_walk_places(const fb_session *session, uint32_t use_number, uint32_t place,
                    const fb_walk *walk, uint32_t *out) {
  const fb_rule_use *use = &session->set->uses[use_number];
  const fb_rule *rule = &session->set->rules[use->rule];
  uint32_t start = rule->conditions[use->condition].slot;
  for (uint32_t slot = 0, level = 0; slot < rule->positive_count; slot++)
    out[slot] = slot == start ? place : walk->levels[level++].place;
}
