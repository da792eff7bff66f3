/* SPDX-License-Identifier: Apache-2.0
 *
 * One exchange: libmicrohttpd calls fb_request_access once when the headers are there, then with each piece of the
 * body, then without one. What is refused by its headers is answered before its body is read.
 */
#include "server/server.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { S_PIECE = 32 << 10, S_WORTH = 1024 /* bytes; shorter answers are not compressed */ };

int64_t fb_server_now(const fb_server *server) {
  return server->clock->mono(server->clock->context);
}

/* ── What came ── */

const char *fb_request_header(const fb_request *request, const char *name) {
  return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *fb_request_query(const fb_request *request, const char *name) {
  return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

uint64_t fb_request_number(const fb_request *request, const char *name, uint64_t otherwise) {
  const char *text = fb_request_query(request, name);
  char *end = NULL;
  uint64_t number = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
  return end && !*end ? number : otherwise;
}

bool fb_request_is(const fb_request *request, const char *type) {
  const char *header = fb_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
  size_t length = strlen(type);
  return header && !strncasecmp(header, type, length) &&
         (!header[length] || header[length] == ';' || header[length] == ' ');
}

bool fb_request_accepts(const fb_request *request, const char *type) {
  const char *accept = fb_request_header(request, MHD_HTTP_HEADER_ACCEPT);
  return accept && strstr(accept, type);
}

/* ── The answer ── */

void fb_reply_header(fb_request *request, const char *name, const char *value) {
  fb_reply *reply = &request->reply;
  if (!value || reply->header_count == sizeof reply->headers / sizeof *reply->headers) return;
  reply->headers[reply->header_count].name = name;
  reply->headers[reply->header_count++].value = value;
}

fb_answered fb_reply_json(fb_request *request, unsigned code, fb_buf *body) {
  fb_reply *reply = &request->reply;
  if (body->failed) {
    fb_buf_release(body);
    return fb_reply_empty(request, 507);
  }
  fb_spool_release(&reply->body);
  reply->code = code;
  reply->type = "application/json";
  reply->body.bytes = body->ptr; /* of the system's allocator, as a spool's are */
  reply->body.size = body->len;
  reply->body.cap = body->cap;
  *body = (fb_buf){0};
  return FB_ANSWERED;
}

fb_answered fb_reply_empty(fb_request *request, unsigned code) {
  fb_spool_release(&request->reply.body);
  request->reply.code = code;
  request->reply.type = NULL;
  return FB_ANSWERED;
}

/* A body that is compressed while it is sent. */
typedef struct S_press {
  fb_coder *coder;
  fb_spool body;
  uint64_t at; /* of the body, read so far */
  fb_slice in;
  bool done;
  char piece[S_PIECE];
} S_press;

/* More to compress. False: the body cannot be read. */
static bool S_fetch(S_press *press) {
  if (press->in.len || press->at == press->body.size) return true;
  if (press->body.fd < 0) {
    press->in = fb_spool_slice(&press->body);
  } else {
    ssize_t got = pread(press->body.fd, press->piece, sizeof press->piece, (off_t)press->at);
    if (got <= 0) return false;
    press->in = (fb_slice){press->piece, (size_t)got};
  }
  press->at += press->in.len;
  return true;
}

static ssize_t S_read_pressed(void *context, uint64_t offset, char *bytes, size_t max) {
  S_press *press = context;
  size_t size = 0;
  (void)offset;
  while (!size && !press->done) {
    if (!S_fetch(press)) return MHD_CONTENT_READER_END_WITH_ERROR;
    size = fb_coder_shrink(press->coder, &press->in, press->at == press->body.size, bytes, max,
                           &press->done);
    if (size == SIZE_MAX) return MHD_CONTENT_READER_END_WITH_ERROR;
  }
  return size ? (ssize_t)size : MHD_CONTENT_READER_END_OF_STREAM;
}

static void S_free_pressed(void *context) {
  S_press *press = context;
  fb_coder_free(press->coder);
  fb_spool_release(&press->body);
  free(press);
}

/* What the client takes, if the answer is worth it. */
static fb_coding S_coding(const fb_request *request) {
  const fb_reply *reply = &request->reply;
  if (reply->flow || reply->body.size < S_WORTH || !strcmp(request->method, "HEAD"))
    return FB_CODING_NONE;
  for (uint32_t i = 0; i < reply->header_count; i++)
    if (!strcmp(reply->headers[i].name, MHD_HTTP_HEADER_CONTENT_ENCODING)) return FB_CODING_NONE;
  return fb_coding_choose(fb_request_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING));
}

/* Takes the body over. NULL: as it is, then. */
static struct MHD_Response *S_pressed(fb_request *request, fb_coding coding) {
  S_press *press = coding == FB_CODING_NONE ? NULL : malloc(sizeof *press);
  if (!press) return NULL;
  press->coder = fb_coder_new(coding, true);
  press->body = request->reply.body;
  press->at = 0;
  press->in = (fb_slice){0};
  press->done = false;
  struct MHD_Response *response =
      press->coder ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, S_PIECE, S_read_pressed,
                                                       press, S_free_pressed)
                   : NULL;
  if (!response) {
    fb_coder_free(press->coder);
    free(press);
    return NULL;
  }
  fb_spool_init(&request->reply.body, NULL, 0);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, fb_coding_name(coding));
  MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
  return response;
}

