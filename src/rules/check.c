/* SPDX-License-Identifier: Apache-2.0
 * Tests of one fact that no fact can pass together: intervals and constants of a field, pair by pair. */
#include "rules/plan.h"

/* Is there a value that passes both `x op1 c1` and `x op2 c2`? Values of kinds without an order to each other
 * pass none or are not judged. */
static bool S_can_both(uint8_t op1, fb_value c1, uint8_t op2, fb_value c2, bool whole) {
  int order;
  if (op1 == FB_RULE_EQ && op2 == FB_RULE_EQ) return fb_value_equal(c1, c2);
  if ((op1 == FB_RULE_EQ && op2 == FB_RULE_NE) || (op1 == FB_RULE_NE && op2 == FB_RULE_EQ))
    return !fb_value_equal(c1, c2);
  if (op1 == FB_RULE_NE || op2 == FB_RULE_NE) return true;
  if (!fb_value_compare(c1, c2, &order)) return op1 != FB_RULE_EQ && op2 != FB_RULE_EQ;
  bool low1 = op1 == FB_RULE_GT || op1 == FB_RULE_GE, low2 = op2 == FB_RULE_GT || op2 == FB_RULE_GE;
  if (op1 == FB_RULE_EQ) {
    switch (op2) {
      case FB_RULE_LT: return order < 0;
      case FB_RULE_LE: return order <= 0;
      case FB_RULE_GT: return order > 0;
      default: return order >= 0;
    }
  }
  if (op2 == FB_RULE_EQ) return S_can_both(op2, c2, op1, c1, whole);
  if (low1 == low2) return true;
  if (!low1) return S_can_both(op2, c2, op1, c1, whole); /* now the first is the lower bound */
  if (order > 0) return false;
  if (order == 0) return op1 == FB_RULE_GE && op2 == FB_RULE_LE;
  bool open = op1 == FB_RULE_GT && op2 == FB_RULE_LT;
  if (open && whole && c1.kind == FB_INT && c2.kind == FB_INT)
    return (uint64_t)c2.as.i - (uint64_t)c1.as.i > 1;
  return true;
}

static bool S_exclude(const fb_rule_test *a, const fb_rule_test *b, bool whole) {
  bool compare_a = a->op <= FB_RULE_GE, compare_b = b->op <= FB_RULE_GE;
  if (a->op == FB_RULE_LACKS || b->op == FB_RULE_LACKS)
    return a->op != b->op; /* every other test needs the field */
  if (a->op == FB_RULE_HAS || b->op == FB_RULE_HAS) return false;
  fb_value ca = compare_a ? a->constant : fb_bool(a->op == FB_RULE_TRUE);
  fb_value cb = compare_b ? b->constant : fb_bool(b->op == FB_RULE_TRUE);
  return !S_can_both(compare_a ? a->op : FB_RULE_EQ, ca, compare_b ? b->op : FB_RULE_EQ, cb, whole);
}

static void S_report(fb_rule_loader *loader, const fb_rule_test *a, const fb_rule_test *b) {
  fb_slice one = fb_node_text(a->place.node);
  one = (fb_slice){one.ptr + a->place.offset, a->place.length};
  fb_error err;
  fb_fail(&err, FB_E_RULE_NEVER, "this contradicts `%.*s`: the rule can never fire",
          (int)(one.len > 80 ? 80 : one.len), one.ptr);
  fb_error_hint(&err, "switch a rule off with `enabled: false`");
  fb_doc_relocate(loader->doc, b->place.node, b->place.offset, b->place.length, &err);
  fb_errors_add(loader->errors, &err);
}

void fb_rule_check_condition(fb_rule_loader *loader, const fb_rule_condition *condition) {
  if (condition->type == FB_RULE_NONE) return;
  if (condition->kind == FB_WHEN_MEMBER && loader->empties) return; /* it may be of constants */
  const fb_fact_type *type = fb_schema_type(loader->set->schema, condition->type);
  for (uint32_t i = 0; i < condition->test_count; i++)
    for (uint32_t j = 0; j < i; j++) {
      const fb_rule_test *a = &condition->tests[j], *b = &condition->tests[i];
      if (a->op == FB_RULE_PROGRAM || b->op == FB_RULE_PROGRAM || a->field != b->field) continue;
      fb_field_type declared = type->fields[a->field].type;
      if (!S_exclude(a, b, declared == FB_FIELD_INT || declared == FB_FIELD_UINT)) continue;
      if (loader->constants)
        loader->dead = true;
      else
        S_report(loader, a, b);
      return;
    }
}
