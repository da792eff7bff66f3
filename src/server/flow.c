/* SPDX-License-Identifier: Apache-2.0
 * Answers that go on: bytes are handed out as they come. A connection that has none sleeps, and costs nothing. One thread looks
 * after all of them, and does what is to be done once a second. */
#include "server/server.h"

#include <errno.h>
#include <stdlib.h>

enum {
  BLOCK = 32 << 10,
  LOOK_NANOS = 100000000, /* how often those that nobody wakes are looked at */
  GATHER_NANOS =
      5000000, /* between a publication and its delivery: what comes meanwhile goes along */
  SECOND = 1000000000
};

struct fb_flows {
  fb_server *server;
  pthread_mutex_t lock;
  pthread_cond_t some;
  fb_flow *first;
  uint32_t count, asleep;
  bool ends, news;
  bool begun;
  pthread_t thread;
};

/* Under the lock. */
static void S_wake(fb_flows *flows, fb_flow *flow) {
  if (!flow->asleep) return;
  flow->asleep = false;
  flows->asleep--;
  MHD_resume_connection(flow->connection);
}

static void S_look(fb_flows *flows, bool patient) {
  int64_t now = fb_server_now(flows->server);
  pthread_mutex_lock(&flows->lock);
  flows->news = false;
  for (fb_flow *flow = flows->first; flow; flow = flow->next)
    if (flow->asleep && (flows->server->draining || (flow->patient && patient) ||
                         (!flow->patient && flow->ready(flow, now))))
      S_wake(flows, flow);
  pthread_mutex_unlock(&flows->lock);
}

/* Until there is something to deliver, or `nanos` have passed. */
static bool S_rest(fb_flows *flows, int64_t nanos) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  nanos += until.tv_nsec;
  until.tv_sec += nanos / SECOND;
  until.tv_nsec = nanos % SECOND;
  pthread_mutex_lock(&flows->lock);
  while (!flows->ends && !(flows->news && flows->asleep))
    if (pthread_cond_timedwait(&flows->some, &flows->lock, &until) == ETIMEDOUT) break;
  bool news = flows->news && flows->asleep, ends = flows->ends;
  pthread_mutex_unlock(&flows->lock);
  struct timespec pause = {0, GATHER_NANOS};
  if (news && !ends) nanosleep(&pause, NULL);
  return !ends;
}

static void *S_run(void *context) {
  fb_flows *flows = context;
  fb_server *server = flows->server;
  int64_t tick = fb_server_now(server) + SECOND, look = 0;
  while (S_rest(flows, LOOK_NANOS)) {
    bool patient = fb_server_now(server) >= look;
    if (patient) look = fb_server_now(server) + LOOK_NANOS;
    S_look(flows, patient);
    if (fb_server_now(server) < tick) continue;
    tick = fb_server_now(server) + SECOND;
    fb_server_tick(server);
  }
  return NULL;
}

fb_status fb_flows_new(fb_server *server, fb_flows **ret_flows) {
  pthread_condattr_t how;
  fb_flows *flows = calloc(1, sizeof *flows);
  if (!flows) return FB_E_NOMEM;
  flows->server = server;
  pthread_mutex_init(&flows->lock, NULL);
  pthread_condattr_init(&how);
  pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
  pthread_cond_init(&flows->some, &how);
  pthread_condattr_destroy(&how);
  *ret_flows = flows;
  return FB_OK;
}

bool fb_flows_start(fb_flows *flows) {
  flows->begun = pthread_create(&flows->thread, NULL, S_run, flows) == 0;
  return flows->begun;
}

void fb_flows_stop(fb_flows *flows) {
  if (!flows || !flows->begun) return;
  pthread_mutex_lock(&flows->lock);
  flows->ends = true;
  pthread_cond_broadcast(&flows->some);
  pthread_mutex_unlock(&flows->lock);
  pthread_join(flows->thread, NULL);
  flows->begun = false;
  S_look(flows, true); /* the last of them: the server drains by now */
}

void fb_flows_free(fb_flows *flows) {
  if (!flows) return;
  fb_flows_stop(flows);
  pthread_cond_destroy(&flows->some);
  pthread_mutex_destroy(&flows->lock);
  free(flows);
}

void fb_flows_news(fb_flows *flows) {
  pthread_mutex_lock(&flows->lock);
  bool first = !flows->news && flows->asleep;
  flows->news = true;
  if (first) pthread_cond_signal(&flows->some);
  pthread_mutex_unlock(&flows->lock);
}

uint32_t fb_flows_count(fb_flows *flows) {
  pthread_mutex_lock(&flows->lock);
  uint32_t count = flows->count;
  pthread_mutex_unlock(&flows->lock);
  return count;
}

/* ── As libmicrohttpd asks for it ── */

static ssize_t S_read(void *context, uint64_t offset, char *bytes, size_t max) {
  fb_flow *flow = context;
  fb_flows *flows = flow->flows;
  bool end = false;
  (void)offset;
  if (flows->server->draining) return MHD_CONTENT_READER_END_OF_STREAM;
  size_t size = flow->read(flow, bytes, max, &end);
  if (size) return (ssize_t)size;
  if (end) return MHD_CONTENT_READER_END_OF_STREAM;
  pthread_mutex_lock(&flows->lock);
  if (!flows->server->draining &&
      (flow->patient || !flow->ready(flow, fb_server_now(flows->server)))) {
    flow->asleep = true;
    flows->asleep++;
    MHD_suspend_connection(flow->connection);
  }
  pthread_mutex_unlock(&flows->lock);
  return 0;
}

static void S_free(void *context) {
  fb_flow *flow = context;
  fb_flows *flows = flow->flows;
  pthread_mutex_lock(&flows->lock);
  *flow->link = flow->next;
  if (flow->next) flow->next->link = flow->link;
  flows->count--;
  if (flow->asleep) flows->asleep--;
  pthread_mutex_unlock(&flows->lock);
  flow->free(flow);
}

struct MHD_Response *fb_flow_response(fb_flow *flow) {
  fb_flows *flows = flow->flows;
  struct MHD_Response *response =
      MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, S_read, flow, S_free);
  if (!response) {
    flow->free(flow);
    return NULL;
  }
  pthread_mutex_lock(&flows->lock);
  flow->next = flows->first;
  if (flow->next) flow->next->link = &flow->next;
  flow->link = &flows->first;
  flows->first = flow;
  flows->count++;
  pthread_mutex_unlock(&flows->lock);
  return response;
}

fb_answered fb_reply_flow(fb_request *request, const char *type, fb_flow *flow) {
  flow->flows = request->server->flows;
  flow->connection = request->connection;
  fb_spool_release(&request->reply.body);
  request->reply.code = 200;
  request->reply.type = type;
  request->reply.flow = flow;
  fb_reply_header(request, "Cache-Control", "no-store");
  return FB_ANSWERED;
}