/* Takes the body over. */
static struct MHD_Response *S_response(fb_reply *reply) {
  fb_spool *body = &reply->body;
  struct MHD_Response *response;
  if (reply->flow) return fb_flow_response(reply->flow);
  if (body->fd >= 0) {
    response = MHD_create_response_from_fd64(body->size, body->fd);
    if (response) body->fd = -1;
    return response;
  }
  response =
      MHD_create_response_from_buffer((size_t)body->size, body->bytes ? body->bytes : "",
                                      body->bytes ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
  if (response) body->bytes = NULL;
  return response;
}

/* The work is done, whether or not the client has read what came of it. */
static void S_leave(fb_request *request) {
  if (request->counted) atomic_fetch_sub(&request->server->busy, 1);
  if (request->client) atomic_fetch_sub(request->client, 1);
  request->counted = false;
  request->client = NULL;
}

static size_t S_route_number(const fb_request *request) {
  return request->route ? (size_t)(request->route - fb_routes) : fb_route_count;
}

static enum MHD_Result S_send(fb_request *request) {
  fb_reply *reply = &request->reply;
  unsigned class_ = reply->code / 100;
  S_leave(request);
  if (class_ < FB_CLASSES)
    fb_counter_add(request->server->counts[S_route_number(request)].requests[class_], 1);
  struct MHD_Response *response = S_pressed(request, S_coding(request));
  if (!response) response = S_response(reply);
  if (!response) return MHD_NO;
  if (reply->type) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
  MHD_add_response_header(response, "X-Request-Id", request->id);
  for (uint32_t i = 0; i < reply->header_count; i++)
    MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
  request->done = true;
  enum MHD_Result sent = MHD_queue_response(request->connection, reply->code, response);
  MHD_destroy_response(response);
  return sent;
}

/* ── Who asks, and how it is called ── */

static bool S_is_plain(const char *text, size_t max) {
  size_t length = strlen(text);
  for (size_t i = 0; i < length; i++)
    if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') return false;
  return length && length <= max;
}

static bool S_is_hex(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) return false;
  return true;
}

/* "00-TRACE-PARENT-FLAGS" of W3C's trace context; one that is broken is as none. */
static void S_trace(fb_request *request) {
  const char *header = fb_request_header(request, "traceparent");
  if (!header || strlen(header) < 55 || header[2] != '-' || header[35] != '-' ||
      !S_is_hex(header + 3, 32) || !S_is_hex(header + 36, 16))
    return;
  memcpy(request->trace, header + 3, 32);
  memcpy(request->parent, header + 36, 16);
}

/* The client's id, if it is one line of plain text; else a new one. */
static void S_name(fb_request *request) {
  fb_server *server = request->server;
  const char *given = fb_request_header(request, "X-Request-Id");
  if (given && S_is_plain(given, FB_REQUEST_ID - 1)) {
    snprintf(request->id, sizeof request->id, "%s", given);
    return;
  }
  uint64_t serial = atomic_fetch_add_explicit(&server->serial, 1, memory_order_relaxed);
  snprintf(request->id, sizeof request->id, "%016llx",
           (unsigned long long)fb_hash_mix(server->seed, serial));
}

