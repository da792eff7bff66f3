/* SPDX-License-Identifier: Apache-2.0
 * What conditions cost: options.profile. Tests are counted by alpha, since conditions share them; joins and time by use. */
#include "rules/session.h"

fb_status fb_profile_init(fb_session *session) {
  const fb_ruleset *set = session->set;
  if (!session->options.profile) return FB_OK;
  size_t size = ((size_t)set->alpha_count + set->use_count + 1) * sizeof *session->profile;
  session->profile = fb_alloc_zero(&session->allocator, size);
  return session->profile ? FB_OK : FB_E_NOMEM;
}

void fb_profile_release(fb_session *session) {
  const fb_ruleset *set = session->set;
  size_t size = ((size_t)set->alpha_count + set->use_count + 1) * sizeof *session->profile;
  if (session->profile) fb_free(&session->allocator, session->profile, size);
}

int64_t fb_profile_now(const fb_session *session) {
  const fb_clock *clock = session->options.clock;
  return clock ? clock->mono(clock->context) : 0;
}

bool fb_session_condition_statistics(const fb_session *session, size_t rule_number, size_t index,
                                     fb_condition_stats *ret_stats) {
  const fb_ruleset *set = session->set;
  for (uint32_t r = set->books[rule_number];
       r < set->rule_count && set->rules[r].book == rule_number; r++) {
    const fb_rule *rule = &set->rules[r];
    if (index >= rule->condition_count) {
      index -= rule->condition_count;
      continue;
    }
    const fb_rule_condition *c = &rule->conditions[index];
    *ret_stats = (fb_condition_stats){.text = fb_node_text(c->node), .line = c->node->line};
    if (!session->profile || !rule->info.enabled || fb_when_derives(c->kind)) return true;
    const fb_counts *alpha = &session->profile[c->alpha];
    const fb_counts *use = &session->profile[set->alpha_count + c->use];
    ret_stats->shared = set->alphas[c->alpha].use_count > 1;
    ret_stats->tested = alpha->looked_at;
    ret_stats->passed = alpha->passed;
    ret_stats->candidates = use->looked_at;
    ret_stats->joined = use->passed;
    ret_stats->nanos = use->nanos;
    return true;
  }
  return false;
}
