/* SPDX-License-Identifier: Apache-2.0
 * CSV as RFC 4180 has it, with a header line. A line may end in LF alone, and the last may have no end.
 * Cells are members whose key is the header's name; `nested` marks one that was quoted. */
#include "data/json_scan.h"
#include "data/stream_internal.h"

/* ── Lines and cells ── */

static fb_member *S_new_cell(fb_stream *stream) {
  void *members = stream->members;
  if (!fb_grow(stream->allocator, &members, &stream->member_cap, stream->member_count,
               sizeof *stream->members))
    return NULL;
  stream->members = members;
  return &stream->members[stream->member_count++];
}

static fb_status S_bad(fb_stream *stream, fb_error *err, const char *at, const char *text,
                       const char *hint) {
  fb_fail(err, FB_E_CSV_SYNTAX, "%s", text);
  fb_error_hint(err, "%s", hint);
  fb_stream_locate(stream, err, at, 1);
  return FB_E_CSV_SYNTAX;
}

/* True at the end of a cell that may stand there. */
static bool S_ends_cell(const char *at, const char *end) {
  return at == end || *at == ',' || *at == '\n' ||
         (*at == '\r' && (at + 1 == end || at[1] == '\n'));
}

/* A cell in quotes; doubled ones are made single in the scratch arena. FB_DONE: it goes on behind `end`. */
static fb_status S_quoted(fb_stream *stream, const char *at, const char *end, fb_member *cell,
                          fb_error *err) {
  size_t doubled = 0;
  const char *from = at + 1, *p = from;
  for (;; p += 2, doubled++) {
    p = p < end ? memchr(p, '"', (size_t)(end - p)) : NULL;
    if (!p || (p + 1 == end && !stream->eof)) {
      if (!stream->eof) return FB_DONE;
      cell->end = end;
      return S_bad(stream, err, at, "the quote is never closed",
                   "close it, or double it if it is part of the text");
    }
    if (p + 1 == end || p[1] != '"') break;
  }
  cell->end = p + 1;
  cell->nested = true;
  fb_slice text = {from, (size_t)(p - from)};
  if (doubled) {
    char *copy = fb_arena_alloc_aligned(&stream->scratch, text.len - doubled, 1);
    if (!copy) return fb_fail(err, FB_E_NOMEM, "out of memory");
    size_t len = 0;
    for (const char *q = from; q < p; q++) {
      copy[len++] = *q;
      q += *q == '"';
    }
    text = (fb_slice){copy, len};
  }
  cell->value = fb_string(text);
  if (S_ends_cell(p + 1, end)) return FB_OK;
  return S_bad(stream, err, p + 1, "text after the closing quote of a cell",
               "a quote within a quoted cell is doubled");
}

static fb_status S_bare(fb_stream *stream, const char *at, const char *end, fb_member *cell,
                        fb_error *err) {
  const char *p = at;
  while (p < end && *p != ',' && *p != '\n' && *p != '"') p++;
  if (p == end && !stream->eof) return FB_DONE;
  cell->end = p;
  if (p < end && *p == '"')
    return S_bad(stream, err, p, "a quote within a cell that does not begin with one",
                 "put the whole cell in quotes and double the quotes in it");
  if (p > at && p[-1] == '\r' && (p == end || *p == '\n')) p--;
  cell->nested = false;
  cell->value = fb_string((fb_slice){at, (size_t)(p - at)});
  cell->end = p;
  return FB_OK;
}

/* One line into members. FB_DONE: its end has not come yet. On failure *ret_next is where it was seen. */
static fb_status S_line(fb_stream *stream, const char *at, const char **ret_next, fb_error *err) {
  const char *end = stream->buf + stream->end;
  fb_arena_reset(&stream->scratch);
  stream->member_count = 0;
  for (;;) {
    fb_member *cell = S_new_cell(stream);
    if (!cell) return fb_fail(err, FB_E_NOMEM, "out of memory");
    cell->at = at;
    fb_status status = at < end && *at == '"' ? S_quoted(stream, at, end, cell, err)
                                              : S_bare(stream, at, end, cell, err);
    if (status) {
      if (status != FB_DONE && status != FB_E_NOMEM) *ret_next = cell->end;
      return status;
    }
    at = cell->end;
    if (at == end && !stream->eof) return FB_DONE;
    if (at < end && *at == ',') {
      at++;
      continue;
    }
    if (at < end && *at == '\r') at++;
    if (at == end && !stream->eof) return FB_DONE;
    *ret_next = at < end ? at + 1 : end;
    return FB_OK;
  }
}

