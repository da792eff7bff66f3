/* SPDX-License-Identifier: Apache-2.0
 * string.format: %s %d %f %e %b %o %x %X, with a precision for %f and %e. */
#include "cel/lib.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PRECISION = 1000, DEFAULT_PRECISION = 6, MAX_DEPTH = 1000 };

/* One evaluation of format: out, and the failure that ended it (kind FB_ERROR) if any. */
typedef struct S_format {
  fb_cel_context *context;
  fb_buf out;
  fb_value failure;
} S_format;

static bool S_wrong_kind(S_format *f, const char *rule, fb_value value) {
  f->failure = fb_cel_fail(f->context, FB_E_CEL_VALUE, "error during formatting: %s, was given %s",
                           rule, fb_kind_name(value.kind));
  return false;
}

static void S_add_double(fb_buf *out, double d) {
  char text[FB_LIB_DOUBLE_MAX];
  if (isnan(d))
    fb_buf_text(out, "NaN");
  else if (isinf(d))
    fb_buf_text(out, d < 0 ? "-Infinity" : "Infinity");
  else
    fb_buf_add(out, text, fb_lib_double_text(d, 'f', text));
}

static bool S_add_string(S_format *f, fb_buf *out, fb_value value, uint32_t depth);

static bool S_add_list(S_format *f, fb_buf *out, const fb_list *list, uint32_t depth) {
  fb_buf_char(out, '[');
  for (uint32_t i = 0; i < list->len && !out->failed; i++) {
    if (i) fb_buf_text(out, ", ");
    if (!S_add_string(f, out, list->items[i], depth + 1)) return false;
  }
  fb_buf_char(out, ']');
  return true;
}

typedef struct S_pair {
  fb_slice key;
  const fb_entry *entry;
} S_pair;

static int S_by_key(const void *a, const void *b) {
  const S_pair *x = a, *y = b;
  int order = fb_slice_compare(x->key, y->key);
  return order ? order : (x->entry > y->entry) - (x->entry < y->entry); /* stable */
}

/* The entries with the texts of their keys, sorted by them. NULL: f->failure tells. */
static S_pair *S_sorted_pairs(S_format *f, const fb_map *map, uint32_t depth) {
  S_pair *pairs = fb_arena_alloc(f->context->arena, map->len * sizeof *pairs + 1);
  for (uint32_t i = 0; pairs && i < map->len; i++) {
    fb_buf key;
    fb_lib_begin(f->context, &key);
    bool good = S_add_string(f, &key, map->entries[i].key, depth + 1);
    fb_value text = fb_lib_finish(f->context, &key);
    if (!good) return NULL;
    if (text.kind == FB_ERROR) {
      f->failure = text;
      return NULL;
    }
    pairs[i] = (S_pair){fb_value_text(text), &map->entries[i]};
  }
  if (!pairs)
    f->failure = fb_lib_nomem(f->context);
  else
    qsort(pairs, map->len, sizeof *pairs, S_by_key);
  return pairs;
}

static bool S_add_map(S_format *f, fb_buf *out, const fb_map *map, uint32_t depth) {
  S_pair *pairs = S_sorted_pairs(f, map, depth);
  if (!pairs) return false;
  fb_buf_char(out, '{');
  for (uint32_t i = 0; i < map->len && !out->failed; i++) {
    if (i) fb_buf_text(out, ", ");
    fb_buf_add(out, pairs[i].key.ptr, pairs[i].key.len);
    fb_buf_text(out, ": ");
    if (!S_add_string(f, out, pairs[i].entry->value, depth + 1)) return false;
  }
  fb_buf_char(out, '}');
  return true;
}

