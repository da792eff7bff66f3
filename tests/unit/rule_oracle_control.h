/* SPDX-License-Identifier: Apache-2.0
 * What the oracle of test_rule_oracle.c knows of control: strategies, computed saliences, groups, effect. Included by it alone. */
#ifndef FB_TEST_RULE_ORACLE_CONTROL_H
#define FB_TEST_RULE_ORACLE_CONTROL_H

enum { GROUPS = 3, FOCUS = 1 << 16 };
static const char *const S_group_names[GROUPS] = {"main", "g1", "g2"};

/* ── Making rulebooks ── */

static void S_make_control(S_world *w, S_rule *rule) {
  if (!w->control) return;
  rule->group = S_below(w, 2) ? (int)S_below(w, GROUPS) : 0;
  rule->auto_focus = S_below(w, 8) == 0;
  if (S_below(w, 4) == 0) rule->from = 1 + (int)S_below(w, 6);
  if (S_below(w, 4) == 0) rule->until = rule->from + 1 + (int)S_below(w, 6);
}

static void S_make_salience(S_world *w, S_rule *rule) {
  rule->salience_variable = -1;
  if (!w->control || !rule->positive_count || S_below(w, 3)) return;
  rule->salience_variable = (int)S_below(w, (uint32_t)rule->positive_count);
}

static void S_write_control(S_world *w, const S_rule *rule) {
  fb_buf *book = &w->book;
  if (rule->salience_variable >= 0)
    fb_buf_printf(book, "    salience: \"${{ v%d.x }}\"\n", rule->salience_variable);
  else
    fb_buf_printf(book, "    salience: %d\n", rule->salience);
  if (rule->group) fb_buf_printf(book, "    group: %s\n", S_group_names[rule->group]);
  if (rule->auto_focus) fb_buf_text(book, "    auto_focus: true\n");
  if (!rule->from && !rule->until) return;
  fb_buf_text(book, "    effective: {");
  if (rule->from) fb_buf_printf(book, "from: 1970-01-01T00:00:%02dZ", rule->from);
  if (rule->until)
    fb_buf_printf(book, "%suntil: 1970-01-01T00:00:%02dZ", rule->from ? ", " : "", rule->until);
  fb_buf_text(book, "}\n");
}

/* Conjuncts, and the sides of `||`. */
static int S_count_text(const char *text) {
  int count = text[0] != 0;
  for (; *text; text++)
    count += (text[0] == '&' && text[1] == '&') || (text[0] == '|' && text[1] == '|');
  return count;
}

static int S_complexity(const S_rule *rule) {
  int count = 0;
  for (int i = 0; i < rule->condition_count; i++) {
    count += S_count_text(rule->conditions[i].text);
    for (const S_group *group = rule->conditions[i].group; group; group = group->inner) {
      count += S_count_text(group->test);
      for (int k = 0; k < group->pattern_count; k++) count += S_count_text(group->patterns[k].text);
    }
  }
  return count;
}

static int S_length(const S_rule *rule) {
  int count = rule->positive_count;
  for (int i = 0; i < rule->condition_count; i++)
    count += rule->conditions[i].kind == NOT || rule->conditions[i].kind == EXISTS;
  return count;
}

/* ── Activations ── */

/* Once, when the activation is made. */
static void S_rank(S_world *w, S_tuple *tuple) {
  const S_rule *rule = &w->rules[tuple->rule];
  tuple->salience = rule->salience;
  if (rule->salience_variable >= 0) {
    fb_value value = w->facts[tuple->facts[rule->salience_variable]].fields[X];
    tuple->salience = value.kind == FB_INT || value.kind == FB_UINT ? (int)value.as.i : 0;
  }
  for (int i = 0; i < CONDITIONS; i++)
    tuple->tags[i] = i < rule->positive_count ? w->facts[tuple->facts[i]].recency : 0;
  tuple->first = tuple->tags[0];
  for (int i = 1; i < rule->positive_count; i++)
    for (int k = i; k > 0 && tuple->tags[k] > tuple->tags[k - 1]; k--) {
      uint64_t tag = tuple->tags[k];
      tuple->tags[k] = tuple->tags[k - 1];
      tuple->tags[k - 1] = tag;
    }
}

