/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates: which group a fact is in, and what follows for its result. A fact that comes into a source's alpha is added to its
 * group, one that leaves it is taken away; a result is asserted, modified or retracted when rules are about to fire.
 */
#include "data/facts_internal.h"
#include "rules/group.h"

#include <stdlib.h>

/* ── Making and freeing ── */

fb_status fb_aggregates_init(fb_session *session) {
  uint32_t count = session->set->aggregate_count;
  if (!count && !session->set->expiry_count) return FB_OK;
  fb_aggregates *all = session->aggregates = fb_alloc_zero(&session->allocator, sizeof *all);
  if (!all) return FB_E_NOMEM;
  all->sets.seed = session->options.hash_seed;
  all->items = fb_alloc_zero(&session->allocator, (count + 1) * sizeof *all->items);
  return all->items ? FB_OK : FB_E_NOMEM;
}

static void S_release(fb_session *session, uint32_t number) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  const fb_allocator *allocator = &session->allocator;
  for (size_t i = 0; i < (size_t)memory->count * aggregate->fold_count; i++)
    fb_fold_release(session, &memory->folds[i]);
  fb_free(allocator, memory->groups, memory->group_cap * sizeof *memory->groups);
  fb_free(allocator, memory->keys, memory->group_cap * aggregate->key_count * sizeof *memory->keys);
  fb_free(allocator, memory->folds,
          memory->group_cap * aggregate->fold_count * sizeof *memory->folds);
  fb_free(allocator, memory->dirty, memory->group_cap * sizeof *memory->dirty);
  fb_free(allocator, memory->buckets, memory->bucket_count * sizeof *memory->buckets);
  fb_free(allocator, memory->group_of, memory->row_cap * sizeof *memory->group_of);
}

void fb_aggregates_release(fb_session *session) {
  fb_aggregates *all = session->aggregates;
  if (!all) return;
  for (uint32_t i = 0; all->items && i < session->set->aggregate_count; i++) S_release(session, i);
  fb_multisets_release(&all->sets, &session->allocator);
  fb_free(&session->allocator, all->items,
          (session->set->aggregate_count + 1) * sizeof *all->items);
  fb_free(&session->allocator, all, sizeof *all);
  session->aggregates = NULL;
}

/* ── Inputs ── */

fb_value fb_aggregate_input(fb_session *session, const fb_rule_aggregate *aggregate,
                            const fb_rule_input *input, uint32_t row) {
  const fb_facts *facts = session->memories[aggregate->source.type].facts;
  if (!input->program) return fb_facts_cell(facts, row, input->field);
  fb_value value;
  fb_error err;
  session->slots[aggregate->source.slot] = fb_fact_value(facts, row);
  session->context.steps = session->options.max_steps ? session->options.max_steps : 10000000;
  fb_status status = fb_cel_eval(input->program, session->slots, &session->context, &value, &err);
  if (status == FB_E_NOMEM) session->aggregates->broken = true;
  if (status == FB_OK) return value;
  if (!session->aggregates->quiet) fb_session_report(session, aggregate->rule, &input->place, &err);
  return fb_absent();
}

/* ── Groups ── */

/* NULL where there are no keys. */
static fb_value *S_keys(const fb_rule_aggregate *aggregate, fb_aggregate_memory *memory,
                        uint32_t group) {
  return aggregate->key_count ? memory->keys + (size_t)group * aggregate->key_count : NULL;
}

static fb_fold_state *S_folds(const fb_rule_aggregate *aggregate, fb_aggregate_memory *memory,
                              uint32_t group) {
  return memory->folds + (size_t)group * aggregate->fold_count;
}

static bool S_same(fb_session *session, const fb_value *a, const fb_value *b, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (!fb_rule_key_equal(fb_rule_key_of(a[i], session->symbols),
                           fb_rule_key_of(b[i], session->symbols)) ||
        (fb_rule_key_of(a[i], session->symbols).tag == FB_KEY_HASHED &&
         !fb_value_equal(a[i], b[i])))
      return false;
  return true;
}

