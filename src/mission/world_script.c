/* SPDX-License-Identifier: Apache-2.0 */
#include "mission/world_script.h"

#include "mission/mask.h"

#include <signal.h>
#include <stdio.h>

/* Starts well after zero: a time of 0 means "none" in many places. ns. */
static const int64_t S_start_time = INT64_C(1000000000);

typedef enum S_kind { S_EXIT, S_TIMER, S_WORK } S_kind;

typedef struct S_event S_event;

struct S_event {
  int64_t at;
  uint64_t order; /* of two at one time the older comes first */
  S_kind kind;
  bool dead;   /* stopped, or moved to another time */
  void *owner; /* fb_process or fb_timer; NULL once dead */
  void (*work)(void *user);
  void (*fired)(void *user);
  void *user;
};

struct fb_process {
  fb_script_world *world;
  S_event *event; /* its end */
  void (*exited)(void *user, const fb_process_end *how);
  void *user;
  fb_process_end how;
  bool stubborn;
};

struct fb_timer {
  S_event *event;
};

typedef struct S_file {
  char *path;
  fb_buf content;
  bool synced;
} S_file;

struct fb_script_world {
  fb_world face;
  fb_clock clock;
  const fb_allocator *allocator;
  int64_t now;
  uint64_t order;
  S_event **heap; /* earliest first */
  size_t count, cap;
  size_t alive; /* events that are not dead */
  fb_pool events, processes, timers;
  fb_table files; /* path → S_file */
  fb_script_counts counts;
  bool closed;
  void (*reply)(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply);
  void (*answer)(void *context, const fb_http_request *request, fb_script_answer *ret_answer);
  int64_t (*takes)(void *context);
  void *reply_context;
};

/* ── Events ──────────────────────────────────────────────────────────────────────────────────── */

