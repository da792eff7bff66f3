/* SPDX-License-Identifier: Apache-2.0
 * Runs a program once and reads what it took. The new process shares our memory until the program replaces it, so
 * that it can note the time at the last moment, and starting it costs the same however large we are. */
#include <flyball/proof.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_SIZE = 65536, EVENTS_MAX = 8, CAPTURED_MAX = 65536, FIRST_FREE = 3 };

static const fb_perf_event S_events[] = {
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, FB_MEASURE_INSTRUCTIONS},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, FB_MEASURE_CYCLES},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, FB_MEASURE_CACHE_MISSES},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, FB_MEASURE_BRANCH_MISSES},
};

/* One run. The child sees it too, until it becomes the program. */
typedef struct S_run {
  const fb_program *program;
  int in, out, err; /* descriptors for the program; ours to close */
  int reader;       /* our end of its output; -1: none */
  int events[EVENTS_MAX];
  size_t event_count;
  const fb_perf_event *wanted;
  struct timespec start;
  const char *failed; /* what the child could not do */
  int failed_errno;
} S_run;

static double S_seconds(struct timespec from, struct timespec to) {
  return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

/* ── In the child ────────────────────────────────────────────────────────────────────────────── */

/* Opened here so that they count from exec on, and of no one else; the table of descriptors is still shared, so
 * that the parent has them too. */
static void S_open_events(S_run *run) {
  for (size_t i = 0; i < run->event_count; i++) {
    struct perf_event_attr attr = {
        .type = run->wanted[i].type,
        .size = sizeof attr,
        .config = run->wanted[i].config,
        .disabled = 1,
        .inherit = 1,
        .enable_on_exec = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING};
    run->events[i] =
        (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, (unsigned long)PERF_FLAG_FD_CLOEXEC);
  }
}

static int S_give_up(S_run *run, const char *what) {
  run->failed = what;
  run->failed_errno = errno;
  return 127;
}

/* Runs on a stack of its own in our memory; its return ends the process. */
static int S_child(void *context) {
  S_run *run = context;
  const fb_program *program = run->program;
  S_open_events(run);
  /* From here on its descriptors are its own. */
  if (unshare(CLONE_FILES)) return S_give_up(run, "separate its files");
  if (program->timeout && setpgid(0, 0)) return S_give_up(run, "make a process group");
  const int from[] = {run->in, run->out, run->err};
  for (int to = 0; to < FIRST_FREE; to++)
    if (dup2(from[to], to) < 0) return S_give_up(run, "take its files");
  if (program->dir && chdir(program->dir)) return S_give_up(run, "go to its folder");
  /* Handlers are ours; and who ignores SIGPIPE, as we do, must not hand that down. */
  static const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    sigaction(ours[i], &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  const char *const *env = program->env ? program->env : (const char *const *)environ;
  clock_gettime(CLOCK_MONOTONIC, &run->start);
  execve(program->path, (char *const *)program->argv, (char *const *)env);
  return S_give_up(run, "run it");
}

/* ── In the parent ───────────────────────────────────────────────────────────────────────────── */

/* Above the standard ones, so that dup2 in the child always copies (and clears close-on-exec). */
static int S_high(int fd) {
  if (fd < 0 || fd >= FIRST_FREE) return fd;
  int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
  int error = errno;
  close(fd);
  errno = error;
  return high;
}

static int S_open_output(S_run *run, fb_output_mode mode, int ours, fb_error *err) {
  int ends[2];
  if (mode == FB_OUTPUT_PASS) return fcntl(ours, F_DUPFD_CLOEXEC, FIRST_FREE);
  if (mode == FB_OUTPUT_NULL) return S_high(open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (run->reader >= 0) return fcntl(run->out, F_DUPFD_CLOEXEC, FIRST_FREE); /* both into one */
  if (pipe2(ends, O_CLOEXEC)) return -1;
  run->reader = S_high(ends[0]);
  (void)err;
  return S_high(ends[1]);
}

static void S_close(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static fb_status S_open_files(S_run *run, fb_error *err) {
  const fb_program *program = run->program;
  const char *input = program->input ? program->input : "/dev/null";
  run->in = S_high(open(input, O_RDONLY | O_CLOEXEC));
  if (run->in < 0) return fb_fail(err, FB_E_IO, "cannot read %s: %s", input, strerror(errno));
  if (program->output_file)
    run->out = S_high(open(program->output_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  else
    run->out = S_open_output(run, program->out, STDOUT_FILENO, err);
  if (run->out < 0)
    return fb_fail(err, FB_E_IO, "cannot write %s: %s",
                   program->output_file ? program->output_file : "to a pipe", strerror(errno));
  run->err = S_open_output(run, program->err, STDERR_FILENO, err);
  if (run->err < 0) return fb_fail(err, FB_E_IO, "cannot open a pipe: %s", strerror(errno));
  return FB_OK;
}

static fb_status S_start(S_run *run, pid_t *ret_pid, fb_error *err) {
  char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return fb_fail(err, FB_E_NOMEM, "no memory for a new process");
  /* A handler must not run in the child, on our memory. */
  sigset_t all, mask;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &mask);
  pid_t pid =
      clone(S_child, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, run);
  int error = errno;
  sigprocmask(SIG_SETMASK, &mask, NULL);
  munmap(stack, STACK_SIZE);
  if (pid < 0) return fb_fail(err, FB_E_IO, "no new process: %s", strerror(error));
  if (run->failed) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    return fb_fail(err, FB_E_IO, "%s: cannot %s: %s", run->program->path, run->failed,
                   strerror(run->failed_errno));
  }
  *ret_pid = pid;
  return FB_OK;
}

/* Takes what comes out of the program until it is closed: true when it is. */
static bool S_drain(S_run *run) {
  char bytes[65536];
  fb_buf *kept = run->program->captured;
  ssize_t n = read(run->reader, bytes, sizeof bytes);
  if (n < 0) return errno != EINTR;
  if (n == 0) return true;
  if (kept && kept->len < CAPTURED_MAX) {
    size_t room = CAPTURED_MAX - kept->len;
    fb_buf_add(kept, bytes, (size_t)n < room ? (size_t)n : room);
  }
  return false;
}

/* Until the output is closed, or the time limit: then kills the whole group. Processes that inherited the output and
 * stay behind are waited for no longer than the limit. */
static void S_watch(S_run *run, pid_t pid, fb_program_end *end) {
  struct timespec now;
  int64_t limit = run->program->timeout;
  int handle = limit ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
  bool open = run->reader >= 0;
  while (open || handle >= 0) {
    struct pollfd files[2] = {{open ? run->reader : -1, POLLIN, 0}, {handle, POLLIN, 0}};
    int wait = -1;
    if (limit) {
      clock_gettime(CLOCK_MONOTONIC, &now);
      double left = 1e-9 * (double)limit - S_seconds(run->start, now);
      if (left <= 0) {
        end->timed_out = true;
        kill(-pid, SIGKILL);
        break;
      }
      wait = left > 1e6 ? 1000000000 : (int)(left * 1000) + 1;
    }
    if (poll(files, 2, wait) < 0 && errno != EINTR) break;
    if (files[0].revents) open = !S_drain(run);
    if (files[1].revents) break;
  }
  S_close(&handle);
}

static void S_read_usage(const struct rusage *usage, double wall, fb_reading *ret) {
  fb_reading_set(ret, FB_MEASURE_WALL, wall);
  fb_reading_set(ret, FB_MEASURE_USER,
                 (double)usage->ru_utime.tv_sec + 1e-6 * (double)usage->ru_utime.tv_usec);
  fb_reading_set(ret, FB_MEASURE_SYSTEM,
                 (double)usage->ru_stime.tv_sec + 1e-6 * (double)usage->ru_stime.tv_usec);
  fb_reading_set(ret, FB_MEASURE_MEMORY, 1024.0 * (double)usage->ru_maxrss);
  fb_reading_set(ret, FB_MEASURE_FAULTS_MINOR, (double)usage->ru_minflt);
  fb_reading_set(ret, FB_MEASURE_FAULTS_MAJOR, (double)usage->ru_majflt);
  fb_reading_set(ret, FB_MEASURE_SWITCHES_OWN, (double)usage->ru_nvcsw);
  fb_reading_set(ret, FB_MEASURE_SWITCHES_FORCED, (double)usage->ru_nivcsw);
}

/* A counter that was not running all the time, because there are too few in the processor, is scaled up; one that never ran
 * tells nothing. */
static void S_read_events(S_run *run, fb_reading *ret) {
  for (size_t i = 0; i < run->event_count; i++) {
    uint64_t got[3]; /* count, ns enabled, ns running */
    if (run->events[i] < 0 || read(run->events[i], got, sizeof got) != (ssize_t)sizeof got ||
        got[2] == 0)
      continue;
    fb_reading_set(ret, run->wanted[i].measure, (double)got[0] * (double)got[1] / (double)got[2]);
  }
}

static fb_status S_wait(S_run *run, pid_t pid, fb_reading *ret, fb_program_end *end,
                        fb_error *err) {
  struct rusage usage;
  struct timespec now;
  int how;
  if (run->reader >= 0 || run->program->timeout) S_watch(run, pid, end);
  for (;;) {
    pid_t got = wait4(pid, &how, 0, &usage);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (got == pid) break;
    if (errno != EINTR) return fb_fail(err, FB_E_IO, "cannot wait: %s", strerror(errno));
  }
  S_read_usage(&usage, S_seconds(run->start, now), ret);
  S_read_events(run, ret);
  end->code = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
  end->signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
  return FB_OK;
}

fb_status fb_program_run(const fb_program *program, fb_reading *ret, fb_program_end *ret_end,
                         fb_error *err) {
  S_run run = {.program = program, .in = -1, .out = -1, .err = -1, .reader = -1};
  fb_program_end end = {0};
  fb_reading reading = {0};
  pid_t pid = -1;
  run.wanted = program->events ? program->events : S_events;
  run.event_count = program->events ? program->event_count : sizeof S_events / sizeof *S_events;
  if (run.event_count > EVENTS_MAX) run.event_count = EVENTS_MAX;
  for (size_t i = 0; i < EVENTS_MAX; i++) run.events[i] = -1;
  fb_status status = S_open_files(&run, err);
  if (!status) status = S_start(&run, &pid, err);
  S_close(&run.in);
  S_close(&run.out);
  S_close(&run.err);
  if (!status && program->pid) *program->pid = pid;
  if (!status) status = S_wait(&run, pid, &reading, &end, err);
  if (program->pid) *program->pid = 0;
  S_close(&run.reader);
  for (size_t i = 0; i < run.event_count; i++) S_close(&run.events[i]);
  if (status) return status;
  *ret = reading;
  *ret_end = end;
  return FB_OK;
}

/* ── PATH ────────────────────────────────────────────────────────────────────────────────────── */

static const char *S_path_of(const char *const *env) {
  if (!env) env = (const char *const *)environ;
  for (; env && *env; env++)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return "/usr/local/bin:/usr/bin:/bin";
}

fb_status fb_program_find(const char *name, const char *const *env, fb_arena *arena,
                          const char **ret_path, fb_error *err) {
  if (strchr(name, '/')) {
    *ret_path = name;
    return FB_OK;
  }
  for (const char *at = S_path_of(env); *at;) {
    const char *end = strchrnul(at, ':');
    fb_arena_mark mark = fb_arena_save(arena);
    const char *path = end == at ? fb_arena_printf(arena, "./%s", name)
                                 : fb_arena_printf(arena, "%.*s/%s", (int)(end - at), at, name);
    if (!path) return fb_fail(err, FB_E_NOMEM, "out of memory");
    if (*name && access(path, X_OK) == 0) {
      *ret_path = path;
      return FB_OK;
    }
    fb_arena_rewind(arena, mark);
    at = *end ? end + 1 : end;
  }
  fb_fail(err, FB_E_BENCH_COMMAND, "there is no program `%s` in PATH", name);
  return FB_E_BENCH_COMMAND;
}
