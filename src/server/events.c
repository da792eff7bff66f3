/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens, for those who watch: the last events are kept as they go over the wire (text/event-stream), in a ring that never
 * waits for a reader. One that is too slow is told how many it missed.
 */
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>

enum {
  SLOTS = 1 << 16,
  BYTES = 8 << 20,
  MOST_FRAME = 16 << 10,
  MOST_KINDS = 16,
  KIND = 16,
  AT_ONCE = 64 << 10,
  BEAT_SECONDS = 15
};

typedef struct S_slot {
  uint64_t at; /* bytes written before it, over all time */
  uint32_t length;
  char kind[KIND];
} S_slot;

struct fb_events {
  fb_server *server;
  pthread_mutex_t lock;
  uint64_t base, first,
      next; /* ids: the first of this server, the oldest in the ring, of the next event */
  uint64_t written;
  S_slot *slots;
  char *bytes;
  _Atomic uint32_t readers;
};

fb_status fb_events_new(fb_server *server, fb_events **ret_events) {
  const fb_clock *clock = fb_clock_system();
  fb_events *events = calloc(1, sizeof *events);
  if (events) events->slots = calloc(SLOTS, sizeof *events->slots);
  if (events) events->bytes = malloc(BYTES);
  if (!events || !events->slots || !events->bytes) {
    fb_events_free(events);
    return FB_E_NOMEM;
  }
  events->server = server;
  /* Later than all ids of an earlier server, as long as that had fewer than a million a second. */
  events->base = (uint64_t)(clock->wall(clock->context) / 1000);
  events->first = events->next = events->base;
  pthread_mutex_init(&events->lock, NULL);
  *ret_events = events;
  return FB_OK;
}

void fb_events_free(fb_events *events) {
  if (!events) return;
  if (events->server) pthread_mutex_destroy(&events->lock);
  free(events->slots);
  free(events->bytes);
  free(events);
}

/* ── Publishing ── */

/* Room for `length` bytes in a row; the oldest events make it. Under the lock. */
static char *S_room(fb_events *events, size_t length) {
  size_t at = events->written % BYTES;
  if (at + length > BYTES) events->written += BYTES - at; /* not around the corner */
  while (events->first < events->next &&
         (events->next - events->first >= SLOTS ||
          events->written + length - events->slots[events->first % SLOTS].at > BYTES))
    events->first++;
  return events->bytes + events->written % BYTES;
}

static int S_head(char out[160], uint64_t id, const char *kind) {
  char time[FB_TIME_TEXT_MAX];
  const fb_clock *clock = fb_clock_system();
  int64_t wall = clock->wall(clock->context);
  fb_time_format(wall / 1000000000, (uint32_t)(wall % 1000000000 / 1000000 * 1000000), time);
  return snprintf(out, 160, "id: %llu\nevent: %s\ndata: {\"at\":\"%s\"", (unsigned long long)id,
                  kind, time);
}

void fb_server_publish(fb_server *server, const char *kind, fb_slice members) {
  fb_events *events = server->events;
  char head[160];
  if (strlen(kind) >= KIND || members.len > MOST_FRAME) return;
  pthread_mutex_lock(&events->lock);
  int length = S_head(head, events->next, kind);
  size_t size = (size_t)length + (members.len ? 1 : 0) + members.len + 3;
  char *at = S_room(events, size);
  S_slot *slot = &events->slots[events->next++ % SLOTS];
  *slot = (S_slot){.at = events->written, .length = (uint32_t)size};
  snprintf(slot->kind, KIND, "%s", kind);
  events->written += size;
  memcpy(at, head, (size_t)length);
  at += length;
  if (members.len) {
    *at++ = ',';
    memcpy(at, members.ptr, members.len);
    at += members.len;
  }
  memcpy(at, "}\n\n", 3);
  pthread_mutex_unlock(&events->lock);
  if (events->readers) fb_flows_news(server->flows);
}

bool fb_server_watched(const fb_server *server) {
  return server->events->readers != 0;
}

/* ── Reading ── */

typedef struct S_reader {
  fb_flow flow;
  fb_events *events;
  uint64_t next; /* id of what it wants next */
  bool restarted;
  char kinds[MOST_KINDS][KIND];
  uint32_t kind_count; /* 0: all */
  int64_t sent;        /* when something last was */
  fb_buf out;
  size_t taken; /* of `out` */
} S_reader;

static bool S_wants(const S_reader *reader, const S_slot *slot) {
  for (uint32_t i = 0; i < reader->kind_count; i++)
    if (!strcmp(reader->kinds[i], slot->kind)) return true;
  return !reader->kind_count;
}

