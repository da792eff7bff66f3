/* SPDX-License-Identifier: Apache-2.0
 *
 * Stateless sessions: where each rule reads one fact and changes none, a fact is decided upon as it comes and
 * not held. The table it came in stands in for the working memory, and it stands at place 1 while its rules fire.
 */
#include "rules/session.h"

#include <stdlib.h>

enum {
  PLACE = 1,
  FEW = 8,             /* rows that go one by one */
  TEXTS_MAX = 16 << 20 /* bytes of texts of facts gone by, before they are forgotten */
};

/* ── Which rulebooks ── */

static const char *S_reason(const fb_rule *rule) {
  for (uint32_t i = 0; i < rule->condition_count; i++)
    if (rule->conditions[i].aggregate) return "aggregates facts";
  if (rule->guarded) return "has a `not`, an `exists` or a `forall`";
  if (rule->positive_count > 1) return "joins facts";
  if (rule->salience) return "computes its salience";
  if (rule->group || rule->auto_focus) return "is in a group";
  if (rule->timed) return "is not always in effect";
  for (uint32_t i = 0; i < rule->action_count; i++)
    if (rule->actions[i].kind != FB_THEN_EMIT && rule->actions[i].kind != FB_THEN_LOG &&
        rule->actions[i].kind != FB_THEN_CALL && rule->actions[i].kind != FB_THEN_RUN)
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

/* Adds the rules for which the fact at PLACE will do. */
static uint32_t S_take(fb_session *session, uint32_t candidate, uint32_t due) {
  const fb_ruleset *set = session->set;
  const fb_rule_alpha *alpha = &set->alphas[candidate & FB_RULE_ALPHA];
  if (!fb_alpha_test(session, candidate, PLACE)) return due;
  for (uint32_t u = 0; u < alpha->use_count; u++)
    session->due[due++] = set->uses[alpha->uses[u]].rule;
  return due;
}

static void S_sort(fb_session *session, uint32_t count) {
  uint32_t *due = session->due;
  const void *set = session->set;
  if (count > 16) {
    qsort_r(due, count, sizeof *due, S_order, (void *)set);
    return;
  }
  for (uint32_t i = 1; i < count; i++) {
    uint32_t rule = due[i], at = i;
    for (; at && S_order(&due[at - 1], &rule, (void *)set) > 0; at--) due[at] = due[at - 1];
    due[at] = rule;
  }
}

/* Fires the rules in session->due. */
static fb_status S_decide(fb_session *session, uint32_t due, fb_error *err) {
  fb_status status = FB_OK;
  uint64_t max = session->options.max_firings;
  S_sort(session, due);
  session->stats.activations += due;
  for (uint32_t i = 0; i < due; i++) session->rule_stats[session->due[i]].activations++;
  for (uint32_t i = 0; i < due && status == FB_OK; i++) {
    const fb_rule *rule = &session->set->rules[session->due[i]];
    uint32_t place = PLACE;
    status = fb_fire_limits(session, rule, session->firing, max ? max : UINT64_MAX, err);
    if (status != FB_OK) break;
    if (rule->plain && session->emitter.fast)
      status = fb_emit_fire(session, rule, place, err);
    else if ((status = fb_emit_take(session, err)) == FB_OK)
      status = fb_fire_rule(session, rule, &place, err);
  }
  return status;
}

/* One place, which is not counted: nobody finds a fact there. */
static fb_status S_room(fb_session *session) {
  return fb_memory_room(session, PLACE + 1) ? FB_OK : FB_E_NOMEM;
}

/* Puts the row at PLACE. */
static void S_stand(fb_session *session, uint32_t type, uint32_t row) {
  session->facts[PLACE] = (fb_fact){.type = type, .row = row};
  session->serial++;
  session->stats.asserted++;
}

static fb_status S_one(fb_session *session, uint32_t type, uint32_t row, fb_error *err) {
  S_stand(session, type, row);
  uint32_t count = fb_alpha_candidates(session, type, row), due = 0;
  for (uint32_t i = 0; i < count; i++) due = S_take(session, session->candidates[i], due);
  return due ? S_decide(session, due, err) : FB_OK;
}

/* Rows of one chunk, *count at most. */
static fb_status S_many(fb_session *session, uint32_t type, const fb_facts *facts, uint32_t first,
                        uint32_t *count, fb_error *err) {
  fb_sift sift;
  fb_status status = fb_sift_rows(session, type, facts, first, count, &sift);
  if (status != FB_OK) return fb_fail(err, status, "no memory to match facts");
  for (uint32_t i = 0; i < *count && status == FB_OK; i++) {
    uint32_t due = 0;
    S_stand(session, type, first + i);
    for (uint32_t h = sift.starts[i]; h < sift.starts[i + 1]; h++)
      due = S_take(session, sift.hits[h].candidate, due);
    if (due) status = S_decide(session, due, err);
    if (status != FB_OK) *count = i + 1;
  }
  return status;
}

fb_status fb_stateless_rows(fb_session *session, fb_memory *memory, const fb_facts *facts,
                            uint32_t first, uint32_t count, uint32_t *ret_done, fb_error *err) {
  uint32_t type = fb_facts_type(facts)->id, done = 0;
  fb_facts *own = memory->facts;
  fb_error local;
  if (!err) err = &local;
  fb_status status = S_room(session);
  if (status != FB_OK) return fb_fail(err, status, "no memory for another fact");
  memory->facts = (fb_facts *)facts; /* only read */
  while (done < count && status == FB_OK) {
    uint32_t part = count - done;
    if (part < FEW) {
      status = S_one(session, type, first + done, err);
      part = 1;
    } else {
      status = S_many(session, type, facts, first + done, &part, err);
    }
    done += part;
    if (ret_done) *ret_done = done;
    fb_arena_reset(&session->scratch);
  }
  fb_status told = fb_emit_take(session, status == FB_OK ? err : NULL);
  memory->facts = own;
  return status == FB_OK ? told : status;
}

void fb_session_forget_texts(fb_session *session) {
  if (session->options.stateless) fb_symbols_rewind(session->symbols, session->texts, TEXTS_MAX);
}
