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
#include "setup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static char S_path[4096]; /* of the journal */

static fb_journal *S_open(bool unsynced, bool fresh) {
  fb_journal *journal = NULL;
  fb_journal_log_options options = {.salt = 7, .unsynced = unsynced};
  if (fresh) unlink(S_path);
  if (fb_journal_log_open(S_path, &options, NULL, &journal, NULL)) fb_bm_die("the journal");
  return journal;
}

/* ── Steps that cost nothing but their record ────────────────────────────────────────────────── */

/* Seconds of wall time. */
static double S_imitated(const fb_bm_mission *loaded, uint32_t parallel, bool unsynced) {
  fb_script_world *world;
  fb_mission_run *run;
  fb_journal *journal = S_open(unsynced, true);
  fb_mission_run_options options = {.parallel = parallel, .journal = journal};
  if (fb_script_world_new(NULL, NULL, NULL, &world)) fb_bm_die("memory");
  double start = fb_bm_clock(CLOCK_MONOTONIC);
  if (fb_mission_run_new(loaded->mission, fb_script_world_face(world), &options, NULL, &run, NULL))
    fb_bm_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) fb_bm_die("run");
  double took = fb_bm_clock(CLOCK_MONOTONIC) - start;
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
  if (fd < 0 || posix_fallocate(fd, 0, (off_t)count * 160)) fb_bm_die("the floor");
  double start = fb_bm_clock(CLOCK_MONOTONIC);
  for (uint32_t i = 0; i < count; i++)
    if (pwrite(fd, record, sizeof record, (off_t)i * 160) != 160 || fdatasync(fd))
      fb_bm_die("the floor");
  double took = fb_bm_clock(CLOCK_MONOTONIC) - start;
  close(fd);
  unlink(path);
  return took;
}

/* One without a peer. */
static void S_print(const char *workload, double ours, const char *unit, double limit, bool least,
                    const char *proof) {
  fb_bm_row row = {"missions.durable", workload,      NULL, unit, proof, ours,
                   .limit = limit,     .least = least};
  fb_bm_print(&row);
}

static void S_chain(uint32_t count) {
  fb_bm_mission loaded;
  fb_bm_pair pair = {.count = 0};
  char proof[64];
  fb_bm_load(&loaded, count, true, NULL);
  for (int i = 0; i < 7; i++)
    fb_bm_take(&pair, S_imitated(&loaded, 8, false) * 1e6 / count,
               S_sync_floor(count) * 1e6 / count);
  snprintf(proof, sizeof proof, "\"steps\":%u", count);
  fb_bm_row row = {"missions.durable", "durable-chain", "one fdatasync a step in C",
                   "us/step",          proof,           .reach = 1.25};
  fb_bm_row_of(&pair, &row);
  fb_bm_print(&row);
  fb_bm_unload(&loaded);
}

/* Wall and processor time: the first has the disk in it. */
static void S_fan(uint32_t count) {
  fb_bm_mission loaded;
  double wall = -1, cpu = -1;
  char proof[96];
  fb_bm_load(&loaded, count, false, NULL);
  for (int i = 0; i < 5; i++) {
    double before = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID);
    double took = S_imitated(&loaded, 256, false);
    double used = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID) - before;
    if (wall < 0 || took < wall) wall = took;
    if (cpu < 0 || used < cpu) cpu = used;
  }
  snprintf(proof, sizeof proof, "\"steps\":%u,\"at_once\":256,\"us_cpu\":%.3f", count,
           cpu * 1e6 / count);
  S_print("durable-fan", wall * 1e6 / count, "us/step", 12, false, proof);
  fb_bm_unload(&loaded);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────── */

static double S_commands(const fb_bm_mission *loaded, uint32_t parallel) {
  char dir[4100];
  fb_world *world;
  fb_mission_run *run;
  snprintf(dir, sizeof dir, "%s.out", S_path);
  fb_uv_options uv = {.run_dir = dir};
  fb_journal *journal = S_open(false, true);
  fb_mission_run_options options = {.parallel = parallel,
                                    .env = (const char *const *)environ,
                                    .journal = journal,
                                    .boot = "bench"};
  if (fb_world_uv_new(NULL, &uv, &world, NULL)) fb_bm_die("world");
  double start = fb_bm_clock(CLOCK_MONOTONIC);
  if (fb_mission_run_new(loaded->mission, world, &options, NULL, &run, NULL)) fb_bm_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) fb_bm_die("run");
  double took = fb_bm_clock(CLOCK_MONOTONIC) - start;
  fb_mission_run_free(run);
  fb_world_uv_free(world);
  fb_journal_log_close(journal);
  rmdir(dir);
  return took;
}