static fb_status S_check_text(fb_stream *stream, const char *at, const char *end, fb_error *err) {
  size_t bad;
  const char *nul = memchr(at, 0, (size_t)(end - at));
  if (nul) {
    fb_fail(err, FB_E_STREAM_ENCODING, "a NUL byte in the text");
    fb_error_hint(err, "is the input UTF-16, or not text at all?");
  } else if (fb_utf8_valid(at, (size_t)(end - at), &bad)) {
    return FB_OK;
  } else {
    nul = at + bad;
    fb_fail(err, FB_E_STREAM_ENCODING, "the text is not valid UTF-8");
  }
  fb_stream_locate(stream, err, nul, 1);
  return FB_E_STREAM_ENCODING;
}

/* ── The header ── */

static fb_status S_name(fb_stream *stream, uint32_t column, const fb_member *cell, fb_error *err) {
  fb_csv *csv = &stream->csv;
  fb_slice name = fb_value_text(cell->value);
  if (!name.len)
    return S_bad(stream, err, cell->at, "a column without a name",
                 "the first line names the columns");
  for (uint32_t i = 0; i < column; i++)
    if (fb_slice_equal(csv->names[i], name))
      return S_bad(stream, err, cell->at, "two columns have the same name", "rename one of them");
  char *copy = fb_arena_text(&stream->arena, name);
  if (!copy) return fb_fail(err, FB_E_NOMEM, "out of memory");
  csv->names[column] = (fb_slice){copy, name.len};
  if (fb_slice_equal(name, stream->options.type_key)) csv->type_column = (int32_t)column;
  return FB_OK;
}

/* All records have one type: its fields are found now. */
static fb_status S_one_type(fb_stream *stream, fb_error *err) {
  fb_csv *csv = &stream->csv;
  fb_slice key = stream->options.type_key, name = stream->options.type;
  if (!name.len) {
    fb_fail(err, FB_E_STREAM_RECORD, "the header has no column `%.*s` to tell the fact type",
            (int)key.len, key.ptr);
    fb_error_hint(err, "name the type of the records when you read them");
    fb_stream_locate(stream, err, stream->members[0].at, 1);
    return FB_E_STREAM_RECORD;
  }
  fb_status status = fb_schema_open(stream->schema, name, &csv->type);
  if (status)
    return fb_fail(err, status, status == FB_E_LIMIT ? "too many fact types" : "out of memory");
  for (uint32_t i = 0; i < csv->count; i++) {
    status = fb_fact_type_learn(stream->schema, csv->type, csv->names[i], &csv->fields[i]);
    if (!status) continue;
    fb_field_unknown(csv->type, csv->names[i], status, err);
    fb_stream_locate(stream, err, stream->members[i].at, csv->names[i].len);
    return status;
  }
  return FB_OK;
}

static fb_status S_header(fb_stream *stream, fb_error *err) {
  fb_csv *csv = &stream->csv;
  csv->type_column = -1;
  csv->names = fb_arena_alloc(&stream->arena, stream->member_count * sizeof *csv->names);
  csv->fields = fb_alloc(stream->allocator, stream->member_count * sizeof *csv->fields);
  if (csv->fields) csv->count = (uint32_t)stream->member_count;
  if (!csv->names || !csv->fields) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (uint32_t i = 0; i < csv->count; i++) {
    fb_status status = S_name(stream, i, &stream->members[i], err);
    if (status) return status;
  }
  csv->ready = true;
  return csv->type_column < 0 ? S_one_type(stream, err) : FB_OK;
}

/* ── Values ── */

/* What an undeclared cell looks like: a number if it is one of JSON's that fits, true, false, else text. */
static fb_value S_look(fb_slice text) {
  fb_value value;
  fb_scan_fault fault;
  const char *end = text.ptr + text.len;
  char c = text.len ? text.ptr[0] : 0;
  if ((c == '-' || (c >= '0' && c <= '9')) && fb_scan_number(text.ptr, end, &value, &fault) == end)
    return value;
  if (fb_slice_equal(text, FB_SLICE("true"))) return fb_bool(true);
  if (fb_slice_equal(text, FB_SLICE("false"))) return fb_bool(false);
  return fb_string(text);
}

