/* SPDX-License-Identifier: Apache-2.0
 *
 * Making sieves. A set of alphas is parted by the field that most different constants are asked of with `==`; each part
 * again by the next. What has no equality left is parted by intervals.
 */
#include "rules/plan.h"

#include <stdlib.h>

enum {
  FEW = 2,  /* so many alphas are tested one by one */
  FLAT = 8, /* entries an alpha may have in the lists of segments */
  NEAR =
      4096 /* span of keys that get a table, if it has not many times more places than there are keys */
};

typedef enum S_way { S_NONE, S_EQUAL, S_ORDER } S_way;

/* An alpha in one sieve, and how it is parted from the others there. */
typedef struct S_entry {
  uint32_t alpha;
  uint8_t way;
  uint8_t class_; /* ORDER */
  uint32_t field;
  uint32_t test;     /* EQUAL */
  fb_rule_key key;   /* EQUAL */
  uint32_t from, to; /* ORDER: segments, to excluded */
} S_entry;

static fb_rule_sieve *S_sieve(fb_ruleset *set, S_entry *entries, uint32_t count, uint32_t depth);

static bool S_is_open(const fb_rule_alpha *alpha, uint32_t test) {
  return test < 64 && !(alpha->settled >> test & 1);
}

static bool S_is_equality(const fb_rule_test *test) {
  return test->op == FB_RULE_EQ && test->key.tag != FB_KEY_NONE && test->key.tag != FB_KEY_HASHED;
}

static bool S_is_order(const fb_rule_test *test) {
  return test->op >= FB_RULE_LT && test->op <= FB_RULE_GE &&
         fb_rule_class(test->constant) != FB_ABSENT;
}

static void S_settle(fb_rule_alpha *alpha, uint32_t test) {
  alpha->settled |= UINT64_C(1) << test;
  alpha->open_count--;
}

/* ── How to part ── */

static int S_by_field_and_key(const void *pa, const void *pb) {
  const S_entry *a = pa, *b = pb;
  if (a->way != b->way) return a->way < b->way ? -1 : 1;
  if (a->field != b->field) return a->field < b->field ? -1 : 1;
  if (a->class_ != b->class_) return a->class_ < b->class_ ? -1 : 1;
  if (a->key.tag != b->key.tag) return a->key.tag < b->key.tag ? -1 : 1;
  if (a->key.bits != b->key.bits) return a->key.bits < b->key.bits ? -1 : 1;
  return a->alpha < b->alpha ? -1 : a->alpha > b->alpha;
}

static bool S_same_key(const S_entry *a, const S_entry *b) {
  return a->field == b->field && fb_rule_key_equal(a->key, b->key);
}

/* How many constants each field is compared with by `==`, into counts; 0 entries: nothing to count. */
static bool S_count_constants(fb_ruleset *set, const S_entry *entries, uint32_t count,
                              uint32_t *counts) {
  size_t room = 0, used = 0;
  for (uint32_t i = 0; i < count; i++) room += set->alphas[entries[i].alpha].test_count;
  S_entry *keys = fb_alloc_zero(set->allocator, (room + 1) * sizeof *keys);
  if (!keys) return false;
  for (uint32_t i = 0; i < count; i++) {
    const fb_rule_alpha *alpha = &set->alphas[entries[i].alpha];
    for (uint32_t t = 0; t < alpha->test_count; t++)
      if (S_is_open(alpha, t) && S_is_equality(&alpha->tests[t]))
        keys[used++] = (S_entry){.field = alpha->tests[t].field, .key = alpha->tests[t].key};
  }
  qsort(keys, used, sizeof *keys, S_by_field_and_key);
  for (size_t i = 0; i < used; i++)
    if (!i || !S_same_key(&keys[i], &keys[i - 1])) counts[keys[i].field]++;
  fb_free(set->allocator, keys, (room + 1) * sizeof *keys);
  return true;
}