static fb_slice S_address(fb_request *request) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  char text[INET6_ADDRSTRLEN] = "local";
  if (info && info->client_addr && info->client_addr->sa_family == AF_INET)
    inet_ntop(AF_INET, &((const struct sockaddr_in *)info->client_addr)->sin_addr, text,
              sizeof text);
  else if (info && info->client_addr && info->client_addr->sa_family == AF_INET6)
    inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)info->client_addr)->sin6_addr, text,
              sizeof text);
  return fb_slice_of(fb_arena_text(&request->arena, fb_slice_of(text)));
}

fb_slice fb_request_who(fb_request *request) {
  if (!request->who.len) request->who = S_address(request);
  return request->who;
}

static void S_who(fb_request *request) {
  fb_server *server = request->server;
  request->who = (fb_slice){0};
  request->role =
      fb_tokens_role(&server->tokens, fb_request_header(request, "Authorization"), &request->who);
  if (!request->who.len && (server->rates || server->options.max_client || server->options.log))
    request->who = S_address(request);
}

/* ── What is refused by its headers ── */

static void S_retry_after(fb_request *request, int64_t nanos) {
  int64_t seconds = (nanos + INT64_C(999999999)) / INT64_C(1000000000);
  fb_reply_header(request, "Retry-After",
                  fb_arena_printf(&request->arena, "%lld", (long long)(seconds ? seconds : 1)));
}

/* A body that says itself that it is too long need not be read. */
static bool S_is_too_long(fb_request *request) {
  const char *header = fb_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
  request->expected = header ? strtoull(header, NULL, 10) : UINT64_MAX;
  return header && request->expected > request->body.max;
}

static bool S_may(fb_request *request) {
  if (request->role >= request->route->role) return true;
  if (request->role == FB_ROLE_NONE) {
    fb_reply_header(request, "WWW-Authenticate", "Bearer");
    fb_reply_fail(request, 0, FB_E_SERVER_TOKEN, "a token is needed, and this one is not known");
  } else {
    fb_reply_fail(request, 0, FB_E_SERVER_ROLE, "the token's role does not admit this");
  }
  return false;
}

/* "127.0.0.1:8080", "[::1]", "localhost:80": names that nobody's name server can point elsewhere. */
static bool S_is_own_name(const char *host) {
  size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
  char name[INET6_ADDRSTRLEN + 2];
  uint8_t address[16];
  if (length == 9 && !strncasecmp(host, "localhost", 9)) return true;
  if (length >= sizeof name || length > strlen(host) || (host[length] && host[length] != ':'))
    return false;
  bool six = host[0] == '[' && length > 2;
  memcpy(name, host + six, length - (six ? 2 : 0));
  name[length - (six ? 2 : 0)] = 0;
  return inet_pton(six ? AF_INET6 : AF_INET, name, address) == 1;
}

/* Without tokens, whoever reaches the server may do everything: pages of other sites must not, through a browser that does. */
static bool S_is_foreign(fb_request *request) {
  const char *origin = fb_request_header(request, "Origin");
  const char *host = fb_request_header(request, MHD_HTTP_HEADER_HOST);
  if (request->server->tokens.count || request->route->role == FB_ROLE_NONE) return false;
  const char *from = origin ? strstr(origin, "://") : NULL;
  bool other = origin && (!from || !host || strcasecmp(from + 3, host) != 0);
  bool named = host && !request->server->socket_path[0] && !S_is_own_name(host);
  if (!other && !named) return false;
  fb_reply_fail(request, 0, FB_E_SERVER_ORIGIN, "not for %s",
                other ? "pages of other sites" : "this name of the server");
  return true;
}

/* How many requests of the client are at work. Clients that fall together count as one. */
static _Atomic uint32_t *S_client(const fb_request *request) {
  uint64_t hash = fb_hash_bytes(request->who.ptr, request->who.len, request->server->seed);
  return &request->server->clients[hash % FB_CLIENTS];
}

