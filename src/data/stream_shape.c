/* SPDX-License-Identifier: Apache-2.0
 * Runs of JSON records that look like some seen before. The bytes between values (the glue) were checked
 * when a record with them was read in full; where a later one has the very same bytes, only its values
 * are left to read, and they go straight into the columns. Glue is kept as a graph, one a type, so that
 * keys may come and go. A record that takes an unknown way is undone and read in full: nothing is
 * accepted here that is not accepted there. */
#include "data/json_scan.h"
#include "data/stream_internal.h"

#if defined(__SSE2__) && !defined(FB_PORTABLE)
#define FB_SHAPE_SSE2 1
#endif

/* ── Reading ahead: at most 32 bytes, which FB_STREAM_PAD admits ── */

static inline uint64_t S_load(const char *at) {
  uint64_t word;
  memcpy(&word, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

static inline bool S_match(const char *at, const char *glue, uint32_t len) {
#ifdef FB_SHAPE_SSE2
  for (; len > 16; at += 16, glue += 16, len -= 16) {
    __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)at),
                                  _mm_loadu_si128((const __m128i *)(const void *)glue));
    if (_mm_movemask_epi8(same) != 0xffff) return false;
  }
  __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)at),
                                _mm_loadu_si128((const __m128i *)(const void *)glue));
  return (~(unsigned)_mm_movemask_epi8(same) & ((1u << len) - 1)) == 0;
#else
  return memcmp(at, glue, len) == 0;
#endif
}

/* How many of the 16 bytes come before the first quote, backslash, control or non-ASCII byte. */
static inline unsigned S_plain16(const char *at) {
#ifdef FB_SHAPE_SSE2
  __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
  __m128i stops = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                            _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))),
                               _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)));
  return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(stops) | 0x10000u);
#else
  unsigned n = 0;
  while (n < 16 && at[n] != '"' && at[n] != '\\' && (unsigned char)(at[n] - 0x20) < 0x60) n++;
  return n;
#endif
}

/* ── Values. Each returns the byte after the value, or NULL if it is not of the expected form. ── */

/* A short text whose symbol is looked up at the end of its record: until then its slot comes near. */
typedef struct fb_late_text {
  fb_symbol *cell;
  fb_symbol_key key;
  uint64_t hash;
  const char *text;
} fb_late_text;

typedef struct fb_late_texts {
  uint32_t count;
  fb_late_text items[FB_SHAPE_FIELDS];
} fb_late_texts;

static inline const char *S_text_cell(fb_stream *stream, const char *at, const char *end,
                                      fb_symbol *cell, fb_late_texts *late) {
  unsigned n = S_plain16(at);
  if (FB_UNLIKELY(n == 16 || at[n] != '"')) return fb_stream_text(stream, at, end, cell);
  if (FB_UNLIKELY(n == 0)) {
    *cell = 0;
    return at + 1;
  }
  uint64_t keep = ~UINT64_C(0) >> ((64 - 8 * n) & 63);
  fb_symbol_key key = {S_load(at), S_load(at + 8), n};
  if (n <= 8) {
    key.low &= keep;
    key.high = 0;
  } else {
    key.high &= keep; /* 64 - 8 * n is taken modulo 64: that of n - 8 */
  }
  uint64_t hash = fb_symbol_hash(stream->symbols, key);
  __builtin_prefetch(&stream->symbols->slots[hash & stream->symbols->mask]);
  late->items[late->count++] = (fb_late_text){cell, key, hash, at};
  return at + n + 1;
}

static inline bool S_late_texts(fb_symbols *symbols, const fb_late_texts *late) {
  for (uint32_t i = 0; i < late->count; i++) {
    const fb_late_text *text = &late->items[i];
    fb_symbol symbol = fb_symbol_find_hashed(symbols, text->key, text->hash);
    if (FB_UNLIKELY(!symbol) && fb_symbol_add_short(symbols, text->key, text->text, &symbol))
      return false;
    *text->cell = symbol;
  }
  return true;
}

