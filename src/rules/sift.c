/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a table through a sieve, all of a chunk together: each node of the sieve goes through the column that it asks
 * for, with the rows that come to it, and passes them on. Tests that cannot fail on the columns at hand are made by
 * kernels; others, whose failure has to be told in the order of the facts, are left to fb_alpha_test.
 *
 *   selection   numbers of rows, rising, from 0 for the first one sifted; NULL: all of them
 *   filter      what a test comes to on the column at hand
 */
#include "data/facts_internal.h"
#include "data/kernel.h"
#include "rules/session.h"

enum {
  ROWS = FB_CHUNK_ROWS,
  WORDS = ROWS / 64,
  HITS = 1 << 20, /* beyond that fewer rows are sifted at a time */
  ALONE = 4       /* so few rows go through a sieve one by one */
};

struct fb_sifting {
  fb_sift_hit *hits, *sorted;
  size_t cap, sorted_cap;
  uint32_t starts[ROWS + 2];
  uint16_t parts[FB_SIEVE_DEPTH + 1][ROWS];  /* selections of children, one after the other */
  uint32_t childs[FB_SIEVE_DEPTH + 1][ROWS]; /* by row */
  uint16_t filtered[ROWS];
  uint64_t bits[WORDS], more[WORDS];
  uint32_t *counts; /* by child, all 0 between uses */
  size_t count_cap;
};

typedef struct S_run {
  fb_session *session;
  struct fb_sifting *room;
  const fb_kernels *kernels;
  const fb_facts *facts;
  const fb_chunk *chunk;
  uint32_t first, at, rows; /* in the table, in the chunk */
  size_t count;             /* of hits */
  bool nomem, full;
} S_run;

/* ── Hits ── */

static fb_sift_hit *S_room(S_run *run, size_t count) {
  struct fb_sifting *room = run->room;
  if (FB_LIKELY(run->count + count <= room->cap)) return room->hits + run->count;
  if (run->rows > 1 && run->count + count > HITS) {
    run->full = true;
    return NULL;
  }
  size_t cap = room->cap ? room->cap : ROWS;
  while (cap < run->count + count) cap *= 2;
  fb_sift_hit *hits =
      fb_resize(&run->session->allocator, room->hits, room->cap * sizeof *hits, cap * sizeof *hits);
  if (!hits) {
    run->nomem = true;
    return NULL;
  }
  room->hits = hits;
  room->cap = cap;
  return hits + run->count;
}

static void S_hit(S_run *run, const uint16_t *selection, uint32_t count, uint32_t candidate) {
  fb_sift_hit *hits = S_room(run, count);
  if (!hits) return;
  for (uint32_t i = 0; i < count; i++)
    hits[i] = (fb_sift_hit){selection ? selection[i] : i, candidate};
  run->count += count;
}

static void S_hit_bits(S_run *run, const uint64_t *bits, uint32_t candidate) {
  uint32_t words = (run->rows + 63) / 64, count = 0;
  for (uint32_t w = 0; w < words; w++) count += (uint32_t)__builtin_popcountll(bits[w]);
  fb_sift_hit *hits = S_room(run, count);
  if (!hits) return;
  for (uint32_t w = 0; w < words; w++)
    for (uint64_t left = bits[w]; left; left &= left - 1)
      *hits++ = (fb_sift_hit){64 * w + (uint32_t)__builtin_ctzll(left), candidate};
  run->count += count;
}

/* ── Filters ── */

typedef enum S_how {
  S_UNSAFE, /* it may fail */
  S_NONE,
  S_ALL,
  S_INTS,
  S_DOUBLES,
  S_WORDS,
  S_BYTES,
  S_CELLS /* fact by fact */
} S_how;

typedef struct S_filter {
  S_how how;
  fb_kernel_op op;
  const fb_column *column;
  const fb_rule_test *test;
  union {
    int64_t i;
    double d;
    uint32_t word;
    uint8_t byte;
  } constant;
} S_filter;

