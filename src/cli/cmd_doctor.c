/* SPDX-License-Identifier: Apache-2.0
 * flyball doctor: is this a machine, and a state, that Flyball can work with? */
#include "cli/run_store.h"

#include "loop/runs.h"
#include "net/curl.h"
#include "server/server.h"

#include <dirent.h>
#include <flyball/cel.h>
#include <flyball/loop.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

enum { FEW_FILES = 1024, MOST_JOURNALS = 1000, FEW_MEBIBYTES = 64 };

typedef enum S_status { S_OK, S_WARN, S_FAIL } S_status;

typedef struct S_doctor {
  fb_cli *cli;
  fb_arena arena;
  uint32_t counts[3];
  const char *project, *state;
  uint32_t damage; /* found by the check that is going on */
} S_doctor;

/* ── Telling ─────────────────────────────────────────────────────────────────────────────────── */

static void S_tell(S_doctor *doctor, S_status status, const char *name, const char *format, ...)
    FB_PRINTF(4, 5);

static void S_tell(S_doctor *doctor, S_status status, const char *name, const char *format, ...) {
  static const char *const words[] = {"ok", "warn", "fail"};
  fb_buf text, line;
  va_list args;
  doctor->counts[status]++;
  fb_buf_init(&text, NULL, 0);
  va_start(args, format);
  fb_buf_vprintf(&text, format, args);
  va_end(args);
  fb_buf_init(&line, NULL, 0);
  if (doctor->cli->json) {
    fb_buf_printf(
        &line, "{\"type\":\"flyball.doctor.v1\",\"check\":\"%s\",\"status\":\"%s\",\"text\":", name,
        words[status]);
    fb_json_write_text(&line, fb_buf_slice(&text), FB_JSON_COMPACT);
    fb_buf_text(&line, "}\n");
  } else {
    fb_buf_printf(&line, "%-4s  %-10s  %s\n", words[status], name, text.ptr ? text.ptr : "");
  }
  fb_out_buf(doctor->cli, &line);
  fb_buf_release(&line);
  fb_buf_release(&text);
}

/* ── The machine ─────────────────────────────────────────────────────────────────────────────── */

static void S_machine(S_doctor *doctor) {
  struct rlimit files = {0};
  long processors = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES);
  long page = sysconf(_SC_PAGESIZE);
  getrlimit(RLIMIT_NOFILE, &files);
  S_tell(doctor, S_OK, "machine", "%ld processors, %lld MiB of memory", processors,
         (long long)pages * page >> 20);
  S_tell(doctor, files.rlim_cur < FEW_FILES ? S_WARN : S_OK, "limits", "%llu open files%s",
         (unsigned long long)files.rlim_cur,
         files.rlim_cur < FEW_FILES ? ": a server with many clients needs more (ulimit -n)" : "");
}

static void S_libraries(S_doctor *doctor) {
  fb_curl curl;
  fb_error err = {0};
  bool client = fb_curl_load(&curl, &err) == FB_OK;
  S_tell(doctor, client ? S_OK : S_WARN, "libraries", "libcurl%s%s",
         client ? " is there" : ": http steps and webhooks will fail: ", client ? "" : err.text);
  bool server = fb_mhd_load(&err) == FB_OK;
  S_tell(doctor, server ? S_OK : S_WARN, "libraries", "libmicrohttpd%s%s",
         server ? " is there" : ": `flyball serve` will fail: ", server ? "" : err.text);
}

static void S_clock(S_doctor *doctor) {
  const fb_clock *clock = fb_clock_system();
  char time[FB_TIME_TEXT_MAX];
  struct timex state = {0};
  int32_t offset;
  int64_t now = clock->wall(clock->context) / 1000000000;
  bool told = adjtimex(&state) >= 0, synced = told && !(state.status & STA_UNSYNC);
  fb_time_format(now, 0, time);
  /* No release of this is older than that. */
  bool sane = now > INT64_C(1767225600);
  S_tell(doctor,
         !sane    ? S_FAIL
         : synced ? S_OK
                  : S_WARN,
         "clock", "%s, %s", time,
         !sane    ? "which is long past: schedules and audits would be wrong"
         : synced ? "kept in time by the network"
                  : "and nothing is known to keep it in time");
  bool zones = fb_zone_system(NULL, FB_SLICE("Europe/Berlin"), now, &offset);
  S_tell(doctor, zones ? S_OK : S_WARN, "zones",
         zones ? "the time zones are there" : "there are no time zones: install tzdata");
}

