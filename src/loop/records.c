/* SPDX-License-Identifier: Apache-2.0
 * Text of other forms as facts: what goes into the queue is NDJSON or CSV. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "loop/engine.h"

#include <pcre2.h>
#include <stdlib.h>

enum { MATCH_LIMIT = 1000000, PAIRS_MAX = 64 };

uint64_t fb_records_count(fb_slice text) {
  uint64_t count = 0;
  for (const char *at = text.ptr, *end = at + text.len; at < end; count++) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    if (!newline) return count + 1;
    at = newline + 1;
  }
  return count;
}

static void S_time(int64_t now, char out[FB_TIME_TEXT_MAX]) {
  fb_time_format(now / 1000000000, (uint32_t)(now % 1000000000 / 1000000 * 1000000), out);
}

/* ── Lines ───────────────────────────────────────────────────────────────────────────────────── */

static void S_line(const fb_parse_plan *plan, fb_slice line, const char *time, fb_buf *out) {
  fb_buf_text(out, "{\"line\":");
  fb_json_write_text(out, line, FB_JSON_COMPACT);
  if (plan->stamp) {
    fb_buf_char(out, ',');
    fb_json_write_text(out, fb_slice_of(plan->stamp), FB_JSON_COMPACT);
    fb_buf_printf(out, ":\"%s\"", time);
  }
  fb_buf_text(out, "}\n");
}

/* Quoted only if it must be: what is not takes the type of its field, or the one that it looks like. */
static void S_cell(fb_buf *out, fb_slice text) {
  bool plain = true;
  for (size_t i = 0; i < text.len && plain; i++)
    plain = text.ptr[i] != '"' && text.ptr[i] != ',' && text.ptr[i] != '\r';
  if (plain) {
    fb_buf_add(out, text.ptr, text.len);
    return;
  }
  fb_buf_char(out, '"');
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] == '"') fb_buf_char(out, '"');
    fb_buf_char(out, text.ptr[i]);
  }
  fb_buf_char(out, '"');
}

static void S_head(const fb_parse_plan *plan, fb_buf *out) {
  for (uint32_t i = 0; i < plan->count; i++) {
    if (i) fb_buf_char(out, ',');
    S_cell(out, fb_slice_of(plan->columns[i]));
  }
  if (plan->stamp) {
    fb_buf_char(out, ',');
    S_cell(out, fb_slice_of(plan->stamp));
  }
  fb_buf_char(out, '\n');
}

static void S_match(const fb_parse_plan *plan, fb_slice line, const char *time,
                    pcre2_match_data *data, pcre2_match_context *context, fb_buf *out) {
  if (pcre2_match(plan->code, (PCRE2_SPTR)line.ptr, line.len, 0, 0, data, context) < 0) return;
  const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);
  for (uint32_t i = 0; i < plan->count; i++) {
    uint32_t group = plan->groups[i];
    if (i) fb_buf_char(out, ',');
    if (ends[2 * group] != PCRE2_UNSET && ends[2 * group + 1] >= ends[2 * group])
      S_cell(out, (fb_slice){line.ptr + ends[2 * group], ends[2 * group + 1] - ends[2 * group]});
  }
  if (plan->stamp) fb_buf_printf(out, ",%s", time);
  fb_buf_char(out, '\n');
}

static void S_regex(const fb_parse_plan *plan, fb_slice text, const char *time, fb_buf *out) {
  pcre2_match_data *data = pcre2_match_data_create_from_pattern(plan->code, NULL);
  pcre2_match_context *context = pcre2_match_context_create(NULL);
  out->failed |= !data || !context;
  if (!out->failed) {
    pcre2_set_match_limit(context, MATCH_LIMIT);
    pcre2_set_depth_limit(context, MATCH_LIMIT);
    S_head(plan, out);
  }
  size_t head = out->len;
  for (size_t at = 0; at < text.len && !out->failed;) {
    const char *newline = memchr(text.ptr + at, '\n', text.len - at);
    size_t length = newline ? (size_t)(newline - text.ptr) - at : text.len - at;
    S_match(plan, (fb_slice){text.ptr + at, length}, time, data, context, out);
    at += length + 1;
  }
  if (out->len == head) fb_buf_clear(out); /* nothing matched */
  pcre2_match_context_free(context);
  pcre2_match_data_free(data);
}

void fb_records_lines(const fb_parse_plan *plan, fb_slice text, int64_t now, fb_buf *out,
                      uint32_t *ret_flags) {
  char time[FB_TIME_TEXT_MAX];
  S_time(now, time);
  *ret_flags = plan->kind == FB_PARSE_CSV || plan->kind == FB_PARSE_REGEX ? FB_BATCH_CSV : 0;
  if (plan->kind == FB_PARSE_REGEX) {
    S_regex(plan, text, time, out);
    return;
  }
  if (plan->kind == FB_PARSE_CSV && plan->count) {
    fb_parse_plan head = *plan;
    head.stamp = NULL;
    S_head(&head, out);
  }
  if (plan->kind != FB_PARSE_LINES) {
    fb_buf_add(out, text.ptr, text.len);
    return;
  }
  for (size_t at = 0; at < text.len;) {
    const char *newline = memchr(text.ptr + at, '\n', text.len - at);
    size_t length = newline ? (size_t)(newline - text.ptr) - at : text.len - at;
    size_t kept = length && text.ptr[at + length - 1] == '\r' ? length - 1 : length;
    if (kept) S_line(plan, (fb_slice){text.ptr + at, kept}, time, out);
    at += length + 1;
  }
}

