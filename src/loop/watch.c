/* SPDX-License-Identifier: Apache-2.0
 * Metrics of rules, missions, net and store: views that take over what the wings count. */
#include "loop/watch.h"

static fb_status S_resolve(fb_metric *metric, const fb_watch_def *def, fb_slice name, void *view,
                           fb_error *err) {
  fb_slice values[2] = {name, fb_slice_of(def->value)};
  void *into = (char *)view + def->into;
  const fb_slice *given = def->label ? values : NULL;
  switch (def->kind) {
    case FB_METRIC_COUNTER: return fb_metric_counter(metric, given, (fb_counter **)into, err);
    case FB_METRIC_GAUGE: return fb_metric_gauge(metric, given, (fb_gauge **)into, err);
    case FB_METRIC_HISTOGRAM: break;
  }
  return fb_metric_histogram(metric, given, (fb_histogram **)into, err);
}

fb_status fb_watch_all(fb_metrics *metrics, const fb_watch_def *defs, size_t count, fb_slice name,
                       void *view, fb_error *err) {
  for (size_t i = 0; i < count; i++) {
    const char *labels[2] = {defs[i].label, defs[i].second};
    fb_metric_def def = {.kind = defs[i].kind,
                         .name = defs[i].name,
                         .help = defs[i].help,
                         .unit = defs[i].unit,
                         .labels = labels,
                         .label_count = defs[i].label ? defs[i].second ? 2 : 1 : 0};
    fb_metric *metric;
    fb_status status = fb_metrics_define(metrics, &def, &metric, err);
    if (status == FB_OK) status = S_resolve(metric, &defs[i], name, view, err);
    if (status != FB_OK) return status;
  }
  return FB_OK;
}

/* A zeroed view with its families; the first member of every view is its allocator. NULL: *ret_status says why not. */
static void *S_make(fb_metrics *metrics, const fb_watch_def *defs, size_t count, fb_slice name,
                    const fb_allocator *allocator, size_t size, fb_status *ret_status,
                    fb_error *err) {
  const fb_allocator **view = fb_alloc_zero(allocator, size);
  if (!view) {
    *ret_status = fb_fail(err, FB_E_NOMEM, "no memory for metrics");
    return NULL;
  }
  *view = allocator;
  *ret_status = fb_watch_all(metrics, defs, count, name, view, err);
  if (*ret_status == FB_OK) return view;
  fb_free(allocator, view, size);
  return NULL;
}

#define S_COUNT(defs) (sizeof(defs) / sizeof *(defs))

/* ── Rules ── */

struct fb_rules_metrics {
  const fb_allocator *allocator;
  fb_counter *asserted, *modified, *retracted, *activations, *firings, *decisions, *errors,
      *candidates;
  fb_gauge *facts, *agenda, *memory;
};

#define S_RULES(kind, name, help, unit, field) \
  { kind, name, help, unit, "ruleset", NULL, NULL, offsetof(fb_rules_metrics, field) }

static const fb_watch_def S_rules[] = {
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_facts_asserted", "Facts asserted.", NULL, asserted),
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_facts_modified", "Facts modified.", NULL, modified),
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_facts_retracted", "Facts retracted.", NULL,
            retracted),
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_activations", "Matches that could fire.", NULL,
            activations),
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_firings", "Rules fired.", NULL, firings),
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_decisions", "Decisions emitted.", NULL, decisions),
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_errors", "Errors of facts and firings.", NULL,
            errors),
    S_RULES(FB_METRIC_COUNTER, "flyball_rules_candidates", "Facts looked at in joins.", NULL,
            candidates),
    S_RULES(FB_METRIC_GAUGE, "flyball_rules_facts", "Facts held.", NULL, facts),
    S_RULES(FB_METRIC_GAUGE, "flyball_rules_agenda", "Activations that wait.", NULL, agenda),
    S_RULES(FB_METRIC_GAUGE, "flyball_rules_memory_bytes", "Held by facts, indexes, activations.",
            "bytes", memory)};