/* The cell as the field has it; FB_ABSENT for an empty one. */
static fb_status S_value(fb_stream *stream, fb_facts *facts, uint32_t field, const fb_member *cell,
                         fb_value *ret_value, fb_error *err) {
  fb_field_type type = facts->type->fields[field].type;
  fb_slice text = fb_value_text(cell->value);
  bool texty = type == FB_FIELD_ANY || type == FB_FIELD_STRING;
  fb_value value = fb_string(text);
  if (!text.len && !(cell->nested && texty)) {
    *ret_value = fb_absent();
    return FB_OK;
  }
  fb_status status = FB_OK;
  if (type == FB_FIELD_LIST || type == FB_FIELD_MAP) {
    fb_json_options options = {.max_depth = stream->options.max_depth};
    status = fb_json_read(text, stream->options.name, &options, &facts->arena, &value, err);
  } else if (type != FB_FIELD_STRING && type != FB_FIELD_TIMESTAMP && type != FB_FIELD_DURATION) {
    value = S_look(text);
  }
  if (!status && !fb_field_convert(type, &value))
    status = fb_field_refuse(facts->type, field, value, err);
  if (!status && value.kind == FB_STRING) {
    fb_symbol symbol;
    status = fb_symbol_intern(stream->symbols, text, &symbol);
    if (status)
      fb_fail(err, status, status == FB_E_LIMIT ? "too many different texts" : "out of memory");
    if (!status) value = fb_symbol_value_of(stream->symbols, symbol);
  }
  if (!status) *ret_value = value;
  return status;
}

static fb_status S_cell(fb_stream *stream, fb_facts *facts, uint32_t row, uint32_t column,
                        fb_error *err) {
  fb_csv *csv = &stream->csv;
  const fb_member *cell = &stream->members[column];
  if (!cell->value.len && !cell->nested) return FB_OK;
  fb_value value;
  fb_status status = FB_OK;
  if (csv->fields[column] == UINT32_MAX) {
    status =
        fb_fact_type_learn(stream->schema, facts->type, csv->names[column], &csv->fields[column]);
    if (status) fb_field_unknown(facts->type, csv->names[column], status, err);
  }
  if (!status) status = S_value(stream, facts, csv->fields[column], cell, &value, err);
  if (!status) {
    status = fb_facts_put(facts, row, csv->fields[column], value);
    if (status) fb_fail(err, status, "out of memory");
  }
  if (status) fb_stream_locate(stream, err, cell->at, (size_t)(cell->end - cell->at));
  return status;
}

/* ── Records ── */

static fb_status S_type(fb_stream *stream, fb_error *err) {
  fb_csv *csv = &stream->csv;
  if (csv->type_column < 0) return FB_OK;
  const fb_member *cell = &stream->members[csv->type_column];
  fb_slice name = fb_value_text(cell->value);
  if (!name.len) name = stream->options.type;
  if (!name.len) {
    fb_fail(err, FB_E_STREAM_RECORD, "the record does not tell its fact type");
    fb_stream_locate(stream, err, cell->at, 1);
    return FB_E_STREAM_RECORD;
  }
  fb_fact_type *type;
  fb_status status = fb_schema_open(stream->schema, name, &type);
  if (status) {
    fb_fail(err, status, status == FB_E_LIMIT ? "too many fact types" : "out of memory");
    fb_stream_locate(stream, err, cell->at, name.len);
    return status;
  }
  if (type != csv->type)
    for (uint32_t i = 0; i < csv->count; i++) csv->fields[i] = UINT32_MAX;
  csv->type = type;
  return FB_OK;
}

static fb_status S_count_cells(fb_stream *stream, const char *at, fb_error *err) {
  size_t count = stream->member_count, wanted = stream->csv.count;
  if (count == wanted) return FB_OK;
  fb_fail(err, FB_E_CSV_SYNTAX, "%zu cell%s where the header has %zu", count, count == 1 ? "" : "s",
          wanted);
  fb_stream_locate(stream, err, count > wanted ? stream->members[wanted].at : at, 1);
  return FB_E_CSV_SYNTAX;
}

