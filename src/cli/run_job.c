/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_job.h"

#include "cli/audit_sign.h"
#include "cli/run_cache.h"
#include "cli/run_group.h"
#include "cli/run_word.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_MISSION = 64 << 20, MOST_KEPT_TEXT = 1 << 20 };

bool fb_run_job_init(fb_run_job *job, fb_cli *cli) {
  *job = (fb_run_job){.cli = cli};
  fb_arena_init(&job->arena, NULL, 0);
  fb_buf_init(&job->text, NULL, 0);
  if (fb_zones_new(NULL, NULL, &job->zones) == FB_OK) return true;
  fb_cli_fail(cli, FB_E_NOMEM, "no memory to start with");
  return false;
}

static int S_close_facts(fb_run_job *job, int code) {
  fb_error err;
  if (!job->facts) return code;
  bool failed = ferror(job->facts) != 0;
  if (fclose(job->facts) == 0 && !failed) return code;
  fb_fail(&err, FB_E_IO, "cannot write all facts: %s", strerror(errno));
  int own = fb_cli_error(job->cli, &err);
  return code ? code : own;
}

int fb_run_job_end(fb_run_job *job, int code) {
  code = S_close_facts(job, fb_cli_metrics_end(job->cli, job->metrics, code));
  fb_mission_metrics_free(job->counts);
  fb_mission_run_free(job->run);
  fb_mission_free(job->mission);
  fb_world_uv_free(job->world);
  fb_zones_free(job->zones);
  fb_doc_free(job->doc);
  fb_past_free(job->past);
  fb_journal_log_close(job->journal);
  fb_lease_release(job->lease);
  fb_lease_release(job->group);
  fb_buf_release(&job->text);
  fb_arena_release(&job->arena);
  return code;
}

/* ── Loading ─────────────────────────────────────────────────────────────────────────────────── */

static const char *S_folder_of(fb_run_job *job) {
  const char *slash = strrchr(job->path, '/');
  if (!slash) return ".";
  if (slash == job->path) return "/";
  return fb_arena_text(&job->arena, (fb_slice){job->path, (size_t)(slash - job->path)});
}

int fb_run_job_load(fb_run_job *job) {
  fb_error err = {0};
  fb_errors errors, warnings;
  if (!job->text.len && fb_cli_read(job->path, MOST_MISSION, &job->text, &err))
    return fb_cli_error(job->cli, &err);
  if (fb_world_uv_new(NULL, &(fb_uv_options){.run_dir = job->run_dir}, &job->world, &err))
    return fb_cli_error(job->cli, &err);
  fb_errors_init(&errors, NULL, 0);
  fb_errors_init(&warnings, NULL, 0);
  fb_mission_options options = {.tools = fb_loop_tools(),
                                .folder = S_folder_of(job),
                                .world = job->world,
                                .warnings = &warnings};
  fb_doc_options reading = {.keep_going = true};
  fb_status status = fb_doc_read(fb_buf_slice(&job->text), fb_cli_file_name(job->path), &reading,
                                 &job->doc, &errors);
  if (!status) status = fb_mission_load(job->doc, &options, NULL, &job->mission, &errors);
  if (!fb_cli_has(job->cli, "quiet")) fb_cli_warnings(job->cli, &warnings);
  fb_errors_release(&warnings);
  int code = fb_cli_errors(job->cli, &errors);
  if (status && code == FB_EXIT_OK)
    code = fb_cli_fail(job->cli, status, "%s cannot be loaded", job->path);
  fb_errors_release(&errors);
  return code;
}

/* ── What the journal keeps of it ────────────────────────────────────────────────────────────── */

static const char *S_digest_text(fb_run_job *job) {
  uint8_t digest[FB_DIGEST_SIZE];
  char hex[2 * FB_DIGEST_SIZE + 1];
  fb_digest(fb_buf_slice(&job->text), digest);
  fb_hex(digest, sizeof digest, hex);
  return fb_arena_text(&job->arena, fb_slice_of(hex));
}

