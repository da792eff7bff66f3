/* SPDX-License-Identifier: Apache-2.0
 *
 * Source text → tokens. An error of the text is reported once and gives an FB_TOK_BAD token; reading
 * goes on behind it.
 */
#ifndef FB_CEL_LEX_H
#define FB_CEL_LEX_H

#include "cel/report.h"

typedef enum fb_token_kind {
  FB_TOK_END,
  FB_TOK_BAD,
  FB_TOK_INT, /* value is a uint: the magnitude, the sign is the parser's */
  FB_TOK_UINT,
  FB_TOK_DOUBLE,
  FB_TOK_STRING,
  FB_TOK_BYTES,
  FB_TOK_IDENT,
  FB_TOK_RESERVED, /* a word kept for later; allowed as a field or method name */
  FB_TOK_QUOTED,   /* `field` */
  FB_TOK_TRUE,
  FB_TOK_FALSE,
  FB_TOK_NULL,
  FB_TOK_IN,
  FB_TOK_LPAREN,
  FB_TOK_RPAREN,
  FB_TOK_LBRACKET,
  FB_TOK_RBRACKET,
  FB_TOK_LBRACE,
  FB_TOK_RBRACE,
  FB_TOK_DOT,
  FB_TOK_COMMA,
  FB_TOK_COLON,
  FB_TOK_QUESTION,
  FB_TOK_PLUS,
  FB_TOK_MINUS,
  FB_TOK_STAR,
  FB_TOK_SLASH,
  FB_TOK_PERCENT,
  FB_TOK_NOT,
  FB_TOK_AND,
  FB_TOK_OR,
  FB_TOK_EQ,
  FB_TOK_NE,
  FB_TOK_LT,
  FB_TOK_LE,
  FB_TOK_GT,
  FB_TOK_GE
} fb_token_kind;

typedef struct fb_token {
  fb_token_kind kind;
  uint32_t offset, length;
  fb_slice text;  /* of IDENT, RESERVED, QUOTED (without the quotes) */
  fb_value value; /* of literals; text lies in the arena */
} fb_token;

typedef struct fb_lexer {
  fb_slice source; /* valid UTF-8, shorter than 4 GiB */
  size_t at;
  fb_arena *arena;
  fb_cel_report *report;
  bool no_memory;
} fb_lexer;

fb_token fb_lex_next(fb_lexer *lexer);
/* The text between the quotes of a string literal with its escapes, as \a \x41 \u00e9 \101. */
bool fb_lex_unescape(fb_lexer *lexer, fb_slice raw, size_t offset, bool bytes, fb_slice *ret_text);

#endif
