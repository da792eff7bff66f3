/* SPDX-License-Identifier: Apache-2.0
 * Missions and rulebooks as candidates of a benchmark: loaded once, run in this process. */
#include "cli/bench_plan.h"

#include <flyball/loop.h>
#include <flyball/rules.h>

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

enum { DOCUMENT_MAX = 64 << 20, FACTS_MAX = 1 << 30, WORK_TEXT = 96 };

typedef struct S_engine {
  fb_self self;
  bool ignore_failure;
  char work[WORK_TEXT]; /* what the first run did */
  bool worked;
  fb_zones *zones;
  /* rules */
  fb_ruleset *rules;
  fb_buf facts;
  const char *facts_name;
  bool stateless;
  uint64_t decisions;
  /* mission */
  fb_buf text;
  fb_doc *doc;
  fb_world *world;
  fb_mission *mission;
  fb_arena arena;
  fb_map *inputs;
  char folder[64]; /* where the output of its programs is kept; "" before it is made */
} S_engine;

static void S_remove_folder(const char *path) {
  DIR *folder = opendir(path);
  if (folder) {
    for (struct dirent *entry; (entry = readdir(folder));)
      if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
  }
  rmdir(path);
}

void fb_bench_engine_free(void *engine) {
  S_engine *self = engine;
  if (!self) return;
  fb_self_close(&self->self);
  fb_zones_free(self->zones);
  fb_ruleset_free(self->rules);
  fb_buf_release(&self->facts);
  fb_mission_free(self->mission);
  fb_world_uv_free(self->world);
  fb_doc_free(self->doc);
  fb_buf_release(&self->text);
  fb_arena_release(&self->arena);
  if (self->folder[0]) S_remove_folder(self->folder);
  fb_free(NULL, self, sizeof *self);
}

static S_engine *S_new(const fb_bench_spec *spec) {
  S_engine *self = fb_alloc_zero(NULL, sizeof *self);
  if (!self) return NULL;
  fb_self_open(&self->self);
  fb_buf_init(&self->facts, NULL, 0);
  fb_buf_init(&self->text, NULL, 0);
  fb_arena_init(&self->arena, NULL, 0);
  self->ignore_failure = spec->ignore_failure;
  if (fb_zones_new(NULL, NULL, &self->zones) == FB_OK) return self;
  fb_bench_engine_free(self);
  return NULL;
}

/* Every run has to do the same, or their times are of different things. */
static fb_status S_same_work(S_engine *self, const char *work, fb_error *err) {
  if (!self->worked) snprintf(self->work, sizeof self->work, "%s", work);
  self->worked = true;
  if (self->ignore_failure || strcmp(work, self->work) == 0) return FB_OK;
  return fb_fail(err, FB_E_BENCH_FAILED, "the runs differ: first %s, then %s", self->work, work);
}

/* ── Rules ───────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_rules_run {
  S_engine *self;
  uint64_t decisions;
  fb_error first; /* code 0: none */
} S_rules_run;

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_rules_run *run = context;
  (void)session;
  (void)decision;
  run->decisions++;
  return FB_OK;
}

static void S_rule_error(void *context, fb_session *session, const fb_error *err) {
  S_rules_run *run = context;
  (void)session;
  if (!run->first.code) run->first = *err;
}

static fb_status S_feed(S_rules_run *run, fb_session *session, const fb_allocator *allocator,
                        fb_error *err) {
  fb_memory_source memory = {fb_buf_slice(&run->self->facts)};
  fb_stream_options options = {.name = run->self->facts_name};
  fb_stream *stream;
  fb_batch batch;
  fb_status status = fb_stream_open(fb_source_memory(&memory), fb_session_schema(session), &options,
                                    allocator, &stream, err);
  if (status) return status;
  fb_errors errors;
  fb_errors_init(&errors, allocator, 0);
  while (!status && !(status = fb_stream_next(stream, &batch, &errors))) {
    for (size_t i = 0; !status && i < batch.run_count; i++)
      status = fb_session_assert_rows(session, batch.runs[i].facts, batch.runs[i].first,
                                      batch.runs[i].count, NULL, NULL, err);
    if (run->self->stateless) fb_session_forget_texts(session);
  }
  if (status == FB_DONE) status = FB_OK;
  if (errors.count) { /* a record that is no fact */
    if (err) *err = errors.items[0];
    status = errors.items[0].code;
  }
  fb_errors_release(&errors);
  fb_stream_free(stream);
  return status;
}