static bool S_hash(fb_session *session, const fb_value *keys, uint32_t count, uint32_t *ret) {
  uint64_t hash = 0;
  for (uint32_t i = 0; i < count; i++) {
    fb_rule_key key = fb_rule_key_of(keys[i], session->symbols);
    if (key.tag == FB_KEY_NONE) return false;
    hash = fb_hash_mix(hash, fb_rule_key_hash(key));
  }
  *ret = (uint32_t)hash;
  return true;
}

static uint32_t S_find(fb_session *session, uint32_t number, const fb_value *keys, uint32_t hash) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  if (!memory->bucket_count) return 0;
  for (uint32_t at = memory->buckets[hash & (memory->bucket_count - 1)]; at;
       at = memory->groups[at].next)
    if (memory->groups[at].hash == hash &&
        S_same(session, S_keys(aggregate, memory, at), keys, aggregate->key_count))
      return at;
  return 0;
}

static bool S_grow(fb_session *session, void **items, size_t from, size_t to, size_t size) {
  if (!size) return true;
  char *more = fb_resize(&session->allocator, *items, from * size, to * size);
  if (!more) return false;
  memset(more + from * size, 0, (to - from) * size);
  *items = more;
  return true;
}

/* Moves what is beside the groups, and them, to longer arrays. */
static bool S_group_room(fb_session *session, const fb_rule_aggregate *aggregate,
                         fb_aggregate_memory *memory) {
  size_t from = memory->group_cap, to = from ? from * 2 : 8;
  if (memory->free || memory->count < from) return true;
  struct {
    void **items;
    size_t size;
    void *more;
  } arrays[] = {{(void **)&memory->groups, sizeof *memory->groups, NULL},
                {(void **)&memory->keys, aggregate->key_count * sizeof *memory->keys, NULL},
                {(void **)&memory->folds, aggregate->fold_count * sizeof *memory->folds, NULL},
                {(void **)&memory->dirty, sizeof *memory->dirty, NULL}};
  bool good = to <= UINT32_MAX / 2;
  for (int i = 0; i < 4 && good; i++)
    good = !arrays[i].size ||
           (arrays[i].more = fb_alloc_zero(&session->allocator, to * arrays[i].size)) != NULL;
  for (int i = 0; i < 4; i++) {
    if (good && from && arrays[i].size)
      memcpy(arrays[i].more, *arrays[i].items, from * arrays[i].size);
    void *less = good ? *arrays[i].items : arrays[i].more;
    if (less) fb_free(&session->allocator, less, (good ? from : to) * arrays[i].size);
    if (good) *arrays[i].items = arrays[i].more;
  }
  if (!good) return false;
  memory->group_cap = to;
  if (!memory->count) memory->count = 1;
  return true;
}

static bool S_bucket_room(fb_session *session, fb_aggregate_memory *memory) {
  if (memory->live < memory->bucket_count) return true;
  uint32_t count = memory->bucket_count ? memory->bucket_count * 2 : 8;
  uint32_t *buckets = fb_alloc_zero(&session->allocator, count * sizeof *buckets);
  if (!buckets) return false;
  for (uint32_t i = 0; i < memory->bucket_count; i++)
    for (uint32_t at = memory->buckets[i], next; at; at = next) {
      fb_group *group = &memory->groups[at];
      next = group->next;
      group->next = buckets[group->hash & (count - 1)];
      buckets[group->hash & (count - 1)] = at;
    }
  fb_free(&session->allocator, memory->buckets, memory->bucket_count * sizeof *buckets);
  memory->buckets = buckets;
  memory->bucket_count = count;
  return true;
}

/* Texts are interned, so that they stay; 0: no memory. */
static uint32_t S_make(fb_session *session, uint32_t number, const fb_value *keys, uint32_t hash) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  if (!S_group_room(session, aggregate, memory) || !S_bucket_room(session, memory)) return 0;
  uint32_t at = memory->free ? memory->free : memory->count;
  for (uint32_t i = 0; i < aggregate->key_count; i++) {
    fb_value key = keys[i];
    fb_symbol symbol;
    if (key.kind == FB_STRING && !key.symbol) {
      if (fb_symbol_intern(session->symbols, fb_value_text(key), &symbol) != FB_OK) return 0;
      key = fb_symbol_value(session->symbols, symbol);
    }
    S_keys(aggregate, memory, at)[i] = key;
  }
  if (memory->free)
    memory->free = memory->groups[at].next;
  else
    memory->count++;
  uint32_t *head = &memory->buckets[hash & (memory->bucket_count - 1)];
  memory->groups[at] = (fb_group){.hash = hash, .next = *head};
  *head = at;
  memory->live++;
  return at;
}

