/* SPDX-License-Identifier: Apache-2.0
 *
 * What a mission costs: bench-missions BUILD. Prints one JSON object a line (bench/README.md).
 *   check    `flyball check` of N steps, as a process, beside `ninja -n` over the same graph
 *   noop     a step that does nothing, in a world in memory: all that the scheduler costs
 *   command  a step that runs /bin/true, beside posix_spawn and waitpid and nothing else
 *   memory   the most that a run of N steps holds
 */
#include "mission/world_script.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double S_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double S_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void S_die(const char *what) {
  fprintf(stderr, "bench-missions: %s failed\n", what);
  exit(1);
}

/* peer < 0: not measured. reach: ours/peer may be at most that; limit: ours may be at most that (0: none). */
static void S_print(const char *bench, const char *workload, double ours, double peer,
                    const char *peer_name, const char *unit, double reach, double limit,
                    const char *proof) {
  const char *verdict = "not measured";
  double ratio = peer > 0 ? ours / peer : 0;
  if (limit > 0)
    verdict = ours <= limit ? "met" : "missed";
  else if (peer > 0)
    verdict = ratio <= reach ? "met" : "missed";
  printf("{\"bench\":\"%s\",\"workload\":\"%s\",\"ours\":%.3f,", bench, workload, ours);
  if (peer > 0)
    printf("\"peer\":%.3f,\"peer_name\":\"%s\",\"unit\":\"%s\",\"ratio\":%.3f,", peer, peer_name,
           unit, ratio);
  else
    printf("\"peer\":null,\"peer_name\":\"%s\",\"unit\":\"%s\",\"ratio\":null,", peer_name, unit);
  printf("\"reach\":%.3f,\"verdict\":\"%s\",%s}\n", limit > 0 ? limit : reach, verdict, proof);
  fflush(stdout);
}

static void S_mission_text(fb_buf *out, uint32_t count, bool chain, const char *action) {
  fb_buf_text(out, "name: bench\nsteps:\n");
  for (uint32_t i = 0; i < count; i++) {
    fb_buf_printf(out, "  - id: s%u\n    %s\n", i, action);
    if (chain && i) fb_buf_printf(out, "    needs: [s%u]\n", i - 1);
  }
  if (out->failed) S_die("memory");
}

typedef struct S_loaded {
  fb_buf text;
  fb_doc *doc;
  fb_mission *mission;
} S_loaded;

/* As JSON: large documents are, and its reader is not what is measured. */
static void S_mission_json(fb_buf *out, uint32_t count, bool chain) {
  fb_buf_text(out, "{\"name\":\"bench\",\"steps\":[");
  for (uint32_t i = 0; i < count; i++) {
    fb_buf_printf(out, "%s{\"id\":\"s%u\",\"run\":[\"/bin/true\"]", i ? "," : "", i);
    if (chain && i) fb_buf_printf(out, ",\"needs\":[\"s%u\"]", i - 1);
    fb_buf_char(out, '}');
  }
  fb_buf_text(out, "]}");
  if (out->failed) S_die("memory");
}

static void S_load(S_loaded *loaded, uint32_t count, bool chain, const fb_allocator *allocator) {
  fb_buf_init(&loaded->text, NULL, 0);
  fb_doc_options options = {.max_nodes = 20000000, .max_length = 1 << 30};
  S_mission_json(&loaded->text, count, chain);
  if (fb_doc_read_json(fb_buf_slice(&loaded->text), "bench.json", &options, &loaded->doc, NULL) ||
      fb_mission_load(loaded->doc, NULL, allocator, &loaded->mission, NULL))
    S_die("loading");
}

static void S_unload(S_loaded *loaded) {
  fb_mission_free(loaded->mission);
  fb_doc_free(loaded->doc);
  fb_buf_release(&loaded->text);
}

/* ── check ───────────────────────────────────────────────────────────────────────────────────── */

