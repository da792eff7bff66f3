/* SPDX-License-Identifier: Apache-2.0
 * Fact streams. However the bytes arrive, the same facts and the same errors come out; NDJSON gives for each
 * line what fb_json_read gives, and a JSON array is whole exactly if fb_json_read says so. The text is given
 * several times over, so that the fast paths for records of a known shape are taken.
 * The first bytes of the input choose format, chunk size, batch size and longest record. */
#include <flyball/data.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 8, TIMES = 3 };

static void S_expect(bool holds, const char *what, const char *detail) {
  if (holds) return;
  fprintf(stderr, "fuzz_chunks: %s:\n%s\n", what, detail);
  abort();
}

/* ── A source in chunks ──────────────────────────────────────────────────────────────────────── */

typedef struct fb_chunks {
  fb_slice rest;
  size_t most;
} fb_chunks;

static int64_t S_read(void *context, void *bytes, size_t len) {
  fb_chunks *chunks = context;
  if (len > chunks->most) len = chunks->most;
  if (len > chunks->rest.len) len = chunks->rest.len;
  if (len) memcpy(bytes, chunks->rest.ptr, len);
  chunks->rest.ptr += len;
  chunks->rest.len -= len;
  return (int64_t)len;
}

/* ── What a stream gives, as text ────────────────────────────────────────────────────────────── */

typedef struct fb_outcome {
  fb_buf facts, errors; /* a line each */
  fb_status end;
  size_t error_count;
  uint32_t first_line; /* of the first error */
} fb_outcome;

static void S_outcome_init(fb_outcome *outcome) {
  *outcome = (fb_outcome){0};
  fb_buf_init(&outcome->facts, NULL, 0);
  fb_buf_init(&outcome->errors, NULL, 0);
}

static void S_outcome_release(fb_outcome *outcome) {
  fb_buf_release(&outcome->facts);
  fb_buf_release(&outcome->errors);
}

static void S_add_fact(fb_outcome *outcome, fb_slice type, fb_value value) {
  fb_json_write_text(&outcome->facts, type, 0);
  fb_buf_char(&outcome->facts, ' ');
  fb_json_write(&outcome->facts, value, FB_JSON_CANONICAL);
  fb_buf_char(&outcome->facts, '\n');
}

static void S_add_batch(fb_outcome *outcome, const fb_batch *batch) {
  uint32_t rows = 0;
  for (size_t i = 0; i < batch->run_count; i++) {
    const fb_run *run = &batch->runs[i];
    rows += run->count;
    for (uint32_t row = run->first; row < run->first + run->count; row++)
      S_add_fact(outcome, fb_facts_type(run->facts)->name, fb_fact_value(run->facts, row));
  }
  S_expect(rows == batch->rows && rows > 0, "runs and rows do not agree", "");
}

static void S_add_errors(fb_outcome *outcome, const fb_errors *errors) {
  for (size_t i = 0; i < errors->count; i++) {
    const fb_error *err = &errors->items[i];
    fb_buf_printf(&outcome->errors, "%d %u:%u %s\n", err->code, err->line, err->column, err->text);
  }
  outcome->error_count = errors->count;
}

static fb_outcome S_stream(fb_slice text, size_t chunk, fb_stream_options options) {
  fb_outcome outcome;
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_stream *stream = NULL;
  fb_errors errors;
  fb_batch batch;
  fb_chunks chunks = {text, chunk};
  S_outcome_init(&outcome);
  fb_errors_init(&errors, NULL, SIZE_MAX);
  options.type = FB_SLICE("t");
  options.max_depth = DEPTH;
  options.max_errors = UINT32_MAX;
  fb_status status = fb_symbols_new(NULL, 1, &symbols);
  if (!status) status = fb_schema_new(NULL, symbols, &schema);
  if (!status)
    status = fb_stream_open((fb_source){S_read, &chunks}, schema, &options, NULL, &stream, NULL);
  S_expect(status == FB_OK, "no stream", "");
  while ((outcome.end = fb_stream_next(stream, &batch, &errors)) == FB_OK)
    S_add_batch(&outcome, &batch);
  S_add_errors(&outcome, &errors);
  fb_stream_free(stream);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  fb_errors_release(&errors);
  return outcome;
}

/* ── What it should give ─────────────────────────────────────────────────────────────────────── */

/* One record as a line of the outcome, without its type. False if it is no fact. */
static bool S_expect_fact(fb_outcome *outcome, fb_value record, fb_arena *arena) {
  if (record.kind != FB_MAP) return false;
  const fb_map *map = record.as.map;
  fb_slice type = FB_SLICE("t");
  fb_map *fields = fb_map_new(arena, map->len);
  for (uint32_t i = 0; i < map->len; i++) {
    fb_entry entry = map->entries[i];
    if (!fb_slice_equal(fb_value_text(entry.key), FB_SLICE("type"))) {
      fb_map_put(fields, arena, entry.key, entry.value, NULL);
      continue;
    }
    if (entry.value.kind != FB_STRING || entry.value.len == 0) return false;
    type = fb_value_text(entry.value);
  }
  S_add_fact(outcome, type, fb_map_value(fields));
  return true;
}