static bool S_is_greedy(fb_request *request) {
  fb_server *server = request->server;
  if (!server->options.max_client) return false;
  request->client = S_client(request);
  if (atomic_fetch_add(request->client, 1) < server->options.max_client) return false;
  S_retry_after(request, 0);
  fb_reply_fail(request, 0, FB_E_SERVER_RATE, "more than %u requests at once",
                server->options.max_client);
  return true;
}

static bool S_has_room(fb_request *request) {
  fb_server *server = request->server;
  int64_t wait = 0;
  if (request->route->role == FB_ROLE_NONE)
    return true; /* whether it is alive can always be asked */
  if (server->rates && !fb_rate_keys_take(server->rates, request->who, 1, request->start, &wait)) {
    S_retry_after(request, wait);
    fb_reply_fail(request, 0, FB_E_SERVER_RATE, "more than %u requests a second",
                  server->options.rate);
    return false;
  }
  if (S_is_greedy(request)) return false;
  request->counted = true;
  if (atomic_fetch_add(&server->busy, 1) >= server->options.max_busy || server->draining) {
    S_retry_after(request, 0);
    fb_reply_fail(request, 0, FB_E_SERVER_BUSY,
                  server->draining ? "the server is about to end" : "%u requests are at work",
                  server->options.max_busy);
    return false;
  }
  return true;
}

/* False: the body's coding is not known; it is answered. */
static bool S_is_read(fb_request *request) {
  fb_coding coding = fb_coding_of(fb_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING));
  if (coding == FB_CODING_NONE) return true;
  if (coding != FB_CODING_UNKNOWN) request->coder = fb_coder_new(coding, false);
  if (request->coder) return true;
  fb_reply_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip, zstd");
  fb_reply_fail(request, coding == FB_CODING_UNKNOWN ? 0 : 507,
                coding == FB_CODING_UNKNOWN ? FB_E_SERVER_TYPE : FB_E_NOMEM,
                "the body's Content-Encoding is to be gzip or zstd");
  return false;
}

/* False: it is answered. */
static bool S_admit(fb_request *request, const char *url) {
  char allowed[64];
  request->route = fb_route_find(request->method, url, request, allowed);
  if (!request->route) {
    if (allowed[0])
      fb_reply_header(request, "Allow", fb_arena_text(&request->arena, fb_slice_of(allowed)));
    fb_reply_fail(request, 0, allowed[0] ? FB_E_SERVER_METHOD : FB_E_SERVER_UNKNOWN,
                  allowed[0] ? "not with this method" : "there is nothing at this path");
    return false;
  }
  if (request->route->streams && fb_request_is(request, "application/x-ndjson")) {
    request->body.max = request->server->options.max_stream;
    request->body.folder = request->server->options.folder;
  }
  S_who(request);
  if (S_is_foreign(request) || !S_may(request) || !S_has_room(request)) return false;
  if (!S_is_too_long(request)) return S_is_read(request);
  fb_reply_fail(request, 0, FB_E_SERVER_BODY, "the body is longer than %llu bytes",
                (unsigned long long)request->body.max);
  return false;
}

/* ── The way through ── */

static fb_request *S_new(fb_server *server, struct MHD_Connection *connection, const char *method) {
  fb_request *request = calloc(1, sizeof *request);
  if (!request) return NULL;
  request->server = server;
  atomic_fetch_add(&server->open, 1);
  request->connection = connection;
  request->method = method;
  request->start = fb_server_now(server);
  fb_arena_init(&request->arena, NULL, 2048);
  fb_spool_init(&request->body, NULL, server->options.max_body);
  fb_spool_init(&request->reply.body, server->options.folder, UINT64_MAX);
  S_name(request);
  S_trace(request);
  return request;
}

/* On a worker. After the resumption libmicrohttpd calls fb_request_access again. */
static void S_run_job(fb_job *job) {
  fb_request *request = (fb_request *)((char *)job - offsetof(fb_request, job));
  bool wakes = request->route->wakes; /* it may be answered, and gone, by then */
  if (request->route->slow)
    request->route->answer(request);
  else
    request->route->later(request);
  if (!wakes) MHD_resume_connection(request->connection);
}

