/* SPDX-License-Identifier: Apache-2.0
 * Tokens → tree: precedence climbing. */
#include "cel/parse.h"

#include <stdio.h>

enum { DEPTH_FACTOR = 4, MAX_OPTIONAL = 64 };

static fb_ast *S_expression(fb_parser *p);

/* ── Tools ───────────────────────────────────────────────────────────────────────────────────── */

static void S_next(fb_parser *p) {
  p->end = p->token.offset + p->token.length;
  p->token = fb_lex_next(&p->lexer);
  if (p->token.kind == FB_TOK_BAD) p->panic = true;
  if (p->lexer.no_memory) p->no_memory = true;
}

static bool S_at(const fb_parser *p, fb_token_kind kind) {
  return p->token.kind == kind;
}

static bool S_take(fb_parser *p, fb_token_kind kind) {
  if (!S_at(p, kind)) return false;
  S_next(p);
  return true;
}

void fb_parse_fail(fb_parser *p, size_t offset, size_t length, const char *hint, const char *format,
                   ...) {
  if (p->panic) return;
  p->panic = true;
  char text[300];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fb_cel_report_add(p->report, FB_E_CEL_SYNTAX, offset, length, hint, "%s", text);
}

/* "expected X, found Y" at the current token. */
static void S_expected(fb_parser *p, const char *what, const char *hint) {
  fb_slice found = {p->lexer.source.ptr + p->token.offset, p->token.length};
  if (S_at(p, FB_TOK_END)) {
    fb_parse_fail(p, p->token.offset, 1, hint, "expected %s, but the expression ends here", what);
    return;
  }
  fb_parse_fail(p, p->token.offset, p->token.length, hint, "expected %s, found `%.*s%s`", what,
                found.len > 40 ? 40 : (int)found.len, found.ptr, found.len > 40 ? "…" : "");
}

static void S_expect(fb_parser *p, fb_token_kind kind, const char *what) {
  if (!S_take(p, kind)) S_expected(p, what, NULL);
}

fb_ast *fb_parse_node(fb_parser *p, fb_ast_kind kind, size_t offset, fb_ast *const *args,
                      uint32_t count) {
  fb_ast *ast = fb_arena_zero(p->arena, sizeof *ast);
  fb_ast **copy = count ? fb_arena_copy(p->arena, args, count * sizeof *args) : NULL;
  if (!ast || (count && !copy)) {
    p->no_memory = p->panic = true;
    return NULL;
  }
  *ast = (fb_ast){.kind = kind,
                  .offset = (uint32_t)offset,
                  .args = copy,
                  .count = count,
                  .depth = 1,
                  .field = -1,
                  .slot = FB_AST_NO_SLOT};
  ast->length = (uint32_t)(p->end > offset ? p->end - offset : 0);
  for (uint32_t i = 0; i < count; i++) {
    if (!args[i]) return NULL;
    if (args[i]->depth >= ast->depth) ast->depth = args[i]->depth + 1;
  }
  if (ast->depth > p->max_depth * DEPTH_FACTOR && !p->panic) {
    p->panic = true;
    fb_cel_report_add(p->report, FB_E_CEL_TOO_LARGE, offset, ast->length, "split the expression",
                      "the expression is more than %u levels deep", p->max_depth * DEPTH_FACTOR);
  }
  return ast;
}

static fb_ast *S_call(fb_parser *p, size_t offset, const char *name, fb_ast *const *args,
                      uint32_t count) {
  fb_ast *ast = fb_parse_node(p, FB_AST_CALL, offset, args, count);
  if (!ast) return NULL;
  ast->name = fb_slice_of(name);
  ast->name_offset = (uint32_t)offset;
  return ast;
}

static bool S_push(fb_parser *p, fb_ast_list *list, fb_ast *item, bool optional) {
  if (list->count == list->cap) {
    uint32_t cap = list->cap ? list->cap * 2 : 4;
    fb_ast **items = fb_arena_alloc(p->arena, cap * sizeof *items);
    if (!items) {
      p->no_memory = p->panic = true;
      return false;
    }
    if (list->count) memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    list->cap = cap;
  }
  list->items[list->count++] = item;
  if (optional && list->count > MAX_OPTIONAL && item)
    fb_parse_fail(p, item->offset, item->length, NULL, "only the first %d elements may be optional",
                  MAX_OPTIONAL);
  else if (optional)
    list->optional |= UINT64_C(1) << (list->count - 1);
  return item != NULL;
}