/* Is the int a double? */
static bool S_int_as_double(int64_t i, double *ret) {
  double d = (double)i;
  if (d >= 0x1p63 || (int64_t)d != i) return false;
  *ret = d;
  return true;
}

static S_how S_never(uint8_t op) {
  return op == FB_RULE_EQ ? S_NONE : S_ALL;
}

static S_how S_equality(const fb_rule_test *test, S_filter *filter) {
  fb_rule_key key = test->key;
  if (key.tag == FB_KEY_HASHED || key.tag == FB_KEY_UNKNOWN_TEXT) return S_CELLS;
  switch (filter->column->kind) {
    case FB_INT:
      filter->constant.i = (int64_t)key.bits;
      return key.tag == FB_KEY_INT ? S_INTS : S_never(test->op);
    case FB_DOUBLE:
      if (key.tag == FB_KEY_DOUBLE)
        memcpy(&filter->constant.d, &key.bits, sizeof key.bits);
      else if (key.tag == FB_KEY_UINT)
        return S_CELLS;
      else if (key.tag != FB_KEY_INT || !S_int_as_double((int64_t)key.bits, &filter->constant.d))
        return S_never(test->op);
      return S_DOUBLES;
    case FB_STRING:
      filter->constant.word = (uint32_t)key.bits;
      return key.tag == FB_KEY_SYMBOL ? S_WORDS : S_never(test->op);
    case FB_BOOL:
      filter->constant.byte = (uint8_t)key.bits;
      return key.tag == FB_KEY_BOOL ? S_BYTES : S_never(test->op);
    default: return S_CELLS;
  }
}

static bool S_is_number(uint8_t kind) {
  return kind >= FB_INT && kind <= FB_DOUBLE;
}

static S_how S_order(const fb_rule_test *test, S_filter *filter, bool dense) {
  uint8_t kind = filter->column->kind, other = test->constant.kind;
  if (dense && kind == FB_INT && other == FB_INT) {
    filter->constant.i = test->constant.as.i;
    return S_INTS;
  }
  if (dense && kind == FB_DOUBLE && other == FB_DOUBLE) {
    filter->constant.d = test->constant.as.d;
    return S_DOUBLES;
  }
  if (dense && kind == FB_DOUBLE && other == FB_INT &&
      S_int_as_double(test->constant.as.i, &filter->constant.d))
    return S_DOUBLES;
  bool alike = (S_is_number(kind) && S_is_number(other)) || (kind == FB_STRING && other == kind);
  return alike ? S_CELLS : S_UNSAFE;
}

static S_filter S_filter_of(const S_run *run, const fb_rule_test *test) {
  S_filter filter = {.test = test, .op = (fb_kernel_op)test->op};
  if (test->op == FB_RULE_PROGRAM) return filter;
  filter.column = test->field < run->chunk->column_count ? &run->chunk->columns[test->field] : NULL;
  if (!filter.column || !filter.column->cells) {
    filter.how = test->op == FB_RULE_LACKS ? S_ALL : S_NONE;
    return filter;
  }
  bool dense = filter.column->dense >= run->at + run->rows;
  switch (test->op) {
    case FB_RULE_HAS: filter.how = dense ? S_ALL : S_CELLS; break;
    case FB_RULE_LACKS: filter.how = dense ? S_NONE : S_CELLS; break;
    case FB_RULE_TRUE:
    case FB_RULE_FALSE:
      filter.op = FB_KERNEL_EQ;
      filter.constant.byte = test->op == FB_RULE_TRUE;
      filter.how = filter.column->kind != FB_BOOL ? S_UNSAFE : dense ? S_BYTES : S_CELLS;
      break;
    case FB_RULE_EQ:
    case FB_RULE_NE:
      if (test->key.tag == FB_KEY_NONE)
        filter.how = test->op == FB_RULE_EQ ? S_NONE : S_CELLS;
      else
        filter.how = dense ? S_equality(test, &filter) : S_CELLS;
      break;
    default: filter.how = S_order(test, &filter, dense); break;
  }
  return filter;
}

