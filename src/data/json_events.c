/* SPDX-License-Identifier: Apache-2.0
 * JSON as a stream of events, and the errors of a text for people. */
#include "data/json_step.h"

#include <stdio.h>

/* ── Errors ──────────────────────────────────────────────────────────────────────────────────── */

static const char *S_wanted(fb_json_want want) {
  switch (want) {
    case FB_JSON_WANT_VALUE: return "a value";
    case FB_JSON_WANT_ITEM: return "a value after the comma";
    case FB_JSON_WANT_ITEM_OR_END: return "a value or `]`";
    case FB_JSON_WANT_KEY: return "a key in double quotes after the comma";
    case FB_JSON_WANT_KEY_OR_END: return "a key in double quotes or `}`";
    case FB_JSON_WANT_COLON: return "`:` after the key";
    case FB_JSON_WANT_LIST_COMMA: return "`,` or `]`";
    case FB_JSON_WANT_MAP_COMMA: return "`,` or `}`";
    default: return "the end";
  }
}

/* How messages name what stands at text[0]. */
static void S_name_byte(fb_slice text, char out[32]) {
  uint32_t rune;
  if (fb_utf8_decode(text.ptr, text.len, &rune) == 0)
    snprintf(out, 32, "byte 0x%02x", (unsigned)(unsigned char)text.ptr[0]);
  else if (rune > 0x20 && rune < 0x7f)
    snprintf(out, 32, "`%c`", (int)rune);
  else
    snprintf(out, 32, "character U+%04X", (unsigned)rune);
}

static bool S_is_word(fb_slice text, const char *word) {
  return fb_slice_starts(text, fb_slice_of(word));
}

/* Words of other notations that people write where JSON has none. */
static const char *S_hint_word(fb_slice text, bool key) {
  if (key) return "keys are written in double quotes: \"name\"";
  if (S_is_word(text, "NaN") || S_is_word(text, "nan") || S_is_word(text, "Inf") ||
      S_is_word(text, "inf"))
    return "JSON has neither NaN nor infinity: use null or text";
  if (S_is_word(text, "True") || S_is_word(text, "False") || S_is_word(text, "TRUE") ||
      S_is_word(text, "FALSE"))
    return "true and false are written in small letters";
  if (S_is_word(text, "None") || S_is_word(text, "nil") || S_is_word(text, "Null") ||
      S_is_word(text, "NULL") || S_is_word(text, "undefined"))
    return "the empty value is written null";
  return "text is written in double quotes; the only bare words are true, false and null";
}

static const char *S_hint_unexpected(fb_slice text, size_t offset, fb_json_want want) {
  fb_slice rest = {text.ptr + offset, text.len - offset};
  bool key = want == FB_JSON_WANT_KEY || want == FB_JSON_WANT_KEY_OR_END;
  bool value = want <= FB_JSON_WANT_ITEM_OR_END;
  char c = rest.ptr[0];
  if (S_is_word(rest, "\xef\xbb\xbf"))
    return "remove the byte order mark: JSON is UTF-8 without one";
  if (c == '/' || c == '#') return "JSON has no comments";
  if (c == '\'') return "strings are written in double quotes";
  if (want == FB_JSON_WANT_ITEM && c == ']') return "remove the comma before `]`";
  if (want == FB_JSON_WANT_KEY && c == '}') return "remove the comma before `}`";
  if (value && S_is_word(rest, "-Inf"))
    return "JSON has neither NaN nor infinity: use null or text";
  if (value && c == '+') return "write the number without `+`";
  if (value && c == '.') return "write a digit before the point: 0.5";
  if (value && c == ',') return "remove the comma, or write null where a value is missing";
  if (value || key) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
    if (letter) return S_hint_word(rest, key);
    return key && ((c >= '0' && c <= '9') || c == '-')
               ? "keys are text: write the number in double quotes"
               : "";
  }
  if (want == FB_JSON_WANT_COLON && c == '=') return "a key and its value are joined by `:`";
  if (want == FB_JSON_WANT_NOTHING)
    return c == '{' || c == '[' || c == '"'
               ? "a text is one value: put several into a list, or one on each line (NDJSON)"
               : "remove what follows the value";
  if ((want == FB_JSON_WANT_LIST_COMMA || want == FB_JSON_WANT_MAP_COMMA) &&
      (c == '"' || c == '{' || c == '['))
    return "a comma is missing before it";
  return "";
}

