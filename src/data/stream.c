/* SPDX-License-Identifier: Apache-2.0
 * Fact streams: the buffer, the tables, the batch, and where errors are. */
#include "data/stream_internal.h"

#include <errno.h>
#include <stdio.h>

enum {
  MAX_RECORD = 16 << 20,
  MAX_DEPTH = 64,
  MAX_ERRORS = 100,
  BATCH_BYTES =
      4 << 20 /* a batch ends after so much text even if its rows are few: bounds its memory */
};

/* ── Opening and closing ── */

static fb_status S_copy_options(fb_stream *stream, const fb_stream_options *given) {
  fb_stream_options *options = &stream->options;
  *options = given ? *given : (fb_stream_options){0};
  if (!options->name) options->name = "<input>";
  if (!options->type_key.len) options->type_key = FB_SLICE("type");
  if (!options->max_record) options->max_record = MAX_RECORD;
  if (!options->max_depth) options->max_depth = MAX_DEPTH;
  if (!options->batch_rows) options->batch_rows = FB_CHUNK_ROWS;
  if (!options->max_errors) options->max_errors = MAX_ERRORS;
  options->name = fb_arena_text(&stream->arena, fb_slice_of(options->name));
  char *key = fb_arena_text(&stream->arena, options->type_key);
  char *type = fb_arena_text(&stream->arena, options->type);
  if (!options->name || !key || !type) return FB_E_NOMEM;
  options->type_key.ptr = key;
  options->type.ptr = type;
  return FB_OK;
}