/* How many of the first eight bytes are digits before another one comes. */
static inline unsigned S_digits(uint64_t word) {
  uint64_t t = word ^ UINT64_C(0x3030303030303030);
  uint64_t others = ((t + UINT64_C(0x7676767676767676)) | t) & UINT64_C(0x8080808080808080);
  return others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
}

/* The number that the first n digits make, 1 ≤ n ≤ 8: shifted up, so that zeros come before them, then
 * pairs, fours and the whole are put together. */
static inline uint32_t S_number(uint64_t word, unsigned n) {
  uint64_t t = (word - UINT64_C(0x3030303030303030)) << (64 - 8 * n);
  t = t * 10 + (t >> 8);
  return (uint32_t)(((t & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
                     ((t >> 16 & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001))) >>
                    32);
}

static const char *S_int_slow(const char *at, const char *end, int64_t *cell) {
  fb_value value;
  fb_scan_fault fault;
  at = at < end ? fb_scan_number(at, end, &value, &fault) : NULL;
  if (!at || value.kind != FB_INT) return NULL;
  *cell = value.as.i;
  return at;
}

static inline const char *S_int_cell(const char *at, const char *end, int64_t *cell) {
  bool negative = *at == '-';
  const char *p = at + negative;
  uint64_t word = S_load(p);
  unsigned n = S_digits(word);
  if (FB_UNLIKELY(n == 0 || (n > 1 && *p == '0'))) return NULL;
  if (FB_UNLIKELY(n == 8)) return S_int_slow(at, end, cell);
  int64_t number = S_number(word, n);
  *cell = negative ? -number : number;
  return p + n;
}

static const char *S_double_slow(const char *at, const char *end, bool declared, double *cell) {
  fb_value value;
  fb_scan_fault fault;
  at = at < end ? fb_scan_number(at, end, &value, &fault) : NULL;
  if (!at || (value.kind != FB_DOUBLE && !declared) || !fb_field_convert(FB_FIELD_DOUBLE, &value))
    return NULL;
  *cell = value.as.d;
  return at;
}

static inline const char *S_double_cell(const char *at, const char *end, bool declared,
                                        double *cell) {
  bool negative = *at == '-';
  const char *p = at + negative;
  uint64_t word = S_load(p);
  unsigned n = S_digits(word);
  if (FB_UNLIKELY(n == 0 || (n > 1 && *p == '0'))) return NULL;
  if (FB_UNLIKELY(n == 8 || p[n] != '.')) return S_double_slow(at, end, declared, cell);
  uint64_t whole = S_number(word, n);
  p += n + 1;
  word = S_load(p);
  n = S_digits(word);
  if (FB_UNLIKELY(n == 0)) return NULL;
  if (FB_UNLIKELY(FLT_EVAL_METHOD != 0 || n == 8 || (p[n] | 0x20) == 'e'))
    return S_double_slow(at, end, declared, cell);
  /* At most 14 digits over an exact power of ten: rounded once. */
  static const uint32_t tens[8] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
  double d = (double)(int64_t)(whole * tens[n] + S_number(word, n)) / fb_decimal_tens[n];
  *cell = negative ? -d : d;
  return p + n;
}

/* Without a branch on the value, which nothing could predict. */
static inline const char *S_bool_cell(const char *at, uint8_t *cell) {
  uint32_t head, yes, no;
  memcpy(&head, at, 4);
  memcpy(&yes, "true", 4);
  memcpy(&no, "fals", 4);
  bool is_true = head == yes, is_false = (head == no) & (at[4] == 'e');
  *cell = is_true;
  return FB_LIKELY(is_true | is_false) ? at + 5 - is_true : NULL;
}

static const char *S_any_cell(fb_stream *stream, fb_facts *facts, const fb_shape_node *node,
                              const char *at, const char *end, uint32_t row) {
  fb_value value;
  if (node->type == FB_FIELD_ANY && (*at == '-' || (unsigned char)(*at - '0') <= 9)) {
    fb_scan_fault fault;
    at = at < end ? fb_scan_number(at, end, &value, &fault) : NULL;
  } else {
    at = fb_stream_value(stream, facts, at, end, (fb_field_type)node->type, &value);
  }
  if (!at || value.kind == FB_ABSENT) return NULL;
  if (node->op == FB_OP_VALUE)
    ((fb_value *)node->cells)[row] = value;
  else if (value.kind == FB_UINT)
    ((uint64_t *)node->cells)[row] = value.as.u;
  else
    return NULL;
  return at;
}

/* ── Records ── */

/* The node after this one whose glue stands at `at`; it is the first to be tried the next time. */
static const fb_shape_node *S_other(fb_shape *shape, fb_shape_node *node, const char *at) {
  for (uint32_t i = 1; i < node->next_count; i++) {
    uint16_t number = node->next[i];
    const fb_shape_node *next = &shape->nodes[number];
    if (!S_match(at, shape->text + next->glue, next->glue_len)) continue;
    node->next[i] = node->next[0];
    node->next[0] = number;
    return next;
  }
  return NULL;
}

/* One record, whose first glue is that of `node`. NULL if it is not what it looked like: each step was
 * seen in some record, but all of them together may name a key twice, or the type not once. */
static inline const char *S_record(fb_stream *stream, fb_shape *shape, fb_shape_node *node,
                                   uint32_t row, const char *at, const char *end,
                                   uint64_t *ret_keys, fb_late_texts *late) {
  for (uint64_t keys = 0;;) {
    if (FB_UNLIKELY(keys & node->keys)) return NULL;
    keys |= node->keys;
    at += node->glue_len;
    switch ((fb_shape_op)node->op) {
      case FB_OP_STRING:
        at = S_text_cell(stream, at, end, (fb_symbol *)node->cells + row, late);
        break;
      case FB_OP_INT: at = S_int_cell(at, end, (int64_t *)node->cells + row); break;
      case FB_OP_DOUBLE: at = S_double_cell(at, end, false, (double *)node->cells + row); break;
      case FB_OP_ANY_DOUBLE: at = S_double_cell(at, end, true, (double *)node->cells + row); break;
      case FB_OP_BOOL: at = S_bool_cell(at, (uint8_t *)node->cells + row); break;
      case FB_OP_END:
        *ret_keys = keys & ~FB_SHAPE_TYPED;
        return ((keys & FB_SHAPE_TYPED) || shape->untyped) && S_late_texts(stream->symbols, late)
                   ? at
                   : NULL;
      default: at = S_any_cell(stream, shape->facts, node, at, end, row); break;
    }
    if (FB_UNLIKELY(!at)) return NULL;
    const fb_shape_node *next = &shape->nodes[node->next[0]];
    if (FB_UNLIKELY(!S_match(at, shape->text + next->glue, next->glue_len))) {
      next = S_other(shape, node, at);
      if (!next) return NULL;
    }
    node = (fb_shape_node *)next;
  }
}

/* What stands between this record and the next. NULL if this one is not followed by what must follow. */
static inline const char *S_separator(fb_stream *stream, const char *at, bool *ret_open) {
  if (stream->options.format == FB_STREAM_JSON) {
    *ret_open = *at != ',';
    if (*ret_open) return at;
    do at++;
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t');
    return at;
  }
  at += *at == '\r';
  return *at == '\n' ? at + 1 : NULL;
}

static const char *S_try(fb_stream *stream, fb_shape *shape, uint16_t node, uint32_t row,
                         const char *at, uint64_t *ret_keys, bool *ret_open) {
  fb_arena_mark mark = fb_arena_save(&shape->facts->arena);
  fb_late_texts late;
  late.count = 0;
  const char *next = S_record(stream, shape, &shape->nodes[node], row, at,
                              stream->buf + stream->end, ret_keys, &late);
  if (FB_LIKELY(next && (size_t)(next - at) <= stream->options.max_record)) {
    next = S_separator(stream, next, ret_open);
    if (FB_LIKELY(next != NULL)) return next;
  }
  fb_arena_rewind(&shape->facts->arena, mark);
  return NULL;
}

/* ── Runs ── */

/* A shape that no longer fits its columns, or is full, is learned anew. */
static void S_forget(fb_stream *stream, fb_shape *shape) {
  shape->node_count = shape->text_len = shape->field_count = shape->room = 0;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < stream->root_count; i++)
    if (stream->roots[i].shape != shape) stream->roots[kept++] = stream->roots[i];
  stream->root_count = kept;
  for (uint32_t i = 0; i < kept; i++) stream->roots[i].next = (uint8_t)i;
  stream->root = stream->next_root = 0;
}

