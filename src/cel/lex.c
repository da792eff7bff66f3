/* SPDX-License-Identifier: Apache-2.0
 * Source text → tokens. */
#include "cel/lex.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static char S_peek(const fb_lexer *lexer, size_t ahead) {
  size_t at = lexer->at + ahead;
  return at < lexer->source.len ? lexer->source.ptr[at] : 0;
}

static bool S_is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool S_is_hex(char c) {
  return S_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool S_is_word(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || S_is_digit(c);
}

static void S_skip_blank(fb_lexer *lexer) {
  for (;;) {
    char c = S_peek(lexer, 0);
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
      lexer->at++;
    } else if (c == '/' && S_peek(lexer, 1) == '/') {
      while (lexer->at < lexer->source.len && S_peek(lexer, 0) != '\n') lexer->at++;
    } else {
      return;
    }
  }
}

static fb_token S_token(const fb_lexer *lexer, fb_token_kind kind, size_t start) {
  return (fb_token){
      .kind = kind, .offset = (uint32_t)start, .length = (uint32_t)(lexer->at - start)};
}

static fb_token S_bad(fb_lexer *lexer, size_t start, const char *hint, const char *text) {
  fb_cel_report_add(lexer->report, FB_E_CEL_SYNTAX, start, lexer->at - start, hint, "%s", text);
  return S_token(lexer, FB_TOK_BAD, start);
}

/* ── Numbers ─────────────────────────────────────────────────────────────────────────────────── */

static fb_token S_double(fb_lexer *lexer, size_t start) {
  char text[64], *copy = text;
  size_t len = lexer->at - start;
  if (len >= sizeof text) copy = fb_arena_alloc_aligned(lexer->arena, len + 1, 1);
  if (!copy) {
    lexer->no_memory = true;
    return S_token(lexer, FB_TOK_BAD, start);
  }
  memcpy(copy, lexer->source.ptr + start, len);
  copy[len] = 0;
  fb_token token = S_token(lexer, FB_TOK_DOUBLE, start);
  token.value = fb_double(strtod(copy, NULL));
  if (isinf(token.value.as.d)) return S_bad(lexer, start, NULL, "a number too large for a double");
  return token;
}