/* Of no members and no result. */
static void S_drop(fb_session *session, uint32_t number, uint32_t at) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  fb_group *group = &memory->groups[at];
  uint32_t *link = &memory->buckets[group->hash & (memory->bucket_count - 1)];
  while (*link != at) link = &memory->groups[*link].next;
  *link = group->next;
  for (uint32_t i = 0; i < aggregate->fold_count; i++)
    fb_fold_release(session, &S_folds(aggregate, memory, at)[i]);
  *group = (fb_group){.next = memory->free};
  memory->free = at;
  memory->live--;
}

void fb_group_mark(fb_session *session, uint32_t number, uint32_t at) {
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  if (memory->groups[at].dirty) return;
  memory->dirty[memory->dirty_count] = at;
  memory->groups[at].dirty = ++memory->dirty_count;
  session->aggregates->dirty = true;
}

/* ── Facts in and out ── */

static uint64_t S_serial(const fb_session *session, uint32_t type, uint32_t row) {
  return fb_place_serial(session, session->memories[type].places[row]);
}

/* What the fold counts; `count()` counts facts. */
static fb_value S_input(fb_session *session, const fb_rule_aggregate *aggregate,
                        const fb_rule_fold *fold, uint32_t row) {
  return fold->input.given ? fb_aggregate_input(session, aggregate, &fold->input, row)
                           : fb_bool(true);
}

static void S_take(fb_session *session, uint32_t number, uint32_t at, uint32_t row,
                   uint32_t folds) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  uint64_t serial = S_serial(session, aggregate->source.type, row);
  bool quiet = session->aggregates->quiet;
  session->aggregates->quiet = true;
  for (uint32_t i = 0; i < folds; i++) {
    const fb_rule_fold *fold = &aggregate->folds[i];
    fb_value value = S_input(session, aggregate, fold, row);
    if (fb_fold_admits(fold, value))
      fb_fold_remove(session, fold, &S_folds(aggregate, memory, at)[i], value, serial);
  }
  session->aggregates->quiet = quiet;
}

void fb_group_take(fb_session *session, uint32_t number, uint32_t at, uint32_t row) {
  S_take(session, number, at, row, session->set->aggregates[number]->fold_count);
}

bool fb_group_add(fb_session *session, uint32_t number, uint32_t at, uint32_t row) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  uint64_t serial = S_serial(session, aggregate->source.type, row);
  for (uint32_t i = 0; i < aggregate->fold_count; i++) {
    const fb_rule_fold *fold = &aggregate->folds[i];
    fb_value value = S_input(session, aggregate, fold, row);
    if (!session->aggregates->broken &&
        (!fb_fold_admits(fold, value) ||
         fb_fold_add(session, fold, &S_folds(aggregate, memory, at)[i], value, row, serial)))
      continue;
    session->aggregates->broken = false; /* so far all can be taken back */
    S_take(session, number, at, row, i);
    return false;
  }
  return true;
}

/* Of a row that is in no window. */
static bool S_add_member(fb_session *session, uint32_t number, uint32_t at, uint32_t row) {
  if (!fb_group_add(session, number, at, row)) return false;
  fb_group_at(session, number, at)->members++;
  fb_group_mark(session, number, at);
  return true;
}

/* The group of a row, made if it is new. *ret_group 0: it is in none, for want of a key. */
static bool S_group_of(fb_session *session, uint32_t number, uint32_t row, uint32_t *ret_group) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_value keys[FB_AGGREGATE_KEYS] = {{0}};
  uint32_t hash;
  *ret_group = 0;
  for (uint32_t i = 0; i < aggregate->key_count; i++) {
    keys[i] = fb_aggregate_input(session, aggregate, &aggregate->keys[i], row);
    if (session->aggregates->broken) return session->aggregates->broken = false;
    if (aggregate->key_types[i]->kind == FB_CEL_DYN) keys[i] = fb_fold_plain(keys[i]);
    if (keys[i].kind == FB_LIST || keys[i].kind == FB_MAP || keys[i].kind == FB_BYTES ||
        keys[i].kind > FB_DURATION) {
      if (keys[i].kind == FB_ABSENT || session->aggregates->quiet) return true;
      fb_error err;
      fb_fail(&err, FB_E_CEL_NO_OVERLOAD, "%s cannot tell groups apart",
              fb_kind_name(keys[i].kind));
      fb_session_report(session, aggregate->rule, &aggregate->keys[i].place, &err);
      return true;
    }
  }
  if (!S_hash(session, keys, aggregate->key_count, &hash)) return true;
  *ret_group = S_find(session, number, keys, hash);
  if (!*ret_group) *ret_group = S_make(session, number, keys, hash);
  return *ret_group != 0;
}

