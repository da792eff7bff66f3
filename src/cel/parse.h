/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the reader: tokens → tree, macros expanded on the way.
 */
#ifndef FB_CEL_PARSE_H
#define FB_CEL_PARSE_H

#include "cel/ast.h"
#include "cel/lex.h"

typedef struct fb_parser {
  fb_lexer lexer;
  fb_token token; /* the one that is looked at */
  size_t end;     /* of the token before it */
  fb_arena *arena;
  fb_cel_report *report;
  uint32_t nesting; /* now, of what is written within each other */
  uint32_t max_depth;
  bool panic; /* an error was reported and the reader does not know yet where it stands */
  bool no_memory;
} fb_parser;

/* A growing list of nodes. */
typedef struct fb_ast_list {
  fb_ast **items;
  uint32_t count, cap;
  uint64_t optional;
} fb_ast_list;

fb_status fb_parse_source(fb_parser *parser, fb_ast **ret_root);
/* NULL only when there is no memory (parser->no_memory). Ends at the token before the current one. */
fb_ast *fb_parse_node(fb_parser *parser, fb_ast_kind kind, size_t offset, fb_ast *const *args,
                      uint32_t count);
/* Reports and begins a panic. */
void fb_parse_fail(fb_parser *parser, size_t offset, size_t length, const char *hint,
                   const char *format, ...) FB_PRINTF(5, 6);
/* The macro's tree in place of the call; the call itself when it is none. */
fb_ast *fb_parse_macro(fb_parser *parser, fb_ast *call);

#endif
