/* SPDX-License-Identifier: Apache-2.0
 * Tests of single facts; alpha memories. */
#include "data/facts_internal.h"
#include "rules/session.h"

/* ── Tests ── */

void fb_session_report(fb_session *session, uint32_t rule, const fb_rule_place *place,
                       fb_error *err) {
  if (err->code == FB_E_CEL_NO_KEY) return;
  fb_emit_flush(session); /* in the order in which it all came about */
  session->stats.errors++;
  session->rule_stats[rule].errors++;
  uint64_t max = session->options.max_errors ? session->options.max_errors : 100;
  if (!session->options.output.error || session->stats.errors > max) return;
  if (place && !err->line)
    fb_doc_relocate(session->set->doc, place->node, place->offset, place->length, err);
  fb_slice name = session->set->rules[rule].info.name;
  fb_error_prefix(err, "rule `%.*s`", (int)(name.len > 80 ? 80 : name.len), name.ptr);
  session->options.output.error(session->options.output.context, session, err);
}

/* err nullable: to put a failure into words costs much more than to find it. */
static bool S_eval(fb_session *session, const fb_cel_program *program, fb_status *ret_status,
                   fb_error *err) {
  fb_value value;
  fb_arena_mark mark = fb_arena_save(&session->scratch);
  session->context.steps = session->options.max_steps ? session->options.max_steps : 10000000;
  fb_status status = fb_cel_eval(program, session->slots, &session->context, &value, err);
  bool holds = status == FB_OK && value.kind == FB_BOOL && value.as.b;
  if (status == FB_OK && value.kind != FB_BOOL)
    status = fb_fail(err, FB_E_CEL_NO_OVERLOAD, "a condition must be a bool, this is %s",
                     fb_kind_name(value.kind));
  fb_arena_rewind(&session->scratch, mark);
  *ret_status = status;
  return holds;
}

bool fb_session_listens(const fb_session *session, fb_status status) {
  uint64_t max = session->options.max_errors ? session->options.max_errors : 100;
  return status != FB_E_CEL_NO_KEY && session->options.output.error && session->stats.errors < max;
}

/* The failure of an expression whose slots are bound. */
static void S_report(fb_session *session, const fb_cel_program *program, uint32_t rule,
                     const fb_rule_place *place, fb_status status) {
  fb_error err;
  err.code = status; /* all that is read if nobody listens */
  err.line = 0;
  err.text[0] = 0;
  if (fb_session_listens(session, status)) S_eval(session, program, &status, &err);
  fb_session_report(session, rule, place, &err);
}

bool fb_session_holds(fb_session *session, const fb_cel_program *program, uint32_t rule,
                      const fb_rule_place *place) {
  fb_status status;
  bool holds = S_eval(session, program, &status, NULL);
  if (FB_UNLIKELY(status != FB_OK)) S_report(session, program, rule, place, status);
  return holds;
}

static bool S_is_number(fb_value value) {
  return value.kind >= FB_INT && value.kind <= FB_DOUBLE;
}

bool fb_test_values(uint8_t op, fb_value a, fb_value b, bool *ret_failed) {
  int order;
  if (a.kind == FB_ABSENT || b.kind == FB_ABSENT) return false;
  if (op == FB_RULE_EQ) return fb_value_equal(a, b);
  if (op == FB_RULE_NE) return !fb_value_equal(a, b);
  if (!fb_value_compare(a, b, &order)) {
    *ret_failed = !(S_is_number(a) && S_is_number(b));
    return false;
  }
  switch (op) {
    case FB_RULE_LT: return order < 0;
    case FB_RULE_LE: return order <= 0;
    case FB_RULE_GT: return order > 0;
    default: return order >= 0;
  }
}

static bool S_equals(fb_session *session, const fb_rule_test *test, fb_value value) {
  if (test->key.tag == FB_KEY_HASHED) return fb_value_equal(value, test->constant);
  if (test->key.tag == FB_KEY_NONE) return false;
  return fb_rule_key_equal(fb_rule_key_of(value, session->symbols), test->key);
}

/* The common comparisons of one kind, before the general one. */
static bool S_compare(const fb_rule_test *test, fb_value value, bool *ret_failed) {
  fb_value c = test->constant;
  if (value.kind == FB_INT && c.kind == FB_INT) {
    switch (test->op) {
      case FB_RULE_LT: return value.as.i < c.as.i;
      case FB_RULE_LE: return value.as.i <= c.as.i;
      case FB_RULE_GT: return value.as.i > c.as.i;
      default: return value.as.i >= c.as.i;
    }
  }
  if (value.kind == FB_DOUBLE && c.kind == FB_DOUBLE) {
    switch (test->op) {
      case FB_RULE_LT: return value.as.d < c.as.d;
      case FB_RULE_LE: return value.as.d <= c.as.d;
      case FB_RULE_GT: return value.as.d > c.as.d;
      default: return value.as.d >= c.as.d;
    }
  }
  return fb_test_values(test->op, value, c, ret_failed);
}

