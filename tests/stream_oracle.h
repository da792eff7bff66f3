/* SPDX-License-Identifier: Apache-2.0
 * What the tests and the fuzz target of fact streams share: a whole stream as text, from a source that
 * gives little at a time; and what fb_json_read makes of the same lines. */
#ifndef FB_STREAM_ORACLE_H
#define FB_STREAM_ORACLE_H

#include <flyball/data.h>

#include <errno.h>
#include <stdlib.h>

/* ── Reading everything into text: one line a fact, then one an error ── */

/* A source that gives at most `step` bytes at once, and now and then fails with EINTR. */
typedef struct fb_dripping {
  fb_slice rest;
  size_t step;
  int calls;
  int fail_errno; /* at the end, instead of the end */
} fb_dripping;

static inline int64_t fb_drip(void *context, void *bytes, size_t len) {
  fb_dripping *d = context;
  if (d->step && d->calls++ % 5 == 3) {
    errno = EINTR;
    return -1;
  }
  if (d->step && len > d->step) len = d->step;
  if (len > d->rest.len) len = d->rest.len;
  if (!len && d->fail_errno) {
    errno = d->fail_errno;
    return -1;
  }
  if (len) memcpy(bytes, d->rest.ptr, len);
  d->rest.ptr += len;
  d->rest.len -= len;
  return (int64_t)len;
}

typedef struct fb_outcome {
  fb_buf text;
  fb_status status;
  uint64_t records;
} fb_outcome;

static inline void S_write_batch(const fb_batch *batch, fb_buf *out) {
  uint32_t rows = 0;
  for (size_t i = 0; i < batch->run_count; i++) {
    const fb_run *run = &batch->runs[i];
    fb_slice type = fb_facts_type(run->facts)->name;
    for (uint32_t row = run->first; row < run->first + run->count; row++) {
      fb_buf_printf(out, "%.*s ", (int)type.len, type.ptr);
      fb_json_write(out, fb_fact_value(run->facts, row), FB_JSON_CANONICAL);
      fb_buf_char(out, '\n');
    }
    rows += run->count;
  }
  if (rows != batch->rows) abort();
}

static inline void S_write_errors(const fb_errors *errors, fb_buf *out) {
  for (size_t i = 0; i < errors->count; i++) {
    const fb_error *err = &errors->items[i];
    bool json = err->code / 100 == 20; /* whose words are tested elsewhere */
    fb_buf_printf(out, "FB%d %u:%u%s%s\n", err->code, err->line, err->column, json ? "" : " ",
                  json ? "" : err->text);
  }
}

/* All that the stream gives and reports; type `order` is declared with the fields. Aborts when an
 * invariant does not hold: the callers have no use for what comes after that. */
static inline fb_outcome fb_oracle_stream(fb_source source, fb_stream_options options,
                                          const fb_field *fields, size_t count) {
  fb_outcome o = {0};
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_stream *stream = NULL;
  fb_errors errors;
  fb_batch batch;
  fb_fact_type *type;
  fb_buf_init(&o.text, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  if (fb_symbols_new(NULL, 3, &symbols) || fb_schema_new(NULL, symbols, &schema) ||
      fb_schema_declare(schema, FB_SLICE("order"), fields, count, &type, NULL) ||
      fb_stream_open(source, schema, &options, NULL, &stream, NULL))
    abort();
  while ((o.status = fb_stream_next(stream, &batch, &errors)) == FB_OK) {
    if (!batch.rows) abort();
    S_write_batch(&batch, &o.text);
  }
  if (fb_stream_next(stream, &batch, &errors) != o.status) abort();
  S_write_errors(&errors, &o.text);
  o.records = fb_stream_records(stream);
  fb_stream_free(stream);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  fb_errors_release(&errors);
  if (o.text.failed) abort();
  return o;
}

/* What fb_json_read makes of the same lines; returns how many it refuses. */
static inline size_t fb_oracle_lines(fb_slice text, fb_buf *out) {
  size_t bad = 0;
  fb_arena arena;
  fb_arena_init(&arena, NULL, 0);
  for (const char *at = text.ptr, *end = at + text.len; at < end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop) stop = end;
    fb_value value;
    fb_arena_reset(&arena);
    const char *blank = at;
    while (blank < stop && (*blank == ' ' || *blank == '\t' || *blank == '\r')) blank++;
    if (blank == stop) {
      at = stop + 1;
      continue;
    }
    fb_json_options options = {.max_depth = 64};
    const fb_value *type = NULL;
    if (!fb_json_read((fb_slice){at, (size_t)(stop - at)}, "in", &options, &arena, &value, NULL) &&
        value.kind == FB_MAP)
      type = fb_map_get_text(value.as.map, FB_SLICE("type"));
    if (type && type->kind == FB_STRING && type->len) {
      fb_buf_printf(out, "%.*s ", (int)type->len, type->as.text);
      fb_map *rest = fb_map_new(&arena, 8);
      for (uint32_t i = 0; i < value.as.map->len; i++)
        if (!fb_slice_equal(fb_value_text(value.as.map->entries[i].key), FB_SLICE("type")))
          fb_map_put(rest, &arena, value.as.map->entries[i].key, value.as.map->entries[i].value,
                     NULL);
      fb_json_write(out, fb_map_value(rest), FB_JSON_CANONICAL);
      fb_buf_char(out, '\n');
    } else {
      bad++;
    }
    at = stop + 1;
  }
  fb_arena_release(&arena);
  return bad;
}

#endif