static bool S_cell(const S_run *run, const S_filter *filter, uint32_t row) {
  bool failed = false;
  fb_value value = fb_facts_cell(run->facts, run->first + row, filter->test->field);
  return fb_alpha_direct(run->session, filter->test, value, &failed);
}

/* Of all rows, into bits. */
static void S_filter_all(const S_run *run, const S_filter *filter, uint64_t *bits) {
  const void *cells = filter->column->cells;
  const fb_kernels *kernels = run->kernels;
  uint32_t at = run->at, rows = run->rows;
  switch (filter->how) {
    case S_INTS:
      kernels->ints(filter->op, (const int64_t *)cells + at, rows, filter->constant.i, bits);
      break;
    case S_DOUBLES:
      kernels->doubles(filter->op, (const double *)cells + at, rows, filter->constant.d, bits);
      break;
    case S_WORDS:
      kernels->words(filter->op, (const uint32_t *)cells + at, rows, filter->constant.word, bits);
      break;
    case S_BYTES:
      kernels->bytes(filter->op, (const uint8_t *)cells + at, rows, filter->constant.byte, bits);
      break;
    default:
      memset(bits, 0, WORDS * sizeof *bits);
      for (uint32_t row = 0; row < rows; row++)
        bits[row / 64] |= (uint64_t)S_cell(run, filter, row) << row % 64;
  }
}

/* Of a selection, into another or itself; how many are left. */
static uint32_t S_filter_some(const S_run *run, const S_filter *filter, const uint16_t *from,
                              uint32_t count, uint16_t *to) {
  uint32_t kept = 0;
#define S_KEEP(type, field, compare)                                   \
  {                                                                    \
    const type *cells = (const type *)filter->column->cells + run->at; \
    type c = filter->constant.field;                                   \
    for (uint32_t i = 0; i < count; i++) {                             \
      to[kept] = from[i];                                              \
      kept += cells[from[i]] compare c;                                \
    }                                                                  \
    return kept;                                                       \
  }
#define S_KEEP_OPS(type, field)                \
  switch (filter->op) {                        \
    case FB_KERNEL_EQ: S_KEEP(type, field, ==) \
    case FB_KERNEL_NE: S_KEEP(type, field, !=) \
    case FB_KERNEL_LT: S_KEEP(type, field, <)  \
    case FB_KERNEL_LE: S_KEEP(type, field, <=) \
    case FB_KERNEL_GT: S_KEEP(type, field, >)  \
    case FB_KERNEL_GE: S_KEEP(type, field, >=) \
  }
  switch (filter->how) {
    case S_INTS: S_KEEP_OPS(int64_t, i) break;
    case S_DOUBLES: S_KEEP_OPS(double, d) break;
    case S_WORDS: S_KEEP_OPS(uint32_t, word) break;
    case S_BYTES: S_KEEP_OPS(uint8_t, byte) break;
    default: break;
  }
#undef S_KEEP_OPS
#undef S_KEEP
  for (uint32_t i = 0; i < count; i++) {
    to[kept] = from[i];
    kept += S_cell(run, filter, from[i]);
  }
  return kept;
}

/* ── Alphas ── */

typedef struct S_state {
  const uint16_t *selection; /* NULL: all, or those in room->bits */
  uint32_t count;
  bool bits;
} S_state;

static void S_apply(S_run *run, const S_filter *filter, S_state *state) {
  struct fb_sifting *room = run->room;
  if (filter->how == S_ALL) return;
  if (filter->how == S_NONE) {
    *state = (S_state){room->filtered, 0, false};
  } else if (state->selection) {
    state->count = S_filter_some(run, filter, state->selection, state->count, room->filtered);
    state->selection = room->filtered;
  } else if (!state->bits) {
    S_filter_all(run, filter, room->bits);
    state->bits = true;
  } else {
    S_filter_all(run, filter, room->more);
    for (uint32_t w = 0; w < (run->rows + 63) / 64; w++) room->bits[w] &= room->more[w];
  }
}