bool fb_alpha_direct(fb_session *session, const fb_rule_test *test, fb_value value,
                     bool *ret_failed) {
  if (value.kind == FB_ABSENT) return test->op == FB_RULE_LACKS;
  switch (test->op) {
    case FB_RULE_EQ: return S_equals(session, test, value);
    case FB_RULE_NE: return !S_equals(session, test, value);
    case FB_RULE_HAS: return true;
    case FB_RULE_LACKS: return false;
    case FB_RULE_TRUE:
    case FB_RULE_FALSE:
      *ret_failed = value.kind != FB_BOOL;
      return value.kind == FB_BOOL && value.as.b == (test->op == FB_RULE_TRUE);
    default: return S_compare(test, value, ret_failed);
  }
}

static void S_report_test(fb_session *session, const fb_rule_test *test, const fb_fact *fact,
                          fb_status status) {
  const fb_facts *facts = session->memories[fact->type].facts;
  if (test->op == FB_RULE_PROGRAM) {
    session->slots[test->slot] = fb_fact_value(facts, fact->row);
    S_report(session, test->program, test->rule, &test->place, status);
    return;
  }
  fb_error err;
  fb_fail(&err, FB_E_CEL_NO_OVERLOAD, "no such overload: the field is %s here",
          fb_kind_name(fb_facts_cell(facts, fact->row, test->field).kind));
  fb_session_report(session, test->rule, &test->place, &err);
}

/* The failure of one test is no error if another test excludes the fact: `&&` in CEL is so. */
static bool S_test(fb_session *session, uint32_t candidate, uint32_t place, bool tell) {
  const fb_rule_alpha *alpha = &session->set->alphas[candidate & FB_RULE_ALPHA];
  bool whole = candidate & FB_RULE_WHOLE;
  if ((candidate & FB_RULE_SURE) || (!whole && !alpha->open_count)) return true;
  const fb_fact *fact = &session->facts[place];
  const fb_facts *facts = session->memories[fact->type].facts;
  const fb_rule_test *failed_test = NULL;
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < alpha->test_count; i++) {
    const fb_rule_test *test = &alpha->tests[i];
    bool failed = false, holds;
    if (!whole && i < 64 && (alpha->settled >> i & 1)) continue;
    if (test->op == FB_RULE_PROGRAM) {
      fb_status here;
      session->slots[test->slot] = fb_fact_value(facts, fact->row);
      holds = S_eval(session, test->program, &here, NULL);
      failed = here != FB_OK;
      if (failed && !failed_test) status = here;
    } else {
      holds = fb_alpha_direct(session, test, fb_facts_cell(facts, fact->row, test->field), &failed);
    }
    if (failed && !failed_test) failed_test = test;
    if (!holds && !failed) return false;
  }
  if (failed_test && tell) S_report_test(session, failed_test, fact, status);
  return !failed_test;
}

bool fb_alpha_test(fb_session *session, uint32_t candidate, uint32_t place) {
  bool passed = S_test(session, candidate, place, true);
  return fb_profile_alpha(session, candidate & FB_RULE_ALPHA, passed);
}

bool fb_alpha_holds(fb_session *session, uint32_t alpha, uint32_t place) {
  return S_test(session, alpha | FB_RULE_WHOLE, place, false);
}

/* ── Sieves ── */

static inline void S_take(fb_sifter *sifter, const uint32_t *alphas, uint32_t count,
                          uint32_t mark) {
  for (uint32_t i = 0; i < count; i++) sifter->found[sifter->count++] = alphas[i] | mark;
}

/* The number of constants below the value, twice; one more if it is one of them. */
uint32_t fb_sifter_segment(const fb_rule_ranges *ranges, fb_value value) {
  uint32_t low = 0, count = ranges->constant_count;
#define S_SEARCH(constants, x)                                                  \
  do {                                                                          \
    for (; count > 1; count -= count / 2)                                       \
      low += (constants)[low + count / 2 - 1] < (x) ? count / 2 : 0;            \
    low += (constants)[low] < (x);                                              \
    return 2 * low + (low < ranges->constant_count && (constants)[low] == (x)); \
  } while (0)
  if (ranges->ints && value.kind == FB_INT) S_SEARCH(ranges->ints, value.as.i);
  if (ranges->doubles && value.kind == FB_DOUBLE) S_SEARCH(ranges->doubles, value.as.d);
#undef S_SEARCH
  int order = 1;
  while (count) {
    uint32_t middle = low + count / 2;
    fb_value_compare(ranges->constants[middle], value, &order);
    if (order == 0) return 2 * middle + 1;
    if (order < 0) low = middle + 1;
    count = order < 0 ? count - count / 2 - 1 : count / 2;
  }
  return 2 * low;
}