static void S_port(S_doctor *doctor) {
  const char *text = fb_cli_text(doctor->cli, "listen", "127.0.0.1:8080");
  fb_address address;
  socklen_t size;
  if (!fb_address_parse(text, &address, &size)) {
    S_tell(doctor, S_FAIL, "port", "`%s` is no address", text);
    return;
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (address.any.sa_family == AF_UNIX) { /* binding would make the file */
    bool taken = fd >= 0 && connect(fd, &address.any, size) == 0;
    S_tell(doctor, taken ? S_WARN : S_OK, "port", "%s is %s", text, taken ? "in use" : "free");
  } else {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool free_ = fd >= 0 && bind(fd, &address.any, size) == 0;
    S_tell(doctor, free_ ? S_OK : S_WARN, "port", "%s is %s", text,
           free_ ? "free" : strerror(errno));
  }
  if (fd >= 0) close(fd);
}

/* ── Folders ─────────────────────────────────────────────────────────────────────────────────── */

static void S_folder(S_doctor *doctor, const char *name, const char *path) {
  struct statvfs space;
  struct stat info;
  if (stat(path, &info)) {
    S_tell(doctor, S_OK, name, "%s is not there yet", path);
    return;
  }
  if (!S_ISDIR(info.st_mode) || access(path, R_OK | W_OK | X_OK)) {
    S_tell(doctor, S_FAIL, name, "%s cannot be written by us", path);
    return;
  }
  if (info.st_mode & 022) {
    S_tell(doctor, S_FAIL, name, "%s can be written by others (mode %03o)", path,
           (unsigned)info.st_mode & 0777);
    return;
  }
  if (statvfs(path, &space)) space = (struct statvfs){0};
  unsigned long long free_ = (unsigned long long)space.f_bavail * space.f_frsize >> 20;
  S_tell(doctor, free_ < FEW_MEBIBYTES ? S_FAIL : S_OK, name, "%s, %llu MiB free", path, free_);
}

static void S_damage(void *user, const fb_audit_finding *finding) {
  S_doctor *doctor = user;
  if (finding->kind != FB_AUDIT_TORN) doctor->damage++;
}

static void S_journals(S_doctor *doctor, const char *runs) {
  const char *const *ids;
  size_t count = 0, bad = 0;
  uint64_t events = 0;
  const char *first = "";
  if (!fb_run_ids(runs, &doctor->arena, &ids, &count)) return;
  if (count > MOST_JOURNALS) count = MOST_JOURNALS;
  for (size_t i = 0; i < count; i++) {
    fb_run_place place;
    fb_audit_report report = {0};
    fb_error err = {0};
    doctor->damage = 0;
    if (!fb_run_place_set(runs, ids[i], &doctor->arena, &place)) return;
    if (access(place.journal, F_OK)) continue;
    fb_status status =
        fb_journal_verify(place.journal, NULL, NULL, S_damage, NULL, doctor, &report, &err);
    events += report.events;
    if (!status && !doctor->damage) continue;
    if (!bad++) first = ids[i];
  }
  if (bad)
    S_tell(doctor, S_FAIL, "journals", "%zu of %zu are damaged; the first: flyball audit verify %s",
           bad, count, first);
  else
    S_tell(doctor, S_OK, "journals", "%zu runs, %llu events, all as they were written", count,
           (unsigned long long)events);
}

/* ── The project ─────────────────────────────────────────────────────────────────────────────── */

static void S_state_damage(void *user, const char *text) {
  S_doctor *doctor = user;
  doctor->damage++;
  S_tell(doctor, S_WARN, "state", "%s", text);
}

static void S_state(S_doctor *doctor, fb_slice name) {
  const char *path = fb_cli_state_folder(doctor->cli, name, &doctor->arena);
  const char *own = path ? fb_arena_printf(&doctor->arena, "%s/loop", path) : NULL;
  const char *runs = path ? fb_arena_printf(&doctor->arena, "%s/runs", path) : NULL;
  if (!own || !runs) return;
  S_folder(doctor, "state", path);
  S_journals(doctor, runs);
  doctor->damage = 0;
  if (fb_loop_state_check(own, NULL, S_state_damage, doctor) == FB_OK && !doctor->damage)
    S_tell(doctor, S_OK, "state", "snapshots and logs are whole");
}

static void S_project(S_doctor *doctor) {
  const char *path = fb_cli_text(doctor->cli, "project", NULL);
  fb_project *project;
  fb_errors errors;
  if (!path && access("flyball.yaml", R_OK) == 0) path = ".";
  if (!path) return;
  fb_errors_init(&errors, NULL, 0);
  if (fb_project_load(path, NULL, &project, &errors, NULL)) {
    const fb_error *err = &errors.items[0];
    S_tell(doctor, S_FAIL, "project", "%s:%u: %s; flyball check %s tells all %zu", err->file,
           err->line, err->text, path, errors.count);
  } else {
    uint32_t counts[5];
    fb_slice name = fb_project_name_of(project);
    fb_project_counts(project, counts);
    S_tell(doctor, S_OK, "project",
           "%.*s: %u rulebooks, %u missions, %u sources, %u sinks, %u schedules", (int)name.len,
           name.ptr, counts[0], counts[1], counts[2], counts[3], counts[4]);
    S_state(doctor, name);
    fb_project_free(project);
  }
  fb_errors_release(&errors);
}

static void S_tokens(S_doctor *doctor) {
  const char *path = fb_cli_text(doctor->cli, "tokens", NULL);
  struct stat info;
  fb_tokens tokens = {0};
  fb_error err = {0};
  fb_buf text;
  if (!path) return;
  fb_buf_init(&text, NULL, 0);
  if (stat(path, &info) || fb_cli_read(path, 1 << 20, &text, &err))
    S_tell(doctor, S_FAIL, "tokens", "%s cannot be read", path);
  else if (fb_tokens_read(fb_buf_slice(&text), &tokens, &err))
    S_tell(doctor, S_FAIL, "tokens", "%s: %s", path, err.text);
  else if (info.st_mode & 022)
    S_tell(doctor, S_FAIL, "tokens", "%s can be changed by others (mode %03o)", path,
           (unsigned)info.st_mode & 0777);
  else
    S_tell(doctor, S_OK, "tokens", "%zu tokens", tokens.count);
  fb_tokens_release(&tokens);
  fb_buf_release(&text);
}

/* ── The command ─────────────────────────────────────────────────────────────────────────────── */

static int S_run(fb_cli *cli) {
  S_doctor doctor = {.cli = cli};
  fb_arena_init(&doctor.arena, NULL, 0);
  S_tell(&doctor, S_OK, "version", "flyball %s", fb_version());
  S_machine(&doctor);
  S_libraries(&doctor);
  S_clock(&doctor);
  S_port(&doctor);
  const char *runs = fb_runs_folder(cli, &doctor.arena);
  if (runs) {
    S_folder(&doctor, "runs", runs);
    S_journals(&doctor, runs);
  } else {
    doctor.counts[S_FAIL]++;
  }
  S_tokens(&doctor);
  S_project(&doctor);
  fb_out_flush(cli);
  fb_cli_note(cli, "%u ok, %u to look at, %u wrong", doctor.counts[S_OK], doctor.counts[S_WARN],
              doctor.counts[S_FAIL]);
  fb_arena_release(&doctor.arena);
  return doctor.counts[S_FAIL] ? FB_EXIT_NO : FB_EXIT_OK;
}

static const fb_option S_options[] = {
    {'p', "project", FB_OPTION_FILE, "FOLDER", "Look at this project, and at what it holds", NULL,
     "FLYBALL_PROJECT", false},
    {0, "state", FB_OPTION_FILE, "FOLDER", "Where it is held, as for `flyball serve`", NULL,
     "FLYBALL_STATE", false},
    {'l', "listen", FB_OPTION_TEXT, "ADDRESS", "An address that should be free", NULL,
     "FLYBALL_LISTEN", false},
    {0, "tokens", FB_OPTION_FILE, "FILE", "Look at this file of tokens", NULL, "FLYBALL_TOKENS",
     false},
    {0}};

const fb_command fb_command_doctor = {
    .name = "doctor",
    .summary = "Find what is wrong with a machine, a state or a project",
    .usage = "[OPTION]…",
    .description =
        "Looks at limits, libraries, clock, time zones, the port, the folder of runs and "
        "their journals, and, if there is one, at the project with its snapshots and "
        "logs. Nothing is changed. A line a check: `ok`, `warn` (worth a look) or "
        "`fail`; the exit code is 1 if one failed.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball doctor", "this machine"},
                                     {"flyball doctor --project watch --json",
                                      "and a project, for a program"},
                                     {0}},
    .run = S_run,
};
