/* SPDX-License-Identifier: Apache-2.0
 * The line that tells how far the reading is. */
#include "cli/progress.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST INT64_C(500000000) /* what is done by then needs no line */
#define EVERY INT64_C(200000000)

static int64_t S_now(void) {
  const fb_clock *clock = fb_clock_system();
  return clock->mono(clock->context);
}

void fb_progress_begin(fb_progress *progress, const fb_cli *cli, uint64_t total) {
  const char *term = getenv("TERM");
  *progress = (fb_progress){.total = total};
  progress->on = cli->terminal_err && !cli->json && !isatty(STDOUT_FILENO) && term &&
                 strcmp(term, "dumb") != 0;
  if (!progress->on) return;
  progress->start = S_now();
  progress->next = progress->start + FIRST;
}

static void S_amount(char out[24], double bytes) {
  static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  for (; bytes >= 999.5 && unit < 4; unit++) bytes /= 1000;
  snprintf(out, 24, bytes < 99.5 && unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void S_left(char out[40], uint64_t total, uint64_t bytes, double rate) {
  double left = total > bytes && rate > 0 ? (double)(total - bytes) / rate : 0;
  uint64_t seconds = left < 359999 ? (uint64_t)(left + 0.999) : 359999;
  if (seconds < 3600)
    snprintf(out, 40, "%u:%02u left", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
  else
    snprintf(out, 40, "%u:%02u:%02u left", (unsigned)(seconds / 3600),
             (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
}

void fb_progress_show(fb_progress *progress, uint64_t bytes, uint64_t records) {
  if (!progress->on) return;
  int64_t now = S_now();
  if (now < progress->next) return;
  progress->next = now + EVERY;
  double seconds = (double)(now - progress->start) / 1e9, rate = (double)bytes / seconds;
  char done[24], speed[24], total[24], left[40], line[200];
  S_amount(done, (double)bytes);
  S_amount(speed, rate);
  int len = snprintf(line, sizeof line, "\r%llu records  %.0f/s  %s", (unsigned long long)records,
                     (double)records / seconds, done);
  if (progress->total) {
    S_amount(total, (double)progress->total);
    S_left(left, progress->total, bytes, rate);
    len +=
        snprintf(line + len, sizeof line - (size_t)len, " of %s (%.0f %%)  %s/s  %s", total,
                 bytes < progress->total ? 100.0 * (double)bytes / (double)progress->total : 100.0,
                 speed, left);
  } else {
    len += snprintf(line + len, sizeof line - (size_t)len, "  %s/s", speed);
  }
  fprintf(stderr, "%.*s\033[K", len, line);
  fflush(stderr);
  progress->shown = true;
}

void fb_progress_hide(fb_progress *progress) {
  if (!progress->shown) return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  progress->shown = false;
}

static bool S_add_size(int status, const struct stat *info, uint64_t *total) {
  if (status != 0 || !S_ISREG(info->st_mode)) return false;
  *total += (uint64_t)info->st_size;
  return true;
}

uint64_t fb_progress_total(const fb_cli *cli) {
  struct stat info;
  uint64_t total = 0;
  for (size_t i = 0; i < cli->operand_count; i++) {
    const char *path = cli->operands[i];
    int status = strcmp(path, "-") ? stat(path, &info) : fstat(STDIN_FILENO, &info);
    if (!S_add_size(status, &info, &total)) return 0;
  }
  if (!cli->operand_count && !S_add_size(fstat(STDIN_FILENO, &info), &info, &total)) return 0;
  return total;
}
