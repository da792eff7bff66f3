/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program wrote, as a value.
 */
#include "mission/plan.h"

fb_value fb_text_or_bytes(fb_slice text) {
  return fb_utf8_valid(text.ptr, text.len, NULL) ? fb_string(text) : fb_bytes(text);
}

/* Takes the next line without its "\n" or "\r\n". False at the end; a last line may lack its newline. */
static bool S_line(fb_slice *rest, fb_slice *ret_line) {
  if (rest->len == 0) return false;
  const char *end = memchr(rest->ptr, '\n', rest->len);
  size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
  size_t used = end ? len + 1 : len;
  *ret_line = (fb_slice){rest->ptr, len && rest->ptr[len - 1] == '\r' ? len - 1 : len};
  *rest = (fb_slice){rest->ptr + used, rest->len - used};
  return true;
}

static bool S_blank(fb_slice line) {
  for (size_t i = 0; i < line.len; i++)
    if (line.ptr[i] != ' ' && line.ptr[i] != '\t') return false;
  return true;
}

static fb_status S_no_memory(fb_error *err) {
  return fb_fail(err, FB_E_NOMEM, "out of memory");
}

static fb_status S_lines(fb_slice text, fb_arena *arena, fb_value *ret_value, fb_error *err) {
  fb_list *list = fb_list_new(arena, 16);
  fb_slice line;
  if (!list) return S_no_memory(err);
  while (S_line(&text, &line))
    if (!fb_list_push(list, arena, fb_text_or_bytes(line))) return S_no_memory(err);
  *ret_value = fb_list_value(list);
  return FB_OK;
}

static fb_status S_ndjson(fb_slice text, const char *name, fb_arena *arena, fb_value *ret_value,
                          fb_error *err) {
  fb_list *list = fb_list_new(arena, 16);
  fb_slice line;
  if (!list) return S_no_memory(err);
  for (uint32_t number = 1; S_line(&text, &line); number++) {
    fb_value value;
    if (S_blank(line)) continue;
    fb_status status = fb_json_read(line, name, NULL, arena, &value, err);
    if (status && err) err->line = number;
    if (status) return status;
    if (!fb_list_push(list, arena, value)) return S_no_memory(err);
  }
  *ret_value = fb_list_value(list);
  return FB_OK;
}

static fb_status S_take_batch(const fb_batch *batch, fb_list *list, fb_arena *arena,
                              fb_arena *scratch) {
  for (size_t r = 0; r < batch->run_count; r++)
    for (uint32_t i = 0; i < batch->runs[r].count; i++) {
      fb_map *map;
      fb_value copy;
      fb_arena_mark mark = fb_arena_save(scratch);
      if (fb_fact_map(batch->runs[r].facts, batch->runs[r].first + i, scratch, &map) ||
          fb_value_copy(arena, fb_map_value(map), &copy) || !fb_list_push(list, arena, copy))
        return FB_E_NOMEM;
      fb_arena_rewind(scratch, mark);
    }
  return FB_OK;
}

static fb_status S_csv_rows(fb_stream *stream, fb_arena *arena, const fb_allocator *allocator,
                            fb_value *ret_value, fb_error *err) {
  fb_errors errors;
  fb_arena scratch;
  fb_batch batch;
  fb_list *list = fb_list_new(arena, 16);
  fb_status status = list ? FB_OK : FB_E_NOMEM;
  fb_errors_init(&errors, allocator, 1);
  fb_arena_init(&scratch, allocator, 0);
  while (!status && !(status = fb_stream_next(stream, &batch, &errors)) && errors.count == 0)
    status = S_take_batch(&batch, list, arena, &scratch);
  if (status == FB_DONE) status = FB_OK;
  if (errors.count) {
    status = errors.items[0].code;
    if (err) *err = errors.items[0];
  } else if (status) {
    fb_fail(err, status, "out of memory");
  }
  fb_arena_release(&scratch);
  fb_errors_release(&errors);
  *ret_value = fb_list_value(list);
  return status;
}

/* Through a fact stream, which knows CSV; the facts become maps. */
static fb_status S_csv(fb_slice text, const char *name, uint64_t seed, fb_arena *arena,
                       fb_value *ret_value, fb_error *err) {
  const fb_allocator *allocator = arena->allocator;
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_stream *stream = NULL;
  fb_memory_source memory = {text};
  fb_stream_options options = {.format = FB_STREAM_CSV,
                               .name = name,
                               .type = FB_SLICE("row"),
                               .type_key = FB_SLICE("\n"), /* no column is the type */
                               .max_errors = 1};
  fb_status status = fb_symbols_new(allocator, seed, &symbols);
  if (!status) status = fb_schema_new(allocator, symbols, &schema);
  if (status) fb_fail(err, status, "out of memory");
  if (!status)
    status = fb_stream_open(fb_source_memory(&memory), schema, &options, allocator, &stream, err);
  if (!status) status = S_csv_rows(stream, arena, allocator, ret_value, err);
  fb_stream_free(stream);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  return status;
}

fb_status fb_parse_output(fb_parse parse, fb_slice text, const char *name, uint64_t seed,
                          fb_arena *arena, fb_value *ret_value, fb_error *err) {
  switch (parse) {
    case FB_PARSE_LINES: return S_lines(text, arena, ret_value, err);
    case FB_PARSE_JSON: return fb_json_read(text, name, NULL, arena, ret_value, err);
    case FB_PARSE_NDJSON: return S_ndjson(text, name, arena, ret_value, err);
    case FB_PARSE_CSV: return S_csv(text, name, seed, arena, ret_value, err);
    default: break;
  }
  while (text.len && text.ptr[text.len - 1] == '\n') text.len--;
  if (text.len && text.ptr[text.len - 1] == '\r') text.len--;
  *ret_value = fb_text_or_bytes(text);
  return FB_OK;
}