/* One column ready for rows from `row` on; if records differ in their fields, also for those without. */
static fb_status S_bind_column(fb_shape *shape, fb_chunk *chunk, const fb_shape_node *node,
                               uint32_t row) {
  fb_column *column = node->field < chunk->column_count ? &chunk->columns[node->field] : NULL;
  if (column && column->cells && column->kind != node->kind) return FB_E_FACT_VALUE;
  fb_status status =
      fb_facts_column_for(shape->facts, chunk, node->field, node->kind, row, &column);
  return !status && shape->varied ? fb_facts_need_bits(shape->facts, column) : status;
}

/* Makes the columns of the table's last chunk ready for its next rows. */
static bool S_bind(fb_stream *stream, fb_shape *shape) {
  fb_chunk *chunk;
  if (fb_stream_run_room(stream) || fb_facts_last_chunk(shape->facts, &chunk)) return false;
  uint32_t row = chunk->count, number = shape->facts->count / FB_CHUNK_ROWS;
  if (row < shape->room && number == shape->chunk) return true;
  for (uint32_t i = 0; i < shape->node_count; i++) {
    const fb_shape_node *node = &shape->nodes[i];
    fb_status status = node->op == FB_OP_END ? FB_OK : S_bind_column(shape, chunk, node, row);
    if (status == FB_E_FACT_VALUE) S_forget(stream, shape);
    if (status) return false;
  }
  uint32_t rows = FB_CHUNK_ROWS;
  for (uint32_t bit = 0; bit < shape->field_count; bit++) {
    fb_column *column = &chunk->columns[shape->fields[bit]];
    shape->columns[bit] = column;
    if (column->rows < rows) rows = column->rows;
  }
  for (uint32_t i = 0; i < shape->node_count; i++)
    if (shape->nodes[i].op != FB_OP_END)
      shape->nodes[i].cells = chunk->columns[shape->nodes[i].field].cells;
  shape->room = rows;
  shape->chunk = number;
  return true;
}