/* By the equality with most constants, else by the first order. */
static void S_choose(const fb_rule_alpha *alpha, const uint32_t *counts, S_entry *entry) {
  *entry = (S_entry){.alpha = entry->alpha, .way = S_NONE};
  for (uint32_t t = 0; t < alpha->test_count; t++) {
    const fb_rule_test *test = &alpha->tests[t];
    if (!S_is_open(alpha, t)) continue;
    if (S_is_equality(test) &&
        (entry->way != S_EQUAL || counts[test->field] > counts[entry->field]))
      *entry = (S_entry){
          .alpha = entry->alpha, .way = S_EQUAL, .field = test->field, .test = t, .key = test->key};
    if (S_is_order(test) && entry->way == S_NONE)
      *entry = (S_entry){.alpha = entry->alpha,
                         .way = S_ORDER,
                         .field = test->field,
                         .class_ = fb_rule_class(test->constant)};
  }
}

/* ── Equality ── */

/* May ints of this span have a table? */
static bool S_are_near(int64_t first, int64_t last, uint32_t count) {
  uint64_t span = (uint64_t)last - (uint64_t)first;
  return span < NEAR && span / 32 <= count;
}

/* The table of keys with the tag, whose bits are numbers that rise; NULL in *ret_table if they are too far apart. */
static bool S_table_keys(fb_ruleset *set, const S_entry *entries, uint32_t count, uint32_t tag,
                         const uint32_t **ret_table, int64_t *ret_first, uint32_t *ret_size) {
  int64_t first = INT64_MAX, last = INT64_MIN;
  uint32_t keys = 0;
  for (uint32_t i = 0; i < count; i++) {
    int64_t key = (int64_t)entries[i].key.bits;
    if (entries[i].key.tag != tag) continue;
    keys++;
    if (key < first) first = key;
    if (key > last) last = key;
  }
  if (!keys || !S_are_near(first, last, keys)) return true;
  uint32_t size = (uint32_t)((uint64_t)last - (uint64_t)first) + 1;
  uint32_t *table = fb_arena_zero(&set->arena, size * sizeof *table);
  if (!table) return false;
  for (uint32_t i = 0, child = 0; i < count; i++) {
    child += !i || !S_same_key(&entries[i], &entries[i - 1]);
    if (entries[i].key.tag == tag) table[entries[i].key.bits - (uint64_t)first] = child;
  }
  *ret_table = table;
  *ret_first = first;
  *ret_size = size;
  return true;
}

static bool S_part_equal(fb_ruleset *set, S_entry *entries, uint32_t count, uint32_t depth,
                         fb_rule_dispatch *dispatch) {
  uint32_t keys = 1, cap = 4;
  for (uint32_t i = 1; i < count; i++) keys += !S_same_key(&entries[i], &entries[i - 1]);
  while (cap < keys * 2) cap *= 2;
  *dispatch = (fb_rule_dispatch){.field = entries[0].field, .mask = cap - 1};
  dispatch->buckets = fb_arena_zero(&set->arena, cap * sizeof *dispatch->buckets);
  dispatch->children = fb_arena_alloc(&set->arena, (keys + 1) * sizeof *dispatch->children);
  if (!dispatch->buckets || !dispatch->children ||
      !S_table_keys(set, entries, count, FB_KEY_SYMBOL, &dispatch->symbols, &dispatch->first_symbol,
                    &dispatch->symbol_count) ||
      !S_table_keys(set, entries, count, FB_KEY_INT, &dispatch->ints, &dispatch->first_int,
                    &dispatch->int_count))
    return false;
  for (uint32_t i = 0; i < count; i++) S_settle(&set->alphas[entries[i].alpha], entries[i].test);
  uint32_t child = 0;
  for (uint32_t from = 0, to; from < count; from = to) {
    fb_rule_key key = entries[from].key;
    for (to = from + 1; to < count && S_same_key(&entries[to], &entries[from]);) to++;
    uint32_t at = (uint32_t)fb_rule_key_hash(key) & dispatch->mask;
    while (dispatch->buckets[at].key.tag != FB_KEY_NONE) at = (at + 1) & dispatch->mask;
    fb_rule_bucket *bucket = &dispatch->buckets[at];
    *bucket = (fb_rule_bucket){key, ++child};
    dispatch->children[child] = S_sieve(set, entries + from, to - from, depth + 1);
    if (!dispatch->children[child]) return false;
    dispatch->child_count = child;
  }
  return true;
}