static bool S_row_room(fb_session *session, fb_aggregate_memory *memory, uint32_t row) {
  if (row < memory->row_cap) return true;
  size_t cap = memory->row_cap + memory->row_cap / 2 > (size_t)row + 64
                   ? memory->row_cap + memory->row_cap / 2
                   : (size_t)row + 64;
  if (!S_grow(session, (void **)&memory->group_of, memory->row_cap, cap, sizeof(uint32_t)))
    return false;
  memory->row_cap = cap;
  return true;
}

bool fb_group_enter(fb_session *session, uint32_t number, uint32_t row, int64_t time) {
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  uint32_t group;
  if (!S_row_room(session, memory, row) || !S_group_of(session, number, row, &group)) return false;
  memory->group_of[row] = group;
  if (!group) return true;
  if (session->set->aggregates[number]->window.kind != FB_WINDOW_NONE
          ? fb_window_enter(session, number, group, row, time)
          : S_add_member(session, number, group, row))
    return true;
  memory->group_of[row] = 0;
  fb_group_mark(session, number, group); /* it may have no members */
  return false;
}

static bool S_enter(fb_session *session, uint32_t number, uint32_t row) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  int64_t time = 0;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  bool quiet = session->aggregates->quiet;
  if (session->aggregates->known) session->aggregates->quiet = session->aggregates->known[number];
  bool good = (aggregate->window.kind != FB_WINDOW_NONE &&
               !fb_window_admits(session, aggregate, row, &time)) ||
              fb_group_enter(session, number, row, time);
  session->aggregates->quiet = quiet;
  fb_arena_rewind(&session->scratch, mark);
  return good;
}

static void S_leave(fb_session *session, uint32_t number, uint32_t row) {
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  uint32_t group = row < memory->row_cap ? memory->group_of[row] : 0;
  if (!group) return;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  bool quiet = session->aggregates->quiet;
  session->aggregates->quiet = true;
  if (session->set->aggregates[number]->window.kind != FB_WINDOW_NONE) {
    fb_window_leave(session, number, group, row);
  } else {
    fb_group_take(session, number, group, row);
    memory->groups[group].members--;
    fb_group_mark(session, number, group);
  }
  session->aggregates->quiet = quiet;
  fb_arena_rewind(&session->scratch, mark);
  memory->group_of[row] = 0;
}

bool fb_aggregates_enter(fb_session *session, const fb_rule_alpha *alpha, uint32_t row) {
  for (uint32_t i = 0; i < alpha->aggregate_count; i++) {
    if (S_enter(session, alpha->aggregates[i], row)) continue;
    while (i-- > 0) S_leave(session, alpha->aggregates[i], row);
    return false;
  }
  return true;
}

void fb_aggregates_leave(fb_session *session, const fb_rule_alpha *alpha, uint32_t row) {
  for (uint32_t i = 0; i < alpha->aggregate_count; i++) S_leave(session, alpha->aggregates[i], row);
}

/* ── Results ── */

const fb_value *fb_group_keys(const fb_session *session, uint32_t number, uint32_t at) {
  return S_keys(session->set->aggregates[number], &session->aggregates->items[number], at);
}

void fb_group_forget(fb_session *session, uint32_t number, uint32_t at) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  for (uint32_t i = 0; i < aggregate->fold_count; i++)
    fb_fold_release(session, &S_folds(aggregate, &session->aggregates->items[number], at)[i]);
}