typedef struct fb_shape_rows {
  fb_shape *shape;
  uint32_t row;   /* of the chunk: the next one */
  uint32_t count; /* read but not yet counted; they end at `row` */
  uint32_t alike; /* of these the last, which have the fields `keys` and are not marked present */
  uint64_t keys;
} fb_shape_rows;

static void S_mark(fb_shape_rows *rows) {
  if (rows->alike)
    for (uint64_t keys = rows->keys; keys; keys &= keys - 1)
      fb_facts_mark(rows->shape->columns[__builtin_ctzll(keys)], rows->row - rows->alike,
                    rows->alike);
  rows->alike = 0;
}

static void S_flush(fb_stream *stream, fb_shape_rows *rows) {
  S_mark(rows);
  if (rows->count) {
    fb_facts_commit(rows->shape->facts, rows->count);
    fb_stream_count(stream, rows->shape->facts, rows->count);
  }
  rows->count = 0;
}

/* Changes to another shape, or to the next rows of this one. */
static bool S_turn(fb_stream *stream, fb_shape_rows *rows, fb_shape *shape) {
  S_flush(stream, rows);
  rows->shape = NULL;
  if (!S_bind(stream, shape)) return false;
  *rows = (fb_shape_rows){.shape = shape, .row = shape->facts->count % FB_CHUNK_ROWS};
  return true;
}

