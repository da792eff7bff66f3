/* SPDX-License-Identifier: Apache-2.0
 * Patterns over the elements of a list, while they are loaded: `item as i in o.items`. What they bind is told by slot.c. */
#include "rules/aggregate.h"

static void S_fail(fb_rule_loader *loader, const fb_rule_item *item, const char *what) {
  fb_doc_fail(loader->doc, item->key, loader->errors, FB_E_RULE_CONDITION,
              "as in `item as i in o.items: i.price > 100.0`, below `order as o`", "%s", what);
}

void fb_rule_load_range(fb_rule_loader *loader, const fb_rule_item *item) {
  fb_rule_condition *c = item->condition;
  fb_slice text = fb_node_text(item->key);
  fb_errors found;
  fb_errors_init(&found, loader->set->allocator, 0);
  fb_cel_options options = {.name = fb_doc_name(loader->doc),
                            .doc = loader->doc,
                            .node = item->key,
                            .node_offset = item->range};
  fb_cel_expr *expr = NULL;
  fb_status status =
      fb_cel_parse(loader->env, (fb_slice){text.ptr + item->range, text.len - item->range},
                   &options, &expr, &found);
  if (status == FB_E_NOMEM) loader->nomem = true;
  fb_rule_report(loader, &found);
  fb_errors_release(&found);
  if (status != FB_OK) return;
  fb_cel_kind kind = expr->root->type ? expr->root->type->kind : FB_CEL_DYN;
  fb_rule_input input = {.field = FB_RULE_NONE};
  fb_ast_reads(expr->root, &c->needs, 1);
  expr->root->offset += item->range;
  if (!c->needs)
    S_fail(loader, item, "the list is one of a fact that a condition above binds");
  else if (kind != FB_CEL_DYN && kind != FB_CEL_LIST)
    S_fail(loader, item, "only a list has elements");
  else
    fb_rule_take_input(loader, expr, expr->root, item->key, &input);
  fb_cel_expr_free(expr);
  c->range = input.program;
  c->range_field = input.field;
  if (c->needs) c->range_slot = (uint32_t)__builtin_ctzll(c->needs);
  for (uint64_t left = c->needs; left; left &= left - 1)
    loader->scope[__builtin_ctzll(left)]->used = true;
}