/* ── Reading ─────────────────────────────────────────────────────────────────────────────────── */

static void S_resume(uint32_t count) {
  fb_bm_mission loaded;
  double ours = -1;
  uint32_t started = 0;
  char workload[64], proof[64];
  fb_bm_load(&loaded, count, true, NULL);
  S_imitated(&loaded, 8, true);
  for (int i = 0; i < 7; i++) {
    fb_script_world *world;
    fb_mission_run *run;
    if (fb_script_world_new(NULL, NULL, NULL, &world)) fb_bm_die("memory");
    double start = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID);
    fb_journal *journal = S_open(true, false);
    fb_mission_run_options options = {.journal = journal};
    if (fb_mission_run_new(loaded.mission, fb_script_world_face(world), &options, NULL, &run,
                           NULL) ||
        fb_mission_run_wait(run) != FB_MISSION_OK)
      fb_bm_die("resume");
    double took = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
    if (ours < 0 || took < ours) ours = took;
    started += fb_script_world_counts(world).started;
    fb_mission_run_free(run);
    fb_script_world_free(world);
    fb_journal_log_close(journal);
  }
  snprintf(workload, sizeof workload, "resume-%u", count);
  snprintf(proof, sizeof proof, "\"steps\":%u,\"run_again\":%u", count, started);
  S_print(workload, ours * 1e3, "ms CPU", 15, false, proof);
  fb_bm_unload(&loaded);
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
    if (journal->append(journal->context, &event, NULL)) fb_bm_die("append");
    event.kind = FB_EVENT_STEP_ENDED;
    event.payload = (fb_slice){payload, sizeof payload};
    if (journal->append(journal->context, &event, NULL)) fb_bm_die("append");
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
      double start = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID);
      if (!journal->seal(journal->context) || journal->commit(journal->context, NULL))
        fb_bm_die("commit");
      took += fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
    }
    if (ours < 0 || took < ours) ours = took;
    fb_journal_log_close(journal);
  }
  snprintf(proof, sizeof proof, "\"steps\":%u,\"events\":%u", count, 2 * count);
  S_print("hash-chain", ours * 1e6 / count, "us CPU/step, written too", 2, false, proof);
}

static void S_verify(uint32_t events) {
  double ours = -1;
  char proof[64];
  fb_audit_report report = {0};
  fb_journal *journal = S_open(true, true);
  for (uint32_t i = 0; i < events / 2; i += 1000) {
    S_fill(journal, i, i + 1000);
    if (!journal->seal(journal->context) || journal->commit(journal->context, NULL))
      fb_bm_die("commit");
  }
  fb_journal_log_close(journal);
  for (int i = 0; i < 5; i++) {
    double start = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID);
    if (fb_journal_verify(S_path, NULL, NULL, NULL, NULL, NULL, &report, NULL) || report.wrong)
      fb_bm_die("verify");
    double took = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
    if (ours < 0 || took < ours) ours = took;
  }
  snprintf(proof, sizeof proof, "\"events\":%llu,\"bytes\":%llu", (unsigned long long)report.events,
           (unsigned long long)report.bytes);
  S_print("verify", (double)report.events / ours / 1e6, "million events/s CPU", 1, true, proof);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: bench-durable BUILD\n");
    return 2;
  }
  snprintf(S_path, sizeof S_path, "%s/bench-journal", argv[1]);
  S_chain(1000);
  S_fan(10000);
  fb_bm_beside_spawn("missions.durable", "command-1-at-once-journal", 200, 1, S_commands);
  fb_bm_beside_spawn("missions.durable", "command-8-at-once-journal", 400, 8, S_commands);
  S_resume(10000);
  S_hash(64000);
  S_verify(1000000);
  unlink(S_path);
  return 0;
}