/* After an error within brackets: goes on behind the element, so that the next one is read too. */
static void S_recover(fb_parser *p, fb_token_kind close, bool commas) {
  uint32_t depth = 0;
  while (!S_at(p, FB_TOK_END) && !p->no_memory) {
    fb_token_kind kind = p->token.kind;
    if (depth == 0 && ((commas && kind == FB_TOK_COMMA) || kind == close)) break;
    if (kind == FB_TOK_LPAREN || kind == FB_TOK_LBRACKET || kind == FB_TOK_LBRACE) depth++;
    if (kind == FB_TOK_RPAREN || kind == FB_TOK_RBRACKET || kind == FB_TOK_RBRACE) {
      if (depth == 0) return;
      depth--;
    }
    S_next(p);
  }
  if (!S_at(p, FB_TOK_END) && !p->no_memory) p->panic = false;
}

static bool S_enter(fb_parser *p) {
  if (p->nesting++ < p->max_depth) return true;
  if (!p->panic)
    fb_cel_report_add(p->report, FB_E_CEL_TOO_LARGE, p->token.offset, p->token.length,
                      "split the expression", "the expression is nested more than %u levels deep",
                      p->max_depth);
  p->panic = true;
  p->lexer.at = p->lexer.source.len; /* nothing sensible can be said about the rest */
  S_next(p);
  return false;
}

/* ── Literals, names, brackets ───────────────────────────────────────────────────────────────── */

static fb_ast *S_constant(fb_parser *p, size_t offset, fb_value value) {
  fb_ast *ast = fb_parse_node(p, FB_AST_CONST, offset, NULL, 0);
  if (ast) ast->value = value;
  return ast;
}

/* Stands for what could not be read. */
static fb_ast *S_nothing(fb_parser *p, size_t offset) {
  return S_constant(p, offset, fb_absent());
}

static fb_ast *S_integer(fb_parser *p, size_t offset, bool negative) {
  uint64_t magnitude = p->token.value.as.u;
  if (magnitude > (uint64_t)INT64_MAX + negative) {
    fb_cel_report_add(p->report, FB_E_CEL_SYNTAX, offset,
                      p->token.offset + p->token.length - offset, "uint literals end in u",
                      "an integer that does not fit into int");
    magnitude = 0;
  }
  S_next(p);
  return S_constant(p, offset, fb_int(negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude));
}

static fb_ast *S_literal(fb_parser *p) {
  size_t offset = p->token.offset;
  fb_value value = p->token.value;
  switch (p->token.kind) {
    case FB_TOK_INT: return S_integer(p, offset, false);
    case FB_TOK_TRUE:
    case FB_TOK_FALSE: value = fb_bool(S_at(p, FB_TOK_TRUE)); break;
    case FB_TOK_NULL: value = fb_null(); break;
    default: break;
  }
  S_next(p);
  return S_constant(p, offset, value);
}

/* Elements up to `close`, which is taken. */
static void S_elements(fb_parser *p, fb_token_kind close, const char *what, bool optional,
                       fb_ast_list *list) {
  while (!S_at(p, close) && !S_at(p, FB_TOK_END) && !p->no_memory) {
    bool mark = optional && S_take(p, FB_TOK_QUESTION);
    if (!S_push(p, list, S_expression(p), mark)) return;
    if (!p->panic && !S_at(p, FB_TOK_COMMA) && !S_at(p, close)) S_expected(p, what, NULL);
    if (p->panic) S_recover(p, close, true);
    if (!S_take(p, FB_TOK_COMMA)) break;
    if (close == FB_TOK_RPAREN && S_at(p, close))
      S_expected(p, "an argument", "leave out the last comma");
  }
  if (!S_take(p, close)) S_expected(p, what, NULL);
}

static fb_ast *S_list(fb_parser *p) {
  size_t offset = p->token.offset;
  fb_ast_list list = {0};
  S_next(p);
  S_elements(p, FB_TOK_RBRACKET, "`,` or `]`", true, &list);
  fb_ast *ast = fb_parse_node(p, FB_AST_LIST, offset, list.items, list.count);
  if (ast) ast->optional_args = list.optional;
  return ast;
}