fb_status fb_rules_metrics_new(fb_metrics *metrics, fb_slice ruleset, const fb_allocator *allocator,
                               fb_rules_metrics **ret, fb_error *err) {
  fb_status status;
  fb_rules_metrics *view =
      S_make(metrics, S_rules, S_COUNT(S_rules), ruleset, allocator, sizeof *view, &status, err);
  if (view) *ret = view;
  return status;
}

void fb_rules_metrics_free(fb_rules_metrics *view) {
  if (view) fb_free(view->allocator, view, sizeof *view);
}

void fb_rules_metrics_note(fb_rules_metrics *view, const fb_session *session, fb_rules_seen *seen) {
  if (!view) return;
  fb_session_stats now = fb_session_statistics(session);
  const fb_session_stats *was = &seen->stats;
  fb_watch_delta(view->asserted, now.asserted, was->asserted);
  fb_watch_delta(view->modified, now.modified, was->modified);
  fb_watch_delta(view->retracted, now.retracted, was->retracted);
  fb_watch_delta(view->activations, now.activations, was->activations);
  fb_watch_delta(view->firings, now.firings, was->firings);
  fb_watch_delta(view->decisions, now.decisions, was->decisions);
  fb_watch_delta(view->errors, now.errors, was->errors);
  fb_watch_delta(view->candidates, now.candidates, was->candidates);
  /* Several sessions add up: each its difference. */
  fb_gauge_add(view->facts, (double)now.facts - (double)was->facts);
  fb_gauge_add(view->agenda, (double)now.agenda - (double)was->agenda);
  fb_gauge_add(view->memory, (double)now.memory - (double)was->memory);
  seen->stats = now;
}

void fb_rules_metrics_gone(fb_rules_metrics *view, fb_rules_seen *seen) {
  if (!view) return;
  fb_gauge_add(view->facts, -(double)seen->stats.facts);
  fb_gauge_add(view->agenda, -(double)seen->stats.agenda);
  fb_gauge_add(view->memory, -(double)seen->stats.memory);
  *seen = (fb_rules_seen){0};
}

/* ── Missions ── */

enum { STEP_STATUSES = FB_STEP_CANCELLED + 1, RUN_STATUSES = FB_MISSION_WAITING + 1 };

struct fb_mission_metrics {
  const fb_allocator *allocator;
  fb_counter *started, *again;
  fb_counter *steps[STEP_STATUSES], *runs[RUN_STATUSES];
  fb_histogram *step_seconds, *run_seconds;
};

#define S_MISSION(kind, name, help, unit, field) \
  { kind, name, help, unit, "mission", NULL, NULL, offsetof(fb_mission_metrics, field) }

static const fb_watch_def S_mission[] = {
    S_MISSION(FB_METRIC_COUNTER, "flyball_mission_steps_started", "Steps begun.", NULL, started),
    S_MISSION(FB_METRIC_COUNTER, "flyball_mission_attempts_failed",
              "Attempts that failed and were to be made again.", NULL, again),
    S_MISSION(FB_METRIC_HISTOGRAM, "flyball_mission_step_seconds", "How long steps took.",
              "seconds", step_seconds),
    S_MISSION(FB_METRIC_HISTOGRAM, "flyball_mission_run_seconds", "How long runs took.", "seconds",
              run_seconds)};

/* The series of each status a step or a run can end with. */
static fb_status S_mission_statuses(fb_mission_metrics *view, fb_metrics *metrics, fb_slice name,
                                    fb_error *err) {
  fb_status status = FB_OK;
  for (int i = FB_STEP_OK; i < STEP_STATUSES && status == FB_OK; i++) {
    fb_watch_def def = {.kind = FB_METRIC_COUNTER,
                        .name = "flyball_mission_steps",
                        .help = "Steps that ended.",
                        .label = "mission",
                        .second = "status",
                        .value = fb_step_status_name((fb_step_status)i)};
    status = fb_watch_all(metrics, &def, 1, name, &view->steps[i], err);
  }
  for (int i = FB_MISSION_OK; i < RUN_STATUSES && status == FB_OK; i++) {
    fb_watch_def def = {.kind = FB_METRIC_COUNTER,
                        .name = "flyball_mission_runs",
                        .help = "Runs that ended.",
                        .label = "mission",
                        .second = "status",
                        .value = fb_mission_status_name((fb_mission_status)i)};
    status = fb_watch_all(metrics, &def, 1, name, &view->runs[i], err);
  }
  return status;
}

