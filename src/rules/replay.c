/* SPDX-License-Identifier: Apache-2.0
 * Facts in the order in which they happened: the clock follows their own times. */
#include "rules/session.h"

static bool S_is_before(fb_value a, fb_value b) {
  return fb_value_order(a, b) < 0;
}

/* From one time at which something changes to the next, so that nothing that holds for a while only is missed. */
fb_status fb_session_replay_until(fb_session *session, fb_value until, fb_error *err) {
  fb_status status = FB_OK;
  fb_value now = session->now, due;
  if (until.kind != FB_TIMESTAMP)
    return fb_fail(err, FB_E_RULE_TIME, "the time is a timestamp, not %s",
                   fb_kind_name(until.kind));
  while (status == FB_OK && (due = fb_session_due(session)).kind == FB_TIMESTAMP &&
         !S_is_before(until, due)) {
    if (now.kind != FB_TIMESTAMP || S_is_before(now, due)) now = due;
    status = fb_session_advance(session, now, err);
    if (status == FB_OK) status = fb_session_fire(session, NULL, err);
  }
  if (status == FB_OK && (now.kind != FB_TIMESTAMP || S_is_before(now, until)))
    status = fb_session_advance(session, until, err);
  return status;
}

fb_status fb_session_replay_rows(fb_session *session, const fb_facts *facts, uint32_t first,
                                 uint32_t count, int64_t lateness, uint32_t *ret_done,
                                 fb_error *err) {
  fb_status status = FB_OK;
  if (ret_done) *ret_done = 0;
  for (uint32_t i = 0; i < count && status == FB_OK; i++) {
    int64_t time;
    if (fb_time_of_value(fb_session_time_of(session, facts, first + i), &time)) {
      fb_value now = fb_time_value(time - lateness);
      if (session->now.kind != FB_TIMESTAMP || S_is_before(session->now, now))
        status = fb_session_replay_until(session, now, err);
    }
    if (status == FB_OK)
      status = fb_session_assert_rows(session, facts, first + i, 1, NULL, NULL, err);
    if (status == FB_OK) status = fb_session_fire(session, NULL, err);
    if (ret_done && status == FB_OK) *ret_done = i + 1;
  }
  return status;
}