static void S_entry(fb_parser *p, fb_ast_list *list) {
  bool mark = S_take(p, FB_TOK_QUESTION);
  uint32_t number = list->count / 2;
  if (!S_push(p, list, S_expression(p), false)) return;
  if (!p->panic && !S_at(p, FB_TOK_COLON)) S_expected(p, "`:` after the key", NULL);
  fb_ast *value = S_take(p, FB_TOK_COLON) ? S_expression(p) : S_nothing(p, p->token.offset);
  if (!S_push(p, list, value, false)) return;
  if (mark && number >= MAX_OPTIONAL)
    fb_parse_fail(p, p->token.offset, 1, NULL, "only the first %d entries may be optional",
                  MAX_OPTIONAL);
  else if (mark)
    list->optional |= UINT64_C(1) << number;
}

static fb_ast *S_map(fb_parser *p) {
  size_t offset = p->token.offset;
  fb_ast_list list = {0};
  S_next(p);
  while (!S_at(p, FB_TOK_RBRACE) && !S_at(p, FB_TOK_END) && !p->no_memory) {
    S_entry(p, &list);
    if (!p->panic && !S_at(p, FB_TOK_COMMA) && !S_at(p, FB_TOK_RBRACE))
      S_expected(p, "`,` or `}`", NULL);
    if (p->panic) S_recover(p, FB_TOK_RBRACE, true);
    if (!S_take(p, FB_TOK_COMMA)) break;
  }
  if (!S_take(p, FB_TOK_RBRACE)) S_expected(p, "`,` or `}`", NULL);
  if (list.count & 1) list.count--; /* after an error */
  fb_ast *ast = fb_parse_node(p, FB_AST_MAP, offset, list.items, list.count);
  if (ast) ast->optional_args = list.optional;
  return ast;
}

static fb_ast *S_arguments(fb_parser *p, size_t offset, size_t name_offset, fb_slice name,
                           fb_ast *target) {
  fb_ast_list list = {0};
  if (target && !S_push(p, &list, target, false)) return NULL;
  S_next(p); /* ( */
  S_elements(p, FB_TOK_RPAREN, "`,` or `)`", false, &list);
  fb_ast *call = fb_parse_node(p, FB_AST_CALL, offset, list.items, list.count);
  if (!call) return NULL;
  call->name = name;
  call->name_offset = (uint32_t)name_offset;
  call->member = target != NULL;
  return p->panic ? call : fb_parse_macro(p, call);
}

static fb_ast *S_name(fb_parser *p) {
  size_t offset = p->token.offset;
  bool absolute = S_take(p, FB_TOK_DOT);
  fb_token name = p->token;
  if (name.kind == FB_TOK_RESERVED) {
    fb_parse_fail(p, name.offset, name.length, "rename the variable", "`%.*s` is a reserved word",
                  (int)name.text.len, name.text.ptr);
    S_next(p);
    return S_nothing(p, offset);
  }
  if (name.kind != FB_TOK_IDENT) {
    S_expected(p, "a name after `.`", NULL);
    return S_nothing(p, offset);
  }
  S_next(p);
  fb_ast *ast;
  if (S_at(p, FB_TOK_LPAREN)) {
    ast = S_arguments(p, offset, name.offset, name.text, NULL);
  } else {
    ast = fb_parse_node(p, FB_AST_NAME, offset, NULL, 0);
    if (ast) ast->name = name.text;
  }
  if (ast && (ast->kind == FB_AST_NAME || ast->kind == FB_AST_CALL)) ast->absolute = absolute;
  return ast;
}

static fb_ast *S_parens(fb_parser *p) {
  size_t offset = p->token.offset;
  S_next(p);
  fb_ast *ast = S_expression(p);
  if (p->panic) S_recover(p, FB_TOK_RPAREN, false);
  S_expect(p, FB_TOK_RPAREN, "`)`");
  if (ast) {
    ast->offset = (uint32_t)offset;
    ast->length = (uint32_t)(p->end - offset);
  }
  return ast;
}

