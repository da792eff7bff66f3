/* SPDX-License-Identifier: Apache-2.0
 * One JSON record of any form into the table of its type. Two steps, since its type may come last: the
 * members are found and their scalars read; then the table is chosen and the cells are written. Here
 * it is only found out that a text is bad; what and where, fb_json_check says. */
#include "data/json_scan.h"
#include "data/stream_internal.h"

/* Skips a list or map by counting brackets outside of strings: whether they match is seen later. */
static const char *S_skip_nested(const char *at, const char *end) {
  uint32_t depth = 0;
  while (at < end) {
    char c = *at++;
    if (c == '{' || c == '[') {
      depth++;
    } else if (c == '}' || c == ']') {
      if (--depth == 0) return at;
    } else if (c == '"') {
      for (unsigned high = 0;;) {
        at = fb_scan_plain(at, end, &high);
        if (at >= end) return NULL;
        c = *at++;
        if (c == '"') break;
        if (c == '\\' && at < end) at++;
      }
    }
  }
  return NULL;
}

/* The text of a string: in the buffer, or without its escapes in the scratch arena. */
static bool S_text(fb_stream *stream, fb_slice raw, bool escaped, fb_slice *ret_text) {
  *ret_text = raw;
  if (!escaped) return true;
  fb_scan_fault fault;
  char *text = fb_arena_alloc_aligned(&stream->scratch, raw.len ? raw.len : 1, 1);
  ret_text->ptr = text;
  return text && fb_scan_unescape(raw, text, &ret_text->len, &fault);
}

static const char *S_string(fb_stream *stream, const char *at, const char *end,
                            fb_slice *ret_text) {
  fb_scan_fault fault;
  fb_slice raw;
  bool escaped;
  at = fb_scan_string(at, end, &raw, &escaped, &fault);
  return at && S_text(stream, raw, escaped, ret_text) ? at : NULL;
}

static const char *S_word(const char *at, const char *end, const char *word, size_t len) {
  return (size_t)(end - at) >= len && memcmp(at, word, len) == 0 ? at + len : NULL;
}

/* The value at `at`; NULL if it is bad. */
static const char *S_value(fb_stream *stream, const char *at, const char *end, fb_member *member) {
  member->at = at;
  member->nested = false;
  fb_scan_fault fault;
  if (at == end) return NULL;
  switch (*at) {
    case '"': {
      fb_slice text;
      at = S_string(stream, at + 1, end, &text);
      if (at) member->value = fb_string(text);
      break;
    }
    case '{':
    case '[':
      member->nested = true;
      at = S_skip_nested(at, end);
      break;
    case 't':
      member->value = fb_bool(true);
      at = S_word(at, end, "true", 4);
      break;
    case 'f':
      member->value = fb_bool(false);
      at = S_word(at, end, "false", 5);
      break;
    case 'n':
      member->value = fb_null();
      at = S_word(at, end, "null", 4);
      break;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': at = fb_scan_number(at, end, &member->value, &fault); break;
    default: at = NULL;
  }
  member->end = at;
  return at;
}

static fb_member *S_new_member(fb_stream *stream) {
  void *members = stream->members;
  if (!fb_grow(stream->allocator, &members, &stream->member_cap, stream->member_count,
               sizeof *stream->members))
    return NULL;
  stream->members = members;
  return &stream->members[stream->member_count];
}

/* Finds all members. FB_E_JSON_SYNTAX stands for whatever is bad. */
static fb_status S_members(fb_stream *stream, fb_slice text) {
  const char *at = text.ptr, *end = text.ptr + text.len;
  stream->member_count = 0;
  if (at == end || *at != '{') return FB_E_JSON_SYNTAX;
  at = fb_scan_blank(at + 1, end);
  if (at < end && *at == '}') return fb_scan_blank(at + 1, end) == end ? FB_OK : FB_E_JSON_SYNTAX;
  for (;;) {
    fb_member *member = S_new_member(stream);
    if (!member) return FB_E_NOMEM;
    if (at == end || *at != '"') return FB_E_JSON_SYNTAX;
    member->key_at = at;
    at = S_string(stream, at + 1, end, &member->key);
    if (!at) return FB_E_JSON_SYNTAX;
    at = fb_scan_blank(at, end);
    if (at == end || *at != ':') return FB_E_JSON_SYNTAX;
    at = S_value(stream, fb_scan_blank(at + 1, end), end, member);
    if (!at) return FB_E_JSON_SYNTAX;
    stream->member_count++;
    at = fb_scan_blank(at, end);
    if (at == end) return FB_E_JSON_SYNTAX;
    if (*at == '}') return fb_scan_blank(at + 1, end) == end ? FB_OK : FB_E_JSON_SYNTAX;
    if (*at != ',') return FB_E_JSON_SYNTAX;
    at = fb_scan_blank(at + 1, end);
  }
}