/* The rows for which all tests hold that the sieve has not settled and that cannot fail. */
static void S_sift_alpha(S_run *run, uint32_t number, const uint16_t *selection, uint32_t count) {
  const fb_rule_alpha *alpha = &run->session->set->alphas[number];
  S_state state = {selection, count, false};
  bool sure = true;
  for (uint32_t t = 0; t < alpha->test_count; t++) {
    if (t < 64 && (alpha->settled >> t & 1)) continue;
    S_filter filter = S_filter_of(run, &alpha->tests[t]);
    if (filter.how == S_UNSAFE)
      sure = false;
    else
      S_apply(run, &filter, &state);
    if (state.selection && !state.count) return;
  }
  uint32_t candidate = number | (sure ? FB_RULE_SURE : 0);
  if (state.bits)
    S_hit_bits(run, run->room->bits, candidate);
  else
    S_hit(run, state.selection, state.count, candidate);
}

/* ── Intervals ── */

static void S_hit_items(S_run *run, uint32_t row, const uint32_t *items, uint32_t count) {
  fb_sift_hit *hits = S_room(run, count);
  if (!hits) return;
  for (uint32_t i = 0; i < count; i++) hits[i] = (fb_sift_hit){row, items[i]};
  run->count += count;
}

static void S_hit_segment(S_run *run, const fb_rule_ranges *ranges, uint32_t row, uint32_t at) {
  if (!ranges->flat) at += ranges->segments;
  do {
    uint32_t start = ranges->starts[at], count = ranges->starts[at + 1] - start;
    if (count) S_hit_items(run, row, ranges->items + start, count);
    at /= 2;
  } while (!ranges->flat && at);
}

/* What one row finds by itself. */
static void S_sift_row(S_run *run, uint32_t row, const fb_rule_sieve *sieve,
                       const fb_rule_ranges *ranges) {
  fb_sifter sifter = {run->session, run->facts, run->first + row, 0, run->session->candidates};
  if (sieve)
    fb_sifter_sift(&sifter, sieve);
  else
    fb_sifter_ranges(&sifter, ranges);
  S_hit_items(run, row, sifter.found, sifter.count);
}

static uint32_t S_segment_near(const fb_rule_ranges *ranges, int64_t value) {
  uint32_t last = ranges->constant_count - 1;
  if (value < ranges->ints[0]) return 0;
  return value > ranges->ints[last] ? ranges->segments - 1 : ranges->near[value - ranges->ints[0]];
}

static void S_sift_ranges(S_run *run, const fb_rule_ranges *ranges, const uint16_t *selection,
                          uint32_t count) {
  const fb_column *column =
      ranges->field < run->chunk->column_count ? &run->chunk->columns[ranges->field] : NULL;
  if (!column || !column->cells) return;
  bool ints = column->dense >= run->at + run->rows && column->kind == FB_INT && ranges->ints;
  const int64_t *cells = (const int64_t *)column->cells + run->at;
  for (uint32_t i = 0; i < count && !run->full && !run->nomem; i++) {
    uint32_t row = selection ? selection[i] : i;
    if (!ints)
      S_sift_row(run, row, NULL, ranges);
    else if (ranges->near)
      S_hit_segment(run, ranges, row, S_segment_near(ranges, cells[row]));
    else
      S_hit_segment(run, ranges, row, fb_sifter_segment(ranges, fb_int(cells[row])));
  }
}

/* ── Equalities ── */

/* Notes the child of each row. */
static void S_find_childs(S_run *run, const fb_rule_dispatch *dispatch, const fb_column *column,
                          const uint16_t *selection, uint32_t count, uint32_t *childs) {
  bool dense = column->dense >= run->at + run->rows;
  if (dense && column->kind == FB_STRING && dispatch->symbols) {
    const fb_symbol *cells = (const fb_symbol *)column->cells + run->at;
    uint32_t first = (uint32_t)dispatch->first_symbol;
    for (uint32_t i = 0; i < count; i++) {
      uint32_t row = selection ? selection[i] : i, key = cells[row] - first;
      childs[row] = key < dispatch->symbol_count ? dispatch->symbols[key] : 0;
    }
  } else if (dense && column->kind == FB_INT && dispatch->ints) {
    const uint64_t *cells = (const uint64_t *)column->cells + run->at;
    uint64_t first = (uint64_t)dispatch->first_int;
    for (uint32_t i = 0; i < count; i++) {
      uint32_t row = selection ? selection[i] : i;
      uint64_t key = cells[row] - first;
      childs[row] = key < dispatch->int_count ? dispatch->ints[key] : 0;
    }
  } else {
    fb_sifter sifter = {run->session, run->facts, 0, 0, NULL};
    for (uint32_t i = 0; i < count; i++) {
      uint32_t row = selection ? selection[i] : i;
      sifter.row = run->first + row;
      childs[row] = fb_sifter_child(&sifter, dispatch);
    }
  }
}