/* ── JSON ────────────────────────────────────────────────────────────────────────────────────── */

fb_status fb_records_json(fb_slice text, const char *name, fb_buf *out, fb_error *err) {
  fb_arena arena;
  fb_value value;
  fb_arena_init(&arena, NULL, 0);
  fb_status status = fb_json_read(text, name, NULL, &arena, &value, err);
  if (!status && value.kind != FB_LIST && value.kind != FB_MAP)
    status = fb_fail(err, FB_E_STREAM_RECORD, "facts are an object or a list of objects, not %s",
                     fb_kind_name((fb_kind)value.kind));
  if (!status && value.kind == FB_MAP) {
    fb_json_write(out, value, FB_JSON_COMPACT);
    fb_buf_char(out, '\n');
  }
  for (uint32_t i = 0; !status && value.kind == FB_LIST && i < value.as.list->len; i++) {
    fb_json_write(out, value.as.list->items[i], FB_JSON_COMPACT);
    fb_buf_char(out, '\n');
  }
  if (!status && out->failed) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_arena_release(&arena);
  return status;
}

/* ── Prometheus' text ────────────────────────────────────────────────────────────────────────── */

typedef struct S_sample {
  const char *at, *end;
} S_sample;

static void S_blanks(S_sample *sample) {
  while (sample->at < sample->end && (*sample->at == ' ' || *sample->at == '\t')) sample->at++;
}

static fb_slice S_name(S_sample *sample) {
  const char *start = sample->at;
  while (sample->at < sample->end) {
    char c = *sample->at;
    bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
                (sample->at > start && ((c >= '0' && c <= '9') || c == '.'));
    if (!good) break;
    sample->at++;
  }
  return (fb_slice){start, (size_t)(sample->at - start)};
}

/* A quoted text with \\, \" and \n. */
static bool S_quoted(S_sample *sample, fb_buf *text) {
  fb_buf_clear(text);
  if (sample->at == sample->end || *sample->at != '"') return false;
  for (sample->at++; sample->at < sample->end && *sample->at != '"'; sample->at++) {
    char c = *sample->at;
    if (c == '\\' && sample->at + 1 < sample->end) {
      c = *++sample->at;
      if (c == 'n') c = '\n';
    }
    fb_buf_char(text, c);
  }
  if (sample->at == sample->end) return false;
  sample->at++;
  return true;
}

static bool S_labels(S_sample *sample, fb_buf *text, fb_buf *out) {
  int count = 0;
  fb_buf_text(out, ",\"labels\":{");
  if (sample->at == sample->end || *sample->at != '{') {
    fb_buf_char(out, '}');
    return true;
  }
  for (sample->at++;; count++) {
    S_blanks(sample);
    if (sample->at < sample->end && *sample->at == '}') break;
    fb_slice name = S_name(sample);
    S_blanks(sample);
    if (!name.len || count == PAIRS_MAX || sample->at == sample->end || *sample->at++ != '=')
      return false;
    S_blanks(sample);
    if (!S_quoted(sample, text) || !fb_utf8_valid(text->ptr ? text->ptr : "", text->len, NULL))
      return false;
    fb_buf_text(out, count ? "," : "");
    fb_json_write_text(out, name, FB_JSON_COMPACT);
    fb_buf_char(out, ':');
    fb_json_write_text(out, fb_buf_slice(text), FB_JSON_COMPACT);
    S_blanks(sample);
    if (sample->at < sample->end && *sample->at == ',') sample->at++;
  }
  sample->at++;
  fb_buf_char(out, '}');
  return true;
}

/* Only finite numbers are facts. */
static bool S_number(S_sample *sample, fb_buf *out) {
  char text[64], *stop;
  S_blanks(sample);
  size_t length = 0;
  while (sample->at < sample->end && *sample->at != ' ' && *sample->at != '\t' &&
         *sample->at != '\r' && length < sizeof text - 1)
    text[length++] = *sample->at++;
  text[length] = 0;
  double value = strtod(text, &stop);
  if (!length || *stop || value - value != 0) return false;
  fb_buf_text(out, ",\"value\":");
  fb_json_write(out, fb_double(value), FB_JSON_COMPACT);
  return true;
}

static void S_prometheus_line(fb_slice line, fb_slice type, fb_buf *text, fb_buf *out) {
  S_sample sample = {line.ptr, line.ptr + line.len};
  size_t before = out->len;
  S_blanks(&sample);
  if (sample.at == sample.end || *sample.at == '#') return;
  fb_slice name = S_name(&sample);
  fb_buf_text(out, "{\"type\":");
  fb_json_write_text(out, type, FB_JSON_COMPACT);
  fb_buf_text(out, ",\"name\":");
  fb_json_write_text(out, name, FB_JSON_COMPACT);
  S_blanks(&sample);
  if (name.len && S_labels(&sample, text, out) && S_number(&sample, out)) {
    fb_buf_text(out, "}\n");
  } else if (!out->failed) {
    out->len = before;
    out->ptr[before] = 0;
  }
}

void fb_records_prometheus(fb_slice text, fb_slice type, fb_buf *out) {
  fb_buf scratch;
  fb_buf_init(&scratch, NULL, 0);
  for (size_t at = 0; at < text.len;) {
    const char *newline = memchr(text.ptr + at, '\n', text.len - at);
    size_t length = newline ? (size_t)(newline - text.ptr) - at : text.len - at;
    S_prometheus_line((fb_slice){text.ptr + at, length}, type, &scratch, out);
    at += length + 1;
  }
  fb_buf_release(&scratch);
}