static bool S_put(fb_run_job *job, fb_map *map, const char *key, const char *text) {
  fb_value value = text && fb_utf8_valid(text, strlen(text), NULL)
                       ? fb_string(fb_slice_of(text))
                       : fb_bytes(fb_slice_of(text ? text : ""));
  return text && fb_map_put(map, &job->arena, fb_string(fb_slice_of(key)), value, NULL);
}

/* NULL: no memory. */
static fb_map *S_about(fb_run_job *job) {
  char here[4096];
  fb_map *map = fb_map_new(&job->arena, 10);
  bool good =
      map && S_put(job, map, "file", job->path) && S_put(job, map, "sha256", S_digest_text(job)) &&
      S_put(job, map, "run_dir", job->run_dir) && S_put(job, map, "by", fb_run_who(&job->arena)) &&
      S_put(job, map, "flyball", fb_version());
  if (good && getcwd(here, sizeof here))
    good = S_put(job, map, "dir", fb_arena_text(&job->arena, fb_slice_of(here)));
  /* What came by stdin cannot be read again. */
  if (good && strcmp(job->path, "-") == 0 && job->text.len <= MOST_KEPT_TEXT)
    good = S_put(job, map, "text", fb_arena_text(&job->arena, fb_buf_slice(&job->text)));
  fb_value plan;
  good = good && fb_map_put(map, &job->arena, fb_string(FB_SLICE("pid")), fb_int(getpid()), NULL) &&
         fb_run_plan(job->mission, &job->arena, &plan) &&
         fb_map_put(map, &job->arena, fb_string(FB_SLICE("plan")), plan, NULL);
  return good ? map : NULL;
}

static void S_write_fact(fb_run_job *job, const fb_value *fact) {
  fb_buf line;
  fb_buf_init(&line, NULL, 0);
  fb_json_write(&line, *fact, FB_JSON_COMPACT);
  fb_buf_char(&line, '\n');
  if (!line.failed) fwrite(line.ptr, 1, line.len, job->facts);
  fflush(job->facts);
  fb_buf_release(&line);
}

static void S_event(void *context, const fb_mission_event *event) {
  fb_run_job *job = context;
  if (job->facts && event->kind == FB_MISSION_EVENT_FACT) S_write_fact(job, event->fact);
  fb_mission_metrics_event(job->counts, job->run, event);
  fb_run_view_event(&job->view, event);
}

static int S_begin_metrics(fb_run_job *job) {
  fb_error err;
  int code = fb_cli_metrics_begin(job->cli, &job->metrics);
  if (code || !job->metrics) return code;
  return fb_mission_metrics_new(job->metrics, fb_mission_name(job->mission), NULL, &job->counts,
                                &err) == FB_OK
             ? FB_EXIT_OK
             : fb_cli_error(job->cli, &err);
}

/* Another one after each start of the machine; NULL where the system does not tell. */
static const char *S_boot(fb_run_job *job) {
  char text[64];
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text);
  if (fd >= 0) close(fd);
  return length > 0 ? fb_arena_text(&job->arena,
                                    (fb_slice){text, (size_t)length - (text[length - 1] == '\n')})
                    : NULL;
}

/* Only a mission that has such steps needs a folder for their results. */
static int S_open_cache(fb_run_job *job, const char **ret_folder) {
  enum { MOST_DAYS = 90 };
  bool any = false;
  *ret_folder = NULL;
  for (uint32_t i = 0; i < fb_mission_steps(job->mission) && !any && !job->dry; i++) {
    fb_step_info info;
    fb_mission_step(job->mission, i, &info);
    any = info.cache;
  }
  if (!any) return FB_EXIT_OK;
  *ret_folder = fb_run_cache_folder(job->cli, &job->arena);
  if (*ret_folder) fb_run_cache_prune(*ret_folder, MOST_DAYS * INT64_C(86400));
  return *ret_folder ? FB_EXIT_OK : FB_EXIT_OUTSIDE;
}