static bool S_count_room(S_run *run, uint32_t childs) {
  struct fb_sifting *room = run->room;
  const fb_allocator *allocator = &run->session->allocator;
  if (childs < room->count_cap) return true;
  size_t cap = childs + 64;
  uint32_t *counts = fb_alloc_zero(allocator, cap * sizeof *counts);
  if (!counts) return !(run->nomem = true);
  fb_free(allocator, room->counts, room->count_cap * sizeof *counts);
  room->counts = counts;
  room->count_cap = cap;
  return true;
}

/* Puts the rows that have a child in the order of children, those met first to the front; returns how many. */
static uint32_t S_part(struct fb_sifting *room, const uint32_t *childs, const uint16_t *selection,
                       uint32_t count, uint16_t *part) {
  uint32_t *counts = room->counts, distinct = 0, end = 0;
  uint16_t *met = room->filtered; /* a row of each child */
  for (uint32_t i = 0; i < count; i++) {
    uint32_t row = selection ? selection[i] : i, child = childs[row];
    if (!child) continue;
    if (!counts[child]++) met[distinct++] = (uint16_t)row;
  }
  for (uint32_t d = 0; d < distinct; d++) {
    uint32_t *at = &counts[childs[met[d]]], size = *at;
    *at = end;
    end += size;
  }
  for (uint32_t i = 0; i < count; i++) {
    uint32_t row = selection ? selection[i] : i, child = childs[row];
    if (child) part[counts[child]++] = (uint16_t)row;
  }
  for (uint32_t d = 0; d < distinct; d++) counts[childs[met[d]]] = 0;
  return end;
}

static void S_sift(S_run *run, const fb_rule_sieve *sieve, const uint16_t *selection,
                   uint32_t count, uint32_t depth);

static void S_sift_dispatch(S_run *run, const fb_rule_dispatch *dispatch, const uint16_t *selection,
                            uint32_t count, uint32_t depth) {
  const fb_column *column =
      dispatch->field < run->chunk->column_count ? &run->chunk->columns[dispatch->field] : NULL;
  uint32_t *childs = run->room->childs[depth];
  uint16_t *part = run->room->parts[depth];
  if (!column || !column->cells || !S_count_room(run, dispatch->child_count)) return;
  S_find_childs(run, dispatch, column, selection, count, childs);
  uint32_t end = S_part(run->room, childs, selection, count, part);
  for (uint32_t from = 0, to; from < end; from = to) {
    uint32_t child = childs[part[from]];
    for (to = from + 1; to < end && childs[part[to]] == child;) to++;
    S_sift(run, dispatch->children[child], part + from, to - from, depth + 1);
  }
}

/* Recursion is bounded by the depth that the planner gives sieves. */
static void S_sift(S_run *run, const fb_rule_sieve *sieve, const uint16_t *selection,
                   uint32_t count, uint32_t depth) {
  if (run->full || run->nomem) return;
  if (selection && count <= ALONE) {
    for (uint32_t i = 0; i < count; i++) S_sift_row(run, selection[i], sieve, NULL);
    return;
  }
  for (uint32_t i = 0; i < sieve->alpha_count; i++)
    S_sift_alpha(run, sieve->alphas[i], selection, count);
  for (uint32_t i = 0; i < sieve->range_count; i++)
    S_sift_ranges(run, &sieve->ranges[i], selection, count);
  for (uint32_t i = 0; i < sieve->dispatch_count; i++)
    S_sift_dispatch(run, &sieve->dispatches[i], selection, count, depth);
}