fb_status fb_stream_open(fb_source source, fb_schema *schema, const fb_stream_options *options,
                         const fb_allocator *allocator, fb_stream **ret_stream, fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  fb_stream *stream = fb_alloc_zero(allocator, sizeof *stream);
  if (!stream) return fb_fail(err, FB_E_NOMEM, "out of memory");
  stream->allocator = allocator;
  stream->source = source;
  stream->schema = schema;
  stream->symbols = fb_schema_symbols(schema);
  fb_arena_init(&stream->arena, allocator, 1024);
  fb_arena_init(&stream->scratch, allocator, 0);
  stream->cap = FB_STREAM_BLOCK + FB_STREAM_PAD;
  stream->buf = fb_alloc(allocator, stream->cap);
  if (!stream->buf || S_copy_options(stream, options)) {
    fb_stream_free(stream);
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  memset(stream->buf, 0, FB_STREAM_PAD);
  *ret_stream = stream;
  return FB_OK;
}

void fb_stream_free(fb_stream *stream) {
  if (!stream) return;
  const fb_allocator *allocator = stream->allocator;
  for (size_t i = 0; i < stream->table_cap; i++) {
    fb_facts_free(stream->tables[i].facts);
    fb_free(allocator, stream->tables[i].shape, sizeof(fb_shape));
    fb_free(allocator, stream->tables[i].seen, stream->tables[i].seen_cap * sizeof(uint64_t));
  }
  fb_free(allocator, stream->tables, stream->table_cap * sizeof *stream->tables);
  fb_free(allocator, stream->runs, stream->run_cap * sizeof *stream->runs);
  fb_free(allocator, stream->members, stream->member_cap * sizeof *stream->members);
  fb_free(allocator, stream->buf, stream->cap);
  fb_free(allocator, stream->csv.fields, stream->csv.count * sizeof *stream->csv.fields);
  fb_arena_release(&stream->arena);
  fb_arena_release(&stream->scratch);
  fb_free(allocator, stream, sizeof *stream);
}

uint64_t fb_stream_bytes(const fb_stream *stream) {
  return stream->bytes;
}

uint64_t fb_stream_records(const fb_stream *stream) {
  return stream->records;
}

/* ── Positions and errors ── */

static uint32_t S_count_lines(const char *text, size_t len) {
  uint32_t lines = 0;
  for (size_t i = 0;
       i < len;) { /* in blocks whose counts fit a byte: the compiler makes vectors of it */
    size_t stop = len - i > 255 * 16 ? i + 255 * 16 : len;
    uint32_t block = 0;
    for (; i < stop; i++) block += text[i] == '\n';
    lines += block;
  }
  return lines;
}

/* Accounts for buf[0, len), which is about to be forgotten. */
static void S_pass(fb_stream *stream, size_t len) {
  const char *last = memrchr(stream->buf, '\n', len);
  size_t from = last ? (size_t)(last - stream->buf) + 1 : 0;
  if (last) stream->column = 0;
  stream->line +=
      stream->options.format == FB_STREAM_NDJSON ? stream->lines : S_count_lines(stream->buf, from);
  stream->lines = 0;
  stream->column += (uint32_t)fb_utf8_length(stream->buf + from, len - from);
}

void fb_stream_locate(fb_stream *stream, fb_error *err, const char *at, size_t length) {
  if (!err) return;
  const char *before =
      at > stream->buf ? memrchr(stream->buf, '\n', (size_t)(at - stream->buf)) : NULL;
  const char *line = before ? before + 1 : stream->buf, *end = stream->buf + stream->end;
  const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : end;
  fb_slice text = {line, (size_t)((stop ? stop : end) - line)};
  fb_error_locate(err, stream->options.name, text, (size_t)(at - line), length);
  err->line = stream->line + S_count_lines(stream->buf, (size_t)(line - stream->buf)) + 1;
  if (!before) err->column += stream->column;
}

void fb_stream_relocate(fb_stream *stream, fb_error *err, fb_slice text) {
  if (!err) return;
  const char *at = text.ptr, *end = text.ptr + text.len;
  for (uint32_t line = 1; line < err->line && at < end; line++) {
    const char *next = memchr(at, '\n', (size_t)(end - at));
    at = next ? next + 1 : end;
  }
  for (uint32_t column = 1; column < err->column && at < end; column++) {
    uint32_t rune;
    int n = fb_utf8_decode(at, (size_t)(end - at), &rune);
    at += n ? n : 1;
  }
  uint32_t length = err->length;
  fb_stream_locate(stream, err, at, 0);
  err->length = length;
}

fb_status fb_stream_report(fb_stream *stream, fb_errors *errors, const fb_error *err) {
  fb_errors_add(errors, err);
  if (err->code == FB_E_NOMEM) return err->code;
  return ++stream->error_count >= stream->options.max_errors ? err->code : FB_OK;
}

/* ── Tables and the batch ── */

fb_status fb_stream_table(fb_stream *stream, fb_fact_type *type, fb_table_of **ret_table) {
  while (type->id >= stream->table_cap) {
    void *tables = stream->tables;
    size_t was = stream->table_cap;
    if (!fb_grow(stream->allocator, &tables, &stream->table_cap, was, sizeof *stream->tables))
      return FB_E_NOMEM;
    stream->tables = tables;
    memset(stream->tables + was, 0, (stream->table_cap - was) * sizeof *stream->tables);
  }
  fb_table_of *table = &stream->tables[type->id];
  if (!table->facts) {
    fb_status status = fb_facts_new(stream->allocator, stream->schema, type, &table->facts);
    if (status) return status;
  }
  *ret_table = table;
  return FB_OK;
}

static bool S_see(fb_stream *stream, fb_table_of *table, uint32_t field, bool *ret_again) {
  if (field >= table->seen_cap) {
    void *seen = table->seen;
    size_t was = table->seen_cap, cap = was;
    while (cap <= field)
      if (!fb_grow(stream->allocator, &seen, &cap, cap, sizeof *table->seen)) break;
    table->seen = seen;
    table->seen_cap = cap;
    if (cap > was) memset(table->seen + was, 0, (cap - was) * sizeof *table->seen);
    if (cap <= field) return false;
  }
  *ret_again = table->seen[field] == stream->attempt;
  table->seen[field] = stream->attempt;
  return true;
}

fb_status fb_stream_field(fb_stream *stream, fb_table_of *table, fb_slice name, uint32_t *ret_field,
                          fb_error *err) {
  fb_fact_type *type = table->facts->type;
  uint32_t field;
  fb_status status = fb_fact_type_learn(stream->schema, type, name, &field);
  if (status) return fb_field_unknown(type, name, status, err);
  bool again;
  if (!S_see(stream, table, field, &again)) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (again)
    return fb_fail(err, FB_E_JSON_DUPLICATE, "the key `%.*s` is given twice",
                   name.len < 80 ? (int)name.len : 80, name.ptr);
  *ret_field = field;
  return FB_OK;
}

fb_status fb_stream_run_room(fb_stream *stream) {
  void *runs = stream->runs;
  if (!fb_grow(stream->allocator, &runs, &stream->run_cap, stream->run_count, sizeof *stream->runs))
    return FB_E_NOMEM;
  stream->runs = runs;
  return FB_OK;
}

void fb_stream_count(fb_stream *stream, fb_facts *facts, uint32_t rows) {
  size_t runs = stream->run_count;
  if (runs && stream->runs[runs - 1].facts == facts)
    stream->runs[runs - 1].count += rows;
  else
    stream->runs[stream->run_count++] = (fb_run){facts, facts->count - rows, rows};
  stream->rows += rows;
  stream->records += rows;
}

static uint64_t S_position(const fb_stream *stream) {
  return stream->bytes - (stream->end - stream->start);
}

bool fb_stream_batch_full(const fb_stream *stream) {
  return stream->rows >= stream->options.batch_rows;
}

static void S_begin_batch(fb_stream *stream) {
  for (size_t i = 0; i < stream->run_count; i++)
    if (fb_facts_count(stream->runs[i].facts)) fb_facts_clear(stream->runs[i].facts);
  for (uint32_t i = 0; i < stream->root_count; i++) stream->roots[i].shape->room = 0;
  stream->run_count = 0;
  stream->rows = 0;
  stream->batch_from = S_position(stream);
}

/* ── Reading ── */

static void S_compact(fb_stream *stream) {
  if (!stream->start) return;
  S_pass(stream, stream->start);
  memmove(stream->buf, stream->buf + stream->start, stream->end - stream->start);
  stream->end -= stream->start;
  stream->start = 0;
}

/* The formats give up a record before it passes max_record, so there is always room for a block. */
static fb_status S_grow_buffer(fb_stream *stream) {
  if (stream->cap - FB_STREAM_PAD - stream->end >= FB_STREAM_BLOCK / 4) return FB_OK;
  size_t most = stream->options.max_record + FB_STREAM_BLOCK + FB_STREAM_PAD;
  size_t cap = stream->cap < most / 2 ? stream->cap * 2 : most;
  if (cap <= stream->cap) return FB_OK;
  char *buf = fb_resize(stream->allocator, stream->buf, stream->cap, cap);
  if (!buf) return FB_E_NOMEM;
  stream->buf = buf;
  stream->cap = cap;
  return FB_OK;
}

static fb_status S_read_failed(fb_stream *stream, fb_errors *errors, int code) {
  fb_error err;
  char text[128];
  fb_fail(&err, FB_E_IO, "cannot read: %s", strerror_r(code, text, sizeof text));
  snprintf(err.file, sizeof err.file, "%s", stream->options.name);
  return fb_errors_add(errors, &err);
}

static fb_status S_fill(fb_stream *stream, fb_errors *errors) {
  S_compact(stream);
  if (S_grow_buffer(stream)) {
    fb_error err;
    fb_fail(&err, FB_E_NOMEM, "out of memory");
    return fb_errors_add(errors, &err);
  }
  size_t room = stream->cap - FB_STREAM_PAD - stream->end;
  int64_t got;
  do {
    errno = 0;
    got = stream->source.read(stream->source.context, stream->buf + stream->end, room);
  } while (got < 0 && errno == EINTR);
  if (got < 0 || (uint64_t)got > room) return S_read_failed(stream, errors, errno ? errno : EIO);
  stream->bytes += (uint64_t)got;
  stream->end += (size_t)got;
  stream->eof = got == 0;
  stream->starved = (size_t)got < room;
  memset(stream->buf + stream->end, 0, FB_STREAM_PAD);
  return FB_OK;
}

/* ── Formats ── */

/* What the first bytes tell: AUTO means that more are needed. */
static fb_stream_format S_detect(const char *at, const char *end, bool eof) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')) at++;
  if (at == end) return eof ? FB_STREAM_CSV : FB_STREAM_AUTO;
  if (*at == '[') return FB_STREAM_JSON;
  if (*at != '{') return FB_STREAM_CSV;
  do at++;
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'));
  if (at == end && !eof) return FB_STREAM_AUTO;
  return at < end && *at == '\n' ? FB_STREAM_JSON
                                 : FB_STREAM_NDJSON; /* an object on several lines */
}

