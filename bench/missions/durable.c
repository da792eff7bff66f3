/* SPDX-License-Identifier: Apache-2.0
 *
 * What it costs that a run is recorded: bench-durable BUILD. Prints one JSON object a line (bench/README.md). Programs are imitated (a
 * world in memory), the journal is real, in the build folder.
 *   durable-chain   a step that needs the one before, beside one fdatasync a step and nothing else
 *   durable-fan     steps that need nothing: many share a commit
 *   command         a step that runs /bin/true with the journal on, beside posix_spawn
 *   resume          a run of N steps that are all done: opened, read, gone through
 *   chain, verify   hashing what a step appends; the audit
 */
#include "mission/world_script.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char S_path[4096]; /* of the journal */

static double S_clock(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void S_die(const char *what) {
  fprintf(stderr, "bench-durable: %s failed\n", what);
  exit(1);
}

/* peer < 0: there is none. least: ours must be at least the limit. */
static void S_print(const char *workload, double ours, double peer, const char *peer_name,
                    const char *unit, double reach, bool least, const char *proof) {
  double value = peer > 0 ? ours / peer : ours;
  bool met = least ? value >= reach : value <= reach;
  printf("{\"bench\":\"missions.durable\",\"workload\":\"%s\",\"ours\":%.3f,", workload, ours);
  if (peer > 0)
    printf("\"peer\":%.3f,\"peer_name\":\"%s\",\"unit\":\"%s\",\"ratio\":%.3f,", peer, peer_name,
           unit, ours / peer);
  else
    printf("\"peer\":null,\"peer_name\":\"none\",\"unit\":\"%s\",\"ratio\":null,", unit);
  printf("\"reach\":%.3f,\"verdict\":\"%s\",%s}\n", reach, met ? "met" : "missed", proof);
  fflush(stdout);
}

typedef struct S_loaded {
  fb_buf text;
  fb_doc *doc;
  fb_mission *mission;
} S_loaded;

static void S_load(S_loaded *loaded, uint32_t count, bool chain) {
  fb_doc_options options = {.max_nodes = 20000000, .max_length = 1 << 30};
  fb_buf_init(&loaded->text, NULL, 0);
  fb_buf_text(&loaded->text, "{\"name\":\"bench\",\"steps\":[");
  for (uint32_t i = 0; i < count; i++) {
    fb_buf_printf(&loaded->text, "%s{\"id\":\"s%u\",\"run\":[\"/bin/true\"]", i ? "," : "", i);
    if (chain && i) fb_buf_printf(&loaded->text, ",\"needs\":[\"s%u\"]", i - 1);
    fb_buf_char(&loaded->text, '}');
  }
  fb_buf_text(&loaded->text, "]}");
  if (fb_doc_read_json(fb_buf_slice(&loaded->text), "bench.json", &options, &loaded->doc, NULL) ||
      fb_mission_load(loaded->doc, NULL, NULL, &loaded->mission, NULL))
    S_die("loading");
}

static void S_unload(S_loaded *loaded) {
  fb_mission_free(loaded->mission);
  fb_doc_free(loaded->doc);
  fb_buf_release(&loaded->text);
}

static fb_journal *S_open(bool unsynced, bool fresh) {
  fb_journal *journal = NULL;
  fb_journal_log_options options = {.salt = 7, .unsynced = unsynced};
  if (fresh) unlink(S_path);
  if (fb_journal_log_open(S_path, &options, NULL, &journal, NULL)) S_die("the journal");
  return journal;
}

/* ── Steps that cost nothing but their record ────────────────────────────────────────────────── */

/* Seconds of wall time. */
static double S_imitated(const S_loaded *loaded, uint32_t parallel, bool unsynced) {
  fb_script_world *world;
  fb_mission_run *run;
  fb_journal *journal = S_open(unsynced, true);
  fb_mission_run_options options = {.parallel = parallel, .journal = journal};
  if (fb_script_world_new(NULL, NULL, NULL, &world)) S_die("memory");
  double start = S_clock(CLOCK_MONOTONIC);
  if (fb_mission_run_new(loaded->mission, fb_script_world_face(world), &options, NULL, &run, NULL))
    S_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) S_die("run");
  double took = S_clock(CLOCK_MONOTONIC) - start;
  fb_mission_run_free(run);
  fb_script_world_free(world);
  fb_journal_log_close(journal);
  return took;
}