static int S_open_facts(fb_run_job *job) {
  const char *path = fb_cli_has(job->cli, "facts") ? fb_cli_text(job->cli, "facts", NULL) : NULL;
  fb_error err;
  if (!path || job->dry) return FB_EXIT_OK;
  job->facts = fopen(path, "we");
  if (job->facts) return FB_EXIT_OK;
  fb_fail(&err, FB_E_IO, "cannot write %s: %s", path, strerror(errno));
  return fb_cli_error(job->cli, &err);
}

int fb_run_job_new(fb_run_job *job) {
  fb_errors errors;
  const char *cache;
  int begun = job->dry ? FB_EXIT_OK : S_begin_metrics(job);
  if (!begun) begun = S_open_cache(job, &cache);
  if (!begun) begun = S_open_facts(job);
  if (begun) return begun;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  fb_mission_run_options options = {.secrets = job->dry ? FB_SECRETS_HIDE : FB_SECRETS_READ,
                                    .id = job->place.id,
                                    .dir = job->run_dir,
                                    .env = (const char *const *)environ,
                                    .inputs = job->inputs,
                                    .parallel = (uint32_t)fb_cli_number(job->cli, "parallel", 0),
                                    .parallel_default = processors > 0 ? (uint32_t)processors : 2,
                                    .zone = fb_zone_system,
                                    .zone_context = job->zones,
                                    .hash_seed = fb_random_seed_system(),
                                    .cache_dir = cache,
                                    .cache_fresh = fb_cli_has(job->cli, "fresh"),
                                    .journal = job->journal,
                                    .boot = S_boot(job),
                                    .on_event = S_event,
                                    .context = job};
  if (job->journal) {
    options.about = S_about(job);
    if (!options.about) return fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
  }
  job->view = (fb_run_view){.cli = job->cli,
                            .mission = job->mission,
                            .id = job->place.id,
                            .run_dir = job->run_dir,
                            .quiet = fb_cli_has(job->cli, "quiet")};
  fb_errors_init(&errors, NULL, 0);
  fb_status status =
      fb_mission_run_new(job->mission, job->world, &options, NULL, &job->run, &errors);
  int code = fb_cli_errors(job->cli, &errors);
  if (status == FB_E_MISSION_INPUT) code = FB_EXIT_USAGE;
  fb_errors_release(&errors);
  return code;
}

/* ── Running ─────────────────────────────────────────────────────────────────────────────────── */

static void S_caught(void *context, int number) {
  fb_run_job *job = context;
  bool again = job->caught != 0;
  if (!again) job->caught = number;
  fb_mission_run_cancel(job->run, again);
}

/* The code tells a run that stands still from one that failed. */
static int S_outcome(fb_run_job *job) {
  switch (fb_mission_run_state(job->run)) {
    case FB_MISSION_OK: return FB_EXIT_OK;
    case FB_MISSION_TIMEOUT: return FB_EXIT_TIME;
    case FB_MISSION_CANCELLED: return job->caught ? 128 + job->caught : FB_EXIT_NO;
    case FB_MISSION_WAITING: return FB_EXIT_WAITS;
    case FB_MISSION_GOING: return fb_cli_fail(job->cli, FB_E_INTERNAL, "the run stands still");
    default: break;
  }
  const fb_error *own = fb_mission_run_error(job->run);
  bool outside = own && (own->code == FB_E_DISK_FULL || own->code == FB_E_IO);
  return outside ? FB_EXIT_OUTSIDE : FB_EXIT_NO;
}

