/* SPDX-License-Identifier: Apache-2.0
 * What this process itself takes, and an allocator that counts. */
#include <flyball/proof.h>

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const struct {
  uint64_t config;
  fb_measure measure;
} S_events[] = {
    {PERF_COUNT_HW_INSTRUCTIONS, FB_MEASURE_INSTRUCTIONS},
    {PERF_COUNT_HW_CPU_CYCLES, FB_MEASURE_CYCLES},
    {PERF_COUNT_HW_CACHE_MISSES, FB_MEASURE_CACHE_MISSES},
    {PERF_COUNT_HW_BRANCH_MISSES, FB_MEASURE_BRANCH_MISSES},
};
enum { EVENTS = sizeof S_events / sizeof *S_events };

void fb_self_open(fb_self *self) {
  *self = (fb_self){0};
  for (size_t i = 0; i < EVENTS; i++) {
    struct perf_event_attr attr = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attr,
        .config = S_events[i].config,
        .disabled = 1,
        .inherit = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING};
    self->events[i] =
        (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, (unsigned long)PERF_FLAG_FD_CLOEXEC);
  }
}

static double S_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void S_processor(double *user, double *system) {
  struct rusage self, children;
  getrusage(RUSAGE_SELF, &self);
  getrusage(RUSAGE_CHILDREN, &children);
  *user = (double)(self.ru_utime.tv_sec + children.ru_utime.tv_sec) +
          1e-6 * (double)(self.ru_utime.tv_usec + children.ru_utime.tv_usec);
  *system = (double)(self.ru_stime.tv_sec + children.ru_stime.tv_sec) +
            1e-6 * (double)(self.ru_stime.tv_usec + children.ru_stime.tv_usec);
}

void fb_self_begin(fb_self *self) {
  S_processor(&self->user, &self->system);
  for (size_t i = 0; i < EVENTS; i++) {
    if (self->events[i] < 0) continue;
    ioctl(self->events[i], PERF_EVENT_IOC_RESET, 0);
    ioctl(self->events[i], PERF_EVENT_IOC_ENABLE, 0);
  }
  self->wall = S_now();
}

void fb_self_end(fb_self *self, fb_reading *ret) {
  double wall = S_now(), user, system;
  for (size_t i = 0; i < EVENTS; i++) {
    uint64_t got[3]; /* count, ns enabled, ns running */
    if (self->events[i] < 0) continue;
    ioctl(self->events[i], PERF_EVENT_IOC_DISABLE, 0);
    if (read(self->events[i], got, sizeof got) == (ssize_t)sizeof got && got[2])
      fb_reading_set(ret, S_events[i].measure, (double)got[0] * (double)got[1] / (double)got[2]);
  }
  S_processor(&user, &system);
  fb_reading_set(ret, FB_MEASURE_WALL, wall - self->wall);
  fb_reading_set(ret, FB_MEASURE_USER, user - self->user);
  fb_reading_set(ret, FB_MEASURE_SYSTEM, system - self->system);
}

void fb_self_close(fb_self *self) {
  if (!self) return;
  for (size_t i = 0; i < EVENTS; i++)
    if (self->events[i] > 0) close(self->events[i]);
  *self = (fb_self){0};
}

/* ── Counting allocator ──────────────────────────────────────────────────────────────────────── */

static void *S_resize(void *context, void *ptr, size_t old_size, size_t size) {
  fb_count_allocator *count = context;
  void *moved = fb_resize(count->under, ptr, old_size, size);
  if (size && !moved) return NULL;
  if (ptr) count->live -= old_size < count->live ? old_size : count->live;
  if (size == 0) return NULL;
  count->calls++;
  count->bytes += size;
  count->live += size;
  if (count->live > count->peak) count->peak = count->live;
  return moved;
}

void fb_count_allocator_init(fb_count_allocator *count, const fb_allocator *under) {
  *count = (fb_count_allocator){.allocator = {S_resize, count},
                                .under = under ? under : fb_allocator_system()};
}
