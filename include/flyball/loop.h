/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/loop.h: where the wings meet. Rules and missions do not know each other; the loop gives
 * missions a step that decides by rules.
 */
#ifndef FLYBALL_LOOP_H
#define FLYBALL_LOOP_H

#include <flyball/guard.h>
#include <flyball/metrics.h>
#include <flyball/mission.h>
#include <flyball/net.h>
#include <flyball/proof.h>
#include <flyball/rules.h>
#include <flyball/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* rules: {book: FILE, facts: VALUE}. The rulebook's path is relative to the mission's folder; a constant
 * one is loaded and checked with the mission. Facts are maps with a text "type": a list of them, a list of
 * such lists, or a map from type to a list. The output is
 *   {decisions: [{type, rule, …fields}], errors: [text], stats: {facts, firings, decisions, errors}}. */
FB_API extern const fb_tool fb_tool_rules;

/* All tools of this build: run, shell, rules, write. Static. */
FB_API fb_tools fb_loop_tools(void);

/* ── Rules over benchmark facts ──────────────────────────────────────────────────────────────── */

typedef struct fb_gate_rules {
  const fb_ruleset *ruleset;
  fb_status (*decision)(void *context, const fb_decision *decision);
  void *context;
} fb_gate_rules;

/* Every row becomes a fact `benchmark`: series (of its budget), severity, verdict; bench, workload, metric, unit,
 * kind, better, samples, value (, low, high) if it was measured; past, past_runs, worse, worse_low, worse_high,
 * probability if it was compared. Then the rules fire. A rule that fails is an error of the whole. */
FB_API fb_status fb_gate_decide(const fb_gate_rules *rules, const fb_gate_row *rows, size_t count,
                                const fb_allocator *allocator, fb_error *err);

/* ── Metrics of the wings ────────────────────────────────────────────────────────────────────── */

/* What the wings count anyway, in a registry (flyball/metrics.h): nothing is added to what they do often. Each view is
 * made once; names and labels are in docs/reference/metrics.md. FB_E_NOMEM, or what the registry says. A view must
 * not outlive its registry; views of one kind on one registry share their series. Where a function takes a view, it may be NULL. */

/* Rules: sessions of a rulebook. */
typedef struct fb_rules_metrics fb_rules_metrics;
FB_API fb_status fb_rules_metrics_new(fb_metrics *metrics, fb_slice ruleset,
                                      const fb_allocator *allocator, fb_rules_metrics **ret,
                                      fb_error *err);
FB_API void fb_rules_metrics_free(fb_rules_metrics *view);
/* Where a session was when it was last looked at: zero-filled for a new or reset one. */
typedef struct fb_rules_seen {
  fb_session_stats stats;
} fb_rules_seen;
/* Adds what the session did since `seen`, and sets `seen`. On the session's thread, after firing: costs a copy of its statistics
 * and a dozen records, however many facts there were. */
FB_API void fb_rules_metrics_note(fb_rules_metrics *view, const fb_session *session,
                                  fb_rules_seen *seen);
/* The session is freed or reset: what it held no longer counts as held. Zeroes `seen`. */
FB_API void fb_rules_metrics_gone(fb_rules_metrics *view, fb_rules_seen *seen);

/* Missions: to be called with every event of a run (fb_mission_run_options.on_event). */
typedef struct fb_mission_metrics fb_mission_metrics;
FB_API fb_status fb_mission_metrics_new(fb_metrics *metrics, fb_slice mission,
                                        const fb_allocator *allocator, fb_mission_metrics **ret,
                                        fb_error *err);
FB_API void fb_mission_metrics_free(fb_mission_metrics *view);
FB_API void fb_mission_metrics_event(fb_mission_metrics *view, const fb_mission_run *run,
                                     const fb_mission_event *event);

/* Guard: breakers, bulkheads and hedges, read when somebody scrapes, from whatever thread. Each is watched under a name until it
 * is forgotten, which has to be before it is freed. `clock` is the one that their `now` comes from; NULL: the system's. */
typedef struct fb_guard_metrics fb_guard_metrics;
FB_API fb_status fb_guard_metrics_new(fb_metrics *metrics, const fb_clock *clock,
                                      const fb_allocator *allocator, fb_guard_metrics **ret,
                                      fb_error *err);
/* After the registry's last scrape. */
FB_API void fb_guard_metrics_free(fb_guard_metrics *view);
FB_API fb_status fb_guard_metrics_breaker(fb_guard_metrics *view, fb_slice name,
                                          fb_breaker *breaker, fb_error *err);
FB_API fb_status fb_guard_metrics_bulkhead(fb_guard_metrics *view, fb_slice name,
                                           const fb_bulkhead *bulkhead, fb_error *err);
FB_API fb_status fb_guard_metrics_hedge(fb_guard_metrics *view, fb_slice name,
                                        const fb_hedge *hedge, fb_error *err);
FB_API void fb_guard_metrics_forget(fb_guard_metrics *view, const void *watched);

/* Net: to be called with every answer of a client, from its `done`. */
typedef struct fb_http_metrics fb_http_metrics;
FB_API fb_status fb_http_metrics_new(fb_metrics *metrics, fb_slice client,
                                     const fb_allocator *allocator, fb_http_metrics **ret,
                                     fb_error *err);
FB_API void fb_http_metrics_free(fb_http_metrics *view);
FB_API void fb_http_metrics_answer(fb_http_metrics *view, const fb_http_answer *answer);

/* Store: a journal that passes on to another and counts. Free it before the other. */
FB_API fb_status fb_journal_metrics_new(fb_metrics *metrics, fb_journal *under,
                                        const fb_clock *clock, const fb_allocator *allocator,
                                        fb_journal **ret, fb_error *err);
FB_API void fb_journal_metrics_free(fb_journal *journal);

enum { FB_PUSH_HEADERS_MAX = 16 };

typedef struct fb_metrics_push {
  const char *url; /* http://collector:4318: without a path, /v1/metrics is meant */
  const fb_http_header *headers;
  size_t header_count; /* ≤ FB_PUSH_HEADERS_MAX: further ones are left out */
  int64_t timeout;     /* ns; 0: 10 s */
} fb_metrics_push;

/* Posts the registry to an OpenTelemetry collector (OTLP over HTTP, as JSON) and waits for its answer. FB_E_NET for an answer
 * other than 2xx, or what the client says. */
FB_API fb_status fb_metrics_send(fb_metrics *metrics, const fb_metrics_push *options,
                                 const fb_allocator *allocator, fb_error *err);

#ifdef __cplusplus
}
#endif
#endif
