/* SPDX-License-Identifier: Apache-2.0
 *
 * What a mission costs: bench-missions BUILD. Prints one JSON object a line (bench/README.md).
 *   start    `flyball version`, `check` and `run` of two steps, from exec to exit, beside /bin/true
 *   check    `flyball check` of N steps, as a process, beside `ninja -n` over the same graph
 *   noop     a step that does nothing, in a world in memory: all that the scheduler costs
 *   command  a step that runs /bin/true, beside posix_spawn and waitpid and nothing else
 *   memory   the most that a run of N steps holds
 */
#include "setup.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void S_mission_text(fb_buf *out, uint32_t count, bool chain, const char *action) {
  fb_buf_text(out, "name: bench\nsteps:\n");
  for (uint32_t i = 0; i < count; i++) {
    fb_buf_printf(out, "  - id: s%u\n    %s\n", i, action);
    if (chain && i) fb_buf_printf(out, "    needs: [s%u]\n", i - 1);
  }
  if (out->failed) fb_bm_die("memory");
}

/* One without a peer. */
static void S_print(const char *workload, double ours, const char *unit, double limit,
                    const char *proof) {
  fb_bm_row row = {"missions", workload, NULL, unit, proof, ours, .limit = limit};
  fb_bm_print(&row);
}

/* ── check ───────────────────────────────────────────────────────────────────────────────────── */

static void S_file(const char *path, fb_slice text) {
  FILE *file = fopen(path, "w");
  if (!file || fwrite(text.ptr, 1, text.len, file) != text.len || fclose(file)) fb_bm_die(path);
}

/* The least CPU time of some runs, in ms; -1 when it cannot be run or fails. */
static double S_process(char *const *argv, int rounds) {
  double least = -1;
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
  posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", 1, 0);
  for (int i = 0; i < rounds; i++) {
    pid_t pid;
    int status;
    struct rusage use;
    if (posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) != 0) break;
    if (wait4(pid, &status, 0, &use) < 0 || status != 0) break;
    double took = 1e3 * (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                  1e-3 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    if (least < 0 || took < least) least = took;
  }
  posix_spawn_file_actions_destroy(&quiet);
  return least;
}

static void S_check(const char *flyball, uint32_t count, double reach, double limit) {
  char dir[] = "/tmp/flyball-bench-XXXXXX", mission[64], ninja[64], workload[64], proof[64];
  fb_buf text;
  if (!mkdtemp(dir)) fb_bm_die("mkdtemp");
  snprintf(mission, sizeof mission, "%s/m.yaml", dir);
  snprintf(ninja, sizeof ninja, "%s/build.ninja", dir);
  fb_buf_init(&text, NULL, 0);
  S_mission_text(&text, count, true, "run: [/bin/true]");
  S_file(mission, fb_buf_slice(&text));
  fb_buf_clear(&text);
  fb_buf_text(&text, "rule t\n  command = /bin/true\n");
  for (uint32_t i = 0; i < count; i++)
    i ? fb_buf_printf(&text, "build s%u: t s%u\n", i, i - 1) : fb_buf_text(&text, "build s0: t\n");
  S_file(ninja, fb_buf_slice(&text));
  char *ours[] = {(char *)flyball, "check", mission, NULL};
  char *theirs[] = {"ninja", "-f", ninja, "-C", dir, "-n", NULL};
  double a = S_process(ours, 7), b = S_process(theirs, 7);
  if (a < 0) fb_bm_die("flyball check");
  snprintf(workload, sizeof workload, "check-%u", count);
  snprintf(proof, sizeof proof, "\"steps\":%u", count);
  fb_bm_row row = {
      "missions",     workload,      "ninja -n", "ms CPU", proof, a, b, .ratio = b > 0 ? a / b : 0,
      .reach = reach, .limit = limit};
  fb_bm_print(&row);
  unlink(mission);
  unlink(ninja);
  char log[64];
  snprintf(log, sizeof log, "%s/.ninja_log", dir);
  unlink(log);
  snprintf(log, sizeof log, "%s/.ninja_deps", dir);
  unlink(log);
  rmdir(dir);
  fb_buf_release(&text);
}

/* ── start ───────────────────────────────────────────────────────────────────────────────────── */

/* From exec to exit, in ms of processor time: a busy machine leaves that alone. */
static double S_start(char *const *argv) {
  posix_spawn_file_actions_t quiet;
  pid_t pid;
  int status;
  struct rusage use;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0);
  posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", 1, 0);
  if (posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) != 0) fb_bm_die(argv[0]);
  if (wait4(pid, &status, 0, &use) != pid || status != 0) fb_bm_die(argv[0]);
  double took = 1e3 * (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                1e-3 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
  posix_spawn_file_actions_destroy(&quiet);
  return took;
}

static void S_started(const char *workload, char *const *argv, double reach, double limit) {
  fb_bm_pair pair = {.count = 0};
  char *floor[] = {"/bin/true", NULL};
  for (int i = 0; i < 61; i++) fb_bm_take(&pair, S_start(argv), S_start(floor));
  fb_bm_row row = {"missions",    workload,       "/bin/true",   "ms CPU",
                   "\"runs\":61", .reach = reach, .limit = limit};
  fb_bm_row_of(&pair, &row);
  fb_bm_print(&row);
}