static void S_print_outputs(fb_run_job *job) {
  fb_value outputs = fb_mission_run_outputs(job->run);
  fb_buf out;
  if (job->cli->json || outputs.kind != FB_MAP || outputs.as.map->len == 0) return;
  fb_buf_init(&out, NULL, 0);
  fb_json_write(&out, outputs, FB_JSON_PRETTY);
  fb_buf_char(&out, '\n');
  fb_out_buf(job->cli, &out);
  fb_buf_release(&out);
}

static void S_tell_what_next(fb_run_job *job) {
  fb_mission_status state = fb_mission_run_state(job->run);
  if (!job->journal) return;
  if (state == FB_MISSION_WAITING)
    fb_run_view_waiting(&job->view);
  else if (state == FB_MISSION_CANCELLED && !job->view.quiet)
    fb_cli_note(job->cli, "go on with: flyball resume %s", job->place.id);
}

static void S_tick(void *context) {
  fb_run_job *job = context;
  if (job->cli->terminal_err && !job->cli->json && !job->view.quiet) fb_run_view_tick(&job->view);
  fb_run_word_take(job);
}

int fb_run_job_execute(fb_run_job *job) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
  const fb_clock *clock = fb_clock_system();
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    fb_world_uv_on_signal(job->world, signals[i], S_caught, job);
  job->view.run = job->run;
  job->view.started = clock->mono(clock->context);
  fb_world_uv_every(job->world, 100 * INT64_C(1000000), S_tick, job);
  fb_mission_run_wait(job->run);
  fb_run_view_summary(&job->view);
  S_print_outputs(job);
  S_tell_what_next(job);
  if (!job->journal) rmdir(job->run_dir); /* it stays if anything was kept */
  int code = S_outcome(job);
  const char *key = job->journal ? fb_cli_text(job->cli, "sign-key", NULL) : NULL;
  int signed_code = key ? fb_audit_sign(job->cli, &job->place, key, job->journal) : FB_EXIT_OK;
  return code ? code : signed_code;
}

/* ── Going on ────────────────────────────────────────────────────────────────────────────────── */

static const char *S_about_text(const fb_run_job *job, const char *key) {
  fb_value about = job->past->about;
  const fb_value *value =
      about.kind == FB_MAP ? fb_map_get_text(about.as.map, fb_slice_of(key)) : NULL;
  return value && (value->kind == FB_STRING || value->kind == FB_BYTES) ? value->as.text : NULL;
}

static int S_past(fb_run_job *job) {
  fb_error err = {0};
  if (fb_past_read(job->journal, NULL, &job->past, &err)) return fb_cli_error(job->cli, &err);
  if (job->past->lost)
    fb_cli_note(job->cli,
                "a part of the journal cannot be read: what is missing counts as not done "
                "(flyball audit verify %s)",
                job->place.id);
  return FB_EXIT_OK;
}

int fb_run_job_reopen(fb_run_job *job, const char *name) {
  int code = fb_run_find(job->cli, name, &job->arena, &job->place);
  if (!code) code = fb_run_take(job->cli, &job->place, &job->lease);
  if (!code) code = fb_run_journal(job->cli, &job->place, false, true, &job->journal);
  return code ? code : S_past(job);
}

int fb_run_job_look(fb_run_job *job, const char *name, bool *ret_live) {
  int code = fb_run_find(job->cli, name, &job->arena, &job->place);
  *ret_live = !code && fb_lease_held(job->place.lease, NULL);
  if (code || !*ret_live) return code;
  code = fb_run_journal(job->cli, &job->place, true, true, &job->journal);
  return code ? code : S_past(job);
}

/* The values that the run was started with, as far as they say anything. */
static bool S_old_inputs(fb_run_job *job) {
  fb_value about = job->past->about;
  const fb_value *old =
      about.kind == FB_MAP ? fb_map_get_text(about.as.map, FB_SLICE("inputs")) : NULL;
  job->inputs = fb_map_new(&job->arena, 8);
  if (!job->inputs) return false;
  for (uint32_t i = 0; old && old->kind == FB_MAP && i < old->as.map->len; i++) {
    const fb_entry *entry = &old->as.map->entries[i];
    if (entry->value.kind == FB_NULL) continue;
    if (!fb_map_put(job->inputs, &job->arena, entry->key, entry->value, NULL)) return false;
  }
  return true;
}