/* A record of 160 bytes and a sync, `count` times, in a file that has its room. */
static double S_sync_floor(uint32_t count) {
  char path[sizeof S_path + 8], record[160] = "record";
  snprintf(path, sizeof path, "%s.floor", S_path);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || posix_fallocate(fd, 0, (off_t)count * 160)) S_die("the floor");
  double start = S_clock(CLOCK_MONOTONIC);
  for (uint32_t i = 0; i < count; i++)
    if (pwrite(fd, record, sizeof record, (off_t)i * 160) != 160 || fdatasync(fd))
      S_die("the floor");
  double took = S_clock(CLOCK_MONOTONIC) - start;
  close(fd);
  unlink(path);
  return took;
}

static void S_chain(uint32_t count) {
  S_loaded loaded;
  double ours = -1, theirs = -1;
  char proof[64];
  S_load(&loaded, count, true);
  for (int i = 0; i < 7; i++) { /* in turn, so that both meet the same disk */
    double a = S_sync_floor(count), b = S_imitated(&loaded, 8, false);
    if (theirs < 0 || a < theirs) theirs = a;
    if (ours < 0 || b < ours) ours = b;
  }
  snprintf(proof, sizeof proof, "\"steps\":%u", count);
  S_print("durable-chain", ours * 1e6 / count, theirs * 1e6 / count, "one fdatasync a step in C",
          "us/step", 1.25, false, proof);
  S_unload(&loaded);
}

static void S_fan(uint32_t count) {
  S_loaded loaded;
  double ours = -1;
  char proof[64];
  S_load(&loaded, count, false);
  for (int i = 0; i < 5; i++) {
    double took = S_imitated(&loaded, 256, false);
    if (ours < 0 || took < ours) ours = took;
  }
  snprintf(proof, sizeof proof, "\"steps\":%u,\"at_once\":256", count);
  S_print("durable-fan", ours * 1e6 / count, -1, NULL, "us/step", 12, false, proof);
  S_unload(&loaded);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────── */

static double S_spawn_floor(uint32_t count, uint32_t parallel) {
  char *argv[] = {"/bin/true", NULL};
  uint32_t live = 0, started = 0;
  int status;
  double start = S_clock(CLOCK_MONOTONIC);
  while (started < count || live) {
    while (started < count && live < parallel) {
      pid_t pid;
      if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ)) S_die("posix_spawn");
      started++;
      live++;
    }
    if (waitpid(-1, &status, 0) > 0) live--;
  }
  return S_clock(CLOCK_MONOTONIC) - start;
}

static double S_commands(const S_loaded *loaded, uint32_t parallel) {
  char dir[4100];
  fb_world *world;
  fb_mission_run *run;
  snprintf(dir, sizeof dir, "%s.out", S_path);
  fb_uv_options uv = {.run_dir = dir};
  fb_journal *journal = S_open(false, true);
  fb_mission_run_options options = {
      .parallel = parallel, .env = (const char *const *)environ, .journal = journal};
  if (fb_world_uv_new(NULL, &uv, &world, NULL)) S_die("world");
  double start = S_clock(CLOCK_MONOTONIC);
  if (fb_mission_run_new(loaded->mission, world, &options, NULL, &run, NULL)) S_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) S_die("run");
  double took = S_clock(CLOCK_MONOTONIC) - start;
  fb_mission_run_free(run);
  fb_world_uv_free(world);
  fb_journal_log_close(journal);
  rmdir(dir);
  return took;
}