static void S_file(const char *path, fb_slice text) {
  FILE *file = fopen(path, "w");
  if (!file || fwrite(text.ptr, 1, text.len, file) != text.len || fclose(file)) S_die(path);
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
  if (!mkdtemp(dir)) S_die("mkdtemp");
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
  if (a < 0) S_die("flyball check");
  snprintf(workload, sizeof workload, "check-%u", count);
  snprintf(proof, sizeof proof, "\"steps\":%u", count);
  S_print("missions", workload, a, b, "ninja -n", "ms CPU", reach, limit, proof);
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

/* ── noop ────────────────────────────────────────────────────────────────────────────────────── */

static void S_noop(uint32_t count, bool chain) {
  S_loaded loaded;
  double least = -1;
  char workload[64], proof[64];
  uint32_t started = 0;
  S_load(&loaded, count, chain, NULL);
  for (int i = 0; i < 3; i++) {
    fb_script_world *world;
    fb_mission_run *run;
    fb_mission_run_options options = {.parallel = 8};
    if (fb_script_world_new(NULL, NULL, NULL, &world)) S_die("memory");
    double start = S_cpu();
    if (fb_mission_run_new(loaded.mission, fb_script_world_face(world), &options, NULL, &run, NULL))
      S_die("run");
    if (fb_mission_run_wait(run) != FB_MISSION_OK) S_die("run");
    double took = (S_cpu() - start) * 1e6 / count;
    if (least < 0 || took < least) least = took;
    started = fb_script_world_counts(world).started;
    fb_mission_run_free(run);
    fb_script_world_free(world);
  }
  snprintf(workload, sizeof workload, "noop-%s-%u", chain ? "chain" : "fan", count);
  snprintf(proof, sizeof proof, "\"steps\":%u", started);
  S_print("missions", workload, least, -1, "none", "us CPU/step", 0, 2, proof);
  S_unload(&loaded);
}

/* ── command ─────────────────────────────────────────────────────────────────────────────────── */

static double S_floor(uint32_t count, uint32_t parallel) {
  char *argv[] = {"/bin/true", NULL};
  uint32_t live = 0, started = 0;
  int status;
  double start = S_now();
  while (started < count || live) {
    while (started < count && live < parallel) {
      pid_t pid;
      if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ)) S_die("posix_spawn");
      started++;
      live++;
    }
    if (waitpid(-1, &status, 0) > 0) live--;
  }
  return (S_now() - start) * 1e6 / count;
}

static double S_ours(const S_loaded *loaded, uint32_t count, uint32_t parallel) {
  char dir[] = "/tmp/flyball-bench-XXXXXX";
  fb_world *world;
  fb_mission_run *run;
  if (!mkdtemp(dir)) S_die("mkdtemp");
  fb_uv_options uv = {.run_dir = dir};
  fb_mission_run_options options = {.parallel = parallel, .env = (const char *const *)environ};
  if (fb_world_uv_new(NULL, &uv, &world, NULL)) S_die("world");
  double start = S_now();
  if (fb_mission_run_new(loaded->mission, world, &options, NULL, &run, NULL)) S_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) S_die("run");
  double took = (S_now() - start) * 1e6 / count;
  fb_mission_run_free(run);
  fb_world_uv_free(world);
  rmdir(dir);
  return took;
}

static void S_command(uint32_t count, uint32_t parallel) {
  S_loaded loaded;
  double ours = -1, theirs = -1;
  char workload[64], proof[64];
  S_load(&loaded, count, parallel == 1, NULL);
  for (int i = 0; i < 5; i++) { /* in turn, so that both meet the same machine */
    double a = S_floor(count, parallel), b = S_ours(&loaded, count, parallel);
    if (theirs < 0 || a < theirs) theirs = a;
    if (ours < 0 || b < ours) ours = b;
  }
  snprintf(workload, sizeof workload, "command-%u-at-once", parallel);
  snprintf(proof, sizeof proof, "\"steps\":%u", count);
  S_print("missions", workload, ours, theirs, "posix_spawn floor in C", "us/step", 1.10, 0, proof);
  S_unload(&loaded);
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
  S_loaded loaded;
  fb_script_world *world;
  fb_mission_run *run;
  char workload[64], proof[64];
  S_load(&loaded, count, true, &allocator);
  if (fb_script_world_new(NULL, NULL, NULL, &world)) S_die("memory");
  if (fb_mission_run_new(loaded.mission, fb_script_world_face(world), NULL, &allocator, &run, NULL))
    S_die("run");
  if (fb_mission_run_wait(run) != FB_MISSION_OK) S_die("run");
  fb_mission_run_free(run);
  S_unload(&loaded);
  fb_script_world_free(world);
  snprintf(workload, sizeof workload, "memory-%u", count);
  snprintf(proof, sizeof proof, "\"steps\":%u,\"left\":%zu", count, meter.held);
  S_print("missions", workload, (double)meter.peak / (1 << 20), -1, "none", "MiB", 0, 8, proof);
}

int main(int argc, char **argv) {
  char flyball[4096];
  if (argc != 2) {
    fprintf(stderr, "usage: bench-missions BUILD\n");
    return 2;
  }
  snprintf(flyball, sizeof flyball, "%s/flyball", argv[1]);
  S_check(flyball, 1000, 2.0, 0);
  S_check(flyball, 10000, 0, 40);
  S_noop(10000, true);
  S_noop(10000, false);
  S_noop(100000, true);
  S_noop(100000, false);
  S_noop(1000000, true);
  S_noop(1000000, false);
  S_command(1000, 1);
  S_command(1000, 8);
  S_memory(10000);
  return 0;
}