static fb_status S_session(S_rules_run *run, fb_session *session, const fb_allocator *allocator,
                           fb_error *err) {
  fb_status status = FB_OK;
  if (run->self->stateless) status = fb_session_fire(session, NULL, err);
  if (!status) status = S_feed(run, session, allocator, err);
  if (!status && !run->self->stateless) status = fb_session_fire(session, NULL, err);
  return status;
}

static fb_status S_rules_once(S_engine *self, const fb_allocator *allocator, fb_error *err) {
  S_rules_run run = {.self = self};
  fb_session *session;
  fb_session_options options = {
      .stateless = self->stateless,
      .zone = fb_zone_system,
      .zone_context = self->zones,
      .output = {.decision = S_decision, .error = S_rule_error, .context = &run}};
  fb_status status = fb_session_new(self->rules, &options, allocator, &session);
  if (status) return fb_fail(err, status, "no memory for a session");
  status = S_session(&run, session, allocator, err);
  fb_session_stats stats = fb_session_statistics(session);
  fb_session_free(session);
  if (status) return status;
  if (run.first.code && !self->ignore_failure) {
    if (err) *err = run.first;
    return run.first.code;
  }
  char work[WORK_TEXT];
  snprintf(work, sizeof work, "%llu facts, %llu firings, %llu decisions",
           (unsigned long long)stats.asserted, (unsigned long long)stats.firings,
           (unsigned long long)run.decisions);
  return S_same_work(self, work, err);
}

static fb_status S_rules_run_once(void *context, bool first, fb_reading *ret, fb_error *err) {
  S_engine *self = context;
  (void)first;
  fb_self_begin(&self->self);
  fb_status status = S_rules_once(self, NULL, err);
  fb_self_end(&self->self, ret);
  return status;
}

static fb_status S_rules_count(void *context, fb_reading *ret, fb_error *err) {
  fb_count_allocator count;
  fb_count_allocator_init(&count, NULL);
  fb_status status = S_rules_once(context, &count.allocator, err);
  fb_reading_set(ret, FB_MEASURE_ALLOCATIONS, (double)count.calls);
  fb_reading_set(ret, FB_MEASURE_ALLOCATED, (double)count.bytes);
  fb_reading_set(ret, FB_MEASURE_ALLOCATED_PEAK, (double)count.peak);
  return status;
}

static fb_status S_rules_load(S_engine *self, const fb_bench_spec *spec, fb_errors *errors) {
  fb_error err = {0};
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_status status = fb_cli_read(spec->rules, DOCUMENT_MAX, &text, &err);
  if (!status) status = fb_cli_read(spec->facts, FACTS_MAX, &self->facts, &err);
  if (status)
    fb_errors_add(errors, &err);
  else
    status = fb_ruleset_read(fb_buf_slice(&text), fb_cli_file_name(spec->rules), NULL, &self->rules,
                             errors, NULL);
  fb_buf_release(&text);
  if (!status) status = fb_ruleset_check_calls(self->rules, NULL, 0, errors);
  if (status) return status;
  self->stateless = fb_ruleset_stateless(self->rules, NULL);
  return FB_OK;
}

fb_status fb_bench_rules_init(fb_bench_plan *plan, const fb_bench_spec *spec, fb_candidate *ret,
                              fb_bench_about *about, void **ret_engine, fb_errors *errors) {
  S_engine *self = S_new(spec);
  if (!self) return FB_E_NOMEM;
  *ret_engine = self;
  self->facts_name = spec->facts;
  const char *what = fb_arena_printf(&plan->arena, "%s over %s", spec->rules, spec->facts);
  fb_status status = what ? S_rules_load(self, spec, errors) : FB_E_NOMEM;
  if (status) return status;
  about->kind = "rules";
  about->what = what;
  about->work = self->work;
  *ret = (fb_candidate){.name = spec->name ? spec->name : what,
                        .run = S_rules_run_once,
                        .count = plan->options.count_runs ? S_rules_count : NULL,
                        .context = self};
  return FB_OK;
}

/* ── Missions ────────────────────────────────────────────────────────────────────────────────── */

static fb_status S_outcome(S_engine *self, const fb_mission_run *run, fb_error *err) {
  fb_mission_status state = fb_mission_run_state(run);
  char work[WORK_TEXT];
  snprintf(work, sizeof work, "%u steps, %s", fb_mission_steps(self->mission),
           fb_mission_status_name(state));
  if (state != FB_MISSION_OK && !self->ignore_failure)
    return fb_fail(err, FB_E_BENCH_FAILED, "the mission ended as %s",
                   fb_mission_status_name(state));
  return S_same_work(self, work, err);
}