/* ── Order ── */

/* Of one class, none NaN: they all have an order to each other. */
static int S_by_value(const void *a, const void *b) {
  int order = 0;
  fb_value_compare(*(const fb_value *)a, *(const fb_value *)b, &order);
  return order;
}

static uint32_t S_constant_at(const fb_rule_ranges *ranges, const fb_value *constant) {
  uint32_t low = 0, high = ranges->constant_count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (S_by_value(&ranges->constants[middle], constant) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool S_is_of(const fb_rule_ranges *ranges, const fb_rule_alpha *alpha, uint32_t test) {
  return S_is_open(alpha, test) && S_is_order(&alpha->tests[test]) &&
         alpha->tests[test].field == ranges->field &&
         fb_rule_class(alpha->tests[test].constant) == ranges->class_;
}

static bool S_take_constants(fb_ruleset *set, const S_entry *entries, uint32_t count,
                             fb_rule_ranges *ranges) {
  size_t room = 0;
  for (uint32_t i = 0; i < count; i++) room += set->alphas[entries[i].alpha].test_count;
  fb_value *constants = fb_arena_alloc(&set->arena, (room + 1) * sizeof *constants);
  if (!constants) return false;
  uint32_t used = 0, kept = 0, ints = 0, doubles = 0;
  for (uint32_t i = 0; i < count; i++) {
    const fb_rule_alpha *alpha = &set->alphas[entries[i].alpha];
    for (uint32_t t = 0; t < alpha->test_count; t++)
      if (S_is_of(ranges, alpha, t)) constants[used++] = alpha->tests[t].constant;
  }
  qsort(constants, used, sizeof *constants, S_by_value);
  for (uint32_t i = 0; i < used; i++) {
    if (kept && !S_by_value(&constants[kept - 1], &constants[i])) continue;
    ints += constants[i].kind == FB_INT;
    doubles += constants[i].kind == FB_DOUBLE;
    constants[kept++] = constants[i];
  }
  ranges->constants = constants;
  ranges->constant_count = kept;
  ranges->segments = 2 * kept + 1;
  if (ints != kept && doubles != kept) return true;
  uint64_t *plain = fb_arena_alloc(&set->arena, (kept + 1) * sizeof *plain);
  if (!plain) return false;
  for (uint32_t i = 0; i < kept; i++) plain[i] = constants[i].as.u;
  if (ints == kept)
    ranges->ints = (const int64_t *)(void *)plain;
  else
    ranges->doubles = (const double *)(void *)plain;
  return true;
}

static bool S_table_near(fb_ruleset *set, fb_rule_ranges *ranges) {
  uint32_t count = ranges->constant_count;
  if (!ranges->ints || !S_are_near(ranges->ints[0], ranges->ints[count - 1], count)) return true;
  uint32_t size = (uint32_t)(ranges->ints[count - 1] - ranges->ints[0]) + 1;
  uint32_t *near = fb_arena_alloc(&set->arena, size * sizeof *near);
  if (!near) return false;
  for (uint32_t i = 0, at = 0; i < size; i++) {
    bool hit = ranges->ints[at] == ranges->ints[0] + (int64_t)i;
    near[i] = 2 * at + hit;
    at += hit;
  }
  ranges->near = near;
  return true;
}

static void S_take_interval(fb_ruleset *set, const fb_rule_ranges *ranges, S_entry *entry) {
  fb_rule_alpha *alpha = &set->alphas[entry->alpha];
  entry->from = 0;
  entry->to = ranges->segments;
  for (uint32_t t = 0; t < alpha->test_count; t++) {
    if (!S_is_of(ranges, alpha, t)) continue;
    uint32_t at = 2 * S_constant_at(ranges, &alpha->tests[t].constant) + 1, from = 0,
             to = ranges->segments;
    switch (alpha->tests[t].op) {
      case FB_RULE_LT: to = at; break;
      case FB_RULE_LE: to = at + 1; break;
      case FB_RULE_GT: from = at + 1; break;
      default: from = at; break;
    }
    if (from > entry->from) entry->from = from;
    if (to < entry->to) entry->to = to;
    S_settle(alpha, t);
  }
  if (entry->from > entry->to) entry->to = entry->from;
}

/* Counts the entry into the lists that it belongs to (items NULL), or puts it there: then starts[i + 1] are the ends
 * of what is filled. */
static void S_spread(const fb_rule_ranges *ranges, const S_entry *entry, uint32_t *starts,
                     uint32_t *items) {
  uint32_t low = entry->from, high = entry->to;
  if (ranges->flat) {
    for (; low < high; low++) {
      if (items) items[starts[low + 1]] = entry->alpha;
      starts[low + 1]++;
    }
    return;
  }
  for (low += ranges->segments, high += ranges->segments; low < high; low /= 2, high /= 2) {
    uint32_t nodes[2], count = 0;
    if (low & 1) nodes[count++] = low++;
    if (high & 1) nodes[count++] = --high;
    while (count--) {
      if (items) items[starts[nodes[count] + 1]] = entry->alpha;
      starts[nodes[count] + 1]++;
    }
  }
}

static bool S_hang(fb_ruleset *set, const S_entry *entries, uint32_t count,
                   fb_rule_ranges *ranges) {
  uint64_t cover = 0;
  for (uint32_t i = 0; i < count; i++) cover += entries[i].to - entries[i].from;
  ranges->flat = cover <= (uint64_t)count * FLAT;
  uint32_t lists = ranges->flat ? ranges->segments : 2 * ranges->segments;
  uint32_t *starts = fb_arena_zero(&set->arena, (lists + 2) * sizeof *starts);
  if (!starts) return false;
  /* Counted one place further on, summed, filled: starts[i + 1] then has moved from the start of list i to its end. */
  for (uint32_t i = 0; i < count; i++) S_spread(ranges, &entries[i], starts + 1, NULL);
  for (uint32_t i = 1; i <= lists + 1; i++) starts[i] += starts[i - 1];
  uint32_t *items = fb_arena_alloc(&set->arena, ((size_t)starts[lists + 1] + 1) * sizeof *items);
  uint32_t *all = fb_arena_alloc(&set->arena, count * sizeof *all);
  if (!items || !all) return false;
  for (uint32_t i = 0; i < count; i++) {
    S_spread(ranges, &entries[i], starts, items);
    all[i] = entries[i].alpha;
  }
  ranges->starts = starts;
  ranges->items = items;
  ranges->all = all;
  ranges->all_count = count;
  return true;
}

static bool S_part_order(fb_ruleset *set, S_entry *entries, uint32_t count,
                         fb_rule_ranges *ranges) {
  *ranges = (fb_rule_ranges){.field = entries[0].field, .class_ = entries[0].class_};
  if (!S_take_constants(set, entries, count, ranges) || !S_table_near(set, ranges)) return false;
  for (uint32_t i = 0; i < count; i++) S_take_interval(set, ranges, &entries[i]);
  return S_hang(set, entries, count, ranges);
}

/* ── All of it ── */

static bool S_same_group(const S_entry *a, const S_entry *b) {
  return a->way == b->way && a->field == b->field && a->class_ == b->class_;
}

static bool S_part(fb_ruleset *set, fb_rule_sieve *sieve, S_entry *entries, uint32_t count,
                   uint32_t depth) {
  for (uint32_t from = 0, to; from < count; from = to) {
    for (to = from + 1; to < count && S_same_group(&entries[to], &entries[from]);) to++;
    if (entries[from].way == S_NONE || to - from <= FEW) {
      for (uint32_t i = from; i < to; i++) sieve->alphas[sieve->alpha_count++] = entries[i].alpha;
    } else if (entries[from].way == S_EQUAL) {
      if (!S_part_equal(set, entries + from, to - from, depth,
                        &sieve->dispatches[sieve->dispatch_count++]))
        return false;
    } else if (!S_part_order(set, entries + from, to - from,
                             &sieve->ranges[sieve->range_count++])) {
      return false;
    }
  }
  return true;
}

static bool S_choose_all(fb_ruleset *set, S_entry *entries, uint32_t count) {
  uint32_t fields = set->types[set->alphas[entries[0].alpha].type].field_count + 1;
  uint32_t *counts = fb_alloc_zero(set->allocator, fields * sizeof *counts);
  if (!counts) return false;
  bool good = S_count_constants(set, entries, count, counts);
  for (uint32_t i = 0; i < count && good; i++)
    S_choose(&set->alphas[entries[i].alpha], counts, &entries[i]);
  fb_free(set->allocator, counts, fields * sizeof *counts);
  qsort(entries, count, sizeof *entries, S_by_field_and_key);
  return good;
}

/* Recursion is bounded by FB_SIEVE_DEPTH. */
static fb_rule_sieve *S_sieve(fb_ruleset *set, S_entry *entries, uint32_t count, uint32_t depth) {
  fb_rule_sieve *sieve = fb_arena_zero(&set->arena, sizeof *sieve);
  if (!sieve || !(sieve->alphas = fb_arena_alloc(&set->arena, count * sizeof *sieve->alphas)))
    return NULL;
  if (count <= FEW || depth >= FB_SIEVE_DEPTH) {
    for (uint32_t i = 0; i < count; i++) sieve->alphas[sieve->alpha_count++] = entries[i].alpha;
    return sieve;
  }
  if (!S_choose_all(set, entries, count)) return NULL;
  uint32_t groups = 1;
  for (uint32_t i = 1; i < count; i++) groups += !S_same_group(&entries[i], &entries[i - 1]);
  sieve->dispatches = fb_arena_zero(&set->arena, groups * sizeof *sieve->dispatches);
  sieve->ranges = fb_arena_zero(&set->arena, groups * sizeof *sieve->ranges);
  if (!sieve->dispatches || !sieve->ranges || !S_part(set, sieve, entries, count, depth))
    return NULL;
  return sieve;
}

static bool S_is_flat(const fb_ruleset *set, const fb_rule_alpha *alpha) {
  if (alpha->stored) return false;
  for (uint32_t u = 0; u < alpha->use_count; u++) {
    const fb_rule *rule = &set->rules[set->uses[alpha->uses[u]].rule];
    if (!rule->single) return false;
  }
  return true;
}

bool fb_rule_plan_sieves(fb_ruleset *set) {
  S_entry *entries = fb_alloc_zero(set->allocator, (set->alpha_count + 1) * sizeof *entries);
  uint32_t *starts = fb_alloc_zero(set->allocator, (set->type_count + 2) * sizeof *starts);
  bool good = entries && starts;
  for (uint32_t t = 0; t < set->type_count; t++) set->types[t].flat = !set->types[t].expires;
  for (uint32_t a = 0; a < set->alpha_count && good; a++) {
    fb_rule_alpha *alpha = &set->alphas[a];
    alpha->open_count = alpha->test_count;
    set->types[alpha->type].stored |= alpha->stored;
    set->types[alpha->type].flat &= S_is_flat(set, alpha);
    starts[alpha->type + 2]++;
  }
  for (uint32_t t = 1; t < set->type_count && good; t++) starts[t + 1] += starts[t];
  for (uint32_t a = 0; a < set->alpha_count && good; a++)
    entries[starts[set->alphas[a].type + 1]++].alpha = a;
  for (uint32_t t = 0; t < set->type_count && good; t++) {
    uint32_t count = starts[t + 1] - starts[t];
    if (!count) continue;
    set->types[t].sieve = S_sieve(set, entries + starts[t], count, 0);
    good = set->types[t].sieve != NULL;
  }
  fb_free(set->allocator, entries, (set->alpha_count + 1) * sizeof *entries);
  fb_free(set->allocator, starts, (set->type_count + 2) * sizeof *starts);
  return good;
}