static fb_status S_begin(fb_stream *stream, fb_errors *errors) {
  static const char bom[] = "\xef\xbb\xbf";
  const char *at = stream->buf + stream->start, *end = stream->buf + stream->end;
  size_t len = stream->end - stream->start;
  bool half = len == 1 && ((unsigned char)*at == 0xff || (unsigned char)*at == 0xfe);
  if (!stream->eof && (half || (len < 3 && memcmp(at, bom, len) == 0)))
    return FB_OK; /* cannot tell yet */
  if (len >= 2 && (memcmp(at, "\xff\xfe", 2) == 0 || memcmp(at, "\xfe\xff", 2) == 0)) {
    fb_error err;
    fb_fail(&err, FB_E_STREAM_ENCODING, "the input is UTF-16");
    fb_error_hint(&err, "convert it to UTF-8: iconv -f UTF-16 -t UTF-8");
    fb_stream_locate(stream, &err, at, 1);
    return fb_errors_add(errors, &err);
  }
  bool marked = len >= 3 && memcmp(at, bom, 3) == 0;
  if (stream->options.format == FB_STREAM_AUTO)
    stream->options.format = S_detect(at + (marked ? 3 : 0), end, stream->eof);
  if (stream->options.format == FB_STREAM_AUTO) return FB_OK;
  if (marked && stream->options.format == FB_STREAM_CSV)
    stream->start += 3; /* what spreadsheets write */
  stream->begun = true;
  return FB_OK;
}

static fb_status S_take(fb_stream *stream, fb_errors *errors) {
  if (!stream->begun) {
    fb_status status = S_begin(stream, errors);
    if (status || !stream->begun) return status;
  }
  switch (stream->options.format) {
    case FB_STREAM_JSON: return fb_stream_take_array(stream, errors);
    case FB_STREAM_CSV: return fb_stream_take_csv(stream, errors);
    default: return fb_stream_take_ndjson(stream, errors);
  }
}

fb_status fb_stream_next(fb_stream *stream, fb_batch *ret_batch, fb_errors *errors) {
  S_begin_batch(stream);
  fb_status status = stream->ended;
  while (!status) {
    bool last = stream->eof;
    status = S_take(stream, errors);
    if (status || fb_stream_batch_full(stream)) break;
    if (last)
      status = FB_DONE;
    else if (stream->rows &&
             (stream->starved || S_position(stream) - stream->batch_from > BATCH_BYTES))
      break; /* what has come is handed on before anyone waits for more */
    else
      status = S_fill(stream, errors);
  }
  stream->ended = status;
  if (!stream->rows) return status;
  *ret_batch = (fb_batch){stream->runs, stream->run_count, stream->rows};
  return FB_OK;
}