/* FB_E_NOMEM or FB_OK. */
fb_status fb_group_tell(fb_session *session, uint32_t number, uint32_t at, fb_value *values) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  for (uint32_t i = 0; i < aggregate->fold_count; i++) {
    fb_error err;
    const fb_rule_fold *fold = &aggregate->folds[i];
    values[i] = fb_fold_value(session, aggregate, fold, &S_folds(aggregate, memory, at)[i], &err);
    if (err.code == FB_E_NOMEM || session->aggregates->broken) return FB_E_NOMEM;
    if (err.code) fb_session_report(session, aggregate->rule, &fold->input.place, &err);
  }
  return FB_OK;
}

static fb_status S_set(fb_memory *memory, uint32_t row, uint32_t field, fb_value value) {
  return value.kind == FB_ABSENT ? FB_OK : fb_facts_set(memory->facts, row, field, value, NULL);
}

fb_status fb_result_assert(fb_session *session, uint32_t number, const fb_value *keys,
                           const fb_value *values, fb_value start, uint32_t *ret_place) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  fb_memory *results;
  uint32_t row, place = 0, folds = aggregate->key_count + aggregate->fold_count;
  fb_status status =
      fb_memory_of(session, fb_schema_type(session->schema, aggregate->type), &results);
  if (status == FB_OK) status = fb_memory_new_row(session, results, &row);
  if (status != FB_OK) return status;
  for (uint32_t i = 0; i < folds && status == FB_OK; i++)
    status = S_set(results, row, i,
                   i < aggregate->key_count ? keys[i] : values[i - aggregate->key_count]);
  if (status == FB_OK && aggregate->window.variable.len) status = S_set(results, row, folds, start);
  if (status == FB_OK) status = fb_memory_place(session, aggregate->type, row, &place);
  if (status == FB_OK) status = fb_match_insert(session, place);
  if (status == FB_OK)
    *ret_place = place;
  else if (place)
    fb_memory_unplace(session, place);
  else
    fb_memory_free_row(session, results, row);
  return status;
}

fb_status fb_result_retract(fb_session *session, uint32_t place) {
  fb_status status = fb_match_remove(session, place);
  fb_memory_unplace(session, place);
  return status;
}

static fb_status S_modify(fb_session *session, uint32_t number, uint32_t at,
                          const fb_value *values) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  uint32_t fields[FB_AGGREGATE_PARTS];
  for (uint32_t i = 0; i < aggregate->fold_count; i++) fields[i] = aggregate->key_count + i;
  uint32_t place = session->aggregates->items[number].groups[at].place;
  fb_status status = fb_match_modify(session, place, fields, values, aggregate->fold_count, NULL);
  return status == FB_DONE ? FB_OK : status;
}

/* Brings a group's result up to date. */
static fb_status S_update(fb_session *session, uint32_t number, uint32_t at) {
  fb_group *group = fb_group_at(session, number, at);
  fb_value values[FB_AGGREGATE_PARTS] = {{0}};
  fb_status status = FB_OK;
  group->dirty = 0;
  if (!group->members) {
    if (group->place) status = fb_result_retract(session, group->place);
    S_drop(session, number, at);
    return status;
  }
  if (fb_window_ends(&session->set->aggregates[number]->window)) return FB_OK;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  status = fb_group_tell(session, number, at, values);
  if (status == FB_OK && group->place)
    status = S_modify(session, number, at, values);
  else if (status == FB_OK)
    status = fb_result_assert(session, number, fb_group_keys(session, number, at), values,
                              fb_absent(), &group->place);
  fb_arena_rewind(&session->scratch, mark);
  return status;
}

static int S_order_keys(const fb_value *a, const fb_value *b, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    int order = fb_value_order(a[i], b[i]);
    if (order) return order;
  }
  return 0;
}

int fb_group_order(const fb_session *a, uint32_t at, const fb_session *b, uint32_t other,
                   uint32_t number) {
  return S_order_keys(fb_group_keys(a, number, at), fb_group_keys(b, number, other),
                      a->set->aggregates[number]->key_count);
}

/* By their keys. */
static int S_order(const void *pa, const void *pb, void *context) {
  fb_session *session = ((fb_session **)context)[0];
  const fb_rule_aggregate *aggregate = ((const fb_rule_aggregate **)context)[1];
  fb_aggregate_memory *memory = &session->aggregates->items[aggregate->number];
  return S_order_keys(S_keys(aggregate, memory, *(const uint32_t *)pa),
                      S_keys(aggregate, memory, *(const uint32_t *)pb), aggregate->key_count);
}