static int S_find_mission(fb_run_job *job) {
  const char *given = fb_cli_text(job->cli, "mission", NULL);
  const char *file = S_about_text(job, "file"), *text = S_about_text(job, "text");
  const char *dir = S_about_text(job, "dir"), *run_dir = S_about_text(job, "run_dir");
  char absolute[4096];
  fb_error err = {0};
  if (job->past->events == 0) {
    fb_fail(&err, FB_E_RUN_STATE, "%s was cut off before anything was recorded: nothing was done",
            job->place.id);
    fb_error_hint(&err, "start it again with `flyball run`");
    return fb_cli_error(job->cli, &err);
  }
  job->run_dir = run_dir ? run_dir : job->place.folder;
  job->path = file ? file : "";
  if (given)
    job->path =
        realpath(given, absolute) ? fb_arena_text(&job->arena, fb_slice_of(absolute)) : given;
  if (!*job->path)
    return fb_cli_usage(job->cli, "as in --mission FILE",
                        "the journal does not say which mission it is");
  if (dir && chdir(dir) != 0) {
    fb_fail(&err, FB_E_IO, "cannot go to %s, where the run was started: %s", dir, strerror(errno));
    return fb_cli_error(job->cli, &err);
  }
  if (!given && text && strcmp(job->path, "-") == 0) fb_buf_text(&job->text, text);
  return FB_EXIT_OK;
}

static void S_tell_changes(fb_run_job *job) {
  const char *before = S_about_text(job, "sha256"), *now = S_digest_text(job);
  if (before && now && strcmp(before, now) != 0)
    fb_cli_note(job->cli, "the mission was edited: steps that are as they were are not done again");
}

/* What was going on when the run was cut off, and what becomes of it. */
static void S_tell_doubts(fb_run_job *job) {
  for (uint32_t i = 0; i < job->past->step_count; i++) {
    const fb_past_step *step = &job->past->steps[i];
    fb_step_info info = {0};
    bool known = false;
    if (step->status != FB_STEP_RUNNING || step->phase == FB_PHASE_CHECK) continue;
    for (uint32_t k = 0; step->scope.len == 0 && k < fb_mission_steps(job->mission) && !known;
         k++) {
      fb_mission_step(job->mission, k, &info);
      known = fb_slice_equal(info.id, step->id) && info.phase == step->phase;
    }
    if (known && info.tool->reenters) continue;
    fb_buf path;
    fb_buf_init(&path, NULL, 0);
    fb_past_step_path(step, &path);
    if (step->phase == FB_PHASE_UNDO) fb_buf_text(&path, " (undo)");
    if (!path.failed)
      fb_cli_note(job->cli, "in doubt: %s was cut off in the middle%s%s", path.ptr,
                  known ? ", " : "",
                  !known                            ? ""
                  : info.has_check                  ? "its check is asked"
                  : info.semantics == FB_ONCE       ? "somebody has to decide"
                  : info.semantics == FB_PURE       ? "run again (pure)"
                  : info.semantics == FB_IDEMPOTENT ? "run again (idempotent)"
                                                    : "run again (at-least-once)");
    fb_buf_release(&path);
  }
}

int fb_run_job_go_on(fb_run_job *job) {
  int code = S_find_mission(job);
  if (!code) code = fb_run_job_load(job);
  if (!code && !S_old_inputs(job)) code = fb_cli_fail(job->cli, FB_E_NOMEM, "out of memory");
  if (!code) code = fb_run_job_new(job);
  if (!code) code = fb_run_group_enter(job);
  if (code) return code;
  S_tell_changes(job);
  S_tell_doubts(job);
  return fb_run_job_execute(job);
}
