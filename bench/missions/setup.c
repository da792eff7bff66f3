/* SPDX-License-Identifier: Apache-2.0 */
#include "setup.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

double fb_bm_clock(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double S_used(int who) {
  struct rusage use;
  getrusage(who, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

double fb_bm_cpu(void) {
  return S_used(RUSAGE_SELF) + S_used(RUSAGE_CHILDREN);
}

void fb_bm_die(const char *what) {
  fprintf(stderr, "bench/missions: %s failed\n", what);
  exit(1);
}

void fb_bm_load(fb_bm_mission *loaded, uint32_t count, bool chain, const fb_allocator *allocator) {
  fb_doc_options options = {.max_nodes = 20000000, .max_length = 1 << 30};
  fb_buf *text = &loaded->text;
  fb_buf_init(text, NULL, 0);
  fb_buf_text(text, "{\"name\":\"bench\",\"steps\":[");
  for (uint32_t i = 0; i < count; i++) {
    fb_buf_printf(text, "%s{\"id\":\"s%u\",\"run\":[\"/bin/true\"]", i ? "," : "", i);
    if (chain && i) fb_buf_printf(text, ",\"needs\":[\"s%u\"]", i - 1);
    fb_buf_char(text, '}');
  }
  fb_buf_text(text, "]}");
  if (fb_doc_read_json(fb_buf_slice(text), "bench.json", &options, &loaded->doc, NULL) ||
      fb_mission_load(loaded->doc, NULL, allocator, &loaded->mission, NULL))
    fb_bm_die("loading");
}

void fb_bm_unload(fb_bm_mission *loaded) {
  fb_mission_free(loaded->mission);
  fb_doc_free(loaded->doc);
  fb_buf_release(&loaded->text);
}

void fb_bm_print(const fb_bm_row *row) {
  bool met = row->limit > 0 ? row->least ? row->ours >= row->limit : row->ours <= row->limit
                            : row->ratio > 0 && row->ratio <= row->reach;
  const char *verdict = row->limit <= 0 && row->ratio <= 0 ? "not measured"
                        : met                              ? "met"
                                                           : "missed";
  printf("{\"bench\":\"%s\",\"workload\":\"%s\",\"ours\":%.3f,", row->bench, row->workload,
         row->ours);
  if (row->ratio > 0)
    printf("\"peer\":%.3f,\"peer_name\":\"%s\",\"unit\":\"%s\",\"ratio\":%.3f,", row->peer,
           row->peer_name, row->unit, row->ratio);
  else
    printf("\"peer\":null,\"peer_name\":\"%s\",\"unit\":\"%s\",\"ratio\":null,",
           row->peer_name ? row->peer_name : "none", row->unit);
  printf("\"reach\":%.3f,\"verdict\":\"%s\",%s}\n", row->limit > 0 ? row->limit : row->reach,
         verdict, row->proof);
  fflush(stdout);
}

/* ── In turn ─────────────────────────────────────────────────────────────────────────────────── */

void fb_bm_take(fb_bm_pair *pair, double ours, double peer) {
  if (pair->count == sizeof pair->ours / sizeof *pair->ours) fb_bm_die("room for rounds");
  pair->ours[pair->count] = ours;
  pair->peer[pair->count++] = peer;
}

static int S_by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double S_median(double *values, uint32_t count) {
  qsort(values, count, sizeof *values, S_by_size);
  return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

void fb_bm_row_of(fb_bm_pair *pair, fb_bm_row *row) {
  double ratios[sizeof pair->ours / sizeof *pair->ours];
  for (uint32_t i = 0; i < pair->count; i++) ratios[i] = pair->ours[i] / pair->peer[i];
  row->ratio = S_median(ratios, pair->count);
  row->ours = S_median(pair->ours, pair->count);
  row->peer = S_median(pair->peer, pair->count);
}

double fb_bm_spawn_floor(uint32_t count, uint32_t parallel) {
  char *argv[] = {"/bin/true", NULL};
  uint32_t live = 0, started = 0;
  int status;
  double start = fb_bm_clock(CLOCK_MONOTONIC);
  while (started < count || live) {
    while (started < count && live < parallel) {
      pid_t pid;
      if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ)) fb_bm_die("posix_spawn");
      started++;
      live++;
    }
    if (waitpid(-1, &status, 0) > 0) live--;
  }
  return (fb_bm_clock(CLOCK_MONOTONIC) - start) / count;
}

void fb_bm_beside_spawn(const char *bench, const char *workload, uint32_t count, uint32_t parallel,
                        double (*ours)(const fb_bm_mission *loaded, uint32_t parallel)) {
  fb_bm_mission loaded;
  fb_bm_pair wall = {.count = 0}, cpu = {.count = 0};
  char proof[160];
  fb_bm_load(&loaded, count, parallel == 1, NULL);
  for (int i = 0; i < 15; i++) {
    double start = fb_bm_cpu(), a = ours(&loaded, parallel) * 1e6 / count;
    double between = fb_bm_cpu(), b = fb_bm_spawn_floor(count, parallel) * 1e6;
    fb_bm_take(&wall, a, b);
    fb_bm_take(&cpu, (between - start) * 1e6 / count, (fb_bm_cpu() - between) * 1e6 / count);
  }
  fb_bm_row row = {bench, workload, "posix_spawn floor in C", "us/step", proof, .reach = 1.10};
  fb_bm_row used = row;
  fb_bm_row_of(&wall, &row);
  fb_bm_row_of(&cpu, &used);
  snprintf(proof, sizeof proof,
           "\"steps\":%u,\"us_cpu\":%.1f,\"peer_us_cpu\":%.1f,\"ratio_cpu\":%.3f", count, used.ours,
           used.peer, used.ratio);
  fb_bm_print(&row);
  fb_bm_unload(&loaded);
}
