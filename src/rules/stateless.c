/* SPDX-License-Identifier: Apache-2.0
 *
 * Stateless sessions: where each rule reads one fact and changes none, a fact is decided upon as it comes and
 * not held. The table it came in stands in for the working memory, and it stands at place 1 while its rules fire.
 */
#include "rules/session.h"

#include <stdlib.h>

enum {
  PLACE = 1,
  TEXTS_MAX = 16 << 20 /* bytes of texts of facts gone by, before they are forgotten */
};

/* ── Which rulebooks ── */

static const char *S_reason(const fb_rule *rule) {
  if (rule->guarded) return "has a `not`, an `exists` or a `forall`";
  if (rule->positive_count > 1) return "joins facts";
  if (rule->salience) return "computes its salience";
  if (rule->group || rule->auto_focus) return "is in a group";
  if (rule->timed) return "is not always in effect";
  for (uint32_t i = 0; i < rule->action_count; i++)
    if (rule->actions[i].kind != FB_THEN_EMIT && rule->actions[i].kind != FB_THEN_LOG)
      return rule->actions[i].kind == FB_THEN_HALT    ? "halts the session"
             : rule->actions[i].kind == FB_THEN_FOCUS ? "moves the focus"
                                                      : "changes facts";
  for (uint32_t i = 0; i < rule->condition_count; i++)
    if (rule->conditions[i].kind != FB_WHEN_FACT || rule->conditions[i].join_count)
      return "joins facts";
  return NULL;
}

bool fb_ruleset_stateless(const fb_ruleset *ruleset, fb_error *ret_reason) {
  if (ruleset->strategy != FB_STRATEGY_DEPTH) {
    fb_fail(ret_reason, FB_E_RULE_STATEFUL,
            "the strategy `%s` needs a session that holds the facts",
            fb_strategy_name(ruleset->strategy));
    return false;
  }
  for (uint32_t r = 0; r < ruleset->rule_count; r++) {
    const fb_rule *rule = &ruleset->rules[r];
    const char *reason = rule->info.enabled ? S_reason(rule) : NULL;
    if (!reason) continue;
    size_t len = rule->info.name.len;
    fb_fail(ret_reason, FB_E_RULE_STATEFUL, "rule `%.*s` %s: it needs a session that holds them",
            (int)(len > 120 ? 120 : len), rule->info.name.ptr, reason);
    if (ret_reason) fb_doc_relocate(ruleset->doc, rule->node, 0, len, ret_reason);
    return false;
  }
  return true;
}

/* ── Deciding ── */

static int S_order(const void *pa, const void *pb, void *context) {
  const fb_ruleset *set = context;
  const fb_rule *a = &set->rules[*(const uint32_t *)pa], *b = &set->rules[*(const uint32_t *)pb];
  if (a->level != b->level) return a->level < b->level ? -1 : 1;
  return a->number < b->number ? -1 : a->number > b->number;
}

/* The rules for which the fact at PLACE will do, in order, in session->due. */
static uint32_t S_due(fb_session *session) {
  const fb_ruleset *set = session->set;
  const fb_fact *fact = &session->facts[PLACE];
  uint32_t count = fb_alpha_candidates(session, fact->type, fact->row), due = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t number = session->candidates[i] & ~FB_RULE_WHOLE;
    if (!fb_alpha_test(session, session->candidates[i], PLACE)) continue;
    for (uint32_t u = 0; u < set->alphas[number].use_count; u++)
      session->due[due++] = set->uses[set->alphas[number].uses[u]].rule;
  }
  if (due > 1) qsort_r(session->due, due, sizeof *session->due, S_order, (void *)set);
  return due;
}

static fb_status S_decide(fb_session *session, fb_error *err) {
  fb_error local;
  if (!err) err = &local;
  uint32_t due = S_due(session);
  fb_status status = FB_OK;
  session->stats.activations += due;
  for (uint32_t i = 0; i < due; i++) session->rule_stats[session->due[i]].activations++;
  for (uint32_t i = 0; i < due && status == FB_OK; i++) {
    const fb_rule *rule = &session->set->rules[session->due[i]];
    uint32_t place = PLACE;
    uint64_t max = session->options.max_firings;
    status = fb_fire_limits(session, rule, session->firing, max ? max : UINT64_MAX, err);
    if (status == FB_OK) status = fb_fire_rule(session, rule, &place, err);
  }
  fb_arena_reset(&session->scratch);
  return status;
}

/* One place, which is not counted: nobody finds a fact there. */
static fb_status S_room(fb_session *session) {
  return fb_memory_room(session, PLACE + 1) ? FB_OK : FB_E_NOMEM;
}

fb_status fb_stateless_rows(fb_session *session, fb_memory *memory, const fb_facts *facts,
                            uint32_t first, uint32_t count, uint32_t *ret_done, fb_error *err) {
  uint32_t type = fb_facts_type(facts)->id;
  fb_facts *own = memory->facts;
  fb_status status = S_room(session);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact");
  memory->facts = (fb_facts *)facts; /* only read */
  for (uint32_t i = 0; i < count && status == FB_OK; i++) {
    session->facts[PLACE] = (fb_fact){.type = type, .row = first + i};
    session->serial++;
    session->stats.asserted++;
    status = S_decide(session, err);
    if (ret_done) *ret_done = i + 1;
  }
  memory->facts = own;
  return status;
}

void fb_session_forget_texts(fb_session *session) {
  if (session->options.stateless) fb_symbols_rewind(session->symbols, session->texts, TEXTS_MAX);
}
