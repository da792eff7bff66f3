/* SPDX-License-Identifier: Apache-2.0
 * RE2's syntax in PCRE2's words. What RE2 refuses (backreferences, lookaround, possessive and atomic groups,
 * recursion, verbs) is refused here, and where the same sign means two things it is rewritten. */
#include "cel/regex.h"

enum { MAX_REPEAT = 1000 };

typedef struct S_reader {
  fb_slice in;
  size_t at;
  fb_buf *out;
  const char *error;
  bool can_repeat; /* something a quantifier may follow was just read */
  bool folds;
  uint32_t ranges;
} S_reader;

static bool S_bad(S_reader *r, const char *why) {
  r->error = why;
  return false;
}

static char S_peek(const S_reader *r, size_t ahead) {
  return r->at + ahead < r->in.len ? r->in.ptr[r->at + ahead] : 0;
}

static void S_copy(S_reader *r, size_t len) {
  fb_buf_add(r->out, r->in.ptr + r->at, len);
  r->at += len;
}

static bool S_is_octal(char c) {
  return c >= '0' && c <= '7';
}

/* \0 \12 \123: a code, since \1 alone would be a backreference, which RE2 has not. */
static bool S_octal(S_reader *r) {
  unsigned code = 0;
  if (S_peek(r, 1) != '0' && !S_is_octal(S_peek(r, 2)))
    return S_bad(r, "backreferences are not supported");
  size_t digits = 0;
  for (; digits < 3 && S_is_octal(S_peek(r, 1 + digits)); digits++)
    code = code * 8 + (unsigned)(S_peek(r, 1 + digits) - '0');
  fb_buf_printf(r->out, "\\x{%x}", code);
  r->at += 1 + digits;
  return true;
}

/* Code points of white space as RE2 has it: without the vertical tab. */
#define SPACES "\\t\\n\\f\\r\\x20"

/* Length of a "{…}" `ahead` of the reader's place; 0: none there. */
static size_t S_braces(const S_reader *r, size_t ahead) {
  size_t len = 1;
  if (S_peek(r, ahead) != '{') return 0;
  while (S_peek(r, ahead + len) && S_peek(r, ahead + len) != '}') len++;
  return S_peek(r, ahead + len) ? len + 1 : 0;
}