static void S_command(uint32_t count, uint32_t parallel) {
  S_loaded loaded;
  double ours = -1, theirs = -1;
  char workload[64], proof[64];
  S_load(&loaded, count, parallel == 1);
  for (int i = 0; i < 5; i++) {
    double a = S_spawn_floor(count, parallel), b = S_commands(&loaded, parallel);
    if (theirs < 0 || a < theirs) theirs = a;
    if (ours < 0 || b < ours) ours = b;
  }
  snprintf(workload, sizeof workload, "command-%u-at-once-journal", parallel);
  snprintf(proof, sizeof proof, "\"steps\":%u", count);
  S_print(workload, ours * 1e6 / count, theirs * 1e6 / count, "posix_spawn floor in C", "us/step",
          1.10, false, proof);
  S_unload(&loaded);
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

static void S_resume(uint32_t count) {
  S_loaded loaded;
  double ours = -1;
  uint32_t started = 0;
  char workload[64], proof[64];
  S_load(&loaded, count, true);
  S_imitated(&loaded, 8, true);
  for (int i = 0; i < 7; i++) {
    fb_script_world *world;
    fb_mission_run *run;
    if (fb_script_world_new(NULL, NULL, NULL, &world)) S_die("memory");
    double start = S_clock(CLOCK_PROCESS_CPUTIME_ID);
    fb_journal *journal = S_open(true, false);
    fb_mission_run_options options = {.journal = journal};
    if (fb_mission_run_new(loaded.mission, fb_script_world_face(world), &options, NULL, &run,
                           NULL) ||
        fb_mission_run_wait(run) != FB_MISSION_OK)
      S_die("resume");
    double took = S_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
    if (ours < 0 || took < ours) ours = took;
    started += fb_script_world_counts(world).started;
    fb_mission_run_free(run);
    fb_script_world_free(world);
    fb_journal_log_close(journal);
  }
  snprintf(workload, sizeof workload, "resume-%u", count);
  snprintf(proof, sizeof proof, "\"steps\":%u,\"run_again\":%u", count, started);
  S_print(workload, ours * 1e3, -1, NULL, "ms CPU", 15, false, proof);
  S_unload(&loaded);
}

/* Events as a run appends them: an intent and an end for each step. */
static void S_fill(fb_journal *journal, uint32_t from, uint32_t to) {
  char id[16];
  static const char payload[120] = "what came of it";
  for (uint32_t i = from; i < to; i++) {
    fb_event event = {.kind = FB_EVENT_STEP_STARTED, .item = FB_NO_ITEM, .code = -1, .attempt = 1};
    event.flags = FB_EVENT_HAS_DIGEST;
    event.step = (fb_slice){id, (size_t)snprintf(id, sizeof id, "s%u", i)};
    event.payload = (fb_slice){payload, 18};
    if (journal->append(journal->context, &event, NULL)) S_die("append");
    event.kind = FB_EVENT_STEP_ENDED;
    event.payload = (fb_slice){payload, sizeof payload};
    if (journal->append(journal->context, &event, NULL)) S_die("append");
  }
}

static void S_hash(uint32_t count) {
  double ours = -1;
  char proof[64];
  for (int round = 0; round < 5; round++) {
    fb_journal *journal = S_open(true, true);
    double took = 0;
    for (uint32_t i = 0; i < count; i += 64) {
      S_fill(journal, i, i + 64);
      double start = S_clock(CLOCK_PROCESS_CPUTIME_ID);
      if (!journal->seal(journal->context) || journal->commit(journal->context, NULL))
        S_die("commit");
      took += S_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
    }
    if (ours < 0 || took < ours) ours = took;
    fb_journal_log_close(journal);
  }
  snprintf(proof, sizeof proof, "\"steps\":%u,\"events\":%u", count, 2 * count);
  S_print("hash-chain", ours * 1e6 / count, -1, NULL, "us CPU/step, written too", 2, false, proof);
}

static void S_verify(uint32_t events) {
  double ours = -1;
  char proof[64];
  fb_audit_report report = {0};
  fb_journal *journal = S_open(true, true);
  for (uint32_t i = 0; i < events / 2; i += 1000) {
    S_fill(journal, i, i + 1000);
    if (!journal->seal(journal->context) || journal->commit(journal->context, NULL))
      S_die("commit");
  }
  fb_journal_log_close(journal);
  for (int i = 0; i < 5; i++) {
    double start = S_clock(CLOCK_PROCESS_CPUTIME_ID);
    if (fb_journal_verify(S_path, NULL, NULL, NULL, NULL, NULL, &report, NULL) || report.wrong)
      S_die("verify");
    double took = S_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
    if (ours < 0 || took < ours) ours = took;
  }
  snprintf(proof, sizeof proof, "\"events\":%llu,\"bytes\":%llu", (unsigned long long)report.events,
           (unsigned long long)report.bytes);
  S_print("verify", (double)report.events / ours / 1e6, -1, NULL, "million events/s CPU", 1, true,
          proof);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: bench-durable BUILD\n");
    return 2;
  }
  snprintf(S_path, sizeof S_path, "%s/bench-journal", argv[1]);
  S_chain(1000);
  S_fan(10000);
  S_command(500, 1);
  S_command(1000, 8);
  S_resume(10000);
  S_hash(64000);
  S_verify(1000000);
  unlink(S_path);
  return 0;
}
