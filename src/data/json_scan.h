/* SPDX-License-Identifier: Apache-2.0
 *
 * What every reader of JSON here is built from (inside src/data only): scanning of strings and
 * numbers, the faults a text can have, and a pull reader of events.
 *
 *  cursor  `at` is the next byte, `end` one past the last. Nothing reads at or past `end`.
 *  fault   what is wrong and at which byte; fb_json_fail turns it into an error for people.
 *  raw     the bytes between the quotes of a string, escapes and all.
 */
#ifndef FB_DATA_JSON_SCAN_H
#define FB_DATA_JSON_SCAN_H

#include "base/decimal.h"

#include <flyball/data.h>

#include <float.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define FB_SCAN_LITTLE_ENDIAN (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

enum {
  FB_JSON_DEPTH_DEFAULT = 256,
  FB_JSON_DEPTH_MAX = 1024 /* no option goes beyond: what walks values is recursive */
};

/* ── Faults ──────────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_json_fault {
  FB_JSON_FINE,
  FB_JSON_UNEXPECTED, /* the byte cannot stand here; depends on what was wanted */
  FB_JSON_TOO_DEEP,
  FB_JSON_OPEN_STRING,    /* no closing quote; at the opening one */
  FB_JSON_CONTROL,        /* a raw control character in a string */
  FB_JSON_ESCAPE,         /* a backslash with something unknown after it; at the backslash */
  FB_JSON_UNICODE_ESCAPE, /* \u without four hexadecimal digits; at the backslash */
  FB_JSON_SURROGATE,      /* half of a surrogate pair; at the backslash */
  FB_JSON_UTF8,
  FB_JSON_STRING_LENGTH, /* 4 GiB or more */
  FB_JSON_LEADING_ZERO,
  FB_JSON_NUMBER_DIGIT,  /* no digit after the sign, the point or the e: where it is missing */
  FB_JSON_INTEGER_RANGE, /* at the number's first byte, as is */
  FB_JSON_DOUBLE_RANGE,
  FB_JSON_NO_MEMORY
} fb_json_fault;

/* What may come next: the state of the event reader. */
typedef enum fb_json_want {
  FB_JSON_WANT_VALUE,       /* at the start, after `:` */
  FB_JSON_WANT_ITEM,        /* after a list's comma */
  FB_JSON_WANT_ITEM_OR_END, /* after `[` */
  FB_JSON_WANT_KEY,         /* after a map's comma */
  FB_JSON_WANT_KEY_OR_END,  /* after `{` */
  FB_JSON_WANT_COLON,
  FB_JSON_WANT_LIST_COMMA, /* or `]` */
  FB_JSON_WANT_MAP_COMMA,  /* or `}` */
  FB_JSON_WANT_NOTHING     /* after the whole text */
} fb_json_want;

typedef struct fb_scan_fault {
  fb_json_fault fault;
  const char *at;
} fb_scan_fault;

/* Makes the error: code, text, hint, position and excerpt of text[offset]. */
fb_status fb_json_fail(fb_error *err, const char *name, fb_slice text, size_t offset,
                       fb_json_fault fault, fb_json_want want);

/* ── White space ─────────────────────────────────────────────────────────────────────────────── */

static inline const char *fb_scan_blank(const char *at, const char *end) {
  if (FB_LIKELY(at < end && (unsigned char)*at > ' ')) return at;
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
  return at;
}

/* ── Strings ─────────────────────────────────────────────────────────────────────────────────── */

/* The first quote, backslash or byte below 0x20 from `at` on, or `end`. *high becomes nonzero if a
 * byte above 0x7f lies before it. */
static inline const char *fb_scan_plain(const char *at, const char *end, unsigned *high) {
#if defined(__SSE2__)
  const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), last = _mm_set1_epi8(0x1f);
  for (; end - at >= 16; at += 16) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i stops =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, slash)),
                     _mm_cmpeq_epi8(_mm_min_epu8(bytes, last), bytes));
    unsigned stop = (unsigned)_mm_movemask_epi8(stops), top = (unsigned)_mm_movemask_epi8(bytes);
    if (stop) {
      int n = __builtin_ctz(stop);
      *high |= top & ((1u << n) - 1);
      return at + n;
    }
    *high |= top;
  }
#else
  /* Eight bytes at a time in a word. A byte that a borrow marked falsely only ends the loop early. */
  const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
  for (uint64_t word; end - at >= 8; at += 8) {
    memcpy(&word, at, 8);
    uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
    uint64_t stop =
        ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * 0x20) & ~word);
    if (stop & tops) break;
    *high |= (word & tops) != 0;
  }
#endif
  for (; at < end; at++) {
    unsigned char c = (unsigned char)*at;
    if (c == '"' || c == '\\' || c < 0x20) break;
    *high |= c & 0x80u;
  }
  return at;
}

/* What comes after the first stop that is not the closing quote: goes on to the end of the string
 * over escapes (which fb_scan_unescape checks). Same contract as fb_scan_string. */
const char *fb_scan_string_rest(const char *at, const char *end, const char *start,
                                fb_slice *ret_raw, bool *ret_escaped, unsigned high,
                                fb_scan_fault *fault);

/* `at` is just after the opening quote. Returns the byte after the closing one, or NULL with the
 * fault. The raw text is valid UTF-8 without control characters. */
