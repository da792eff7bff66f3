/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/loop.h: where the wings meet. Rules and missions do not know each other; the loop gives
 * missions a step that decides by rules.
 */
#ifndef FLYBALL_LOOP_H
#define FLYBALL_LOOP_H

#include <flyball/mission.h>
#include <flyball/proof.h>
#include <flyball/rules.h>

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

#ifdef __cplusplus
}
#endif
#endif
