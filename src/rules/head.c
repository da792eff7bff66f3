/* SPDX-License-Identifier: Apache-2.0
 * Heads of conditions: `not order as o`. */
#include "rules/aggregate.h"

#include <stdio.h>

bool fb_rule_is_variable(fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(i && c >= '0' && c <= '9')) return false;
  }
  return text.len > 0 && text.len <= 64;
}

static size_t S_words(fb_slice text, fb_slice *words, size_t max) {
  size_t count = 0;
  for (size_t i = 0; i < text.len;) {
    while (i < text.len && (text.ptr[i] == ' ' || text.ptr[i] == '\t')) i++;
    size_t start = i;
    while (i < text.len && text.ptr[i] != ' ' && text.ptr[i] != '\t') i++;
    if (i > start && count++ < max) words[count - 1] = (fb_slice){text.ptr + start, i - start};
  }
  return count;
}

bool fb_rule_split_head(fb_slice text, fb_rule_item *item) {
  fb_slice words[4];
  size_t count = S_words(text, words, 4), at = 0;
  if (count > 4 && fb_slice_equal(words[1], FB_SLICE("as")) &&
      fb_slice_equal(words[3], FB_SLICE("in"))) {
    item->kind = FB_WHEN_ELEMENT;
    item->type = words[0];
    item->variable = words[2];
    item->range = (uint32_t)(words[3].ptr + 2 - text.ptr);
    return fb_rule_is_variable(words[0]);
  }
  if (count == 0 || count > 4) return false;
  if (fb_slice_equal(words[0], FB_SLICE("not")))
    item->kind = FB_WHEN_NOT, at++;
  else if (fb_slice_equal(words[0], FB_SLICE("exists")))
    item->kind = FB_WHEN_EXISTS, at++;
  else
    item->kind = FB_WHEN_FACT;
  if (at >= count) return false;
  item->type = words[at++];
  for (size_t i = 0; i < item->type.len; i++)
    if (strchr("()[]{}\"'=<>!&|,:;+*/", item->type.ptr[i])) return false;
  if (at == count) return true;
  if (at + 2 != count || !fb_slice_equal(words[at], FB_SLICE("as"))) return false;
  item->variable = words[at + 1];
  return true;
}

static bool S_fail(fb_rule_loader *loader, const fb_node *node, const char *hint,
                   const char *what) {
  fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_CONDITION, hint, "%s", what);
  return false;
}

/* What is neither a pattern nor a test. */
static bool S_unknown(fb_rule_loader *loader, const fb_rule_item *item, fb_slice text) {
  static const char *const words[] = {"not", "exists", "forall", "any", "test"};
  char hint[240];
  /* `- "order as o: o.x"` is text, where `- order as o: o.x` is a key and a value. */
  bool quoted = !item->value && memmem(text.ptr, text.len, ": ", 2);
  const char *near = memchr(text.ptr, ' ', text.len)
                         ? NULL
                         : fb_nearest(text, words, sizeof words / sizeof *words);
  if (near && !fb_slice_equal(text, fb_slice_of(near)))
    snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  else
    snprintf(hint, sizeof hint, "%s",
             quoted ? "quote the expression only: `order as o: \"o.x > 1\"`" : FB_RULE_FORMS);
  fb_doc_fail(loader->doc, item->key, loader->errors, FB_E_RULE_CONDITION, hint,
              "unknown condition `%.*s`", (int)(text.len > 80 ? 80 : text.len), text.ptr);
  return false;
}

bool fb_rule_parse_item(fb_rule_loader *loader, const fb_node *node, fb_rule_item *item) {
  if (node->kind == FB_STRING) {
    item->key = node;
  } else if (node->kind == FB_MAP && node->count == 1) {
    item->key = &node->as.pairs[0].key;
    item->value = &node->as.pairs[0].value;
  } else if (node->kind == FB_MAP && node->count > 1) {
    return S_fail(loader, &node->as.pairs[1].key, "start each condition with a dash of its own",
                  "a condition has one key only");
  } else {
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_CONDITION, FB_RULE_FORMS,
                "a condition cannot be %s", fb_node_describe(node));
    return false;
  }
  fb_slice text = fb_node_text(item->key);
  if (item->value && fb_slice_equal(text, FB_SLICE("test"))) return item->test = true;
  fb_aggregate_head head;
  char why[200];
  fb_status status = fb_aggregate_parse(text, &head, why);
  if (status == FB_OK) {
    item->kind = FB_WHEN_FACT;
    item->head = fb_arena_copy(&loader->set->arena, &head, sizeof head);
    loader->nomem |= !item->head;
    return item->head != NULL;
  }
  if (status == FB_E_RULE_AGGREGATE) {
    fb_doc_fail(loader->doc, item->key, loader->errors, status,
                "as in `sum(o.amount) as total by o.customer as c of order as o: o.open`", "%s",
                why);
    return false;
  }
  if (!fb_rule_split_head(text, item)) return S_unknown(loader, item, text);
  if (item->variable.len && !fb_rule_is_variable(item->variable)) {
    fb_doc_fail(loader->doc, item->key, loader->errors, FB_E_RULE_VARIABLE,
                "a variable has letters, digits and `_`, and starts with a letter",
                "`%.*s` cannot be the name of a variable",
                (int)(item->variable.len > 60 ? 60 : item->variable.len), item->variable.ptr);
    return false;
  }
  return true;
}