static fb_status S_mission_run_once(void *context, bool first, fb_reading *ret, fb_error *err) {
  S_engine *self = context;
  fb_mission_run *run;
  fb_errors errors;
  (void)first;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  fb_mission_run_options options = {.id = "bench",
                                    .dir = self->folder,
                                    .env = (const char *const *)environ,
                                    .inputs = self->inputs,
                                    .parallel_default = processors > 0 ? (uint32_t)processors : 2,
                                    .zone = fb_zone_system,
                                    .zone_context = self->zones};
  fb_errors_init(&errors, NULL, 0);
  fb_self_begin(&self->self);
  fb_status status = fb_mission_run_new(self->mission, self->world, &options, NULL, &run, &errors);
  if (!status) fb_mission_run_wait(run);
  fb_self_end(&self->self, ret);
  if (!status) {
    status = S_outcome(self, run, err);
    fb_mission_run_free(run);
  } else if (errors.count && err) {
    *err = errors.items[0];
  }
  fb_errors_release(&errors);
  return status;
}

static fb_status S_mission_inputs(S_engine *self, const fb_bench_spec *spec, fb_error *err) {
  self->inputs = fb_map_new(&self->arena, 8);
  if (!self->inputs) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (size_t i = 0; spec->inputs && spec->inputs[i]; i++) {
    const char *equals = strchr(spec->inputs[i], '=');
    fb_slice name = {spec->inputs[i], equals ? (size_t)(equals - spec->inputs[i]) : 0};
    fb_value value;
    if (!equals) return fb_fail(err, FB_E_USAGE, "an input without a value: %s", spec->inputs[i]);
    fb_status status = fb_mission_parse_input(self->mission, name, fb_slice_of(equals + 1),
                                              &self->arena, &value, err);
    if (status) return status;
    if (!fb_map_put(self->inputs, &self->arena, fb_string(name), value, NULL))
      return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  return FB_OK;
}

static const char *S_folder_of(S_engine *self, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ".";
  if (slash == path) return "/";
  return fb_arena_text(&self->arena, (fb_slice){path, (size_t)(slash - path)});
}

static fb_status S_mission_load(S_engine *self, const fb_bench_spec *spec, fb_errors *errors,
                                fb_error *err) {
  const char *tmp = getenv("TMPDIR");
  snprintf(self->folder, sizeof self->folder, "%.40s/flyball-bench.XXXXXX",
           tmp && tmp[0] == '/' && strlen(tmp) <= 40 ? tmp : "/tmp");
  if (!mkdtemp(self->folder)) {
    fb_fail(err, FB_E_IO, "cannot make %s: %s", self->folder, strerror(errno));
    self->folder[0] = 0;
    return FB_E_IO;
  }
  fb_status status = fb_cli_read(spec->mission, DOCUMENT_MAX, &self->text, err);
  if (!status)
    status = fb_world_uv_new(NULL, &(fb_uv_options){.run_dir = self->folder}, &self->world, err);
  if (status) return status;
  fb_mission_options options = {
      .tools = fb_loop_tools(), .folder = S_folder_of(self, spec->mission), .world = self->world};
  fb_doc_options reading = {.keep_going = true};
  status = fb_doc_read(fb_buf_slice(&self->text), fb_cli_file_name(spec->mission), &reading,
                       &self->doc, errors);
  if (!status) status = fb_mission_load(self->doc, &options, NULL, &self->mission, errors);
  return status ? status : S_mission_inputs(self, spec, err);
}

fb_status fb_bench_mission_init(fb_bench_plan *plan, const fb_bench_spec *spec, fb_candidate *ret,
                                fb_bench_about *about, void **ret_engine, fb_errors *errors) {
  S_engine *self = S_new(spec);
  fb_error err = {0};
  (void)plan;
  if (!self) return FB_E_NOMEM;
  *ret_engine = self;
  fb_status status = S_mission_load(self, spec, errors, &err);
  if (err.code) fb_errors_add(errors, &err);
  if (status) return status;
  about->kind = "mission";
  about->what = spec->mission;
  about->work = self->work;
  *ret = (fb_candidate){
      .name = spec->name ? spec->name : spec->mission, .run = S_mission_run_once, .context = self};
  return FB_OK;
}