/* Under the lock. */
static void S_gap(S_reader *reader) {
  fb_events *events = reader->events;
  char head[160];
  uint64_t from = reader->next < events->base ? events->base : reader->next;
  uint64_t missed = events->first > from ? events->first - from : 0;
  if (reader->next >= events->first) return;
  /* Its id is that of the last one missed: who comes again with it is not told twice. */
  S_head(head, events->first - 1, "gap");
  fb_buf_printf(&reader->out, "%s,\"missed\":%llu%s}\n\n", head, (unsigned long long)missed,
                reader->restarted ? ",\"restarted\":true" : "");
  fb_counter_add(events->server->lost, missed);
  reader->restarted = false;
  reader->next = events->first;
}

static void S_fill(S_reader *reader) {
  fb_events *events = reader->events;
  fb_buf_clear(&reader->out);
  reader->taken = 0;
  pthread_mutex_lock(&events->lock);
  S_gap(reader);
  for (; reader->next < events->next && reader->out.len < AT_ONCE; reader->next++) {
    const S_slot *slot = &events->slots[reader->next % SLOTS];
    if (S_wants(reader, slot))
      fb_buf_add(&reader->out, events->bytes + slot->at % BYTES, slot->length);
  }
  pthread_mutex_unlock(&events->lock);
}

static bool S_is_due(const S_reader *reader, int64_t now) {
  return now - reader->sent >= BEAT_SECONDS * INT64_C(1000000000);
}

static size_t S_read(fb_flow *flow, char *bytes, size_t max, bool *ret_end) {
  S_reader *reader = (S_reader *)flow;
  int64_t now = fb_server_now(reader->events->server);
  if (reader->taken == reader->out.len) S_fill(reader);
  if (!reader->out.len && S_is_due(reader, now)) fb_buf_text(&reader->out, ":\n\n");
  if (reader->out.failed) *ret_end = true;
  size_t size = reader->out.failed ? 0 : reader->out.len - reader->taken;
  if (size > max) size = max;
  if (!size) return 0;
  memcpy(bytes, reader->out.ptr + reader->taken, size);
  reader->taken += size;
  reader->sent = now;
  return size;
}

static bool S_ready(const fb_flow *flow, int64_t now) {
  const S_reader *reader = (const S_reader *)flow;
  fb_events *events = reader->events;
  pthread_mutex_lock(&events->lock);
  bool ready = reader->next < events->next;
  pthread_mutex_unlock(&events->lock);
  return ready || S_is_due(reader, now);
}

static void S_free(fb_flow *flow) {
  S_reader *reader = (S_reader *)flow;
  atomic_fetch_sub(&reader->events->readers, 1);
  fb_buf_release(&reader->out);
  free(reader);
}

/* "a,b"; false: one of them is none. */
static bool S_kinds(S_reader *reader, const char *text) {
  while (text && *text) {
    size_t length = strcspn(text, ",");
    if (!length || length >= KIND || reader->kind_count == MOST_KINDS) return false;
    memcpy(reader->kinds[reader->kind_count++], text, length);
    text += length + (text[length] == ',');
  }
  return true;
}

static void S_from(S_reader *reader, const fb_request *request) {
  fb_events *events = reader->events;
  const char *last = fb_request_header(request, "Last-Event-ID");
  if (!last) last = fb_request_query(request, "after");
  pthread_mutex_lock(&events->lock);
  reader->next = last ? strtoull(last, NULL, 10) + 1 : events->next;
  if (reader->next > events->next) reader->next = events->next;
  reader->restarted = last && reader->next > 1 && reader->next < events->base;
  if (reader->next < events->first && events->first == events->base && !reader->restarted)
    reader->next = events->first; /* all that there was */
  pthread_mutex_unlock(&events->lock);
}

fb_answered fb_events_watch(fb_request *request) {
  fb_server *server = request->server;
  if (atomic_fetch_add(&server->events->readers, 1) >= server->options.max_watchers) {
    atomic_fetch_sub(&server->events->readers, 1);
    return fb_reply_fail(request, 0, FB_E_SERVER_BUSY, "%u watch already",
                         server->options.max_watchers);
  }
  S_reader *reader = calloc(1, sizeof *reader);
  if (!reader) {
    atomic_fetch_sub(&server->events->readers, 1);
    return fb_reply_empty(request, 507);
  }
  *reader = (S_reader){.flow = {.read = S_read, .ready = S_ready, .free = S_free},
                       .events = server->events,
                       .sent = request->start};
  fb_buf_init(&reader->out, NULL, 0);
  if (!S_kinds(reader, fb_request_query(request, "kinds"))) {
    S_free(&reader->flow);
    return fb_reply_fail(request, 0, FB_E_SERVER_REQUEST,
                         "`kinds` is a list of names with commas between");
  }
  S_from(reader, request);
  fb_buf_text(&reader->out, ": flyball\n\n"); /* so that the headers go out */
  return fb_reply_flow(request, "text/event-stream", &reader->flow);
}