/* %s of any value. */
static bool S_add_string(S_format *f, fb_buf *out, fb_value value, uint32_t depth) {
  if (depth > MAX_DEPTH) {
    f->failure = fb_cel_fail(f->context, FB_E_CEL_SIZE,
                             "error during formatting: nested deeper than %d", MAX_DEPTH);
    return false;
  }
  switch (value.kind) {
    case FB_DOUBLE: S_add_double(out, value.as.d); return true;
    case FB_LIST: return S_add_list(f, out, value.as.list, depth);
    case FB_MAP: return S_add_map(f, out, value.as.map, depth);
    case FB_OPTIONAL:
    case FB_FACT:
      return S_wrong_kind(f,
                          "string clause can only be used on strings, bools, bytes, ints, doubles, "
                          "maps, lists, types, durations, and timestamps",
                          value);
    default: {
      fb_value text = fb_cel_to_string(f->context, value);
      if (text.kind == FB_ERROR)
        f->failure = text;
      else
        fb_buf_add(out, text.as.text, text.len);
      return text.kind != FB_ERROR;
    }
  }
}

/* %d */
static bool S_add_decimal(S_format *f, fb_value value) {
  switch (value.kind) {
    case FB_INT: fb_buf_printf(&f->out, "%lld", (long long)value.as.i); return true;
    case FB_UINT: fb_buf_printf(&f->out, "%llu", (unsigned long long)value.as.u); return true;
    case FB_DOUBLE: S_add_double(&f->out, value.as.d); return true;
    default:
      return S_wrong_kind(f, "decimal clause can only be used on ints, uints, and doubles", value);
  }
}

/* %f and %e. The locale of the thread must not change the point. */
static bool S_add_float(S_format *f, fb_value value, char clause, int precision) {
  double d;
  switch (value.kind) {
    case FB_INT: d = (double)value.as.i; break;
    case FB_UINT: d = (double)value.as.u; break;
    case FB_DOUBLE: d = value.as.d; break;
    default:
      return S_wrong_kind(f,
                          clause == 'f'
                              ? "fixed-point clause can only be used on ints, uints, and doubles"
                              : "scientific clause can only be used on ints, uints, and doubles",
                          value);
  }
  if (!isfinite(d)) {
    S_add_double(&f->out, d);
    return true;
  }
  char text[FB_LIB_DOUBLE_MAX + MAX_PRECISION];
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
  int len = snprintf(text, sizeof text, clause == 'f' ? "%.*f" : "%.*e", precision, d);
  uselocale(before);
  freelocale(c);
  fb_buf_add(&f->out, text, (size_t)len);
  return true;
}

static void S_add_digits(fb_buf *out, bool negative, uint64_t number, unsigned base, bool upper) {
  char text[66], *at = text + sizeof text;
  do *--at = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[number % base];
  while (number /= base);
  if (negative) *--at = '-';
  fb_buf_add(out, at, (size_t)(text + sizeof text - at));
}

/* %b %o %x %X of whole numbers. */
static void S_add_based(fb_buf *out, fb_value value, unsigned base, bool upper) {
  bool negative = value.kind == FB_INT && value.as.i < 0;
  S_add_digits(out, negative, negative ? 0 - value.as.u : value.as.u, base, upper);
}

static bool S_add_binary(S_format *f, fb_value value) {
  if (value.kind == FB_BOOL)
    fb_buf_char(&f->out, value.as.b ? '1' : '0');
  else if (value.kind == FB_INT || value.kind == FB_UINT)
    S_add_based(&f->out, value, 2, false);
  else
    return S_wrong_kind(f, "only ints, uints, and bools can be formatted as binary", value);
  return true;
}

static bool S_add_octal(S_format *f, fb_value value) {
  if (value.kind != FB_INT && value.kind != FB_UINT)
    return S_wrong_kind(f, "octal clause can only be used on ints and uints", value);
  S_add_based(&f->out, value, 8, false);
  return true;
}

static bool S_add_hex(S_format *f, fb_value value, bool upper) {
  if (value.kind == FB_INT || value.kind == FB_UINT) {
    S_add_based(&f->out, value, 16, upper);
    return true;
  }
  if (value.kind != FB_STRING && value.kind != FB_BYTES)
    return S_wrong_kind(f, "only ints, uints, bytes, and strings can be formatted as hex", value);
  const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  for (uint32_t i = 0; i < value.len && !f->out.failed; i++) {
    fb_buf_char(&f->out, digits[(unsigned char)value.as.text[i] >> 4]);
    fb_buf_char(&f->out, digits[(unsigned char)value.as.text[i] & 15]);
  }
  return true;
}