void fb_sifter_ranges(fb_sifter *sifter, const fb_rule_ranges *ranges) {
  fb_value value = fb_facts_cell(sifter->facts, sifter->row, ranges->field);
  if (value.kind == FB_ABSENT) return;
  if (FB_UNLIKELY(fb_rule_class(value) != ranges->class_)) {
    S_take(sifter, ranges->all, ranges->all_count, FB_RULE_WHOLE);
    return;
  }
  uint32_t at = fb_sifter_segment(ranges, value);
  if (!ranges->flat) at += ranges->segments;
  do {
    S_take(sifter, ranges->items + ranges->starts[at], ranges->starts[at + 1] - ranges->starts[at],
           0);
    at /= 2;
  } while (!ranges->flat && at);
}

uint32_t fb_sifter_child(const fb_sifter *sifter, const fb_rule_dispatch *dispatch) {
  fb_value value = fb_facts_cell(sifter->facts, sifter->row, dispatch->field);
  fb_rule_key key = fb_rule_key_of(value, sifter->session->symbols);
  if (key.tag == FB_KEY_NONE) return 0;
  if (key.tag == FB_KEY_SYMBOL && dispatch->symbols) {
    uint64_t number = key.bits - (uint64_t)dispatch->first_symbol;
    return number < dispatch->symbol_count ? dispatch->symbols[number] : 0;
  }
  if (key.tag == FB_KEY_INT && dispatch->ints) {
    uint64_t number = key.bits - (uint64_t)dispatch->first_int;
    return number < dispatch->int_count ? dispatch->ints[number] : 0;
  }
  uint32_t at = (uint32_t)fb_rule_key_hash(key) & dispatch->mask;
  for (; dispatch->buckets[at].key.tag != FB_KEY_NONE; at = (at + 1) & dispatch->mask)
    if (fb_rule_key_equal(dispatch->buckets[at].key, key)) return dispatch->buckets[at].child;
  return 0;
}

/* Recursion is bounded by the depth that the planner gives sieves. */
void fb_sifter_sift(fb_sifter *sifter, const fb_rule_sieve *sieve) {
  S_take(sifter, sieve->alphas, sieve->alpha_count, 0);
  for (uint32_t i = 0; i < sieve->range_count; i++) fb_sifter_ranges(sifter, &sieve->ranges[i]);
  for (uint32_t i = 0; i < sieve->dispatch_count; i++) {
    uint32_t child = fb_sifter_child(sifter, &sieve->dispatches[i]);
    if (child) fb_sifter_sift(sifter, sieve->dispatches[i].children[child]);
  }
}

uint32_t fb_alpha_candidates(fb_session *session, uint32_t type, uint32_t row) {
  if (type >= session->set->type_count || !session->set->types[type].sieve) return 0;
  fb_sifter sifter = {session, session->memories[type].facts, row, 0, session->candidates};
  fb_sifter_sift(&sifter, session->set->types[type].sieve);
  return sifter.count;
}

/* ── Memories ── */

static bool S_alpha_room(fb_session *session, fb_alpha_memory *memory, uint32_t row) {
  if (row / 64 < memory->words) return true;
  size_t words = memory->words * 2 > row / 64 + 8 ? memory->words * 2 : row / 64 + 8;
  uint64_t *bits = fb_resize(&session->allocator, memory->bits, memory->words * sizeof *bits,
                             words * sizeof *bits);
  if (!bits) return false;
  memset(bits + memory->words, 0, (words - memory->words) * sizeof *bits);
  memory->bits = bits;
  memory->words = words;
  return true;
}

bool fb_alpha_insert(fb_session *session, uint32_t number, uint32_t row) {
  const fb_rule_alpha *alpha = &session->set->alphas[number];
  fb_alpha_memory *memory = &session->alphas[number];
  if (!S_alpha_room(session, memory, row)) return false;
  for (uint32_t i = 0; i < alpha->index_count; i++) {
    if (fb_index_insert(session, alpha->indexes[i], row)) continue;
    while (i--) fb_index_remove(session, alpha->indexes[i], row);
    return false;
  }
  if (FB_UNLIKELY(alpha->aggregate_count) && !fb_aggregates_enter(session, alpha, row)) {
    for (uint32_t i = 0; i < alpha->index_count; i++)
      fb_index_remove(session, alpha->indexes[i], row);
    return false;
  }
  for (uint32_t i = 0; i < alpha->sorted_count; i++)
    fb_sorted_insert(session, alpha->sorteds[i], row);
  memory->bits[row / 64] |= UINT64_C(1) << row % 64;
  memory->count++;
  return true;
}

void fb_alpha_remove(fb_session *session, uint32_t number, uint32_t row) {
  const fb_rule_alpha *alpha = &session->set->alphas[number];
  fb_alpha_memory *memory = &session->alphas[number];
  for (uint32_t i = 0; i < alpha->index_count; i++)
    fb_index_remove(session, alpha->indexes[i], row);
  for (uint32_t i = 0; i < alpha->sorted_count; i++)
    fb_sorted_remove(session, alpha->sorteds[i], row);
  if (FB_UNLIKELY(alpha->aggregate_count)) fb_aggregates_leave(session, alpha, row);
  memory->bits[row / 64] &= ~(UINT64_C(1) << row % 64);
  memory->count--;
}
