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

/* ── Projects: what the loop runs ────────────────────────────────────────────────────────────── */

/* A folder with `flyball.yaml`: rulebooks, missions, where facts come from, where decisions go, when what is due.
 * docs/reference/project.md tells the keys. Immutable and counted by its users. */
typedef struct fb_project fb_project;

typedef struct fb_project_options {
  const char *folder; /* that paths in it are relative to; NULL: "." */
  bool
      files; /* read and check the rulebooks, missions and secrets that it names; else only the document */
} fb_project_options;

/* Every error found goes into `errors`, with those of the files that it names; the return is the first one's code. */
FB_API fb_status fb_project_read(fb_slice text, const char *name, const fb_project_options *options,
                                 const fb_allocator *allocator, fb_project **ret_project,
                                 fb_errors *errors, fb_errors *warnings);
/* `path` is the file, or the folder that it is in. */
FB_API fb_status fb_project_load(const char *path, const fb_allocator *allocator,
                                 fb_project **ret_project, fb_errors *errors, fb_errors *warnings);
FB_API void fb_project_free(fb_project *project);
FB_API fb_slice fb_project_name_of(const fb_project *project);
/* How many rulebooks, missions, sources, sinks and schedules it has. */
FB_API void fb_project_counts(const fb_project *project, uint32_t ret_counts[5]);
/* The files of rulebooks (and missions), with the name that they have in the project; false: there are no more. */
FB_API bool fb_project_book(const fb_project *project, uint32_t number, fb_slice *ret_name,
                            const char **ret_path, fb_slice *ret_text);
FB_API bool fb_project_mission_at(const fb_project *project, uint32_t number, fb_slice *ret_name,
                                  const char **ret_path, const fb_mission **ret_mission);

/* ── The loop: facts in, rules decide, decisions out ─────────────────────────────────────────── */

/* Runs a project on a thread of its own: sources give facts, rules decide upon them, sinks get the decisions, missions run. What it
 * holds outlives it: it is saved now and then, and what came since is in a log. */
typedef struct fb_loop fb_loop;

/* What became of facts. */
typedef struct fb_loop_result {
  fb_status status; /* FB_OK; FB_E_LOOP_FULL, FB_E_LOOP_ENDING, FB_E_IO: none was taken */
  uint64_t accepted, refused, dropped;
  fb_error error; /* of the first that was refused, or of the status; code 0: none */
} fb_loop_result;
/* From the loop's thread. */
typedef void fb_loop_done(void *user, const fb_loop_result *result);

typedef struct fb_loop_options {
  const char *path;       /* of the project: its folder, or the file in it */
  const char *state;      /* folder of snapshots and logs; made if it is not there */
  const char *runs;       /* folder of the runs of missions, as `flyball run` keeps them */
  const char *const *env; /* of processes; NULL at the end; borrowed */
  const fb_log *log;      /* borrowed, thread-safe; nullable */
  fb_metrics *metrics;    /* borrowed; what `metrics: own` reads; nullable */
  /* What happened, for those who watch: kind is "decision", "alert", "fact", "source", "sink", "run", "step", "reload"; data is the members of a JSON
   * object, without braces. From the loop's threads; nullable. */
  void (*event)(void *context, const char *kind, fb_slice data);
  void *context;
} fb_loop_options;

/* Loads the project, restores what was saved, starts the thread. FB_E_LOOP_STATE, FB_E_LEASE: another process has the state. */
FB_API fb_status fb_loop_new(const fb_loop_options *options, const fb_allocator *allocator,
                             fb_loop **ret_loop, fb_errors *errors, fb_errors *warnings);
/* Takes nothing more, lets deliveries and runs end for `grace` ns, saves, ends the thread. What is asked of it afterwards is refused. */
FB_API void fb_loop_stop(fb_loop *loop, int64_t grace);
/* Stops it first, if it goes on. Nobody may use it any more. */
FB_API void fb_loop_free(fb_loop *loop);

typedef struct fb_loop_facts {
  fb_slice text; /* NDJSON, whole lines; at most 1 MiB; copied */
  fb_slice type; /* of facts that do not tell theirs; "": as the project's source `http` has it */
  int64_t lifetime; /* ns; 0: as the project's source `http` has it */
  bool durable;     /* `done` is called once they are on disk */
} fb_loop_facts;
/* From any thread. If it returns FB_OK, `done` is called once. */
FB_API fb_status fb_loop_submit(fb_loop *loop, const fb_loop_facts *facts, fb_loop_done *done,
                                void *user, fb_error *err);
/* How it stands, as GET /v1/loop tells it: appends a JSON object. Any thread but the loop's. */
FB_API void fb_loop_describe(fb_loop *loop, fb_buf *out);
/* Reads the project again. If it does not load, or the facts do not fit it, all stays as it was. Any thread but the loop's. */
FB_API fb_status fb_loop_reload(fb_loop *loop, fb_errors *errors);
/* Saves now. Any thread but the loop's. */
FB_API fb_status fb_loop_save(fb_loop *loop, fb_error *err);
/* Is the state in `folder` whole? Calls `tell` with each thing that is wrong. */
FB_API fb_status fb_loop_state_check(const char *folder, const fb_allocator *allocator,
                                     void (*tell)(void *user, const char *text), void *user);
/* The rulebooks and missions that run. Held until fb_project_free. Any thread but the loop's. */
FB_API fb_project *fb_loop_project(fb_loop *loop);

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