static bool S_escape(S_reader *r, bool in_class) {
  char c = S_peek(r, 1);
  if (r->at + 1 >= r->in.len) return S_bad(r, "trailing backslash at end of expression");
  if (c >= '0' && c <= '7') return S_octal(r);
  if (c == '8' || c == '9') return S_bad(r, "backreferences are not supported");
  if (strchr("AbBzQ", c) && in_class) return S_bad(r, "invalid escape sequence in a class");
  switch (c) {
    case 'v': fb_buf_text(r->out, "\\x0b"); break;
    case 's': fb_buf_text(r->out, in_class ? SPACES : "[" SPACES "]"); break;
    case 'S': fb_buf_text(r->out, in_class ? "\\S\\x0b" : "[^" SPACES "]"); break;
    case 'p':
    case 'P':
    case 'x': S_copy(r, 2 + S_braces(r, 2)); return true;
    case 'A':
    case 'b':
    case 'B':
    case 'z':
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 'a':
    case 'f':
    case 'n':
    case 'r':
    case 't': S_copy(r, 2); return true;
    default:
      if ((unsigned char)c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return S_bad(r, "invalid escape sequence");
      S_copy(r, 2);
      return true;
  }
  r->at += 2;
  return true;
}

/* [:alpha:] at the reader's place; its length, 0 if it is not one. */
static size_t S_named_class(const S_reader *r) {
  if (S_peek(r, 0) != '[' || S_peek(r, 1) != ':') return 0;
  size_t len = 2;
  while (S_peek(r, len) == '^' || (S_peek(r, len) >= 'a' && S_peek(r, len) <= 'z')) len++;
  return S_peek(r, len) == ':' && S_peek(r, len + 1) == ']' ? len + 2 : 0;
}

static bool S_class(S_reader *r) {
  S_copy(r, 1);
  if (S_peek(r, 0) == '^') S_copy(r, 1);
  for (bool first = true;; first = false) {
    size_t named;
    if (r->at >= r->in.len) return S_bad(r, "missing closing ]");
    if (S_peek(r, 0) == ']' && !first) break;
    if (S_peek(r, 0) == '\\') {
      if (!S_escape(r, true)) return false;
    } else if ((named = S_named_class(r))) {
      S_copy(r, named);
    } else {
      if (S_peek(r, 0) == '[' || S_peek(r, 0) == ']') fb_buf_char(r->out, '\\');
      bool wide = (unsigned char)S_peek(r, 1) >= 0x80 || S_peek(r, 1) == '\\';
      if (S_peek(r, 0) == '-' && wide) r->ranges++;
      S_copy(r, 1);
    }
  }
  S_copy(r, 1);
  return true;
}

/* After "(?": (?:  (?P<name>  (?<name>  (?flags)  (?flags: */
static bool S_group(S_reader *r) {
  r->can_repeat = false;
  if (S_peek(r, 1) == '*') return S_bad(r, "missing argument to repetition operator");
  if (S_peek(r, 1) != '?') {
    S_copy(r, 1);
    return true;
  }
  size_t len = 2;
  if (S_peek(r, len) == 'P') len++;
  if (S_peek(r, len) == '<' && S_peek(r, len + 1) != '=' && S_peek(r, len + 1) != '!') {
    S_copy(r, len + 1);
    return true;
  }
  for (len = 2; S_peek(r, len) && strchr("imsU-", S_peek(r, len)); len++)
    r->folds |= S_peek(r, len) == 'i';
  if (S_peek(r, len) != ':' && (S_peek(r, len) != ')' || len == 2))
    return S_bad(r, "invalid or unsupported Perl syntax");
  S_copy(r, len + 1);
  return true;
}

static size_t S_number(const S_reader *r, size_t len, unsigned *ret_number) {
  *ret_number = 0;
  for (; S_peek(r, len) >= '0' && S_peek(r, len) <= '9'; len++)
    if (*ret_number <= MAX_REPEAT)
      *ret_number = *ret_number * 10 + (unsigned)(S_peek(r, len) - '0');
  return len;
}

/* Length of the quantifier at the reader's place, 0 if there is none. *ret_good: its numbers are. */
static size_t S_quantifier(const S_reader *r, bool *ret_good) {
  unsigned least, most;
  *ret_good = true;
  if (strchr("*+?", S_peek(r, 0)) && S_peek(r, 0)) return 1;
  if (S_peek(r, 0) != '{') return 0;
  size_t len = S_number(r, 1, &least);
  if (len == 1) return 0;
  most = least;
  if (S_peek(r, len) == ',') {
    size_t start = ++len;
    len = S_number(r, len, &most);
    if (len == start) most = least;
  }
  *ret_good = least <= MAX_REPEAT && most <= MAX_REPEAT && least <= most;
  return S_peek(r, len) == '}' ? len + 1 : 0;
}

static bool S_repeat(S_reader *r, size_t len, bool good) {
  bool more_good;
  if (!r->can_repeat) return S_bad(r, "missing argument to repetition operator");
  if (!good) return S_bad(r, "invalid repeat count");
  S_copy(r, len);
  if (S_peek(r, 0) == '?') S_copy(r, 1);
  if (S_quantifier(r, &more_good)) return S_bad(r, "invalid nested repetition operator");
  r->can_repeat = false;
  return true;
}

/* \Q…\E: as it stands. */
static void S_quoted(S_reader *r) {
  r->at += 2;
  while (r->at < r->in.len && !(S_peek(r, 0) == '\\' && S_peek(r, 1) == 'E')) {
    char c = S_peek(r, 0);
    bool word = (unsigned char)c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                (c >= 'A' && c <= 'Z') || c == '_';
    if (!word) fb_buf_char(r->out, '\\');
    S_copy(r, 1);
    r->can_repeat = true;
  }
  r->at += r->at < r->in.len ? 2 : 0;
}

static bool S_item(S_reader *r) {
  bool good;
  size_t len = S_quantifier(r, &good);
  if (len) return S_repeat(r, len, good);
  switch (S_peek(r, 0)) {
    case '(': return S_group(r);
    case '|': r->can_repeat = false; break;
    case '\\':
      if (S_peek(r, 1) == 'Q') {
        S_quoted(r);
        return true;
      }
      r->can_repeat = true;
      return S_escape(r, false);
    case '[': r->can_repeat = true; return S_class(r);
    case '{':
    case '}':
      fb_buf_char(r->out, '\\');
      r->can_repeat = true;
      break;
    default: r->can_repeat = true; break;
  }
  S_copy(r, 1);
  return true;
}

bool fb_regex_translate(fb_slice pattern, fb_buf *out, fb_regex_syntax *ret_syntax) {
  S_reader r = {.in = pattern, .out = out};
  bool good = true;
  while (good && r.at < pattern.len) {
    if (pattern.ptr[r.at]) {
      good = S_item(&r);
    } else {
      fb_buf_text(out, "\\x00");
      r.at++;
      r.can_repeat = true;
    }
  }
  *ret_syntax = (fb_regex_syntax){good ? NULL : r.error, r.at, r.folds, r.ranges};
  return good;
}