static fb_status S_fail_unexpected(fb_error *err, fb_slice text, size_t offset, fb_json_want want) {
  if (offset >= text.len) {
    if (text.len == 0 || want == FB_JSON_WANT_VALUE)
      fb_fail(err, FB_E_JSON_SYNTAX, "the text ends where a value should be");
    else
      fb_fail(err, FB_E_JSON_SYNTAX, "the text ends too early: expected %s", S_wanted(want));
    fb_error_hint(
        err, "%s",
        want == FB_JSON_WANT_VALUE ? "" : "a `{` or `[` is not closed, or the text was cut off");
    return FB_E_JSON_SYNTAX;
  }
  char name[32];
  S_name_byte((fb_slice){text.ptr + offset, text.len - offset}, name);
  if (want == FB_JSON_WANT_NOTHING)
    fb_fail(err, FB_E_JSON_SYNTAX, "unexpected %s after the end of the value", name);
  else
    fb_fail(err, FB_E_JSON_SYNTAX, "unexpected %s: expected %s", name, S_wanted(want));
  fb_error_hint(err, "%s", S_hint_unexpected(text, offset, want));
  return FB_E_JSON_SYNTAX;
}

typedef struct fb_fault_text {
  fb_status code;
  const char *text, *hint;
} fb_fault_text;

static fb_fault_text S_fault_text(fb_json_fault fault) {
  switch (fault) {
    case FB_JSON_TOO_DEEP:
      return (fb_fault_text){FB_E_JSON_DEPTH, "lists and maps are nested too deeply",
                             "flatten the data, or raise the depth limit"};
    case FB_JSON_OPEN_STRING:
      return (fb_fault_text){FB_E_JSON_STRING, "the string is not closed",
                             "a closing `\"` is missing"};
    case FB_JSON_CONTROL:
      return (fb_fault_text){FB_E_JSON_STRING, "raw control character in a string",
                             "write it as an escape: \\n, \\t, \\u0000"};
    case FB_JSON_ESCAPE:
      return (fb_fault_text){
          FB_E_JSON_STRING, "unknown escape",
          "escapes are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX; a backslash itself is \\\\"};
    case FB_JSON_UNICODE_ESCAPE:
      return (fb_fault_text){FB_E_JSON_STRING, "\\u needs four hexadecimal digits",
                             "for example \\u00e9"};
    case FB_JSON_SURROGATE:
      return (fb_fault_text){FB_E_JSON_STRING, "half of a surrogate pair",
                             "a character above U+FFFF is two escapes: \\ud83d\\ude00"};
    case FB_JSON_UTF8:
      return (fb_fault_text){FB_E_JSON_STRING, "the string is not valid UTF-8",
                             "save the file as UTF-8, or write the character as \\uXXXX"};
    case FB_JSON_STRING_LENGTH:
      return (fb_fault_text){FB_E_LIMIT, "the string is 4 GiB or longer", ""};
    case FB_JSON_LEADING_ZERO:
      return (fb_fault_text){FB_E_JSON_NUMBER, "a number may not begin with an extra zero",
                             "remove the zeros, or write it as text"};
    case FB_JSON_NUMBER_DIGIT:
      return (fb_fault_text){
          FB_E_JSON_NUMBER, "a digit is missing in the number",
          "a digit must follow the sign, the point and the exponent: -1, 1.0, 1e5"};
    case FB_JSON_INTEGER_RANGE:
      return (fb_fault_text){
          FB_E_JSON_NUMBER, "the integer does not fit 64 bits",
          "write it as text to keep it exact, or with a fraction (.0) to have it rounded"};
    case FB_JSON_DOUBLE_RANGE:
      return (fb_fault_text){FB_E_JSON_NUMBER, "the number is too big for a double",
                             "the largest is 1.7976931348623157e308"};
    case FB_JSON_NO_MEMORY:
      return (fb_fault_text){FB_E_NOMEM, "no memory to read the JSON text", ""};
    default: return (fb_fault_text){FB_E_INTERNAL, "unknown fault", ""};
  }
}

