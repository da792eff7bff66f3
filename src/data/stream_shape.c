/* SPDX-License-Identifier: Apache-2.0
 * Runs of JSON records that look like one seen before. What the first such record had between its values
 * was checked when it was read in full; where a later record has the very same bytes, only its values
 * are left to read, and they go straight into the columns. The first thing that differs ends the
 * run, and the record in question is read in full: nothing is accepted here that is not accepted there. */
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

static inline const char *S_text_cell(fb_stream *stream, const char *at, const char *end, fb_symbol *cell) {
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
  fb_symbol symbol = fb_symbol_find_short(stream->symbols, key);
  if (!symbol && fb_symbol_add_short(stream->symbols, key, at, &symbol)) return NULL;
  *cell = symbol;
  return at + n + 1;
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
                     ((t >> 16 & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001))) >> 32);
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
  if (!at || (value.kind != FB_DOUBLE && !declared) || !fb_field_convert(FB_FIELD_DOUBLE, &value)) return NULL;
  *cell = value.as.d;
  return at;
}

static inline const char *S_double_cell(const char *at, const char *end, bool declared, double *cell) {
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
  double d = (double)(int64_t)(whole * tens[n] + S_number(word, n)) / fb_scan_tens[n];
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

static const char *S_any_cell(fb_stream *stream, fb_shape *shape, const fb_shape_field *field, const char *at,
                              const char *end, void *cells, uint32_t row) {
  fb_value value;
  if (field->type == FB_FIELD_ANY && (*at == '-' || (unsigned char)(*at - '0') <= 9)) {
    fb_scan_fault fault;
    at = at < end ? fb_scan_number(at, end, &value, &fault) : NULL;
  } else {
    at = fb_stream_value(stream, shape->facts, at, end, (fb_field_type)field->type, &value);
  }
  if (!at || value.kind == FB_ABSENT) return NULL;
  if (field->op == FB_OP_VALUE)
    ((fb_value *)cells)[row] = value;
  else if (value.kind == FB_UINT)
    ((uint64_t *)cells)[row] = value.as.u;
  else
    return NULL;
  return at;
}

/* ── Records ── */

typedef struct fb_bound {
  void *cells[FB_SHAPE_FIELDS];
  uint32_t row, room; /* the next row in the chunk; how many more fit */
} fb_bound;

/* The values of one record, into row bound->row + n. */
static inline const char *S_record(fb_stream *stream, fb_shape *shape, const fb_bound *bound, uint32_t row,
                                   const char *at, const char *end) {
  for (uint32_t i = 0; i < shape->count; i++) {
    const fb_shape_field *field = &shape->fields[i];
    if (FB_UNLIKELY(!S_match(at, shape->text + field->glue, field->glue_len))) return NULL;
    at += field->glue_len;
    void *cells = bound->cells[i];
    switch ((fb_shape_op)field->op) {
      case FB_OP_STRING: at = S_text_cell(stream, at, end, (fb_symbol *)cells + row); break;
      case FB_OP_INT: at = S_int_cell(at, end, (int64_t *)cells + row); break;
      case FB_OP_DOUBLE: at = S_double_cell(at, end, false, (double *)cells + row); break;
      case FB_OP_ANY_DOUBLE: at = S_double_cell(at, end, true, (double *)cells + row); break;
      case FB_OP_BOOL: at = S_bool_cell(at, (uint8_t *)cells + row); break;
      default: at = S_any_cell(stream, shape, field, at, end, cells, row); break;
    }
    if (FB_UNLIKELY(!at)) return NULL;
  }
  return S_match(at, shape->text + shape->tail, shape->tail_len) ? at + shape->tail_len : NULL;
}

/* Makes the columns of the table's last chunk ready for rows of this shape. A shape whose columns hold
 * another kind by now is forgotten. */
static bool S_bind(fb_stream *stream, fb_shape *shape, fb_bound *bound) {
  fb_chunk *chunk;
  if (fb_facts_last_chunk(shape->facts, &chunk)) return false;
  uint32_t row = chunk->count, rows = FB_CHUNK_ROWS;
  for (uint32_t i = 0; i < shape->count; i++) {
    const fb_shape_field *field = &shape->fields[i];
    fb_column *column = field->field < chunk->column_count ? &chunk->columns[field->field] : NULL;
    if (FB_UNLIKELY(column && column->cells && column->kind != field->kind)) {
      shape->facts = NULL;
      return false;
    }
    if (!column || !column->cells || row >= column->rows || (row > column->dense && !column->present))
      if (fb_facts_column_for(shape->facts, chunk, field->field, field->kind, row, &column)) return false;
  }
  for (uint32_t i = 0; i < shape->count; i++) {
    fb_column *column = &chunk->columns[shape->fields[i].field];
    bound->cells[i] = column->cells;
    if (column->rows < rows) rows = column->rows;
  }
  bound->row = row;
  bound->room = rows - row;
  uint32_t wanted = stream->options.batch_rows - stream->rows;
  if (bound->room > wanted) bound->room = wanted;
  return true;
}

static void S_commit(fb_stream *stream, fb_shape *shape, const fb_bound *bound, uint32_t rows) {
  fb_chunk *chunk = &shape->facts->chunks[shape->facts->count / FB_CHUNK_ROWS];
  for (uint32_t i = 0; i < shape->count; i++)
    fb_facts_mark(&chunk->columns[shape->fields[i].field], bound->row, rows);
  fb_facts_commit(shape->facts, rows);
  fb_stream_count(stream, shape->facts, rows);
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

static const char *S_run_shape(fb_stream *stream, fb_shape *shape, const char *at, const char *limit,
                               bool *ret_open) {
  fb_bound bound;
  if (!S_bind(stream, shape, &bound)) return at;
  const char *end = stream->buf + stream->end;
  uint32_t rows = 0;
  while (rows < bound.room && at < limit) {
    fb_arena_mark mark = fb_arena_save(&shape->facts->arena);
    const char *next = S_record(stream, shape, &bound, bound.row + rows, at, end);
    if (next && (size_t)(next - at) > stream->options.max_record) next = NULL;
    if (next) next = S_separator(stream, next, ret_open);
    if (!next) {
      fb_arena_rewind(&shape->facts->arena, mark);
      break;
    }
    at = next;
    rows++;
    if (*ret_open) break;
  }
  if (rows) S_commit(stream, shape, &bound, rows);
  return at;
}

const char *fb_shape_run(fb_stream *stream, const char *at, const char *limit, bool *ret_open) {
  *ret_open = false;
  while (at < limit && !fb_stream_batch_full(stream)) {
    if (fb_stream_run_room(stream)) return at;
    uint8_t guess = stream->shapes[stream->shape].next;
    const char *next = at;
    for (unsigned i = 0; i < FB_SHAPES && next == at; i++) {
      uint8_t number = (uint8_t)((guess + i) % FB_SHAPES);
      fb_shape *shape = &stream->shapes[number];
      if (!shape->facts) continue;
      uint32_t head = shape->count ? shape->fields[0].glue_len : shape->tail_len;
      if (!S_match(at, shape->text, head)) continue;
      next = S_run_shape(stream, shape, at, limit, ret_open);
      if (next == at) continue;
      stream->shapes[stream->shape].next = number;
      stream->shape = number;
    }
    if (next == at || *ret_open) return next;
    at = next;
  }
  return at;
}

/* ── Learning ── */

static bool S_op(const fb_member *member, uint8_t kind, fb_field_type type, fb_shape_field *field) {
  field->kind = kind;
  field->type = (uint8_t)type;
  switch (kind) {
    case FB_STRING: field->op = FB_OP_STRING; return member->value.kind == FB_STRING;
    case FB_INT: field->op = FB_OP_INT; return true;
    case FB_UINT: field->op = FB_OP_UINT; return true;
    case FB_BOOL: field->op = FB_OP_BOOL; return true;
    case FB_DOUBLE: field->op = type == FB_FIELD_DOUBLE ? FB_OP_ANY_DOUBLE : FB_OP_DOUBLE; return true;
    default: field->op = FB_OP_VALUE; return true;
  }
}

static bool S_add_glue(fb_shape *shape, const char *from, const char *to, uint16_t *ret_at, uint8_t *ret_len) {
  size_t len = (size_t)(to - from);
  if (len > FB_SHAPE_GLUE || shape->text_len + len > FB_SHAPE_TEXT) return false;
  memcpy(shape->text + shape->text_len, from, len);
  *ret_at = (uint16_t)shape->text_len;
  *ret_len = (uint8_t)len;
  shape->text_len += (uint32_t)len;
  return true;
}

static bool S_make(const fb_stream *stream, fb_facts *facts, uint32_t row, fb_slice text, fb_shape *shape) {
  const char *from = text.ptr;
  shape->facts = facts;
  shape->count = shape->text_len = 0;
  for (size_t i = 0; i < stream->member_count; i++) {
    const fb_member *member = &stream->members[i];
    if (fb_slice_equal(member->key, stream->options.type_key)) continue;
    const fb_column *column = fb_facts_column(facts, row, member->field);
    if (!column || !fb_column_has(column, row % FB_CHUNK_ROWS) || shape->count == FB_SHAPE_FIELDS) return false;
    fb_shape_field *field = memset(&shape->fields[shape->count++], 0, sizeof *field);
    field->field = member->field;
    if (!S_op(member, column->kind, facts->type->fields[member->field].type, field)) return false;
    bool quote = field->op == FB_OP_STRING;
    if (!S_add_glue(shape, from, member->at + quote, &field->glue, &field->glue_len)) return false;
    from = member->end;
  }
  return S_add_glue(shape, from, text.ptr + text.len, &shape->tail, &shape->tail_len);
}

static bool S_same(const fb_shape *a, const fb_shape *b) {
  return a->facts == b->facts && a->count == b->count && a->text_len == b->text_len &&
         memcmp(a->text, b->text, a->text_len) == 0 && memcmp(a->fields, b->fields, a->count * sizeof *a->fields) == 0;
}

void fb_shape_learn(fb_stream *stream, fb_facts *facts, uint32_t row, fb_slice text) {
  fb_shape *fresh = &stream->shapes[FB_SHAPES];
  if (!S_make(stream, facts, row, text, fresh)) return;
  uint8_t number = 0;
  while (number < FB_SHAPES && !S_same(&stream->shapes[number], fresh)) number++;
  if (number == FB_SHAPES) {
    number = stream->next_shape;
    stream->next_shape = (uint8_t)((number + 1) % FB_SHAPES);
    fresh->next = number;
    stream->shapes[number] = *fresh;
  } /* else it is known: this record only had a value of a form that is rare */
  stream->shapes[stream->shape].next = number;
  stream->shape = number;
}