fb_status fb_mission_metrics_new(fb_metrics *metrics, fb_slice mission,
                                 const fb_allocator *allocator, fb_mission_metrics **ret,
                                 fb_error *err) {
  fb_status status;
  fb_mission_metrics *view = S_make(metrics, S_mission, S_COUNT(S_mission), mission, allocator,
                                    sizeof *view, &status, err);
  if (!view) return status;
  status = S_mission_statuses(view, metrics, mission, err);
  if (status == FB_OK)
    *ret = view;
  else
    fb_mission_metrics_free(view);
  return status;
}

void fb_mission_metrics_free(fb_mission_metrics *view) {
  if (view) fb_free(view->allocator, view, sizeof *view);
}

void fb_mission_metrics_event(fb_mission_metrics *view, const fb_mission_run *run,
                              const fb_mission_event *event) {
  if (!view || (event->scope && event->scope[0])) return; /* a mission within another is one step */
  double seconds = (double)event->duration / 1e9;
  switch (event->kind) {
    case FB_MISSION_EVENT_STEP_STARTED: fb_counter_add(view->started, 1); break;
    case FB_MISSION_EVENT_STEP_FINISHED:
      fb_counter_add(view->steps[event->status], 1);
      if (event->duration > 0) fb_histogram_record(view->step_seconds, seconds);
      break;
    case FB_MISSION_EVENT_ATTEMPT_FAILED: fb_counter_add(view->again, 1); break;
    case FB_MISSION_EVENT_RUN_FINISHED:
      fb_counter_add(view->runs[fb_mission_run_state(run)], 1);
      fb_histogram_record(view->run_seconds, seconds);
      break;
    case FB_MISSION_EVENT_RUN_STARTED:
    case FB_MISSION_EVENT_STEP_WAITING:
    case FB_MISSION_EVENT_ITEM_FINISHED:
    case FB_MISSION_EVENT_FACT: break;
  }
}

/* ── Net ── */

enum { CLASSES = 6 };

struct fb_http_metrics {
  const fb_allocator *allocator;
  fb_counter *codes[CLASSES]; /* 0: no answer */
  fb_counter *reused, *shared, *bytes;
  fb_histogram *seconds;
};

#define S_HTTP(kind, name, help, unit, field) \
  { kind, name, help, unit, "client", NULL, NULL, offsetof(fb_http_metrics, field) }

static const fb_watch_def S_http[] = {
    S_HTTP(FB_METRIC_COUNTER, "flyball_http_client_reused", "Answers over a kept connection.", NULL,
           reused),
    S_HTTP(FB_METRIC_COUNTER, "flyball_http_client_shared", "Answers of another call.", NULL,
           shared),
    S_HTTP(FB_METRIC_COUNTER, "flyball_http_client_received_bytes", "Bodies of answers.", "bytes",
           bytes),
    S_HTTP(FB_METRIC_HISTOGRAM, "flyball_http_client_seconds", "From the start to the answer.",
           "seconds", seconds)};