static fb_status S_record(fb_stream *stream, const char *at, const char *end, fb_error *err) {
  fb_status status = S_check_text(stream, at, end, err);
  if (!status) status = S_count_cells(stream, at, err);
  if (!status) status = S_type(stream, err);
  if (status) return status;
  fb_table_of *table;
  uint32_t row;
  if (fb_stream_table(stream, stream->csv.type, &table) || fb_stream_run_room(stream) ||
      fb_facts_add(table->facts, &row))
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_arena_mark mark = fb_arena_save(&table->facts->arena);
  for (uint32_t i = 0; i < stream->csv.count && !status; i++)
    if ((int32_t)i != stream->csv.type_column) status = S_cell(stream, table->facts, row, i, err);
  if (status) {
    fb_facts_drop_last(table->facts);
    fb_arena_rewind(&table->facts->arena, mark);
    return status;
  }
  fb_stream_count(stream, table->facts, 1);
  return FB_OK;
}

/* Goes on behind the first line end after `at`, which may not have come yet. */
static void S_resume(fb_stream *stream, const char *at) {
  const char *end = stream->buf + stream->end;
  const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
  stream->start = (size_t)((stop ? stop + 1 : end) - stream->buf);
  stream->scanned = 0;
  stream->skipping = !stop;
}

/* Where an error in the buffer was found, as far as the record's first line tells. */
static const char *S_error_at(const fb_stream *stream, const fb_error *err, const char *record) {
  const char *at = record, *end = stream->buf + stream->end;
  uint32_t line = stream->line + 1;
  for (const char *p = stream->buf; p < record; p++) line += *p == '\n';
  for (; line < err->line; line++) {
    const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (!stop) return end;
    at = stop + 1;
  }
  return at;
}

static fb_status S_too_long(fb_stream *stream, fb_errors *errors, const char *at) {
  fb_error err;
  fb_fail(&err, FB_E_STREAM_LENGTH, "the record is longer than %zu bytes",
          stream->options.max_record);
  if (*at == '"' || memchr(at, '"',
                           4096 < stream->end - (size_t)(at - stream->buf)
                               ? 4096
                               : stream->end - (size_t)(at - stream->buf)))
    fb_error_hint(&err, "a quote may not be closed");
  fb_stream_locate(stream, &err, at, 1);
  S_resume(stream, at);
  return fb_stream_report(stream, errors, &err);
}

/* Takes one line. FB_DONE: its end has not come yet. */
static fb_status S_take(fb_stream *stream, fb_errors *errors) {
  const char *at = stream->buf + stream->start, *next = at;
  fb_error err;
  fb_status status = S_line(stream, at, &next, &err);
  /* A fault that lies beyond the limit must not depend on how much of the record has come. */
  size_t len = (size_t)((status == FB_DONE ? stream->buf + stream->end : next) - at);
  if (len > stream->options.max_record) {
    status = S_too_long(stream, errors, at);
    return stream->csv.ready || status
               ? status
               : FB_E_STREAM_LENGTH; /* without a header nothing has a name */
  }
  if (status == FB_DONE) return status;
  if (status) { /* what follows on the same line cannot be trusted */
    S_resume(stream, S_error_at(stream, &err, at));
    fb_status ended = fb_stream_report(stream, errors, &err);
    return stream->csv.ready ? ended : status;
  }
  bool blank =
      stream->member_count == 1 && !stream->members[0].value.len && !stream->members[0].nested;
  if (!blank) {
    bool header = !stream->csv.ready;
    status = header ? S_check_text(stream, at, next, &err) : S_record(stream, at, next, &err);
    if (header && !status) status = S_header(stream, &err);
    if (status) {
      fb_status ended = fb_stream_report(stream, errors, &err);
      status = header ? status : ended;
    }
  }
  stream->start = (size_t)(next - stream->buf);
  stream->scanned = 0;
  return status;
}

fb_status fb_stream_take_csv(fb_stream *stream, fb_errors *errors) {
  if (stream->skipping) S_resume(stream, stream->buf + stream->start);
  while (stream->start < stream->end && !fb_stream_batch_full(stream)) {
    const char *at = stream->buf + stream->start + stream->scanned,
               *end = stream->buf + stream->end;
    if (!stream->eof && (at == end || !memchr(at, '\n', (size_t)(end - at)))) {
      stream->scanned = stream->end - stream->start;
      if (stream->scanned <= stream->options.max_record) return FB_OK;
    }
    fb_status status = S_take(stream, errors);
    if (status == FB_DONE) return FB_OK;
    if (status) return status;
  }
  return FB_OK;
}