static fb_ast *S_primary(fb_parser *p) {
  size_t offset = p->token.offset;
  switch (p->token.kind) {
    case FB_TOK_INT:
    case FB_TOK_UINT:
    case FB_TOK_DOUBLE:
    case FB_TOK_STRING:
    case FB_TOK_BYTES:
    case FB_TOK_TRUE:
    case FB_TOK_FALSE:
    case FB_TOK_NULL: return S_literal(p);
    case FB_TOK_IDENT:
    case FB_TOK_RESERVED:
    case FB_TOK_DOT: return S_name(p);
    case FB_TOK_LPAREN: return S_parens(p);
    case FB_TOK_LBRACKET: return S_list(p);
    case FB_TOK_LBRACE: return S_map(p);
    default:
      S_expected(p, "a value",
                 S_at(p, FB_TOK_QUOTED) ? "`…` quotes a field: x.`a-b`"
                 : S_at(p, FB_TOK_EQ)   ? "equality takes a value on both sides"
                                        : NULL);
      return S_nothing(p, offset);
  }
}

/* ── What follows a value: .field, .method(), [index] ────────────────────────────────────────── */

static fb_ast *S_index(fb_parser *p, fb_ast *target) {
  S_next(p);
  bool optional = S_take(p, FB_TOK_QUESTION);
  fb_ast *args[2] = {target, S_expression(p)};
  if (p->panic) S_recover(p, FB_TOK_RBRACKET, false);
  S_expect(p, FB_TOK_RBRACKET, "`]`");
  fb_ast *ast = fb_parse_node(p, FB_AST_INDEX, target->offset, args, 2);
  if (ast) ast->optional = optional;
  return ast;
}

static fb_ast *S_select(fb_parser *p, fb_ast *target) {
  S_next(p);
  bool optional = S_take(p, FB_TOK_QUESTION);
  fb_token name = p->token;
  if (name.kind != FB_TOK_IDENT && name.kind != FB_TOK_RESERVED && name.kind != FB_TOK_QUOTED) {
    bool keyword = name.kind == FB_TOK_IN || name.kind == FB_TOK_TRUE ||
                   name.kind == FB_TOK_FALSE || name.kind == FB_TOK_NULL;
    S_expected(p, "a field name after `.`", keyword ? "quote it: x.`in`" : NULL);
    return target;
  }
  S_next(p);
  if (S_at(p, FB_TOK_LPAREN) && name.kind != FB_TOK_QUOTED && !optional)
    return S_arguments(p, target->offset, name.offset, name.text, target);
  fb_ast *ast = fb_parse_node(p, FB_AST_SELECT, target->offset, &target, 1);
  if (!ast) return NULL;
  ast->name = name.text;
  ast->name_offset = name.offset;
  ast->optional = optional;
  ast->absolute = name.kind == FB_TOK_QUOTED; /* never part of a qualified name */
  return ast;
}

static fb_ast *S_postfix(fb_parser *p, fb_ast *ast) {
  while (ast && !p->panic) {
    if (S_at(p, FB_TOK_DOT))
      ast = S_select(p, ast);
    else if (S_at(p, FB_TOK_LBRACKET))
      ast = S_index(p, ast);
    else if (S_at(p, FB_TOK_LBRACE) && (ast->kind == FB_AST_NAME || ast->kind == FB_AST_SELECT))
      fb_parse_fail(p, p->token.offset, 1, "use a map: {'field': value}",
                    "messages cannot be made here");
    else
      break;
  }
  return ast;
}

/* ── Operators ───────────────────────────────────────────────────────────────────────────────── */

static fb_ast *S_unary(fb_parser *p) {
  fb_token sign = p->token;
  if (sign.kind != FB_TOK_MINUS && sign.kind != FB_TOK_NOT) return S_postfix(p, S_primary(p));
  S_next(p);
  if (sign.kind == FB_TOK_MINUS && S_at(p, FB_TOK_INT))
    return S_postfix(p, S_integer(p, sign.offset, true));
  if (sign.kind == FB_TOK_MINUS && S_at(p, FB_TOK_DOUBLE)) {
    fb_value value = fb_double(-p->token.value.as.d);
    S_next(p);
    return S_postfix(p, S_constant(p, sign.offset, value));
  }
  if (!S_enter(p)) return S_nothing(p, sign.offset);
  fb_ast *inside = S_unary(p);
  p->nesting--;
  return inside ? S_call(p, sign.offset, sign.kind == FB_TOK_NOT ? "!_" : "-_", &inside, 1) : NULL;
}

