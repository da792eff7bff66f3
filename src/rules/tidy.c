/* SPDX-License-Identifier: Apache-2.0
 * What a long life leaves behind, given back between changes; facts that are to go out of memory. */
#include "rules/session.h"

fb_status fb_session_paged(const fb_session *session, fb_error *err) {
  const fb_pager *pager = session->pager;
  if (!pager || pager->status == FB_OK) return FB_OK;
  if (err) *err = pager->err;
  return pager->status;
}

static void S_compact(fb_session *session, uint32_t type) {
  fb_facts *facts = type < session->memory_cap ? session->memories[type].facts : NULL;
  if (facts && !session->lost) fb_facts_compact(facts); /* if there is no memory for it: later */
}

/* What was told by facts that could not be read is worth nothing. */
static fb_status S_page(fb_session *session, fb_status status, fb_error *err) {
  if (FB_LIKELY(!session->pager)) return status;
  fb_pager_trim(session->pager);
  fb_status paged = fb_session_paged(session, status == FB_OK ? err : NULL);
  if (paged == FB_OK) return status;
  session->lost = true;
  return status == FB_OK ? paged : status;
}

fb_status fb_session_tidy(fb_session *session, uint32_t type, fb_status status, fb_error *err) {
  S_compact(session, type);
  return S_page(session, status, err);
}

fb_status fb_session_tidy_rule(fb_session *session, const fb_rule *rule, fb_status status,
                               fb_error *err) {
  for (uint32_t i = 0; i < rule->action_count; i++) {
    uint8_t kind = rule->actions[i].kind;
    if (kind == FB_THEN_ASSERT || kind == FB_THEN_MODIFY) S_compact(session, rule->actions[i].type);
  }
  return S_page(session, status, err);
}

void fb_session_trim(fb_session *session) {
  if (session->pager) fb_pager_trim(session->pager);
}