/* Says what is wrong with a record that S_members refused. */
static fb_status S_explain(fb_stream *stream, fb_slice text, fb_error *err) {
  fb_status status = fb_json_check(text, stream->options.name, stream->options.max_depth, err);
  if (status) {
    fb_stream_relocate(stream, err, text);
    return status;
  }
  if (text.ptr[0] == '{')
    return fb_fail(err, FB_E_NOMEM, "out of memory"); /* for a string's escapes */
  fb_fail(err, FB_E_STREAM_RECORD, "a fact is an object");
  if (text.ptr[0] == '[')
    fb_error_hint(err, "this looks like a JSON array: read it as json, not ndjson");
  fb_stream_locate(stream, err, text.ptr, 1);
  return FB_E_STREAM_RECORD;
}

/* ── The type ── */

/* Adds the place to the failure `status`, which it returns. */
static fb_status S_fail_at(fb_stream *stream, fb_status status, fb_error *err, const char *at,
                           const char *end) {
  fb_stream_locate(stream, err, at, (size_t)(end - at));
  return status;
}

/* The member that tells the type, NULL if there is none; its number of occurrences must be one. */
static fb_status S_type_member(fb_stream *stream, fb_member **ret_member, fb_error *err) {
  fb_slice key = stream->options.type_key;
  fb_member *found = NULL;
  for (size_t i = 0; i < stream->member_count; i++) {
    fb_member *member = &stream->members[i];
    if (!fb_slice_equal(member->key, key)) continue;
    if (found) {
      fb_status status =
          fb_fail(err, FB_E_JSON_DUPLICATE, "the key `%.*s` is given twice", (int)key.len, key.ptr);
      return S_fail_at(stream, status, err, member->key_at, member->key_at + key.len + 2);
    }
    found = member;
  }
  *ret_member = found;
  return FB_OK;
}

static fb_status S_type(fb_stream *stream, fb_slice text, fb_fact_type **ret_type, fb_error *err) {
  fb_member *member = NULL;
  fb_status status = S_type_member(stream, &member, err);
  if (status) return status;
  fb_slice key = stream->options.type_key, name = stream->options.type;
  if (member && (member->nested || member->value.kind != FB_STRING || !member->value.len)) {
    status = fb_fail(err, FB_E_STREAM_RECORD, "the type of a fact is a text that is not empty");
    return S_fail_at(stream, status, err, member->at, member->end);
  }
  if (member) name = fb_value_text(member->value);
  if (!name.len) {
    status = fb_fail(err, FB_E_STREAM_RECORD, "the record has no key `%.*s` to tell its fact type",
                     (int)key.len, key.ptr);
    fb_error_hint(err, "name the type of such records when you read them");
    return S_fail_at(stream, status, err, text.ptr, text.ptr + 1);
  }
  status = fb_schema_open(stream->schema, name, ret_type);
  if (!status) return FB_OK;
  fb_fail(err, status, status == FB_E_LIMIT ? "too many fact types" : "out of memory");
  return S_fail_at(stream, status, err, text.ptr, text.ptr + 1);
}

/* ── The cells ── */

/* Reads a nested value into the table's arena. */
static fb_status S_nested(fb_stream *stream, fb_facts *facts, fb_member *member, fb_error *err) {
  fb_slice text = {member->at, (size_t)(member->end - member->at)};
  fb_json_options options = {.max_depth =
                                 stream->options.max_depth > 1 ? stream->options.max_depth - 1 : 1};
  fb_status status =
      fb_json_read(text, stream->options.name, &options, &facts->arena, &member->value, err);
  if (status) fb_stream_relocate(stream, err, text);
  return status;
}