static void S_focus(S_world *w, int group) {
  if ((w->focus_count ? w->focus[w->focus_count - 1] : 0) == group) return;
  assert_true(w->focus_count < FOCUS);
  w->focus[w->focus_count++] = group;
}

static bool S_in_effect(const S_world *w, const S_rule *rule) {
  return w->clock >= rule->from && (!rule->until || w->clock < rule->until);
}

/* Of what a change made: the first rule comes out on top. */
static void S_auto_focus(S_world *w, const S_tuples *made) {
  for (int r = w->rule_count - 1; r >= 0; r--) {
    const S_rule *rule = &w->rules[r];
    bool any = false;
    for (size_t i = 0; i < made->count; i++)
      any |= made->items[i].rule == r && made->items[i].tick == w->tick && made->items[i].pending;
    if (any && rule->auto_focus && S_in_effect(w, rule)) S_focus(w, rule->group);
  }
}

/* By recency: negative: a. */
static int S_by_recency(const S_world *w, const S_tuple *a, const S_tuple *b) {
  const S_rule *ra = &w->rules[a->rule], *rb = &w->rules[b->rule];
  for (int i = 0; i < CONDITIONS && i < S_length(ra) && i < S_length(rb); i++) /* a guard's is 0 */
    if (a->tags[i] != b->tags[i]) return a->tags[i] > b->tags[i] ? -1 : 1;
  if (S_length(ra) != S_length(rb)) return S_length(rb) - S_length(ra);
  return S_complexity(rb) - S_complexity(ra);
}

static int S_by_strategy(const S_world *w, const S_tuple *a, const S_tuple *b) {
  const S_rule *ra = &w->rules[a->rule], *rb = &w->rules[b->rule];
  switch (w->strategy) {
    case FB_STRATEGY_COMPLEXITY: return S_complexity(rb) - S_complexity(ra);
    case FB_STRATEGY_SIMPLICITY: return S_complexity(ra) - S_complexity(rb);
    case FB_STRATEGY_MEA:
      if (a->first != b->first) return a->first > b->first ? -1 : 1;
      return S_by_recency(w, a, b);
    case FB_STRATEGY_LEX: return S_by_recency(w, a, b);
    default: return 0;
  }
}

static bool S_before(const S_world *w, const S_tuple *a, const S_tuple *b) {
  bool depth = w->strategy == FB_STRATEGY_DEPTH;
  if (a->salience != b->salience) return a->salience > b->salience;
  int order = S_by_strategy(w, a, b);
  if (order) return order < 0;
  if (a->tick != b->tick) return (a->tick > b->tick) == depth;
  if (a->rule != b->rule) return a->rule < b->rule;
  for (int i = 0; i < CONDITIONS; i++)
    if (a->facts[i] != b->facts[i]) return (a->facts[i] > b->facts[i]) == depth;
  return false;
}

/* The first of the group on top that may fire; NULL: none in any. */
static S_tuple *S_next(S_world *w) {
  for (;;) {
    int group = w->focus_count ? w->focus[w->focus_count - 1] : 0;
    S_tuple *best = NULL;
    for (size_t i = 0; i < w->now.count; i++) {
      S_tuple *at = &w->now.items[i];
      const S_rule *rule = &w->rules[at->rule];
      if (!at->pending || rule->group != group || !S_in_effect(w, rule)) continue;
      if (!best || S_before(w, at, best)) best = at;
    }
    if (best || !w->focus_count) return best;
    w->focus_count--;
  }
}

/* ── From outside ── */

static void S_random_control(S_world *w, fb_session *session) {
  if (!w->control) return;
  if (S_below(w, 2)) {
    int group = (int)S_below(w, GROUPS);
    fb_status status = fb_session_focus(session, fb_slice_of(S_group_names[group]), NULL);
    if (status == FB_OK) S_focus(w, group);
    bool known = group == 0;
    for (int r = 0; r < w->rule_count; r++)
      known |= w->rules[r].active && w->rules[r].group == group;
    assert_int_equal(status, known ? FB_OK : FB_E_RULE_GROUP);
    return;
  }
  w->clock += (int)S_below(w, 4);
  assert_int_equal(fb_session_advance(session, fb_timestamp(w->clock, 0), NULL), FB_OK);
}
#endif