static fb_token S_integer(fb_lexer *lexer, size_t start, size_t digits, unsigned base) {
  uint64_t number = 0;
  bool fits = true;
  for (size_t i = digits; i < lexer->at; i++) {
    char c = lexer->source.ptr[i];
    uint64_t digit = (uint64_t)(S_is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
    if (__builtin_mul_overflow(number, base, &number) ||
        __builtin_add_overflow(number, digit, &number))
      fits = false;
  }
  bool is_uint = S_peek(lexer, 0) == 'u' || S_peek(lexer, 0) == 'U';
  lexer->at += is_uint;
  if (!fits)
    return S_bad(lexer, start, NULL,
                 is_uint ? "an integer that does not fit into uint"
                         : "an integer that does not fit into int");
  fb_token token = S_token(lexer, is_uint ? FB_TOK_UINT : FB_TOK_INT, start);
  token.value = fb_uint(number);
  return token;
}

static bool S_exponent(fb_lexer *lexer) {
  char c = S_peek(lexer, 0);
  if (c != 'e' && c != 'E') return false;
  size_t sign = S_peek(lexer, 1) == '+' || S_peek(lexer, 1) == '-';
  if (!S_is_digit(S_peek(lexer, 1 + sign))) return false;
  lexer->at += 1 + sign;
  while (S_is_digit(S_peek(lexer, 0))) lexer->at++;
  return true;
}

static fb_token S_number(fb_lexer *lexer, size_t start) {
  fb_token token;
  if (S_peek(lexer, 0) == '0' && (S_peek(lexer, 1) | 32) == 'x' && S_is_hex(S_peek(lexer, 2))) {
    lexer->at += 2;
    while (S_is_hex(S_peek(lexer, 0))) lexer->at++;
    token = S_integer(lexer, start, start + 2, 16);
  } else {
    while (S_is_digit(S_peek(lexer, 0))) lexer->at++;
    bool fraction = S_peek(lexer, 0) == '.' && S_is_digit(S_peek(lexer, 1));
    if (fraction) lexer->at++;
    while (fraction && S_is_digit(S_peek(lexer, 0))) lexer->at++;
    bool is_double = S_exponent(lexer) || fraction;
    token = is_double ? S_double(lexer, start) : S_integer(lexer, start, start, 10);
  }
  if (S_is_word(S_peek(lexer, 0))) {
    while (S_is_word(S_peek(lexer, 0))) lexer->at++;
    return S_bad(lexer, start, "put a blank or an operator between a number and a name",
                 "a malformed number");
  }
  return token;
}

/* ── Text ────────────────────────────────────────────────────────────────────────────────────── */

/* The end of a literal's inside, from lexer->at on; false when it does not end. */
static bool S_find_quote(fb_lexer *lexer, char quote, bool triple, bool raw) {
  for (; lexer->at < lexer->source.len; lexer->at++) {
    char c = S_peek(lexer, 0);
    if (c == '\\' && !raw) {
      if (!triple && (S_peek(lexer, 1) == '\n' || S_peek(lexer, 1) == '\r')) return false;
      lexer->at++;
    } else if (!triple && (c == '\n' || c == '\r')) {
      return false;
    } else if (c == quote &&
               (!triple || (S_peek(lexer, 1) == quote && S_peek(lexer, 2) == quote))) {
      return true;
    }
  }
  lexer->at = lexer->source.len;
  return false;
}

static fb_slice S_raw(fb_lexer *lexer, fb_slice text) {
  if (!text.len || !memchr(text.ptr, '\r', text.len)) return text;
  char *out = fb_arena_alloc_aligned(lexer->arena, text.len, 1);
  if (!out) {
    lexer->no_memory = true;
    return text;
  }
  size_t len = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] != '\r')
      out[len++] = text.ptr[i];
    else if (i + 1 == text.len || text.ptr[i + 1] != '\n')
      out[len++] = '\n';
  }
  return (fb_slice){out, len};
}

static fb_token S_text(fb_lexer *lexer, size_t start, bool bytes, bool raw) {
  char quote = S_peek(lexer, 0);
  bool triple = S_peek(lexer, 1) == quote && S_peek(lexer, 2) == quote;
  lexer->at += triple ? 3 : 1;
  size_t from = lexer->at;
  if (!S_find_quote(lexer, quote, triple, raw)) {
    if (triple)
      return S_bad(lexer, start, "it begins here; close it with three quotes",
                   "a text that does not end");
    return S_bad(lexer, start,
                 "close the quote on the same line, or use three quotes for several lines",
                 "a text that does not end");
  }
  fb_slice inside = {lexer->source.ptr + from, lexer->at - from};
  lexer->at += triple ? 3 : 1;
  fb_token token = S_token(lexer, bytes ? FB_TOK_BYTES : FB_TOK_STRING, start);
  if (raw)
    inside = S_raw(lexer, inside);
  else if (!fb_lex_unescape(lexer, inside, from, bytes, &inside))
    token.kind = FB_TOK_BAD;
  token.value = bytes ? fb_bytes(inside) : fb_string(inside);
  return token;
}

/* The prefix of a text literal: its length, or -1 when what follows is no text literal. */
static int S_text_prefix(const fb_lexer *lexer, bool *ret_bytes, bool *ret_raw) {
  size_t n = 0;
  *ret_bytes = (S_peek(lexer, n) | 32) == 'b';
  n += *ret_bytes;
  *ret_raw = (S_peek(lexer, n) | 32) == 'r';
  n += *ret_raw;
  char c = S_peek(lexer, n);
  return c == '"' || c == '\'' ? (int)n : -1;
}