/* A scalar as the column has it. */
static fb_status S_own(fb_facts *facts, fb_value *value) {
  if (value->kind != FB_STRING) return FB_OK;
  fb_symbol symbol;
  fb_status status = fb_symbol_intern(facts->symbols, fb_value_text(*value), &symbol);
  if (!status) *value = fb_symbol_value_of(facts->symbols, symbol);
  return status;
}

const char *fb_stream_text(fb_stream *stream, const char *at, const char *end,
                           fb_symbol *ret_symbol) {
  fb_slice text;
  fb_arena_reset(&stream->scratch);
  at = S_string(stream, at, end, &text);
  return at && !fb_symbol_intern(stream->symbols, text, ret_symbol) ? at : NULL;
}

const char *fb_stream_value(fb_stream *stream, fb_facts *facts, const char *at, const char *end,
                            fb_field_type type, fb_value *ret_value) {
  fb_member member;
  fb_arena_reset(&stream->scratch);
  if (stream->options.format == FB_STREAM_NDJSON && at < end && (*at == '[' || *at == '{')) {
    const char *stop = memchr(at, '\n', (size_t)(end - at)); /* a record ends with its line */
    if (stop) end = stop;
  }
  at = S_value(stream, at, end, &member);
  if (!at || (member.nested && S_nested(stream, facts, &member, NULL))) return NULL;
  if (!fb_field_convert(type, &member.value) || S_own(facts, &member.value)) return NULL;
  *ret_value = member.value;
  return at;
}

static fb_status S_cell(fb_stream *stream, fb_table_of *table, uint32_t row, fb_member *member,
                        fb_error *err) {
  fb_facts *facts = table->facts;
  uint32_t field;
  fb_status status = fb_stream_field(stream, table, member->key, &field, err);
  if (status) {
    fb_stream_locate(stream, err, member->key_at, member->key.len + 2);
    return status;
  }
  member->field = field;
  if (member->nested) status = S_nested(stream, facts, member, err);
  if (status) return status;
  fb_value value = member->value;
  if (!fb_field_convert(facts->type->fields[field].type, &value)) {
    status = fb_field_refuse(facts->type, field, value, err);
    fb_stream_locate(stream, err, member->at, (size_t)(member->end - member->at));
    return status;
  }
  status = S_own(facts, &value);
  if (!status) status = fb_facts_put(facts, row, field, value);
  if (!status) return FB_OK;
  fb_fail(err, status, status == FB_E_LIMIT ? "too many different texts" : "out of memory");
  fb_stream_locate(stream, err, member->at, 1);
  return status;
}

static fb_status S_cells(fb_stream *stream, fb_table_of *table, fb_slice text, fb_error *err) {
  fb_facts *facts = table->facts;
  fb_arena_mark mark = fb_arena_save(&facts->arena);
  uint32_t row;
  if (table->shape) table->shape->room = 0; /* columns may move */
  fb_status status = fb_stream_run_room(stream);
  if (!status) status = fb_facts_add(facts, &row);
  if (status)
    return fb_fail(err, status, status == FB_E_LIMIT ? "too many facts" : "out of memory");
  for (size_t i = 0; i < stream->member_count && !status; i++)
    if (!fb_slice_equal(stream->members[i].key, stream->options.type_key))
      status = S_cell(stream, table, row, &stream->members[i], err);
  if (status) {
    fb_facts_drop_last(facts);
    fb_arena_rewind(&facts->arena, mark);
    return status;
  }
  fb_stream_count(stream, facts, 1);
  fb_shape_learn(stream, table, row, text);
  return FB_OK;
}

fb_status fb_stream_record(fb_stream *stream, fb_slice text, fb_error *err) {
  fb_arena_reset(&stream->scratch);
  stream->attempt++;
  fb_status status = S_members(stream, text);
  if (status == FB_E_NOMEM) return fb_fail(err, status, "out of memory");
  if (status) return S_explain(stream, text, err);
  fb_fact_type *type;
  fb_table_of *table;
  status = S_type(stream, text, &type, err);
  if (status) return status;
  status = fb_stream_table(stream, type, &table);
  if (status) return fb_fail(err, status, "out of memory");
  return S_cells(stream, table, text, err);
}
