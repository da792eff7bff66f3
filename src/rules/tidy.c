/* SPDX-License-Identifier: Apache-2.0
 * What a long life leaves behind, given back between changes. */
#include "data/facts_internal.h"
#include "rules/session.h"

void fb_session_tidy(fb_session *session, uint32_t type) {
  fb_facts *facts = type < session->memory_cap ? session->memories[type].facts : NULL;
  if (facts && !session->lost) fb_facts_compact(facts); /* if there is no memory for it: later */
}

void fb_session_tidy_rule(fb_session *session, const fb_rule *rule) {
  for (uint32_t i = 0; i < rule->action_count; i++) {
    uint8_t kind = rule->actions[i].kind;
    if (kind == FB_THEN_ASSERT || kind == FB_THEN_MODIFY)
      fb_session_tidy(session, rule->actions[i].type);
  }
}