/* RustChain's first mission: two steps that say something. */
static void S_hello(char *flyball) {
  char dir[] = "/tmp/flyball-bench-XXXXXX", path[64];
  if (!mkdtemp(dir)) fb_bm_die("mkdtemp");
  snprintf(path, sizeof path, "%s/hello.yaml", dir);
  setenv("XDG_STATE_HOME", dir, 1);
  S_file(path, FB_SLICE("name: hello\nsteps:\n  - {id: one, run: [echo, hello]}\n"
                        "  - {id: two, run: [echo, world], needs: one}\n"));
  S_started("cold-start", (char *[]){flyball, "version", NULL}, 1.5, 0);
  S_started("hello-version", (char *[]){flyball, "version", NULL}, 0, 3);
  S_started("hello-check", (char *[]){flyball, "check", path, NULL}, 0, 4);
  S_started("hello-run", (char *[]){flyball, "run", "-q", path, NULL}, 0, 5);
  unlink(path);
}

/* ── noop ────────────────────────────────────────────────────────────────────────────────────── */

static void S_noop(uint32_t count, bool chain) {
  fb_bm_mission loaded;
  double least = -1;
  char workload[64], proof[64];
  uint32_t started = 0;
  fb_bm_load(&loaded, count, chain, NULL);
  for (int i = 0; i < 3; i++) {
    fb_script_world *world;
    fb_mission_run *run;
    fb_mission_run_options options = {.parallel = 8};
    if (fb_script_world_new(NULL, NULL, NULL, &world)) fb_bm_die("memory");
    double start = fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID);
    if (fb_mission_run_new(loaded.mission, fb_script_world_face(world), &options, NULL, &run, NULL))
      fb_bm_die("run");
    if (fb_mission_run_wait(run) != FB_MISSION_OK) fb_bm_die("run");
    double took = (fb_bm_clock(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e6 / count;
    if (least < 0 || took < least) least = took;
    started = fb_script_world_counts(world).started;
    fb_mission_run_free(run);
    fb_script_world_free(world);
  }
  snprintf(workload, sizeof workload, "noop-%s-%u", chain ? "chain" : "fan", count);
  snprintf(proof, sizeof proof, "\"steps\":%u", started);
  S_print(workload, least, "us CPU/step", 2, proof);
  fb_bm_unload(&loaded);
}

/* ── command ─────────────────────────────────────────────────────────────────────────────────── */

static double S_ours(const fb_bm_mission *loaded, uint32_t parallel) {
  char dir[] = "/tmp/flyball-bench-XXXXXX";
  fb_world *world;
  fb_mission_run *run;
  if (!mkdtemp(dir)) fb_bm_die("mkdtemp");
  fb_uv_options uv = {.run_dir = dir};
  fb_mission_run_options options = {.parallel = parallel, .env = (const char *const *)environ};
  if (fb_world_uv_new(NULL, &uv, &world, NULL)) fb_bm_die("world");
  double start = fb_bm_clock(CLOCK_MONOTONIC);
  if (fb_mission_run_new(loaded->mission, world, &options, NULL, &run, NULL)) fb_bm_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) fb_bm_die("run");
  double took = fb_bm_clock(CLOCK_MONOTONIC) - start;
  fb_mission_run_free(run);
  fb_world_uv_free(world);
  rmdir(dir);
  return took;
}

/* ── memory ──────────────────────────────────────────────────────────────────────────────────── */

typedef struct S_meter {
  size_t held, peak;
} S_meter;

static void *S_metered(void *context, void *ptr, size_t old_size, size_t size) {
  S_meter *meter = context;
  void *moved = NULL;
  if (size) {
    moved = realloc(ptr, size);
    if (!moved) return NULL;
  } else {
    free(ptr);
  }
  meter->held += size - (ptr ? old_size : 0);
  if (meter->held > meter->peak) meter->peak = meter->held;
  return moved;
}

static void S_memory(uint32_t count) {
  S_meter meter = {0};
  fb_allocator allocator = {S_metered, &meter};
  fb_bm_mission loaded;
  fb_script_world *world;
  fb_mission_run *run;
  char workload[64], proof[64];
  fb_bm_load(&loaded, count, true, &allocator);
  if (fb_script_world_new(NULL, NULL, NULL, &world)) fb_bm_die("memory");
  if (fb_mission_run_new(loaded.mission, fb_script_world_face(world), NULL, &allocator, &run, NULL))
    fb_bm_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) fb_bm_die("run");
  fb_mission_run_free(run);
  fb_bm_unload(&loaded);
  fb_script_world_free(world);
  snprintf(workload, sizeof workload, "memory-%u", count);
  snprintf(proof, sizeof proof, "\"steps\":%u,\"left\":%zu", count, meter.held);
  S_print(workload, (double)meter.peak / (1 << 20), "MiB", 8, proof);
}

int main(int argc, char **argv) {
  char flyball[4096];
  if (argc != 2) {
    fprintf(stderr, "usage: bench-missions BUILD\n");
    return 2;
  }
  snprintf(flyball, sizeof flyball, "%s/flyball", argv[1]);
  S_hello(flyball);
  S_check(flyball, 1000, 2.0, 0);
  S_check(flyball, 10000, 0, 40);
  S_noop(10000, true);
  S_noop(10000, false);
  S_noop(100000, true);
  S_noop(100000, false);
  S_noop(1000000, true);
  S_noop(1000000, false);
  fb_bm_beside_spawn("missions", "command-1-at-once", 200, 1, S_ours);
  fb_bm_beside_spawn("missions", "command-8-at-once", 400, 8, S_ours);
  S_memory(10000);
  return 0;
}