static void S_expect_lines(fb_slice text, fb_outcome *outcome) {
  const fb_json_options options = {.max_depth = DEPTH};
  const char *at = text.ptr, *end = text.ptr + text.len;
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    fb_slice line = {at, (size_t)((stop ? stop : end) - at)};
    bool blank = true;
    for (size_t i = 0; i < line.len; i++)
      blank &= line.ptr[i] == ' ' || line.ptr[i] == '\t' || line.ptr[i] == '\r';
    at = stop ? stop + 1 : end;
    if (blank) continue;
    fb_arena arena;
    fb_value value;
    fb_arena_init(&arena, NULL, 0);
    bool fine = fb_json_read(line, NULL, &options, &arena, &value, NULL) == FB_OK &&
                S_expect_fact(outcome, value, &arena);
    if (!fine) outcome->error_count++;
    fb_arena_release(&arena);
  }
}

/* True if the text is a list of facts, or one. */
static bool S_expect_array(fb_slice text, fb_outcome *outcome) {
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  fb_json_options options = {.max_depth = DEPTH + 1};
  bool fine = fb_json_read(text, NULL, &options, &arena, &value, NULL) == FB_OK;
  if (fine && value.kind == FB_LIST)
    for (uint32_t i = 0; i < value.as.list->len && fine; i++)
      fine = S_expect_fact(outcome, value.as.list->items[i], &arena);
  else if (fine) {
    options.max_depth = DEPTH;
    fine = fb_json_read(text, NULL, &options, &arena, &value, NULL) == FB_OK &&
           S_expect_fact(outcome, value, &arena);
  }
  fb_arena_release(&arena);
  return fine;
}

/* ── The checks ──────────────────────────────────────────────────────────────────────────────── */

static void S_check_same(const fb_outcome *a, const fb_outcome *b) {
  S_expect(a->end == b->end, "chunks change how it ends", a->errors.ptr);
  if (!fb_slice_equal(fb_buf_slice(&a->facts), fb_buf_slice(&b->facts))) {
    fprintf(stderr, "whole:\n%s\n", a->facts.ptr);
    S_expect(false, "chunks change the facts", b->facts.ptr);
  }
  if (!fb_slice_equal(fb_buf_slice(&a->errors), fb_buf_slice(&b->errors))) {
    fprintf(stderr, "whole:\n%s\n", a->errors.ptr);
    S_expect(false, "chunks change the errors", b->errors.ptr);
  }
}

/* Refused as a whole, at once. */
static bool S_is_utf16(fb_slice text) {
  return fb_slice_starts(text, FB_SLICE("\xff\xfe")) || fb_slice_starts(text, FB_SLICE("\xfe\xff"));
}

static void S_check_expected(fb_slice text, fb_stream_format format, const fb_outcome *got) {
  if (S_is_utf16(text)) return;
  fb_outcome expected;
  S_outcome_init(&expected);
  bool whole = true;
  if (format == FB_STREAM_JSON)
    whole = S_expect_array(text, &expected);
  else
    S_expect_lines(text, &expected);
  if (format == FB_STREAM_JSON) {
    S_expect(whole == (got->error_count == 0),
             whole ? "a good array is refused" : "a bad array is admitted", got->errors.ptr);
    S_expect(whole == (got->end == FB_DONE) || got->error_count, "a wrong end", got->errors.ptr);
  } else {
    S_expect(expected.error_count == got->error_count, "not the errors of the lines",
             got->errors.ptr);
  }
  if (whole && !fb_slice_equal(fb_buf_slice(&expected.facts), fb_buf_slice(&got->facts))) {
    fprintf(stderr, "expected:\n%s\n", expected.facts.ptr);
    S_expect(false, "not the facts of the text", got->facts.ptr);
  }
  S_outcome_release(&expected);
}

static void S_repeat(fb_buf *text, fb_slice part, fb_stream_format format) {
  fb_buf_init(text, NULL, 0);
  if (format == FB_STREAM_JSON) fb_buf_char(text, '[');
  for (int i = 0; i < TIMES; i++) {
    if (i) fb_buf_char(text, format == FB_STREAM_JSON ? ',' : '\n');
    fb_buf_add(text, part.ptr, part.len);
  }
  if (format == FB_STREAM_JSON) fb_buf_char(text, ']');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const fb_stream_format formats[] = {FB_STREAM_NDJSON, FB_STREAM_JSON, FB_STREAM_CSV,
                                             FB_STREAM_AUTO};
  static const size_t longest[] = {0, 16, 100, 4096};
  if (size < 3) return 0;
  fb_stream_options options = {
      .format = formats[data[0] & 3], .batch_rows = (data[0] >> 2 & 3) * 3, .name = "in"};
  options.max_record = longest[data[0] >> 4 & 3];
  size_t chunk = data[1] + 1u;
  bool repeat = data[2] & 1;
  fb_slice part = {(const char *)data + 3, size - 3}, text = part;
  fb_buf repeated;
  S_repeat(&repeated, part, options.format);
  if (repeat) text = fb_buf_slice(&repeated);
  fb_outcome whole = S_stream(text, SIZE_MAX, options), pieces = S_stream(text, chunk, options);
  S_check_same(&whole, &pieces);
  if (!options.max_record &&
      (options.format == FB_STREAM_NDJSON || options.format == FB_STREAM_JSON))
    S_check_expected(text, options.format, &whole);
  S_outcome_release(&pieces);
  S_outcome_release(&whole);
  fb_buf_release(&repeated);
  return 0;
}