void fb_request_wake(fb_request *request) {
  MHD_resume_connection(request->connection);
}

static enum MHD_Result S_answer(fb_request *request) {
  if (request->suspended) return S_send(request);
  if (!request->route->slow && request->route->answer(request) == FB_ANSWERED)
    return S_send(request);
  request->suspended = true;
  request->job.run = S_run_job;
  MHD_suspend_connection(request->connection);
  fb_jobs_add(request->server->jobs, &request->job);
  return MHD_YES;
}

static fb_status S_put(void *user, const char *bytes, size_t size) {
  return fb_spool_add(user, bytes, size);
}

static enum MHD_Result S_take(fb_request *request, const char *bytes, size_t size) {
  if (request->reply.code) return MHD_YES; /* a failure before: the rest is passed over */
  fb_status status = request->coder
                         ? fb_coder_expand(request->coder, bytes, size, S_put, &request->body)
                         : fb_spool_add(&request->body, bytes, size);
  if (status == FB_OK) return MHD_YES;
  if (status == FB_E_SERVER_REQUEST) {
    fb_reply_fail(request, 0, status, "the body is not compressed as Content-Encoding says");
    return MHD_YES;
  }
  if (status == FB_E_LIMIT)
    fb_reply_fail(request, 0, FB_E_SERVER_BODY, "the body is longer than %llu bytes",
                  (unsigned long long)request->body.max);
  else
    fb_reply_fail(request, 0, status, "the body cannot be kept");
  return MHD_YES;
}

/* The client has gone in the middle of its body. libmicrohttpd does not see it when the end came together with the bytes before it:
 * epoll tells it once, and what is read then is taken for all that there is for now. */
static bool S_is_gone(const fb_request *request) {
  char byte;
  if (request->came >= request->expected) return false;
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info && recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

enum MHD_Result fb_request_access(void *server, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *size, void **state) {
  fb_request *request = *state;
  (void)version;
  if (!request) {
    request = S_new(server, connection, method);
    *state = request;
    if (!request) return MHD_NO;
    return S_admit(request, url) ? MHD_YES : S_send(request);
  }
  if (*size) {
    enum MHD_Result result = S_take(request, bytes, *size);
    request->came += *size;
    *size = 0;
    return S_is_gone(request) ? MHD_NO : result;
  }
  if (request->done) return MHD_YES;
  if (request->coder && !request->reply.code && !fb_coder_ended(request->coder))
    fb_reply_fail(request, 0, FB_E_SERVER_REQUEST, "the end of the compressed body is missing");
  return request->reply.code && !request->suspended ? S_send(request) : S_answer(request);
}

/* ── Its end ── */

static void S_log(const fb_request *request, int64_t nanos) {
  char code[8], time[FB_TIME_TEXT_MAX], who[80];
  unsigned status = request->reply.code;
  fb_log_level level = status >= 500 ? FB_LOG_WARN : FB_LOG_DEBUG;
  const fb_log *log = request->server->options.log;
  if (!log || level < log->level) return;
  snprintf(code, sizeof code, "%u", status);
  snprintf(who, sizeof who, "%.*s", (int)request->who.len,
           request->who.ptr ? request->who.ptr : "");
  fb_duration_format(nanos, time);
  fb_log_write(log, level, "request", "method", request->method, "route",
               request->route ? request->route->path : "-", "status", code, "time", time, "client",
               who, "request", request->id, request->trace[0] ? "trace" : NULL, request->trace,
               NULL);
}

void fb_request_completed(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_RequestTerminationCode how) {
  fb_server *server = context;
  fb_request *request = *state;
  (void)connection;
  (void)how;
  if (!request) return;
  int64_t nanos = fb_server_now(server) - request->start;
  if (!request->reply.flow) /* which lasts as long as its reader likes */
    fb_histogram_record(server->counts[S_route_number(request)].seconds, (double)nanos / 1e9);
  S_log(request, nanos);
  S_leave(request);
  atomic_fetch_sub(&server->open, 1);
  fb_coder_free(request->coder);
  fb_spool_release(&request->body);
  fb_spool_release(&request->reply.body);
  fb_arena_release(&request->arena);
  free(request);
  *state = NULL;
}