/* ── All of it ── */

/* Fills `starts`; true if the hits are in the order of rows already. */
static bool S_count_rows(const S_run *run, uint32_t *starts) {
  const fb_sift_hit *hits = run->room->hits;
  bool sorted = true;
  memset(starts, 0, (run->rows + 2) * sizeof *starts);
  for (size_t i = 0; i < run->count; i++) {
    starts[hits[i].row + 2]++;
    sorted &= !i || hits[i].row >= hits[i - 1].row;
  }
  for (uint32_t row = 0; row < run->rows; row++) starts[row + 2] += starts[row + 1];
  return sorted;
}

/* `starts` is one place further on until the hits are spread; then each has moved from its start to its end. */
static bool S_by_row(S_run *run) {
  struct fb_sifting *room = run->room;
  uint32_t *starts = room->starts;
  if (S_count_rows(run, starts)) {
    memmove(starts, starts + 1, (run->rows + 1) * sizeof *starts);
    return true;
  }
  if (room->sorted_cap < room->cap) {
    fb_sift_hit *sorted = fb_resize(&run->session->allocator, room->sorted,
                                    room->sorted_cap * sizeof *sorted, room->cap * sizeof *sorted);
    if (!sorted) return false;
    room->sorted = sorted;
    room->sorted_cap = room->cap;
  }
  for (size_t i = 0; i < run->count; i++)
    room->sorted[starts[room->hits[i].row + 1]++] = room->hits[i];
  fb_sift_hit *hits = room->hits;
  size_t cap = room->cap;
  room->hits = room->sorted;
  room->cap = room->sorted_cap;
  room->sorted = hits;
  room->sorted_cap = cap;
  return true;
}

/* Where tests are counted, each is to be made by itself. */
static void S_sift_all(S_run *run, const fb_rule_sieve *sieve) {
  if (!run->session->profile) {
    S_sift(run, sieve, NULL, run->rows, 0);
    return;
  }
  for (uint32_t row = 0; row < run->rows && !run->full && !run->nomem; row++)
    S_sift_row(run, row, sieve, NULL);
}

fb_status fb_sift_rows(fb_session *session, uint32_t type, const fb_facts *facts, uint32_t first,
                       uint32_t *count, fb_sift *ret) {
  const fb_rule_sieve *sieve =
      type < session->set->type_count ? session->set->types[type].sieve : NULL;
  if (!session->sifting)
    session->sifting = fb_alloc_zero(&session->allocator, sizeof *session->sifting);
  if (!session->sifting) return FB_E_NOMEM;
  S_run run = {session,
               session->sifting,
               session->kernels,
               facts,
               &facts->chunks[first / FB_CHUNK_ROWS],
               first,
               first % FB_CHUNK_ROWS,
               *count,
               0,
               false,
               false};
  if (run.rows > FB_CHUNK_ROWS - run.at) run.rows = FB_CHUNK_ROWS - run.at;
  if (sieve) S_sift_all(&run, sieve);
  while (run.full) {
    run.rows /= 2;
    run.count = 0;
    run.full = false;
    S_sift_all(&run, sieve);
  }
  if (run.nomem || !S_by_row(&run)) return FB_E_NOMEM;
  *count = run.rows;
  *ret = (fb_sift){run.room->hits, run.room->starts};
  return FB_OK;
}

void fb_sift_release(fb_session *session) {
  struct fb_sifting *room = session->sifting;
  const fb_allocator *allocator = &session->allocator;
  if (!room) return;
  fb_free(allocator, room->hits, room->cap * sizeof *room->hits);
  fb_free(allocator, room->sorted, room->sorted_cap * sizeof *room->sorted);
  fb_free(allocator, room->counts, room->count_cap * sizeof *room->counts);
  fb_free(allocator, room, sizeof *room);
  session->sifting = NULL;
}