fb_status fb_http_metrics_new(fb_metrics *metrics, fb_slice client, const fb_allocator *allocator,
                              fb_http_metrics **ret, fb_error *err) {
  static const char *const classes[CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  fb_status status;
  fb_http_metrics *view =
      S_make(metrics, S_http, S_COUNT(S_http), client, allocator, sizeof *view, &status, err);
  if (!view) return status;
  for (int i = 0; i < CLASSES && status == FB_OK; i++) {
    fb_watch_def def = {.kind = FB_METRIC_COUNTER,
                        .name = "flyball_http_client_answers",
                        .help = "Calls that ended, by the class of the answer.",
                        .label = "client",
                        .second = "code",
                        .value = classes[i]};
    status = fb_watch_all(metrics, &def, 1, client, &view->codes[i], err);
  }
  if (status == FB_OK)
    *ret = view;
  else
    fb_http_metrics_free(view);
  return status;
}

void fb_http_metrics_free(fb_http_metrics *view) {
  if (view) fb_free(view->allocator, view, sizeof *view);
}

void fb_http_metrics_answer(fb_http_metrics *view, const fb_http_answer *answer) {
  if (!view) return;
  int class = answer->status == FB_OK ? answer->code / 100 : 0;
  fb_counter_add(view->codes[class > 0 && class < CLASSES ? class : 0], 1);
  fb_counter_add(view->reused, answer->reused);
  fb_counter_add(view->shared, answer->shared);
  fb_counter_add(view->bytes, answer->body.len);
  fb_histogram_record(view->seconds, (double)answer->total / 1e9);
}

/* ── Store ── */

typedef struct S_journal {
  const fb_allocator *allocator;
  fb_journal journal; /* handed out */
  fb_journal *under;
  const fb_clock *clock;
  fb_counter *events, *bytes, *commits, *failures;
  fb_histogram *seconds;
} S_journal;

#define S_STORE(kind, name, help, unit, field) \
  { kind, name, help, unit, NULL, NULL, NULL, offsetof(S_journal, field) }

static const fb_watch_def S_store[] = {
    S_STORE(FB_METRIC_COUNTER, "flyball_journal_events", "Events appended.", NULL, events),
    S_STORE(FB_METRIC_COUNTER, "flyball_journal_payload_bytes", "Payloads of them.", "bytes",
            bytes),
    S_STORE(FB_METRIC_COUNTER, "flyball_journal_commits", "Commits done.", NULL, commits),
    S_STORE(FB_METRIC_COUNTER, "flyball_journal_failures", "Appends and commits that failed.", NULL,
            failures),
    S_STORE(FB_METRIC_HISTOGRAM, "flyball_journal_commit_seconds", "How long commits took.",
            "seconds", seconds)};

static fb_status S_append(void *context, fb_event *event, fb_error *err) {
  S_journal *self = context;
  fb_status status = self->under->append(self->under->context, event, err);
  fb_counter_add(status == FB_OK ? self->events : self->failures, 1);
  if (status == FB_OK) fb_counter_add(self->bytes, event->payload.len);
  return status;
}

static fb_status S_write(void *context, fb_error *err) {
  S_journal *self = context;
  fb_status status = self->under->write(self->under->context, err);
  if (status) fb_counter_add(self->failures, 1);
  return status;
}

static bool S_seal(void *context) {
  const S_journal *self = context;
  return self->under->seal(self->under->context);
}

static fb_status S_commit(void *context, fb_error *err) {
  S_journal *self = context;
  int64_t start = self->clock->mono(self->clock->context);
  fb_status status = self->under->commit(self->under->context, err);
  int64_t took = self->clock->mono(self->clock->context) - start;
  fb_histogram_record(self->seconds, (double)took / 1e9);
  fb_counter_add(status == FB_OK ? self->commits : self->failures, 1);
  return status;
}

static fb_status S_read(void *context, fb_status (*each)(void *user, const fb_event *event),
                        void *user, fb_error *err) {
  const S_journal *self = context;
  return self->under->read(self->under->context, each, user, err);
}

fb_status fb_journal_metrics_new(fb_metrics *metrics, fb_journal *under, const fb_clock *clock,
                                 const fb_allocator *allocator, fb_journal **ret, fb_error *err) {
  fb_status status;
  S_journal *self = S_make(metrics, S_store, S_COUNT(S_store), (fb_slice){"", 0}, allocator,
                           sizeof *self, &status, err);
  if (!self) return status;
  self->under = under;
  self->clock = clock ? clock : fb_clock_system();
  self->journal = (fb_journal){S_append, S_write, S_seal, S_commit, S_read, self};
  *ret = &self->journal;
  return FB_OK;
}

void fb_journal_metrics_free(fb_journal *journal) {
  S_journal *self = journal ? journal->context : NULL;
  if (self) fb_free(self->allocator, self, sizeof *self);
}