/* The operator of a token and how strongly it binds; 0: it is none. && and || are read by S_chain. */
static int S_operator(fb_token_kind kind, const char **ret_name) {
  switch (kind) {
    case FB_TOK_EQ: *ret_name = "_==_"; return 1;
    case FB_TOK_NE: *ret_name = "_!=_"; return 1;
    case FB_TOK_LT: *ret_name = "_<_"; return 1;
    case FB_TOK_LE: *ret_name = "_<=_"; return 1;
    case FB_TOK_GT: *ret_name = "_>_"; return 1;
    case FB_TOK_GE: *ret_name = "_>=_"; return 1;
    case FB_TOK_IN: *ret_name = "@in"; return 1;
    case FB_TOK_PLUS: *ret_name = "_+_"; return 2;
    case FB_TOK_MINUS: *ret_name = "_-_"; return 2;
    case FB_TOK_STAR: *ret_name = "_*_"; return 3;
    case FB_TOK_SLASH: *ret_name = "_/_"; return 3;
    case FB_TOK_PERCENT: *ret_name = "_%_"; return 3;
    default: return 0;
  }
}

static fb_ast *S_binary(fb_parser *p, int least) {
  fb_ast *left = S_unary(p);
  const char *name;
  for (int binds;
       left && !p->panic && (binds = S_operator(p->token.kind, &name)) >= least && binds;) {
    S_next(p);
    fb_ast *args[2] = {left, S_binary(p, binds + 1)};
    if (!args[1]) return NULL;
    left = S_call(p, left->offset, name, args, 2);
  }
  return left;
}

/* items[0] op items[1] op …, as a balanced tree: long chains stay shallow. */
static fb_ast *S_balance(fb_parser *p, fb_ast_kind kind, fb_ast **items, uint32_t count) {
  if (count == 1) return items[0];
  uint32_t half = (count + 1) / 2;
  fb_ast *args[2] = {S_balance(p, kind, items, half),
                     S_balance(p, kind, items + half, count - half)};
  if (!args[0] || !args[1]) return NULL;
  fb_ast *ast = fb_parse_node(p, kind, args[0]->offset, args, 2);
  if (ast) ast->length = args[1]->offset + args[1]->length - args[0]->offset;
  return ast;
}

static fb_ast *S_chain(fb_parser *p, fb_token_kind sign, fb_ast_kind kind) {
  fb_ast_list list = {0};
  do {
    fb_ast *item = sign == FB_TOK_OR ? S_chain(p, FB_TOK_AND, FB_AST_AND) : S_binary(p, 1);
    if (!item) return NULL;
    if (list.count == 0 && (p->panic || !S_at(p, sign))) return item;
    if (!S_push(p, &list, item, false)) return NULL;
  } while (!p->panic && S_take(p, sign));
  return S_balance(p, kind, list.items, list.count);
}

static fb_ast *S_expression(fb_parser *p) {
  size_t offset = p->token.offset;
  if (!S_enter(p)) return S_nothing(p, offset);
  fb_ast *ast = S_chain(p, FB_TOK_OR, FB_AST_OR);
  if (ast && !p->panic && S_take(p, FB_TOK_QUESTION)) {
    fb_ast *args[3] = {ast, S_chain(p, FB_TOK_OR, FB_AST_OR), NULL};
    if (!p->panic && !S_at(p, FB_TOK_COLON)) S_expected(p, "`:` of `condition ? yes : no`", NULL);
    if (!S_take(p, FB_TOK_COLON))
      args[2] = S_nothing(p, offset);
    else
      args[2] = S_expression(p);
    ast = args[1] && args[2] ? fb_parse_node(p, FB_AST_COND, offset, args, 3) : NULL;
  }
  p->nesting--;
  return ast;
}

fb_status fb_parse_source(fb_parser *p, fb_ast **ret_root) {
  S_next(p);
  fb_ast *root = S_expression(p);
  if (!p->panic && !S_at(p, FB_TOK_END)) {
    bool word = S_at(p, FB_TOK_IDENT);
    bool conjunction = word && (fb_slice_equal(p->token.text, FB_SLICE("and")) ||
                                fb_slice_equal(p->token.text, FB_SLICE("or")));
    S_expected(p, "an operator or the end",
               conjunction ? "and is written `&&`, or is written `||`" : NULL);
  }
  if (p->no_memory) return FB_E_NOMEM;
  if (p->report->first) return p->report->first;
  *ret_root = root;
  return FB_OK;
}
