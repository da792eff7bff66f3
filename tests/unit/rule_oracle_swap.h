/* SPDX-License-Identifier: Apache-2.0
 * What the oracle of test_rule_oracle.c knows of another rulebook in the middle of a session. Included by it alone. Every rulebook of a round has some of the
 * same rules. */
#ifndef FB_TEST_RULE_ORACLE_SWAP_H
#define FB_TEST_RULE_ORACLE_SWAP_H

/* The book of the rules that are active, in w->book. */
static void S_write_book(S_world *w) {
  fb_buf_clear(&w->book);
  if (w->declared) {
    fb_buf_text(&w->book, "facts:\n");
    for (int t = 0; t < TYPES; t++)
      fb_buf_printf(&w->book, "  %s: {id: int, x: int, y: int, s: string, f: bool, t: list}\n",
                    S_type_names[t]);
  }
  fb_buf_printf(&w->book, "%sstrategy: %s\n", w->by_book ? "" : "# ",
                fb_strategy_name((fb_strategy)w->strategy));
  fb_buf_text(&w->book, "rules:\n");
  for (int r = 0; r < w->rule_count; r++)
    if (w->rules[r].active && w->rules[r].any != -2) S_write_rule(w, &w->rules[r]);
  if (w->book.ptr[w->book.len - 2] == ':') fb_buf_text(&w->book, "  []\n");
}

/* Which of the rules a book has; all, if it is never swapped. */
static void S_choose_rules(S_world *w) {
  for (int r = 0; r < w->rule_count; r++)
    w->rules[r].active =
        w->rules[r].any == -2 ? w->rules[r - 1].active : !w->swaps || S_below(w, 4) != 0;
}

static bool S_is_logical(const S_rule *rule) {
  for (int i = 0; i < rule->action_count; i++)
    if (rule->actions[i].kind == 'l') return true;
  return false;
}

static bool S_same_when(S_world *w, const S_rule *a, const S_rule *b) {
  fb_buf texts[2], book = w->book;
  for (int i = 0; i < 2; i++) {
    fb_buf_init(&w->book, NULL, 0);
    S_write_when(w, i ? b : a);
    texts[i] = w->book;
  }
  w->book = book;
  bool same = fb_slice_equal(fb_buf_slice(&texts[0]), fb_buf_slice(&texts[1]));
  fb_buf_release(&texts[0]);
  fb_buf_release(&texts[1]);
  return same;
}

/* What `from` had goes on as that of `to`. */
static void S_rename(S_world *w, int from, int to) {
  const S_rule *old = &w->rules[from], *rule = &w->rules[to];
  for (size_t i = 0; i < w->now.count; i++) {
    S_tuple *tuple = &w->now.items[i];
    if (tuple->rule != from) continue;
    tuple->rule = to;
    if (rule->salience_variable < 0 || old->salience_variable < 0) {
      S_tuple rank = *tuple;
      S_rank(w, &rank);
      tuple->salience = rank.salience;
    }
  }
  for (int i = 0; i < w->support_count; i++)
    if (w->supports[i].tuple.rule == from) w->supports[i].tuple.rule = to;
}

/* Rules that come and say the same in their conditions as one that goes. */
static void S_pair_rules(S_world *w, const bool *before) {
  bool taken[2 * RULES] = {0};
  for (int r = 0; r < w->rule_count; r++) {
    if (!w->rules[r].active || before[r] || w->rules[r].any == -2) continue;
    for (int old = 0; old < w->rule_count; old++) {
      if (!before[old] || w->rules[old].active || taken[old] || w->rules[old].any == -2) continue;
      if (!S_same_when(w, &w->rules[old], &w->rules[r])) continue;
      taken[old] = true;
      S_rename(w, old, r);
      if (w->rules[r].any >= 0) S_rename(w, old + 1, r + 1);
      break;
    }
  }
}

static void S_change_rules(S_world *w) {
  for (int r = 0; r < w->rule_count; r++) {
    S_rule *rule = &w->rules[r];
    if (rule->any == -2) { /* as the rule before */
      rule->salience = rule[-1].salience;
      rule->action_count = rule[-1].action_count;
      continue;
    }
    if (S_below(w, 4) == 0) rule->salience = (int)S_below(w, 3) - 1;
    if (S_below(w, 4) == 0 && rule->action_count == 2) rule->action_count = 1;
  }
}

static void S_swap_focus(S_world *w) {
  int count = w->focus_count;
  w->focus_count = 0;
  for (int i = 0; i < count; i++) {
    bool known = w->focus[i] == 0;
    for (int r = 0; r < w->rule_count; r++)
      known |= w->rules[r].active && w->rules[r].group == w->focus[i];
    if (known) S_focus(w, w->focus[i]);
  }
}

static void S_oracle_swap(S_world *w, const bool *before) {
  S_pair_rules(w, before);
  S_swap_focus(w);
  for (size_t i = 0; i < w->now.count; i++)
    if (w->rules[w->now.items[i].rule].salience_variable < 0)
      w->now.items[i].salience = w->rules[w->now.items[i].rule].salience;
  int kept = 0;
  for (int i = 0; i < w->support_count; i++)
    if (S_is_logical(&w->rules[w->supports[i].tuple.rule])) w->supports[kept++] = w->supports[i];
  w->support_count = kept;
  S_changed(w, NULL);
}

/* A book that is refused leaves everything as it was. */
static void S_random_swap(S_world *w, fb_session *session) {
  bool before[2 * RULES];
  S_rule rules[2 * RULES];
  fb_ruleset *next;
  fb_errors errors;
  fb_error err;
  if (!w->swaps || S_below(w, 4)) return;
  memcpy(rules, w->rules, sizeof rules);
  for (int r = 0; r < w->rule_count; r++) before[r] = w->rules[r].active;
  S_choose_rules(w);
  S_change_rules(w);
  S_write_book(w);
  fb_errors_init(&errors, NULL, 0);
  if (fb_ruleset_read(fb_buf_slice(&w->book), "next.yaml", NULL, &next, &errors, NULL) != FB_OK) {
    memcpy(w->rules, rules, sizeof rules);
  } else {
    if (fb_session_swap(session, next, &err) != FB_OK) fail_msg("swap: %s", err.text);
    fb_ruleset_free(w->ruleset);
    w->ruleset = next;
    if (w->show) print_message("-- next\n%s\n", w->book.ptr);
    S_oracle_swap(w, before);
  }
  fb_errors_release(&errors);
}
#endif