static inline const char *fb_scan_string(const char *at, const char *end, fb_slice *ret_raw,
                                         bool *ret_escaped, fb_scan_fault *fault) {
  unsigned high = 0;
  const char *stop = fb_scan_plain(at, end, &high);
  if (FB_LIKELY(stop < end && *stop == '"' && !high)) {
    *ret_raw = (fb_slice){at, (size_t)(stop - at)};
    *ret_escaped = false;
    return stop + 1;
  }
  return fb_scan_string_rest(stop, end, at, ret_raw, ret_escaped, high, fault);
}

/* Writes what the raw text of a string means: never more bytes than raw.len. out NULL: only checks.
 * Returns false with the fault. */
bool fb_scan_unescape(fb_slice raw, char *out, size_t *ret_len, fb_scan_fault *fault);

/* ── Numbers ─────────────────────────────────────────────────────────────────────────────────── */

/* The whole grammar, every size. Same contract as fb_scan_number. */
const char *fb_scan_number_any(const char *at, const char *end, fb_value *ret_value,
                               fb_scan_fault *fault);

/* Eight digits at once: tells whether text[0 .. 8) are, and their value. */
static inline bool fb_scan_eight_digits(const char *text, uint32_t *ret_value) {
  uint64_t word;
  memcpy(&word, text, 8);
  uint64_t digits = word - UINT64_C(0x3030303030303030);
  if ((digits | (digits + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080))
    return false;
  digits = (digits * 10 + (digits >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
  digits = (digits * 100 + (digits >> 16)) & UINT64_C(0x0000ffff0000ffff);
  *ret_value = (uint32_t)(digits * 10000 + (digits >> 32));
  return true;
}

static inline bool fb_scan_is_exponent(const char *at, const char *end) {
  return at < end && (*at == 'e' || *at == 'E');
}

/* `at` < `end` is a `-` or a digit. Returns the byte after the number, or NULL with the fault. The
 * value is int, uint (only above INT64_MAX) or double (with a fraction or exponent). */
static inline const char *fb_scan_number(const char *at, const char *end, fb_value *ret_value,
                                         fb_scan_fault *fault) {
  const char *p = at;
  bool negative = *p == '-';
  p += negative;
  const char *first = p;
  uint64_t digits = 0;
  unsigned digit;
  for (; p < end && (digit = (unsigned char)(*p - '0')) <= 9; p++) digits = digits * 10 + digit;
  size_t count = (size_t)(p - first);
  if (FB_UNLIKELY(count - 1 > 17 || (count > 1 && *first == '0'))) goto any;
  if (p == end || (*p != '.' && *p != 'e' && *p != 'E')) {
    *ret_value = fb_int(negative ? -(int64_t)digits : (int64_t)digits);
    return p;
  }
  if (*p++ == '.') {
    const char *point = p;
    uint32_t eight;
    while (FB_SCAN_LITTLE_ENDIAN && end - p >= 8 && fb_scan_eight_digits(p, &eight)) {
      digits = digits * 100000000 + eight;
      p += 8;
    }
    for (; p < end && (digit = (unsigned char)(*p - '0')) <= 9; p++) digits = digits * 10 + digit;
    size_t places = (size_t)(p - point);
    if (FB_UNLIKELY(!places || count + places > 19 || fb_scan_is_exponent(p, end))) goto any;
    /* Up to 2^53 over a power of ten that is exact: one division, rounded once. */
    double d = FLT_EVAL_METHOD == 0 && digits <= UINT64_C(1) << 53
                   ? (double)digits / fb_decimal_tens[places]
                   : fb_decimal_double(digits, (unsigned)places);
    *ret_value = fb_double(negative ? -d : d);
    return p;
  }
any:
  return fb_scan_number_any(at, end, ret_value, fault);
}

/* ── Events ──────────────────────────────────────────────────────────────────────────────────── */

typedef enum fb_json_event_kind {
  FB_JSON_SCALAR,
  FB_JSON_KEY,
  FB_JSON_BEGIN_LIST,
  FB_JSON_END_LIST,
  FB_JSON_BEGIN_MAP,
  FB_JSON_END_MAP
} fb_json_event_kind;

typedef struct fb_json_event {
  uint8_t kind;
  bool
      borrowed; /* a string whose text lies in the source, since it has no escapes; else in the arena */
  size_t offset;  /* in the source, of the first byte (of a string: of its opening quote) */
  size_t length;  /* bytes it takes there; of a bracket 1 */
  fb_value value; /* of a scalar or key */
} fb_json_event;

/* Reads without recursion; all its memory is here but the texts of strings with escapes. */
typedef struct fb_json_events {
  const char *start, *at, *end;
  const char *name;
  fb_arena *arena;
  uint32_t depth, max_depth;
  uint8_t want;                          /* fb_json_want */
  uint8_t after;                         /* what is wanted after a value of the present level */
  uint64_t maps[FB_JSON_DEPTH_MAX / 64]; /* bit n: level n is a map */
} fb_json_events;

/* The text is borrowed. arena NULL: texts with escapes are checked and given raw.
 * max_depth 0: FB_JSON_DEPTH_DEFAULT. */
void fb_json_events_init(fb_json_events *events, fb_slice text, const char *name,
                         uint32_t max_depth, fb_arena *arena);
/* FB_OK with an event, FB_DONE at the end of the whole text, else the error. */
fb_status fb_json_events_next(fb_json_events *events, fb_json_event *ret_event, fb_error *err);
/* Reads to the end: FB_OK or the first error. For fast readers that know only that a text is bad. */
fb_status fb_json_check(fb_slice text, const char *name, uint32_t max_depth, fb_error *err);

#endif
