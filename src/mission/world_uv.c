/* SPDX-License-Identifier: Apache-2.0
 *
 * The real world, on libuv: its loop, timers, signals and threads. Processes are started with posix_spawn
 * (no copy of page tables), each in a process group of its own, with their output going straight to files: a
 * program may write as much as it likes without costing memory or a copy, and nothing waits for a
 * pipe that a forgotten grandchild holds open.
 */
#include "mission/world_files.h"
#include "mission/world_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

typedef struct S_world S_world;

struct fb_process {
  S_world *world;
  fb_process *prev, *next;
  pid_t pid;   /* and group */
  bool ending; /* it was told to end: so is its group, once it is gone */
  char *out_path, *err_path;
  fb_pipe *out, *err; /* NULL: it writes to the file itself */
  fb_process_end how;
  void (*exited)(void *user, const fb_process_end *how);
  void *user;
};

struct fb_timer {
  uv_timer_t handle;
  S_world *world;
  void (*fired)(void *user);
  void *user;
};

typedef struct S_job {
  uv_work_t request;
  S_world *world;
  void (*work)(void *user);
  void (*done)(void *user);
  void *user;
} S_job;

enum { MOST_SIGNALS = 8 };

typedef struct S_watch {
  uv_signal_t handle;
  void (*caught)(void *user, int number);
  void *user;
} S_watch;

struct S_world {
  fb_world face;
  const fb_allocator *allocator;
  uv_loop_t loop;
  uv_signal_t child; /* SIGCHLD */
  S_watch watches[MOST_SIGNALS];
  int watch_count;
  uv_timer_t tick;
  void (*tick_fired)(void *user);
  void *tick_user;
  fb_process *processes;
  size_t outstanding; /* processes, timers, jobs, exchanges */
  fb_http *http;      /* made when first needed */
  char *run_dir;
  bool run_dir_made;
  bool terminal; /* we have one, which children must not get at */
};

static char *S_copy(const fb_allocator *allocator, const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = fb_alloc(allocator, size);
  return copy ? memcpy(copy, text, size) : NULL;
}

static void S_drop(const fb_allocator *allocator, char *text) {
  if (text) fb_free(allocator, text, strlen(text) + 1);
}