static bool S_before(const S_event *a, const S_event *b) {
  return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static S_event *S_push(fb_script_world *world, int64_t at, S_kind kind) {
  if (!fb_grow(world->allocator, (void **)&world->heap, &world->cap, world->count,
               sizeof *world->heap))
    return NULL;
  S_event *event = fb_pool_get(&world->events);
  if (!event) return NULL;
  *event =
      (S_event){.at = at < world->now ? world->now : at, .order = world->order++, .kind = kind};
  size_t i = world->count++;
  for (; i > 0 && S_before(event, world->heap[(i - 1) / 2]); i = (i - 1) / 2)
    world->heap[i] = world->heap[(i - 1) / 2];
  world->heap[i] = event;
  world->alive++;
  return event;
}

static S_event *S_pop(fb_script_world *world) {
  S_event *first = world->heap[0], *last = world->heap[--world->count];
  size_t i = 0;
  while (2 * i + 1 < world->count) {
    size_t child = 2 * i + 1;
    if (child + 1 < world->count && S_before(world->heap[child + 1], world->heap[child])) child++;
    if (!S_before(world->heap[child], last)) break;
    world->heap[i] = world->heap[child];
    i = child;
  }
  if (world->count) world->heap[i] = last;
  return first;
}

static void S_kill_event(fb_script_world *world, S_event *event) {
  event->dead = true;
  event->owner = NULL;
  world->alive--;
}

static void S_exit(fb_script_world *world, fb_process *process) {
  world->counts.running--;
  process->exited(process->user, &process->how);
  fb_pool_put(&world->processes, process);
}

static bool S_turn(void *context) {
  fb_script_world *world = context;
  while (world->count) {
    S_event *event = S_pop(world), one = *event;
    fb_pool_put(&world->events, event);
    if (one.dead) continue;
    world->alive--;
    world->now = one.at;
    if (one.kind == S_EXIT) {
      S_exit(world, one.owner);
    } else {
      if (one.owner) fb_pool_put(&world->timers, one.owner);
      if (one.work) one.work(one.user);
      one.fired(one.user);
    }
    return true;
  }
  return false;
}

/* ── Files ───────────────────────────────────────────────────────────────────────────────────── */

const fb_buf *fb_script_world_file(const fb_script_world *world, const char *path) {
  const fb_table_slot *slot = fb_table_get(&world->files, fb_slice_of(path));
  return slot ? &((const S_file *)slot->value.ptr)->content : NULL;
}

static S_file *S_new_file(fb_script_world *world, const char *path) {
  size_t size = strlen(path) + 1;
  S_file *file = fb_alloc_zero(world->allocator, sizeof *file);
  if (!file) return NULL;
  file->path = fb_alloc(world->allocator, size);
  fb_table_slot *slot = NULL;
  if (file->path) {
    memcpy(file->path, path, size);
    slot = fb_table_put(&world->files, fb_slice_of(file->path), NULL);
  }
  if (!slot) {
    fb_free(world->allocator, file->path, size);
    fb_free(world->allocator, file, sizeof *file);
    return NULL;
  }
  fb_buf_init(&file->content, world->allocator, 0);
  slot->value.ptr = file;
  return file;
}

fb_status fb_script_world_put(fb_script_world *world, const char *path, fb_slice bytes) {
  fb_table_slot *slot = fb_table_get(&world->files, fb_slice_of(path));
  S_file *file = slot ? slot->value.ptr : S_new_file(world, path);
  if (!file) return FB_E_NOMEM;
  file->synced = false;
  fb_buf_clear(&file->content);
  fb_buf_add(&file->content, bytes.ptr, bytes.len);
  return file->content.failed ? FB_E_NOMEM : FB_OK;
}

static fb_status S_read(void *context, const char *path, uint64_t offset, uint64_t max, fb_buf *out,
                        bool *ret_more, fb_error *err) {
  const fb_buf *file = fb_script_world_file(context, path);
  if (!file) return fb_fail(err, FB_E_IO, "cannot read %s: there is no such file", path);
  uint64_t rest = offset < file->len ? file->len - offset : 0, take = rest < max ? rest : max;
  if (take) fb_buf_add(out, file->ptr + offset, (size_t)take);
  if (ret_more) *ret_more = rest > take;
  return out->failed ? fb_fail(err, FB_E_NOMEM, "out of memory") : FB_OK;
}

static fb_status S_sync(void *context, const char *path, fb_error *err) {
  const fb_script_world *world = context;
  fb_table_slot *slot = fb_table_get(&world->files, fb_slice_of(path));
  if (!slot) return fb_fail(err, FB_E_IO, "cannot sync %s: there is no such file", path);
  ((S_file *)slot->value.ptr)->synced = true;
  return FB_OK;
}

static fb_status S_write(void *context, const char *path, fb_slice bytes, unsigned mode,
                         fb_error *err) {
  (void)mode;
  fb_status status = fb_script_world_put(context, path, bytes);
  return status ? fb_fail(err, status, "out of memory") : S_sync(context, path, err);
}

void fb_script_world_each(const fb_script_world *world,
                          void (*each)(void *user, const char *path, fb_slice bytes, bool synced),
                          void *user) {
  for (size_t i = 0; i < world->files.cap; i++) {
    if (!world->files.slots[i].key.ptr) continue;
    const S_file *file = world->files.slots[i].value.ptr;
    each(user, file->path, fb_buf_slice(&file->content), file->synced);
  }
}

void fb_script_world_takes(fb_script_world *world, int64_t (*takes)(void *context)) {
  world->takes = takes;
}

void fb_script_world_close(fb_script_world *world) {
  world->closed = true;
}

/* Files only, by their whole paths; a folder is what paths have in common. */
static fb_status S_list(fb_script_world *world, fb_file_job *job) {
  size_t length = strlen(job->path);
  fb_status status = FB_OK;
  for (size_t i = 0; i < world->files.cap && !status; i++) {
    if (!world->files.slots[i].key.ptr) continue;
    const S_file *file = world->files.slots[i].value.ptr;
    bool is = strcmp(file->path, job->path) == 0;
    bool below = strncmp(file->path, job->path, length) == 0 && file->path[length] == '/' &&
                 (job->recursive || !strchr(file->path + length + 1, '/'));
    fb_file_entry entry = {file->path, "file", file->content.len, 0644, 0};
    if (job->act == FB_FILE_STAT ? is : below) status = job->each(job->user, &entry);
  }
  return status;
}

static fb_status S_copy(fb_script_world *world, const fb_file_job *job, fb_error *err) {
  const fb_buf *from = fb_script_world_file(world, job->path);
  if (!from) return fb_fail(err, FB_E_IO, "cannot read %s: there is no such file", job->path);
  fb_buf copy;
  fb_buf_init(&copy, world->allocator, 0);
  fb_buf_add(&copy, from->ptr, from->len);
  fb_status status =
      copy.failed ? FB_E_NOMEM : fb_script_world_put(world, job->to, fb_buf_slice(&copy));
  fb_buf_release(&copy);
  return status ? fb_fail(err, status, "out of memory") : FB_OK;
}

static void S_delete(fb_script_world *world, const char *path) {
  fb_table_slot *slot = fb_table_get(&world->files, fb_slice_of(path));
  if (slot) fb_buf_clear(&((S_file *)slot->value.ptr)->content);
}

static fb_status S_file_act(void *context, fb_file_job *job, fb_error *err) {
  fb_script_world *world = context;
  const fb_buf *file = fb_script_world_file(world, job->path);
  switch (job->act) {
    case FB_FILE_READ: return S_read(context, job->path, 0, job->max, job->out, NULL, err);
    case FB_FILE_WRITE: return S_write(context, job->path, job->bytes, job->mode, err);
    case FB_FILE_APPEND:
      if (!file) return S_write(context, job->path, job->bytes, job->mode, err);
      fb_buf_add((fb_buf *)file, job->bytes.ptr, job->bytes.len);
      return file->failed ? fb_fail(err, FB_E_NOMEM, "out of memory") : FB_OK;
    case FB_FILE_COPY: return S_copy(world, job, err);
    case FB_FILE_MOVE: {
      fb_status status = S_copy(world, job, err);
      if (!status) S_delete(world, job->path);
      return status;
    }
    case FB_FILE_DELETE: S_delete(world, job->path); return FB_OK;
    case FB_FILE_MKDIR: return FB_OK;
    case FB_FILE_LIST:
    case FB_FILE_STAT: {
      fb_status status = S_list(world, job);
      return status ? fb_fail(err, status, "out of memory") : FB_OK;
    }
  }
  return FB_OK;
}

/* ── Processes ───────────────────────────────────────────────────────────────────────────────── */

/* The kept stream has the name of its label; the table holds the text. */
static fb_status S_keep(fb_script_world *world, const fb_process_spec *spec, const char *ending,
                        fb_slice text, fb_kept *ret_kept) {
  char path[256];
  const char *label = spec->label;
  if (text.len == 0) return FB_OK;
  if (fb_mask_finds(spec->mask, text)) {
    fb_arena arena;
    fb_process_spec plain = *spec;
    plain.mask = NULL;
    fb_arena_init(&arena, world->allocator, 0);
    text = fb_mask_text(spec->mask, text, &arena);
    fb_status status = text.ptr ? S_keep(world, &plain, ending, text, ret_kept) : FB_E_NOMEM;
    fb_arena_release(&arena);
    return status;
  }
  snprintf(path, sizeof path, "%s%s", label, ending);
  if (fb_script_world_put(world, path, text)) return FB_E_NOMEM;
  const fb_table_slot *slot = fb_table_get(&world->files, fb_slice_of(path));
  *ret_kept = (fb_kept){((const S_file *)slot->value.ptr)->path, text.len};
  return FB_OK;
}

static fb_status S_start(void *context, const fb_process_spec *spec,
                         void (*exited)(void *user, const fb_process_end *how), void *user,
                         fb_process **ret_process, fb_error *err) {
  fb_script_world *world = context;
  fb_script_reply reply = {0};
  if (world->reply) world->reply(world->reply_context, spec, &reply);
  if (reply.missing || world->closed)
    return fb_fail(err, FB_E_STEP_SPAWN, "cannot start `%s`: it is not in the script",
                   spec->argv[0]);
  fb_process *process = fb_pool_get(&world->processes);
  if (!process) return fb_fail(err, FB_E_NOMEM, "out of memory");
  *process =
      (fb_process){.world = world, .exited = exited, .user = user, .stubborn = reply.stubborn};
  process->how = (fb_process_end){.code = reply.signal ? -1 : reply.code, .signal = reply.signal};
  fb_status status = S_keep(world, spec, ".out", reply.out, &process->how.out);
  if (!status) status = S_keep(world, spec, ".err", reply.err, &process->how.err);
  if (!status) process->event = S_push(world, world->now + reply.duration, S_EXIT);
  if (status || !process->event) {
    fb_pool_put(&world->processes, process);
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  process->event->owner = process;
  world->counts.started++;
  if (++world->counts.running > world->counts.peak) world->counts.peak = world->counts.running;
  *ret_process = process;
  return FB_OK;
}

static void S_signal(void *context, fb_process *process, int number) {
  fb_script_world *world = context;
  world->counts.signals++;
  if (process->stubborn && number != SIGKILL) return;
  S_event *event = S_push(world, world->now, S_EXIT);
  if (!event) return; /* it ends when the script says */
  S_kill_event(world, process->event);
  process->event = event;
  event->owner = process;
  process->how.code = -1;
  process->how.signal = number;
}

/* ── Timers and work ─────────────────────────────────────────────────────────────────────────── */

static fb_timer *S_timer_start(void *context, int64_t at, void (*fired)(void *user), void *user) {
  fb_script_world *world = context;
  fb_timer *timer = fb_pool_get(&world->timers);
  if (!timer) return NULL;
  timer->event = S_push(world, at, S_TIMER);
  if (!timer->event) {
    fb_pool_put(&world->timers, timer);
    return NULL;
  }
  timer->event->owner = timer;
  timer->event->fired = fired;
  timer->event->user = user;
  return timer;
}

static void S_timer_stop(void *context, fb_timer *timer) {
  fb_script_world *world = context;
  S_kill_event(world, timer->event);
  fb_pool_put(&world->timers, timer);
}

static fb_status S_work(void *context, void (*work)(void *user), void (*done)(void *user),
                        void *user) {
  fb_script_world *world = context;
  int64_t took = world->takes ? world->takes(world->reply_context) : 0;
  S_event *event = S_push(world, world->now + took, S_WORK);
  if (!event) return FB_E_NOMEM;
  event->work = work;
  event->fired = done;
  event->user = user;
  return FB_OK;
}

/* ── HTTP ────────────────────────────────────────────────────────────────────────────────────── */

struct fb_exchange {
  fb_script_world *world;
  S_event *event;
  fb_http_done *done;
  void *user;
  fb_script_answer answer; /* its texts are the script's, which outlives the run */
  char url[];
};

static void S_free_exchange(fb_exchange *exchange) {
  fb_free(exchange->world->allocator, exchange, sizeof *exchange + strlen(exchange->url) + 1);
}

static void S_answered(void *user) {
  fb_exchange *exchange = user;
  const fb_script_answer *answer = &exchange->answer;
  fb_error err = {0};
  fb_http_header header = {FB_SLICE("Content-Type"), answer->type};
  if (answer->status) fb_fail(&err, answer->status, "there is no answer in the script");
  fb_http_answer face = {.status = answer->status,
                         .error = answer->status ? &err : NULL,
                         .code = answer->status ? 0
                                 : answer->code ? answer->code
                                                : 200,
                         .headers = &header,
                         .header_count = answer->type.len ? 1 : 0,
                         .body = answer->body,
                         .url = exchange->url,
                         .retry_after = answer->retry_after};
  exchange->done(exchange->user, &face);
  S_free_exchange(exchange);
}

static fb_status S_http(void *context, const fb_http_request *request, fb_http_done *done,
                        void *user, fb_exchange **ret_exchange, fb_error *err) {
  fb_script_world *world = context;
  size_t size = strlen(request->url) + 1;
  if (!world->answer) return fb_fail(err, FB_E_NET, "there is no network in this script");
  fb_exchange *exchange = fb_alloc_zero(world->allocator, sizeof *exchange + size);
  if (!exchange) return fb_fail(err, FB_E_NOMEM, "out of memory");
  exchange->world = world;
  exchange->done = done;
  exchange->user = user;
  memcpy(exchange->url, request->url, size);
  world->answer(world->reply_context, request, &exchange->answer);
  exchange->event = S_push(world, world->now + exchange->answer.duration, S_TIMER);
  if (!exchange->event) {
    S_free_exchange(exchange);
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  exchange->event->fired = S_answered;
  exchange->event->user = exchange;
  *ret_exchange = exchange;
  return FB_OK;
}

static void S_http_cancel(void *context, fb_exchange *exchange) {
  S_kill_event(context, exchange->event);
  S_free_exchange(exchange);
}

void fb_script_world_http(fb_script_world *world,
                          void (*answer)(void *context, const fb_http_request *request,
                                         fb_script_answer *ret_answer)) {
  world->answer = answer;
}

fb_status fb_script_world_at(fb_script_world *world, int64_t at, void (*fired)(void *user),
                             void *user) {
  S_event *event = S_push(world, at, S_TIMER);
  if (!event) return FB_E_NOMEM;
  event->fired = fired;
  event->user = user;
  return FB_OK;
}

/* ── New and free ────────────────────────────────────────────────────────────────────────────── */

static int64_t S_now(void *context) {
  return ((fb_script_world *)context)->now;
}

int64_t fb_script_world_now(const fb_script_world *world) {
  return world->now - S_start_time;
}
fb_script_counts fb_script_world_counts(const fb_script_world *world) {
  return world->counts;
}
fb_world *fb_script_world_face(fb_script_world *world) {
  return &world->face;
}

fb_status fb_script_world_new(const fb_allocator *allocator,
                              void (*reply)(void *context, const fb_process_spec *spec,
                                            fb_script_reply *ret_reply),
                              void *context, fb_script_world **ret_world) {
  if (!allocator) allocator = fb_allocator_system();
  fb_script_world *world = fb_alloc_zero(allocator, sizeof *world);
  if (!world) return FB_E_NOMEM;
  world->allocator = allocator;
  world->now = S_start_time;
  world->reply = reply;
  world->reply_context = context;
  world->clock = (fb_clock){S_now, S_now, world};
  fb_pool_init(&world->events, allocator, sizeof(S_event));
  fb_pool_init(&world->processes, allocator, sizeof(fb_process));
  fb_pool_init(&world->timers, allocator, sizeof(fb_timer) < 16 ? 16 : sizeof(fb_timer));
  fb_table_init(&world->files, allocator, 0);
  world->face = (fb_world){.clock = &world->clock,
                           .start = S_start,
                           .signal = S_signal,
                           .timer_start = S_timer_start,
                           .timer_stop = S_timer_stop,
                           .work = S_work,
                           .read = S_read,
                           .write = S_write,
                           .file = S_file_act,
                           .http = S_http,
                           .http_cancel = S_http_cancel,
                           .sync = S_sync,
                           .turn = S_turn,
                           .context = world};
  *ret_world = world;
  return FB_OK;
}

void fb_script_world_free(fb_script_world *world) {
  if (!world) return;
  for (size_t i = 0; i < world->files.cap; i++) {
    if (!world->files.slots[i].key.ptr) continue;
    S_file *file = world->files.slots[i].value.ptr;
    fb_buf_release(&file->content);
    fb_free(world->allocator, file->path, strlen(file->path) + 1);
    fb_free(world->allocator, file, sizeof *file);
  }
  fb_table_release(&world->files);
  fb_pool_release(&world->timers);
  fb_pool_release(&world->processes);
  fb_pool_release(&world->events);
  fb_free(world->allocator, world->heap, world->cap * sizeof *world->heap);
  fb_free(world->allocator, world, sizeof *world);
}