static const char *S_try_root(fb_stream *stream, uint32_t number, fb_shape_rows *rows,
                              const char *at, bool *ret_open) {
  fb_shape_root *root = &stream->roots[number];
  fb_shape *shape = root->shape;
  const fb_shape_node *node = &shape->nodes[root->node];
  if (!S_match(at, shape->text + node->glue, node->glue_len)) return NULL;
  if (FB_UNLIKELY(shape != rows->shape || rows->row >= shape->room))
    if (!S_turn(stream, rows, shape)) return NULL;
  uint64_t keys;
  const char *next = S_try(stream, shape, root->node, rows->row, at, &keys, ret_open);
  if (!next) return NULL;
  if (keys != rows->keys) {
    S_mark(rows);
    rows->keys = keys;
  }
  rows->row++;
  rows->alike++;
  rows->count++;
  stream->roots[stream->root].next = (uint8_t)number;
  stream->root = (uint8_t)number;
  return next;
}

const char *fb_shape_run(fb_stream *stream, const char *at, const char *limit, bool *ret_open) {
  fb_shape_rows rows = {0};
  *ret_open = false;
  while (at < limit && !*ret_open && stream->rows + rows.count < stream->options.batch_rows &&
         stream->root_count) {
    uint32_t guess = stream->roots[stream->root].next;
    const char *next = S_try_root(stream, guess, &rows, at, ret_open);
    for (uint32_t i = 0; !next && i < stream->root_count; i++)
      if (i != guess) next = S_try_root(stream, i, &rows, at, ret_open);
    if (!next) break;
    at = next;
  }
  S_flush(stream, &rows);
  return at;
}

/* ── Learning ── */

static bool S_op(const fb_member *member, uint8_t kind, fb_field_type type, fb_shape_node *node) {
  node->kind = kind;
  node->type = (uint8_t)type;
  switch (kind) {
    case FB_STRING: node->op = FB_OP_STRING; return member->value.kind == FB_STRING;
    case FB_INT: node->op = FB_OP_INT; return true;
    case FB_UINT: node->op = FB_OP_UINT; return true;
    case FB_BOOL: node->op = FB_OP_BOOL; return true;
    case FB_DOUBLE:
      node->op = type == FB_FIELD_DOUBLE ? FB_OP_ANY_DOUBLE : FB_OP_DOUBLE;
      return true;
    default: node->op = FB_OP_VALUE; return true;
  }
}

/* Number of the node with this glue, made if there is none. -1: it does not fit. */
static int32_t S_node(fb_shape *shape, const fb_shape_node *wanted, const char *glue, size_t len) {
  for (uint32_t i = 0; i < shape->node_count; i++) {
    const fb_shape_node *node = &shape->nodes[i];
    if (node->glue_len == len && node->op == wanted->op && node->field == wanted->field &&
        memcmp(shape->text + node->glue, glue, len) == 0)
      return (int32_t)i;
  }
  if (shape->node_count == FB_SHAPE_NODES || shape->text_len + len > FB_SHAPE_TEXT) return -1;
  uint32_t bit = 0;
  if (wanted->op != FB_OP_END) {
    while (bit < shape->field_count && shape->fields[bit] != wanted->field) bit++;
    if (bit == FB_SHAPE_FIELDS) return -1;
    if (bit == shape->field_count) shape->fields[shape->field_count++] = wanted->field;
  }
  fb_shape_node *node = &shape->nodes[shape->node_count];
  *node = *wanted;
  if (wanted->op != FB_OP_END) node->keys |= UINT64_C(1) << bit;
  node->next[0] =
      (uint16_t)shape->node_count; /* itself: a way that always fails, as its field was there */
  node->glue = (uint16_t)shape->text_len;
  node->glue_len = (uint8_t)len;
  memcpy(shape->text + shape->text_len, glue, len);
  shape->text_len += (uint32_t)len;
  shape->room = 0;
  return (int32_t)shape->node_count++;
}