static fb_token S_quoted(fb_lexer *lexer, size_t start) {
  lexer->at++;
  while (S_is_word(S_peek(lexer, 0)) || (S_peek(lexer, 0) && strchr("-./ ", S_peek(lexer, 0))))
    lexer->at++;
  if (S_peek(lexer, 0) != '`')
    return S_bad(lexer, start, "between ` and ` there may be letters, digits, _ - . / and blanks",
                 "a quoted name that does not end");
  lexer->at++;
  fb_token token = S_token(lexer, FB_TOK_QUOTED, start);
  token.text = (fb_slice){lexer->source.ptr + start + 1, token.length - 2};
  if (!token.text.len) return S_bad(lexer, start, NULL, "an empty name");
  return token;
}

static fb_token S_word(fb_lexer *lexer, size_t start) {
  static const struct {
    const char *word;
    fb_token_kind kind;
  } words[] = {
      {"true", FB_TOK_TRUE}, {"false", FB_TOK_FALSE}, {"null", FB_TOK_NULL}, {"in", FB_TOK_IN}};
  static const char *const reserved[] = {
      "as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
      "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};
  while (S_is_word(S_peek(lexer, 0))) lexer->at++;
  fb_token token = S_token(lexer, FB_TOK_IDENT, start);
  token.text = (fb_slice){lexer->source.ptr + start, token.length};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (fb_slice_equal(token.text, fb_slice_of(words[i].word))) token.kind = words[i].kind;
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (fb_slice_equal(token.text, fb_slice_of(reserved[i]))) token.kind = FB_TOK_RESERVED;
  return token;
}

/* ── Signs ───────────────────────────────────────────────────────────────────────────────────── */

static fb_token S_sign(fb_lexer *lexer, size_t start) {
  static const struct {
    const char *sign;
    fb_token_kind kind;
  } signs[] = {
      {"&&", FB_TOK_AND},     {"||", FB_TOK_OR},      {"==", FB_TOK_EQ},    {"!=", FB_TOK_NE},
      {"<=", FB_TOK_LE},      {">=", FB_TOK_GE},      {"(", FB_TOK_LPAREN}, {")", FB_TOK_RPAREN},
      {"[", FB_TOK_LBRACKET}, {"]", FB_TOK_RBRACKET}, {"{", FB_TOK_LBRACE}, {"}", FB_TOK_RBRACE},
      {".", FB_TOK_DOT},      {",", FB_TOK_COMMA},    {":", FB_TOK_COLON},  {"?", FB_TOK_QUESTION},
      {"+", FB_TOK_PLUS},     {"-", FB_TOK_MINUS},    {"*", FB_TOK_STAR},   {"/", FB_TOK_SLASH},
      {"%", FB_TOK_PERCENT},  {"!", FB_TOK_NOT},      {"<", FB_TOK_LT},     {">", FB_TOK_GT}};
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    const char *sign = signs[i].sign;
    if (sign[0] != S_peek(lexer, 0) || (sign[1] && sign[1] != S_peek(lexer, 1))) continue;
    lexer->at += sign[1] ? 2 : 1;
    return S_token(lexer, signs[i].kind, start);
  }
  uint32_t rune;
  char c = S_peek(lexer, 0);
  lexer->at += (size_t)fb_utf8_decode(lexer->source.ptr + start, lexer->source.len - start, &rune);
  const char *hint = c == '='   ? "equality is written `==`"
                     : c == '&' ? "and is written `&&`"
                     : c == '|' ? "or is written `||`"
                     : c == ';' ? "an expression is one expression, without `;`"
                                : NULL;
  return S_bad(lexer, start, hint, "a character that has no meaning here");
}

fb_token fb_lex_next(fb_lexer *lexer) {
  S_skip_blank(lexer);
  size_t start = lexer->at;
  if (start >= lexer->source.len) return S_token(lexer, FB_TOK_END, start);
  char c = S_peek(lexer, 0);
  if (S_is_digit(c) || (c == '.' && S_is_digit(S_peek(lexer, 1)))) return S_number(lexer, start);
  bool bytes, raw;
  int prefix = S_text_prefix(lexer, &bytes, &raw);
  if (prefix >= 0) {
    lexer->at += (size_t)prefix;
    return S_text(lexer, start, bytes, raw);
  }
  if (S_is_word(c)) return S_word(lexer, start);
  if (c == '`') return S_quoted(lexer, start);
  return S_sign(lexer, start);
}