static bool S_bad_clause(S_format *f, const char *why) {
  f->failure =
      fb_cel_fail(f->context, FB_E_CEL_VALUE, "could not parse formatting clause: %s", why);
  return false;
}

/* Reads ".123" at text[*at], if it is there. */
static bool S_read_precision(S_format *f, fb_slice text, size_t *at, int *ret_precision) {
  int precision = 0;
  if (*at >= text.len || text.ptr[*at] != '.') return true;
  size_t start = ++*at;
  for (; *at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9'; ++*at)
    if (precision <= MAX_PRECISION) precision = precision * 10 + (text.ptr[*at] - '0');
  if (*at >= text.len) return S_bad_clause(f, "could not find end of precision specifier");
  if (*at == start) return S_bad_clause(f, "a precision needs digits");
  if (precision > MAX_PRECISION) return S_bad_clause(f, "the precision exceeds the maximum, 1000");
  *ret_precision = precision;
  return true;
}

static bool S_add_clause(S_format *f, char clause, int precision, fb_value value) {
  switch (clause) {
    case 's': return S_add_string(f, &f->out, value, 0);
    case 'd': return S_add_decimal(f, value);
    case 'f':
    case 'e': return S_add_float(f, value, clause, precision);
    case 'b': return S_add_binary(f, value);
    case 'o': return S_add_octal(f, value);
    case 'x':
    case 'X': return S_add_hex(f, value, clause == 'X');
    default: {
      char why[64];
      snprintf(why, sizeof why,
               clause > ' ' && clause < 127 ? "unrecognized formatting clause \"%c\""
                                            : "unrecognized formatting clause",
               clause);
      return S_bad_clause(f, why);
    }
  }
}

/* The clause after the % at text[*at]. */
static bool S_format_one(S_format *f, fb_slice text, size_t *at, const fb_list *values,
                         uint32_t *next) {
  int precision = DEFAULT_PRECISION;
  ++*at;
  if (*at < text.len && text.ptr[*at] == '%') {
    fb_buf_char(&f->out, '%');
    ++*at;
    return true;
  }
  if (*next >= values->len) {
    f->failure = fb_cel_fail(
        f->context, FB_E_CEL_INDEX,
        "index %u out of range: the format string has more clauses than there are arguments",
        *next);
    return false;
  }
  if (!S_read_precision(f, text, at, &precision)) return false;
  if (*at >= text.len) return S_bad_clause(f, "unexpected end of string");
  fb_value value = values->items[(*next)++];
  if (!fb_lib_spend_value(f->context, value) ||
      !fb_cel_spend(f->context, 2 + (uint64_t)precision / 16)) {
    f->failure = fb_cel_over_budget(f->context);
    return false;
  }
  return S_add_clause(f, text.ptr[(*at)++], precision, value);
}

FB_LIB_FUNCTION(fb_lib_format) {
  fb_slice text = fb_value_text(args[0]);
  S_format f = {.context = context};
  uint32_t next = 0;
  bool good = true;
  if (!fb_lib_spend_bytes(context, text.len)) return fb_cel_over_budget(context);
  fb_lib_begin(context, &f.out);
  for (size_t at = 0; at < text.len && good && !f.out.failed;) {
    const char *clause = memchr(text.ptr + at, '%', text.len - at);
    size_t end = clause ? (size_t)(clause - text.ptr) : text.len;
    fb_buf_add(&f.out, text.ptr + at, end - at);
    at = end;
    if (clause) good = S_format_one(&f, text, &at, args[1].as.list, &next);
  }
  if (good) return fb_lib_finish(context, &f.out);
  fb_buf_release(&f.out);
  return f.failure;
}