/* The first group last, so that what it sets off fires first. Meanwhile nothing is marked: withdrawing comes afterwards. `end`: of
 * the facts that may be met in joins; what is left then follows next time. */
static fb_status S_flush(fb_session *session, uint32_t number, uint64_t end) {
  fb_aggregate_memory *memory = &session->aggregates->items[number];
  const void *context[2] = {session, session->set->aggregates[number]};
  fb_status status = FB_OK;
  if (memory->dirty_count > 1)
    qsort_r(memory->dirty, memory->dirty_count, sizeof *memory->dirty, S_order, context);
  while (memory->dirty_count && status == FB_OK) {
    if (session->stats.candidates > end) {
      status = FB_DONE;
      break;
    }
    uint32_t group = memory->dirty[--memory->dirty_count];
    uint64_t before = session->tick;
    status = S_update(session, number, group);
    if (FB_UNLIKELY(session->part != NULL) && session->tick != before)
      fb_part_followed(session, number, group);
  }
  return fb_session_tidy(session, session->set->aggregates[number]->type, status, NULL);
}

/* FB_DONE: too many facts were met. */
fb_status fb_aggregates_flush(fb_session *session) {
  fb_aggregates *all = session->aggregates;
  fb_status status = all->broken ? FB_E_NOMEM : FB_OK;
  uint64_t max = session->options.max_candidates;
  uint64_t end = max ? session->stats.candidates + max : UINT64_MAX;
  while (all->dirty && status == FB_OK) {
    all->dirty = false;
    session->deriving = true;
    for (uint32_t i = session->set->aggregate_count; i-- > 0 && status == FB_OK;)
      status = S_flush(session, i, end);
    session->deriving = false;
    all->dirty |= status == FB_DONE;
    if (status == FB_OK) status = fb_logical_withdraw(session);
  }
  return status;
}

/* ── Snapshots ── */

void fb_aggregates_quiet(fb_session *session, bool quiet) {
  if (session->aggregates) session->aggregates->quiet = quiet;
}

void fb_aggregates_know(fb_session *session, const bool *known) {
  if (session->aggregates) session->aggregates->known = known;
}

/* The group of a result's keys, made if it has none. */
static fb_status S_adopt(fb_session *session, uint32_t number, uint32_t place) {
  const fb_rule_aggregate *aggregate = session->set->aggregates[number];
  const fb_fact *fact = &session->facts[place];
  const fb_facts *facts = session->memories[fact->type].facts;
  fb_value keys[FB_AGGREGATE_KEYS] = {{0}};
  uint32_t hash;
  if (fb_window_ends(&aggregate->window)) return fb_window_adopt(session, number, place);
  for (uint32_t i = 0; i < aggregate->key_count; i++) {
    keys[i] = fb_facts_get(facts, fact->row, i);
    if (keys[i].kind == FB_LIST || keys[i].kind == FB_MAP || keys[i].kind > FB_DURATION)
      return FB_E_RULE_SNAPSHOT;
  }
  if (!S_hash(session, keys, aggregate->key_count, &hash)) return FB_E_RULE_SNAPSHOT;
  uint32_t group = S_find(session, number, keys, hash);
  if (!group) group = S_make(session, number, keys, hash);
  if (!group) return FB_E_NOMEM;
  fb_group *at = &session->aggregates->items[number].groups[group];
  if (at->place) return FB_E_RULE_SNAPSHOT;
  at->place = place;
  fb_group_mark(session, number, group);
  return FB_OK;
}

/* Which groups have changed since rules fired is not saved: a group that has not makes no change. */
fb_status fb_aggregates_restored(fb_session *session) {
  fb_status status = FB_OK;
  if (!session->aggregates) return FB_OK;
  for (uint32_t place = 1; place < session->fact_count && status == FB_OK; place++) {
    const fb_fact *fact = &session->facts[place];
    if (fact->row != FB_RULE_NONE && fb_type_is_hidden(session->set, fact->type))
      status = S_adopt(session, session->set->types[fact->type].result_of->number, place);
    else if (fact->row != FB_RULE_NONE)
      status = fb_expiry_enter(session, place);
  }
  return status;
}