static fb_status S_errno(fb_error *err, int number, const char *what, const char *path) {
  return fb_fail(err, number == ENOMEM ? FB_E_NOMEM : FB_E_IO, "cannot %s %s: %s", what, path,
                 strerror(number));
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────── */

/* Never 0, 1 or 2, which may be closed when a service starts us. -1 with errno. */
static int S_open(const char *path, int flags, mode_t mode) {
  int fd = open(path, flags | O_CLOEXEC, mode);
  if (fd < 0 || fd > 2) return fd;
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  int number = errno;
  close(fd);
  errno = number;
  return high;
}

/* Makes the folders above the last slash (all of `path` if `whole`). `path` is changed and restored. */
static int S_make_folders(char *path, bool whole, mode_t mode) {
  for (char *at = path + 1;; at++) {
    if (*at && *at != '/') continue;
    char kept = *at;
    if (!kept && !whole) return 0;
    *at = 0;
    bool failed = mkdir(path, mode) != 0 && errno != EEXIST;
    /* Folders that exist above may not be writable for us, or be automounted. */
    struct stat info;
    if (failed && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) failed = false;
    *at = kept;
    if (failed) return -1;
    if (!kept) return 0;
  }
}

static fb_status S_read(void *context, const char *path, uint64_t offset, uint64_t max, fb_buf *out,
                        bool *ret_more, fb_error *err) {
  (void)context;
  int fd = S_open(path, O_RDONLY, 0);
  if (fd < 0) return S_errno(err, errno, "read", path);
  fb_status status = FB_OK;
  ssize_t got = 0;
  char byte;
  while (max > 0) {
    size_t step = max < 256 << 10 ? (size_t)max : 256 << 10;
    if (!fb_buf_reserve(out, step)) {
      status = fb_fail(err, FB_E_NOMEM, "out of memory while reading %s", path);
      break;
    }
    got = offset ? pread(fd, out->ptr + out->len, step, (off_t)offset)
                 : read(fd, out->ptr + out->len, step);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = S_errno(err, errno, "read", path);
    if (got <= 0) break;
    out->len += (size_t)got;
    out->ptr[out->len] = 0;
    max -= (uint64_t)got;
    if (offset) offset += (uint64_t)got;
  }
  if (ret_more) *ret_more = max == 0 && !status && read(fd, &byte, 1) == 1;
  close(fd);
  return status;
}

static int S_write_all(int fd, fb_slice bytes) {
  while (bytes.len) {
    ssize_t put = write(fd, bytes.ptr, bytes.len);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -1;
    bytes = (fb_slice){bytes.ptr + put, bytes.len - (size_t)put};
  }
  return 0;
}

/* The rename is on disk only once the folder is. */
static int S_sync_folder(const char *path) {
  const char *slash = strrchr(path, '/');
  char folder[4096];
  size_t length = slash ? (size_t)(slash - path) : 0;
  if (length >= sizeof folder) return 0;
  memcpy(folder, path, length);
  folder[length] = 0;
  int fd = S_open(!slash ? "." : length ? folder : "/", O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return 0; /* a folder that may be written but not read */
  int result = fsync(fd);
  close(fd);
  return result != 0 && errno != EINVAL ? -1 : 0;
}

static int S_replace(const char *path, char *temporary, fb_slice bytes, mode_t mode) {
  int fd = S_open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (fd < 0) return -1;
  bool good = S_write_all(fd, bytes) == 0 && fsync(fd) == 0;
  int number = errno;
  if (close(fd) != 0 && good) {
    good = false;
    number = errno;
  }
  if (good && rename(temporary, path) == 0) return S_sync_folder(path);
  if (good) number = errno;
  unlink(temporary);
  errno = number;
  return -1;
}

/* Pipes and devices (/dev/stdout) cannot be replaced, only written to. */
static int S_write_special(const char *path, fb_slice bytes) {
  int fd = S_open(path, O_WRONLY, 0);
  if (fd < 0) return -1;
  int result = S_write_all(fd, bytes), number = errno;
  close(fd);
  errno = number;
  return result;
}

static fb_status S_write(void *context, const char *path, fb_slice bytes, unsigned mode,
                         fb_error *err) {
  (void)context;
  char own[4096], temporary[4096 + 32];
  struct stat info;
  size_t length = strlen(path);
  if (length == 0 || length >= sizeof own) return S_errno(err, ENAMETOOLONG, "write", path);
  memcpy(own, path, length + 1);
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
    if (S_ISDIR(info.st_mode)) return S_errno(err, EISDIR, "write", path);
    return S_write_special(path, bytes) ? S_errno(err, errno, "write", path) : FB_OK;
  }
  if (S_make_folders(own, false, 0777)) return S_errno(err, errno, "make the folder of", path);
  const char *slash = strrchr(path, '/');
  int before = slash ? (int)(slash - path) + 1 : 0;
  snprintf(temporary, sizeof temporary, "%.*s.flyball-%016llx", before, path,
           (unsigned long long)fb_random_seed_system());
  if (S_replace(path, temporary, bytes, (mode_t)mode)) return S_errno(err, errno, "write", path);
  return FB_OK;
}

static fb_status S_sync(void *context, const char *path, fb_error *err) {
  (void)context;
  int fd = S_open(path, O_RDONLY, 0);
  if (fd < 0) return S_errno(err, errno, "sync", path);
  int result = fdatasync(fd), number = errno;
  close(fd);
  return result != 0 && number != EINVAL ? S_errno(err, number, "sync", path) : FB_OK;
}

/* ── Starting a process ──────────────────────────────────────────────────────────────────────── */

static const char *S_env_get(const char *const *env, const char *name) {
  size_t length = strlen(name);
  for (; env && *env; env++)
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') return *env + length + 1;
  return NULL;
}

static bool S_is_program(const char *path) {
  struct stat info;
  return access(path, X_OK) == 0 && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* Looks the program up in the PATH that it will see. */
static fb_status S_find(const fb_process_spec *spec, char *out, size_t size, fb_error *err) {
  const char *program = spec->argv[0];
  if (strchr(program, '/')) {
    if ((size_t)snprintf(out, size, "%s", program) < size) return FB_OK;
    return fb_fail(err, FB_E_STEP_SPAWN, "cannot start %.100s…: the path is too long", program);
  }
  const char *path = S_env_get(spec->env, "PATH");
  if (!path) path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  while (*program) {
    size_t length = strcspn(path, ":");
    int wrote = snprintf(out, size, "%.*s%s%s", (int)length, path, length ? "/" : "./", program);
    if (wrote > 0 && (size_t)wrote < size && S_is_program(out)) return FB_OK;
    if (!path[length]) break;
    path += length + 1;
  }
  fb_fail(err, FB_E_STEP_SPAWN, "cannot start `%s`: there is no such program in PATH", program);
  fb_error_hint(err, "a program of the current folder is written ./%s", program);
  return FB_E_STEP_SPAWN;
}

typedef struct S_streams {
  int in, out, err;
} S_streams;

static void S_close_streams(S_streams *streams) {
  if (streams->in >= 0) close(streams->in);
  if (streams->out >= 0) close(streams->out);
  if (streams->err >= 0) close(streams->err);
}

static int S_open_input(fb_slice input) {
  if (input.len == 0) return S_open("/dev/null", O_RDONLY, 0);
  int fd = memfd_create("flyball-stdin", MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (fd <= 2) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    fd = high;
  }
  if (fd >= 0 && S_write_all(fd, input) == 0 && lseek(fd, 0, SEEK_SET) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static char *S_kept_path(S_world *world, const char *label, const char *ending) {
  size_t size = strlen(world->run_dir) + strlen(label) + strlen(ending) + 2;
  char *path = fb_alloc(world->allocator, size);
  if (path) snprintf(path, size, "%s/%s%s", world->run_dir, label, ending);
  return path;
}

/* In place of the file at *fd: the end of a pipe, whose other end is masked on its way there. */
static fb_status S_mask_stream(S_world *world, const fb_mask *mask, int *fd, fb_pipe **ret_pipe,
                               fb_error *err) {
  int ends[2];
  if (!mask) return FB_OK;
  if (pipe2(ends, O_CLOEXEC) != 0) return S_errno(err, errno, "make", "a pipe");
  for (int i = 0; i < 2; i++) { /* never 0, 1 or 2 */
    if (ends[i] > 2) continue;
    int high = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
    close(ends[i]);
    ends[i] = high;
  }
  fb_status status = ends[0] < 0 || ends[1] < 0 ? S_errno(err, errno, "make", "a pipe") : FB_OK;
  if (!status) {
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    status = fb_pipe_new(&world->loop, mask, world->allocator, ends[0], *fd, ret_pipe, err);
  }
  if (!status) {
    *fd = ends[1];
    return FB_OK;
  }
  if (ends[0] >= 0) close(ends[0]);
  if (ends[1] >= 0) close(ends[1]);
  return status;
}

static fb_status S_open_streams(S_world *world, fb_process *process, const fb_process_spec *spec,
                                S_streams *streams, fb_error *err) {
  const char *label = spec->label ? spec->label : "process";
  if (!world->run_dir_made && S_make_folders(world->run_dir, true, 0700))
    return S_errno(err, errno, "make the run's folder", world->run_dir);
  world->run_dir_made = true;
  process->out_path = S_kept_path(world, label, ".out");
  process->err_path = S_kept_path(world, label, ".err");
  if (!process->out_path || !process->err_path) return fb_fail(err, FB_E_NOMEM, "out of memory");
  streams->in = S_open_input(spec->input);
  if (streams->in < 0) return S_errno(err, errno, "pass on", "standard input");
  int flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND;
  streams->out = S_open(process->out_path, flags, 0600);
  if (streams->out < 0) return S_errno(err, errno, "write", process->out_path);
  streams->err = S_open(process->err_path, flags, 0600);
  if (streams->err < 0) return S_errno(err, errno, "write", process->err_path);
  fb_status status = S_mask_stream(world, spec->mask, &streams->out, &process->out, err);
  return status ? status : S_mask_stream(world, spec->mask, &streams->err, &process->err, err);
}

/* A group of its own. Where we have a terminal also a session of its own, so that a password prompt
 * fails instead of stopping the group; that costs more, as the kernel may schedule by session. */
static short S_spawn_flags(const S_world *world) {
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  return (short)(flags | (world->terminal ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP));
}

static int S_spawn(const char *path, const fb_process_spec *spec, const S_streams *streams,
                   short flags, pid_t *ret_pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  int failed = posix_spawn_file_actions_init(&actions);
  if (failed) return failed;
  failed = posix_spawnattr_init(&attributes);
  if (failed) {
    posix_spawn_file_actions_destroy(&actions);
    return failed;
  }
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, flags);
  failed = posix_spawn_file_actions_adddup2(&actions, streams->in, 0);
  if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, streams->out, 1);
  if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, streams->err, 2);
  if (!failed && spec->dir) failed = posix_spawn_file_actions_addchdir_np(&actions, spec->dir);
  if (!failed)
    failed = posix_spawn(ret_pid, path, &actions, &attributes, (char *const *)spec->argv,
                         (char *const *)spec->env);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

static fb_status S_spawn_failed(const fb_process_spec *spec, int number, fb_error *err) {
  struct stat info;
  if (spec->dir && (stat(spec->dir, &info) != 0 || !S_ISDIR(info.st_mode)))
    return fb_fail(err, FB_E_STEP_SPAWN, "cannot start `%s`: there is no folder %s", spec->argv[0],
                   spec->dir);
  fb_fail(err, FB_E_STEP_SPAWN, "cannot start `%s`: %s", spec->argv[0], strerror(number));
  if (number == ENOEXEC) fb_error_hint(err, "does it start with a line like #!/bin/sh?");
  if (number == ENOENT && S_is_program(spec->argv[0]))
    fb_error_hint(err, "the interpreter that its first line names is missing");
  return FB_E_STEP_SPAWN;
}

static void S_free_process(fb_process *process) {
  S_drop(process->world->allocator, process->out_path);
  S_drop(process->world->allocator, process->err_path);
  fb_free(process->world->allocator, process, sizeof *process);
}

static void S_add(S_world *world, fb_process *process) {
  process->next = world->processes;
  if (world->processes) world->processes->prev = process;
  if (!world->processes) uv_ref((uv_handle_t *)&world->child);
  world->processes = process;
  world->outstanding++;
}

static fb_status S_start(void *context, const fb_process_spec *spec,
                         void (*exited)(void *user, const fb_process_end *how), void *user,
                         fb_process **ret_process, fb_error *err) {
  S_world *world = context;
  char path[4096];
  fb_process *process = fb_alloc_zero(world->allocator, sizeof *process);
  S_streams streams = {-1, -1, -1};
  if (!process) return fb_fail(err, FB_E_NOMEM, "out of memory");
  process->world = world;
  process->exited = exited;
  process->user = user;
  fb_status status = S_find(spec, path, sizeof path, err);
  if (!status) status = S_open_streams(world, process, spec, &streams, err);
  if (!status) {
    int failed = S_spawn(path, spec, &streams, S_spawn_flags(world), &process->pid);
    if (failed) status = S_spawn_failed(spec, failed, err);
    if (failed) {
      unlink(process->out_path);
      unlink(process->err_path);
    }
  }
  S_close_streams(&streams);
  if (status) {
    fb_pipe_finish(process->out, NULL);
    fb_pipe_finish(process->err, NULL);
    S_free_process(process);
    return status;
  }
  S_add(world, process);
  *ret_process = process;
  return FB_OK;
}

/* ── The end of a process ────────────────────────────────────────────────────────────────────── */

static void S_signal(void *context, fb_process *process, int number) {
  (void)context;
  if (number == SIGTERM || number == SIGKILL) process->ending = true;
  kill(-process->pid, number);
}

static fb_kept S_keep(const char *path) {
  struct stat info;
  if (stat(path, &info) != 0 || info.st_size == 0) {
    unlink(path);
    return (fb_kept){NULL, 0};
  }
  return (fb_kept){path, (uint64_t)info.st_size};
}

/* Reaps it if it has ended. What is left of a group that was told to end goes first: as long as its leader is
 * not reaped, no other group can have its number. */
static bool S_reap(fb_process *process) {
  siginfo_t info = {0};
  int state;
  if (waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    if (errno != ECHILD) return false;
    process->how = (fb_process_end){.code = -1, .signal = SIGKILL}; /* somebody else reaped it */
    return true;
  }
  if (info.si_pid == 0) return false;
  if (process->ending) kill(-process->pid, SIGKILL);
  while (waitpid(process->pid, &state, 0) < 0 && errno == EINTR) {
  }
  process->how = (fb_process_end){.code = WIFEXITED(state) ? WEXITSTATUS(state) : -1,
                                  .signal = WIFSIGNALED(state) ? WTERMSIG(state) : 0};
  return true;
}

static void S_remove(S_world *world, fb_process *process) {
  if (process->prev)
    process->prev->next = process->next;
  else
    world->processes = process->next;
  if (process->next) process->next->prev = process->prev;
  if (!world->processes) uv_unref((uv_handle_t *)&world->child);
  world->outstanding--;
}

static void S_child(uv_signal_t *handle, int number) {
  S_world *world = handle->data;
  fb_process *ended = NULL;
  (void)number;
  for (fb_process *process = world->processes, *next; process; process = next) {
    next = process->next;
    if (!S_reap(process)) continue;
    S_remove(world, process);
    process->prev = NULL;
    process->next = ended;
    ended = process;
  }
  while (ended) { /* callbacks may start others */
    fb_process *process = ended;
    ended = process->next;
    fb_pipe_finish(process->out, &process->how.lost);
    fb_pipe_finish(process->err, &process->how.lost);
    process->how.out = S_keep(process->out_path);
    process->how.err = S_keep(process->err_path);
    process->exited(process->user, &process->how);
    S_free_process(process);
  }
}

/* ── A program whose output is taken here and now ────────────────────────────────────────────── */

enum { CAPTURE_TURN = 20 }; /* ms */

/* Takes what is there. False: the other end is closed. */
static bool S_take(int fd, uint64_t max, fb_buf *out) {
  char bytes[4096];
  ssize_t got;
  while ((got = read(fd, bytes, sizeof bytes)) > 0 || (got < 0 && errno == EINTR)) {
    uint64_t room = out->len < max ? max - out->len : 0;
    if (got > 0) fb_buf_add(out, bytes, (uint64_t)got < room ? (size_t)got : (size_t)room);
  }
  explicit_bzero(bytes, sizeof bytes);
  return got < 0 && errno == EAGAIN;
}

/* Until the program itself has ended; what it left behind may keep the pipe. False: time is over. */
static bool S_capture_until(int fd, pid_t pid, int64_t deadline, uint64_t max, fb_buf *out,
                            int *ret_state) {
  const fb_clock *clock = fb_clock_system();
  bool open = true;
  pid_t gone = 0;
  while (gone == 0 && clock->mono(clock->context) < deadline) {
    struct pollfd watch = {.fd = open ? fd : -1, .events = POLLIN};
    poll(&watch, 1, CAPTURE_TURN);
    if (open) open = S_take(fd, max, out);
    gone = waitpid(pid, ret_state, WNOHANG);
  }
  if (open) S_take(fd, max, out);
  return gone == pid;
}

static fb_status S_captured(const fb_process_spec *spec, int state, fb_error *err) {
  if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return FB_OK;
  if (WIFSIGNALED(state))
    return fb_fail(err, FB_E_STEP_EXIT, "%s was ended by signal %d", spec->argv[0],
                   WTERMSIG(state));
  return fb_fail(err, FB_E_STEP_EXIT, "%s ended with exit code %d", spec->argv[0],
                 WEXITSTATUS(state));
}

static fb_status S_capture(void *context, const fb_process_spec *spec, int64_t timeout,
                           uint64_t max, fb_buf *out, fb_error *err) {
  const S_world *world = context;
  const fb_clock *clock = fb_clock_system();
  char path[4096];
  int ends[2] = {-1, -1}, state = 0;
  pid_t pid = 0;
  fb_status status = S_find(spec, path, sizeof path, err);
  if (status) return status;
  if (pipe2(ends, O_CLOEXEC) != 0) return S_errno(err, errno, "make", "a pipe");
  S_streams streams = {S_open("/dev/null", O_RDONLY, 0), ends[1], S_open("/dev/null", O_WRONLY, 0)};
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  int failed = S_spawn(path, spec, &streams, S_spawn_flags(world), &pid);
  S_close_streams(&streams);
  if (failed) {
    status = S_spawn_failed(spec, failed, err);
  } else if (!S_capture_until(ends[0], pid, clock->mono(clock->context) + timeout, max, out,
                              &state)) {
    kill(-pid, SIGKILL);
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {
    }
    status = fb_fail(err, FB_E_STEP_TIMEOUT, "%s did not end in time", spec->argv[0]);
  } else {
    status = S_captured(spec, state, err);
  }
  close(ends[0]);
  if (!status && out->failed) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  return status;
}

/* ── Timers, work, turn ──────────────────────────────────────────────────────────────────────── */

static void S_timer_closed(uv_handle_t *handle) {
  fb_timer *timer = handle->data;
  fb_free(timer->world->allocator, timer, sizeof *timer);
}

static void S_timer_stop(void *context, fb_timer *timer) {
  S_world *world = context;
  world->outstanding--;
  uv_close((uv_handle_t *)&timer->handle, S_timer_closed);
}

static void S_timer_fired(uv_timer_t *handle) {
  fb_timer *timer = handle->data;
  void (*fired)(void *user) = timer->fired;
  void *user = timer->user;
  S_timer_stop(timer->world, timer);
  fired(user);
}

static fb_timer *S_timer_start(void *context, int64_t at, void (*fired)(void *user), void *user) {
  S_world *world = context;
  fb_timer *timer = fb_alloc_zero(world->allocator, sizeof *timer);
  if (!timer) return NULL;
  int64_t wait = at - world->face.clock->mono(world->face.clock->context);
  timer->world = world;
  timer->fired = fired;
  timer->user = user;
  timer->handle.data = timer;
  uv_update_time(&world->loop);
  uv_timer_init(&world->loop, &timer->handle);
  uv_timer_start(&timer->handle, S_timer_fired, wait > 0 ? (uint64_t)(wait + 999999) / 1000000 : 0,
                 0);
  world->outstanding++;
  return timer;
}

static void S_job_work(uv_work_t *request) {
  S_job *job = request->data;
  job->work(job->user);
}

static void S_job_done(uv_work_t *request, int status) {
  S_job *job = request->data;
  S_world *world = job->world;
  void (*done)(void *user) = job->done;
  void *user = job->user;
  (void)status; /* jobs are never cancelled */
  fb_free(world->allocator, job, sizeof *job);
  world->outstanding--;
  done(user);
}

static fb_status S_work(void *context, void (*work)(void *user), void (*done)(void *user),
                        void *user) {
  S_world *world = context;
  S_job *job = fb_alloc_zero(world->allocator, sizeof *job);
  if (!job) return FB_E_NOMEM;
  *job = (S_job){.world = world, .work = work, .done = done, .user = user};
  job->request.data = job;
  if (uv_queue_work(&world->loop, &job->request, S_job_work, S_job_done) != 0) {
    fb_free(world->allocator, job, sizeof *job);
    return FB_E_NOMEM;
  }
  world->outstanding++;
  return FB_OK;
}

static fb_status S_file(void *context, fb_file_job *job, fb_error *err) {
  (void)context;
  return fb_files_do(job, err);
}

/* ── HTTP ────────────────────────────────────────────────────────────────────────────────────── */

struct fb_exchange {
  S_world *world;
  fb_http_call *call;
  fb_http_done *done;
  void *user;
};

static void S_free_exchange(fb_exchange *exchange) {
  exchange->world->outstanding--;
  fb_free(exchange->world->allocator, exchange, sizeof *exchange);
}

static void S_answered(void *user, const fb_http_answer *answer) {
  fb_exchange *exchange = user;
  fb_http_done *done = exchange->done;
  void *own = exchange->user;
  S_free_exchange(exchange);
  done(own, answer);
}

static fb_status S_http(void *context, const fb_http_request *request, fb_http_done *done,
                        void *user, fb_exchange **ret_exchange, fb_error *err) {
  S_world *world = context;
  fb_status status = FB_OK;
  if (!world->http) status = fb_http_new(&world->loop, NULL, world->allocator, &world->http, err);
  if (status) return status;
  fb_exchange *exchange = fb_alloc_zero(world->allocator, sizeof *exchange);
  if (!exchange) return fb_fail(err, FB_E_NOMEM, "out of memory");
  *exchange = (fb_exchange){.world = world, .done = done, .user = user};
  status = fb_http_send(world->http, request, S_answered, exchange, &exchange->call, err);
  world->outstanding++;
  if (status)
    S_free_exchange(exchange);
  else
    *ret_exchange = exchange;
  return status;
}

static void S_http_cancel(void *context, fb_exchange *exchange) {
  (void)context;
  fb_http_cancel(exchange->call);
  S_free_exchange(exchange);
}

static bool S_turn(void *context) {
  S_world *world = context;
  if (world->outstanding == 0) return false;
  uv_run(&world->loop, UV_RUN_ONCE);
  return true;
}

/* ── Signals and ticks for whoever drives it ─────────────────────────────────────────────────── */

static void S_caught(uv_signal_t *handle, int number) {
  S_watch *watch = handle->data;
  watch->caught(watch->user, number);
}

fb_status fb_world_uv_on_signal(fb_world *face, int number, void (*caught)(void *user, int number),
                                void *user) {
  S_world *world = face->context;
  if (world->watch_count == MOST_SIGNALS) return FB_E_LIMIT;
  S_watch *watch = &world->watches[world->watch_count];
  if (uv_signal_init(&world->loop, &watch->handle) != 0) return FB_E_IO;
  world->watch_count++;
  watch->handle.data = watch;
  watch->caught = caught;
  watch->user = user;
  int failed = uv_signal_start(&watch->handle, S_caught, number);
  uv_unref((uv_handle_t *)&watch->handle);
  return failed ? FB_E_IO : FB_OK;
}

static void S_ticked(uv_timer_t *handle) {
  S_world *world = handle->data;
  world->tick_fired(world->tick_user);
}

fb_status fb_world_uv_every(fb_world *face, int64_t interval, void (*tick)(void *user),
                            void *user) {
  S_world *world = face->context;
  uint64_t milliseconds = (uint64_t)(interval / 1000000);
  world->tick_fired = tick;
  world->tick_user = user;
  uv_timer_start(&world->tick, S_ticked, milliseconds, milliseconds ? milliseconds : 1);
  uv_unref((uv_handle_t *)&world->tick);
  return FB_OK;
}

/* ── New and free ────────────────────────────────────────────────────────────────────────────── */

fb_status fb_world_uv_new(const fb_allocator *allocator, const fb_uv_options *options,
                          fb_world **ret_world, fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  S_world *world = fb_alloc_zero(allocator, sizeof *world);
  if (!world) return fb_fail(err, FB_E_NOMEM, "out of memory");
  world->allocator = allocator;
  world->run_dir = S_copy(allocator, options && options->run_dir ? options->run_dir : ".");
  if (!world->run_dir || uv_loop_init(&world->loop) != 0) {
    S_drop(allocator, world->run_dir);
    fb_free(allocator, world, sizeof *world);
    return fb_fail(err, FB_E_NOMEM, "the event loop cannot be made");
  }
  world->face = (fb_world){.clock = fb_clock_system(),
                           .start = S_start,
                           .capture = S_capture,
                           .signal = S_signal,
                           .timer_start = S_timer_start,
                           .timer_stop = S_timer_stop,
                           .work = S_work,
                           .read = S_read,
                           .write = S_write,
                           .file = S_file,
                           .http = S_http,
                           .http_cancel = S_http_cancel,
                           .sync = S_sync,
                           .turn = S_turn,
                           .context = world};
  int terminal = S_open("/dev/tty", O_RDONLY | O_NOCTTY, 0);
  world->terminal = terminal >= 0;
  if (terminal >= 0) close(terminal);
  uv_timer_init(&world->loop, &world->tick);
  world->tick.data = world;
  uv_signal_init(&world->loop, &world->child);
  world->child.data = world;
  uv_signal_start(&world->child, S_child, SIGCHLD);
  uv_unref((uv_handle_t *)&world->child);
  *ret_world = &world->face;
  return FB_OK;
}

void *fb_world_uv_loop(const fb_world *face) {
  S_world *world = face->context;
  return &world->loop;
}

void fb_world_uv_free(fb_world *face) {
  if (!face) return;
  S_world *world = face->context;
  for (fb_process *process = world->processes, *next; process; process = next) {
    next = process->next;
    fb_pipe_finish(process->out, NULL);
    fb_pipe_finish(process->err, NULL);
    S_free_process(process);
  }
  if (world->http) fb_http_free(world->http);
  uv_close((uv_handle_t *)&world->tick, NULL);
  uv_close((uv_handle_t *)&world->child, NULL);
  for (int i = 0; i < world->watch_count; i++)
    uv_close((uv_handle_t *)&world->watches[i].handle, NULL);
  uv_run(&world->loop, UV_RUN_DEFAULT);
  uv_loop_close(&world->loop);
  S_drop(world->allocator, world->run_dir);
  fb_free(world->allocator, world, sizeof *world);
}