static void S_link(fb_shape_node *from, uint16_t to) {
  uint32_t i = 0;
  while (i < from->next_count && from->next[i] != to) i++;
  if (i == FB_SHAPE_NEXT) i--; /* the one that came longest ago, more or less */
  if (i == from->next_count) from->next_count++;
  from->next[i] = from->next[0];
  from->next[0] = to;
}

static void S_add_root(fb_stream *stream, fb_shape *shape, uint16_t node) {
  uint32_t i = 0;
  while (i < stream->root_count &&
         (stream->roots[i].shape != shape || stream->roots[i].node != node))
    i++;
  if (i == stream->root_count) {
    if (i < FB_SHAPES)
      stream->root_count++;
    else
      i = stream->next_root++ % FB_SHAPES;
    for (uint32_t other = 0; other < stream->root_count; other++)
      if (other != i && stream->roots[other].shape == shape) shape->varied = true;
    stream->roots[i] = (fb_shape_root){shape, node, (uint8_t)i};
  }
  stream->roots[stream->root].next = (uint8_t)i;
  stream->root = (uint8_t)i;
}

/* False if the record cannot be kept, and what is kept has to make room. */
static bool S_learn(fb_stream *stream, fb_shape *shape, uint32_t row, fb_slice text) {
  const char *from = text.ptr, *end = text.ptr + text.len;
  int32_t last = -1, first = -1;
  uint64_t typed = 0;
  for (size_t i = 0; i <= stream->member_count; i++) {
    const fb_member *member = i < stream->member_count ? &stream->members[i] : NULL;
    fb_shape_node wanted = {.op = FB_OP_END};
    const char *to = end;
    if (member) {
      if (fb_slice_equal(member->key, stream->options.type_key)) {
        typed = FB_SHAPE_TYPED;
        continue;
      }
      const fb_column *column = fb_facts_column(shape->facts, row, member->field);
      if (!column || !fb_column_has(column, row % FB_CHUNK_ROWS)) return true;
      wanted.field = member->field;
      if (!S_op(member, column->kind, shape->facts->type->fields[member->field].type, &wanted))
        return true;
      to = member->at + (wanted.op == FB_OP_STRING);
    }
    if (to - from > FB_SHAPE_GLUE) return true;
    wanted.keys = typed;
    typed = 0;
    int32_t number = S_node(shape, &wanted, from, (size_t)(to - from));
    if (number < 0) return false;
    if (last >= 0) S_link(&shape->nodes[last], (uint16_t)number);
    if (last >= 0 && shape->nodes[last].next_count > 1) shape->varied = true;
    if (first < 0) first = number;
    last = number;
    if (member) from = member->end;
  }
  S_add_root(stream, shape, (uint16_t)first);
  return true;
}

void fb_shape_learn(fb_stream *stream, fb_table_of *table, uint32_t row, fb_slice text) {
  if (!table->shape) {
    if (stream->shape_count == FB_SHAPES) return;
    table->shape = fb_alloc(stream->allocator, sizeof *table->shape);
    if (!table->shape) return;
    stream->shape_count++;
    table->shape->facts = table->facts;
    table->shape->node_count = table->shape->text_len = table->shape->field_count =
        table->shape->room = 0;
    table->shape->varied = false;
    table->shape->untyped = fb_slice_equal(table->facts->type->name, stream->options.type);
  }
  if (!S_learn(stream, table->shape, row, text)) S_forget(stream, table->shape);
}