/* What the caret underlines: a whole number or escape, else one character. */
static size_t S_fault_length(fb_slice text, size_t offset, fb_json_fault fault) {
  size_t at = offset;
  if (fault == FB_JSON_ESCAPE) return 2;
  if (fault == FB_JSON_SURROGATE) return 6;
  if (fault < FB_JSON_LEADING_ZERO || fault > FB_JSON_DOUBLE_RANGE) return 1;
  while (at < text.len &&
         ((text.ptr[at] >= '0' && text.ptr[at] <= '9') || text.ptr[at] == '.' ||
          text.ptr[at] == '-' || text.ptr[at] == '+' || (text.ptr[at] | 0x20) == 'e'))
    at++;
  return at - offset;
}

fb_status fb_json_fail(fb_error *err, const char *name, fb_slice text, size_t offset,
                       fb_json_fault fault, fb_json_want want) {
  if (fault == FB_JSON_UNEXPECTED) {
    fb_status status = S_fail_unexpected(err, text, offset, want);
    fb_error_locate(err, name, text, offset, 1);
    return status;
  }
  fb_fault_text what = S_fault_text(fault);
  fb_fail(err, what.code, "%s", what.text);
  fb_error_hint(err, "%s", what.hint);
  fb_error_locate(err, name, text, offset, S_fault_length(text, offset, fault));
  return what.code;
}

void fb_json_events_init(fb_json_events *events, fb_slice text, const char *name,
                         uint32_t max_depth, fb_arena *arena) {
  if (max_depth == 0) max_depth = FB_JSON_DEPTH_DEFAULT;
  const char *start = text.ptr ? text.ptr : "";
  *events =
      (fb_json_events){.start = start,
                       .at = start,
                       .end = start + text.len,
                       .name = name,
                       .arena = arena,
                       .max_depth = max_depth < FB_JSON_DEPTH_MAX ? max_depth : FB_JSON_DEPTH_MAX,
                       .want = FB_JSON_WANT_VALUE,
                       .after = FB_JSON_WANT_NOTHING};
}

fb_status fb_json_events_fail(const fb_json_events *events, fb_error *err, fb_json_fault fault,
                              const char *at) {
  fb_slice text = {events->start, (size_t)(events->end - events->start)};
  return fb_json_fail(err, events->name, text, (size_t)(at - events->start), fault,
                      (fb_json_want)events->want);
}

fb_status fb_json_events_unescape(fb_json_events *events, fb_slice raw, fb_json_event *ret_event,
                                  fb_error *err) {
  char *out = NULL;
  size_t len = 0;
  if (events->arena && !(out = fb_arena_alloc_aligned(events->arena, raw.len + 1, 1)))
    return fb_json_events_fail(events, err, FB_JSON_NO_MEMORY, raw.ptr);
  fb_scan_fault fault;
  if (!fb_scan_unescape(raw, out, &len, &fault))
    return fb_json_events_fail(events, err, fault.fault, fault.at);
  if (out) {
    out[len] = 0;
    ret_event->borrowed = false;
    ret_event->value = fb_string((fb_slice){out, len});
  }
  return FB_OK;
}

fb_status fb_json_events_next(fb_json_events *events, fb_json_event *ret_event, fb_error *err) {
  return fb_step_next(events, ret_event, err);
}

fb_status fb_json_check(fb_slice text, const char *name, uint32_t max_depth, fb_error *err) {
  fb_json_events events;
  fb_json_event event;
  fb_status status;
  fb_json_events_init(&events, text, name, max_depth, NULL);
  while ((status = fb_json_events_next(&events, &event, err)) == FB_OK) {
  }
  return status == FB_DONE ? FB_OK : status;
}
