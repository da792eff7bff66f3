/* SPDX-License-Identifier: Apache-2.0
 *
 * Conditions as most are written, `o.status == "active" && o.amount >= 10`: comparisons of declared fields with literals
 * of their own kind. They become tests without a tree, a check and a program. Whatever is not exactly of that form
 * goes the long way, which also tells what is wrong with it; both ways make the same tests.
 */
#include "rules/condition.h"

#include <stdlib.h>

enum { MOST = 16 /* comparisons */, LENGTH_MAX = 4096, DIGITS_MAX = 15 };

typedef struct S_reader {
  const char *at, *start, *end;
} S_reader;

typedef struct S_comparison {
  uint8_t op;
  uint32_t field;
  fb_value constant; /* text: not interned */
  uint32_t offset, length;
} S_comparison;

static void S_skip(S_reader *r) {
  while (r->at < r->end && *r->at == ' ') r->at++;
}

static bool S_is_letter(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool S_is_digit(char c) {
  return c >= '0' && c <= '9';
}

static fb_slice S_word(S_reader *r) {
  const char *start = r->at;
  if (r->at < r->end && S_is_letter(*r->at))
    while (r->at < r->end && (S_is_letter(*r->at) || S_is_digit(*r->at))) r->at++;
  return (fb_slice){start, (size_t)(r->at - start)};
}

static bool S_char(S_reader *r, char c) {
  if (r->at == r->end || *r->at != c) return false;
  r->at++;
  return true;
}

/* Words that mean something else in CEL. */
static bool S_is_reserved(fb_slice word) {
  static const char *const reserved[] = {
      "as",       "break",   "const",  "continue", "else", "false", "for",
      "function", "if",      "import", "in",       "let",  "loop",  "namespace",
      "null",     "package", "return", "true",     "var",  "void",  "while"};
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (*reserved[i] == *word.ptr && fb_slice_equal(word, fb_slice_of(reserved[i]))) return true;
  return false;
}

static bool S_operator(S_reader *r, uint8_t *ret_op) {
  if (r->end - r->at < 2) return false;
  char c = *r->at;
  bool equal = r->at[1] == '=';
  switch (c) {
    case '=': *ret_op = FB_RULE_EQ; break;
    case '!': *ret_op = FB_RULE_NE; break;
    case '<': *ret_op = equal ? FB_RULE_LE : FB_RULE_LT; break;
    case '>': *ret_op = equal ? FB_RULE_GE : FB_RULE_GT; break;
    default: return false;
  }
  r->at += 1 + equal;
  return equal || c == '<' || c == '>';
}

/* Of few enough digits to be exact as an int. */
static bool S_number(S_reader *r, fb_value *ret) {
  char text[DIGITS_MAX + 4];
  const char *start = r->at;
  bool negative = S_char(r, '-'), point = false;
  size_t digits = 0;
  int64_t number = 0;
  for (; r->at < r->end && (S_is_digit(*r->at) || (*r->at == '.' && !point && digits)); r->at++) {
    if (*r->at == '.') {
      point = true;
    } else {
      number = number * 10 + (*r->at - '0');
      if (++digits > DIGITS_MAX) return false;
    }
  }
  if (!digits || r->at[-1] == '.' || (r->at < r->end && (S_is_letter(*r->at) || *r->at == '.')))
    return false;
  if (start[negative] == '0' && digits > 1 && !point) return false;
  if (point) {
    size_t len = (size_t)(r->at - start);
    memcpy(text, start, len);
    text[len] = 0;
    *ret = fb_double(strtod(text, NULL));
  } else {
    *ret = fb_int(negative ? -number : number);
  }
  return true;
}

static bool S_text(S_reader *r, fb_value *ret) {
  char quote = *r->at++;
  const char *start = r->at;
  while (r->at < r->end && *r->at != quote) {
    if (*r->at < ' ' || *r->at == '\\') return false; /* escapes, lines, and what is not ASCII */
    r->at++;
  }
  *ret = fb_string((fb_slice){start, (size_t)(r->at - start)});
  return S_char(r, quote) && ret->len; /* three quotes begin another kind of literal */
}

static bool S_literal(S_reader *r, fb_value *ret) {
  if (r->at == r->end) return false;
  if (*r->at == '"' || *r->at == '\'') return S_text(r, ret);
  if (!S_is_letter(*r->at)) return S_number(r, ret);
  fb_slice word = S_word(r);
  bool yes = fb_slice_equal(word, FB_SLICE("true"));
  *ret = fb_bool(yes);
  return yes || fb_slice_equal(word, FB_SLICE("false"));
}

/* Is it the kind that the field is declared with, so that nothing is converted and the check has nothing to say? */
static bool S_fits(const fb_fact_type *type, uint32_t field, const S_comparison *c) {
  switch (type->fields[field].type) {
    case FB_FIELD_INT: return c->constant.kind == FB_INT;
    case FB_FIELD_DOUBLE: return c->constant.kind == FB_DOUBLE;
    case FB_FIELD_STRING: return c->constant.kind == FB_STRING;
    case FB_FIELD_BOOL: return c->constant.kind == FB_BOOL && c->op <= FB_RULE_NE;
    default: return false;
  }
}

static bool S_comparison_of(S_reader *r, const fb_fact_type *type, fb_slice variable,
                            S_comparison *c) {
  S_skip(r);
  c->offset = (uint32_t)(r->at - r->start);
  if (!fb_slice_equal(S_word(r), variable) || !S_char(r, '.')) return false;
  fb_slice name = S_word(r);
  int32_t field = name.len ? fb_fact_type_field(type, name) : -1;
  if (field < 0 || S_is_reserved(name)) return false;
  c->field = (uint32_t)field;
  S_skip(r);
  if (!S_operator(r, &c->op)) return false;
  S_skip(r);
  if (!S_literal(r, &c->constant) || !S_fits(type, c->field, c)) return false;
  c->length = (uint32_t)(r->at - r->start) - c->offset;
  return true;
}

static uint32_t S_parse(const fb_fact_type *type, fb_slice variable, fb_slice text,
                        S_comparison *comparisons) {
  S_reader r = {text.ptr, text.ptr, text.ptr + text.len};
  uint32_t count = 0;
  for (;;) {
    if (count == MOST || !S_comparison_of(&r, type, variable, &comparisons[count++])) return 0;
    S_skip(&r);
    if (r.at == r.end) return count;
    if (r.end - r.at < 2 || r.at[0] != '&' || r.at[1] != '&') return 0;
    r.at += 2;
  }
}

static bool S_keep(fb_rule_loader *loader, fb_rule_condition *own, const fb_node *node,
                   const S_comparison *c) {
  fb_ruleset *set = loader->set;
  fb_rule_test test = {.op = c->op,
                       .field = c->field,
                       .constant = c->constant,
                       .slot = own->slot,
                       .rule = loader->rule->number,
                       .place = {node, c->offset, c->length}};
  if (c->constant.kind == FB_STRING) {
    fb_symbol symbol;
    if (fb_symbol_intern(set->symbols, fb_value_text(c->constant), &symbol) != FB_OK) return false;
    test.constant = fb_symbol_value(set->symbols, symbol);
  }
  test.key = fb_rule_key_of(test.constant, set->symbols);
  fb_rule_watch_field(loader, own, c->field);
  loader->rule->complexity++;
  own->tests[own->test_count++] = test;
  return true;
}

bool fb_rule_take_simple(fb_rule_loader *loader, fb_rule_condition *own, const fb_node *node) {
  S_comparison comparisons[MOST];
  fb_slice text = fb_node_text(node);
  if (!own || own->kind > FB_WHEN_EXISTS || own->group || !own->variable.len ||
      own->type == FB_RULE_NONE || text.len > LENGTH_MAX || S_is_reserved(own->variable))
    return false;
  const fb_fact_type *type = fb_schema_type(loader->set->schema, own->type);
  uint32_t count = type->open ? 0 : S_parse(type, own->variable, text, comparisons);
  if (!count) return false;
  own->tests = fb_arena_alloc(&loader->set->arena, count * sizeof *own->tests);
  own->test_cap = count;
  if (!own->tests) loader->nomem = true;
  for (uint32_t i = 0; i < count && !loader->nomem; i++)
    if (!S_keep(loader, own, node, &comparisons[i])) loader->nomem = true;
  return true;
}
