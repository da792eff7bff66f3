/* SPDX-License-Identifier: Apache-2.0
 * A server's life: options, address, threads, end. */
#include "server/bingo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  BACKLOG = 1024,
  MOST_CONNECTIONS = 10000,
  IDLE_SECONDS = 60,
  CONNECTION_MEMORY = 128 << 10,
  POLL_NANOS = 5000000
};

/* ── Options ── */

static const char *S_copy(fb_server *server, const char *text) {
  return text ? fb_arena_text(&server->arena, fb_slice_of(text)) : NULL;
}

#define S_DEFAULT(field, value) \
  if (!options->field) options->field = (value)

static void S_defaults(fb_server_options *options) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  S_DEFAULT(bind, "127.0.0.1:8080");
  S_DEFAULT(threads, processors > 0 ? (uint32_t)processors : 1);
  S_DEFAULT(max_body, UINT64_C(16) << 20);
  S_DEFAULT(max_stream, UINT64_C(4) << 30);
  S_DEFAULT(max_facts, 10000000);
  S_DEFAULT(max_firings, 10000000);
  S_DEFAULT(max_time, INT64_C(10000000000));
  S_DEFAULT(max_rulesets, 1000);
  S_DEFAULT(max_missions, 1000);
  S_DEFAULT(max_runs, 4);
  S_DEFAULT(max_watchers, 256);
  S_DEFAULT(max_sessions, 1000);
  S_DEFAULT(session_idle, INT64_C(3600000000000));
  S_DEFAULT(max_explained, 100000);
  S_DEFAULT(snapshot, INT64_C(30000000000));
  S_DEFAULT(max_busy, 256);
  S_DEFAULT(burst, options->rate * 2);
  S_DEFAULT(folder, "/tmp");
}

static fb_status S_options(fb_server *server, const fb_server_options *given, fb_error *err) {
  fb_server_options *options = &server->options;
  *options = *given;
  S_defaults(options);
  options->bind = S_copy(server, options->bind);
  options->folder = S_copy(server, options->folder);
  options->tls_certificate = S_copy(server, options->tls_certificate);
  options->tls_key = S_copy(server, options->tls_key);
  options->state = S_copy(server, options->state);
  options->history = S_copy(server, options->history);
  if (!options->bind || !options->folder) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (!options->tls_certificate != !options->tls_key)
    return fb_fail(err, FB_E_SERVER_OPTION, "TLS needs both a certificate and a key");
  if (options->threads > 256)
    return fb_fail(err, FB_E_SERVER_OPTION, "%u threads are too many", options->threads);
  return fb_tokens_read(given->tokens, &server->tokens, err);
}

/* ── Address ── */

static void S_set_url(fb_server *server, int fd) {
  char host[INET6_ADDRSTRLEN] = "";
  fb_address address = {0};
  socklen_t size = sizeof address;
  const char *scheme = server->options.tls_key ? "https" : "http";
  getsockname(fd, &address.any, &size);
  if (address.any.sa_family == AF_UNIX) {
    snprintf(server->url, sizeof server->url, "unix:%s", server->socket_path);
  } else if (address.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof host);
    snprintf(server->url, sizeof server->url, "%s://[%s]:%u", scheme, host,
             ntohs(address.v6.sin6_port));
  } else {
    inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof host);
    snprintf(server->url, sizeof server->url, "%s://%s:%u", scheme, host,
             ntohs(address.v4.sin_port));
  }
}

static fb_status S_bind_failed(fb_server *server, fb_error *err) {
  fb_fail(err, FB_E_SERVER_BIND, "%s: %s", server->options.bind, strerror(errno));
  if (errno == EADDRINUSE) fb_error_hint(err, "another process listens there");
  return FB_E_SERVER_BIND;
}

/* A socket's file that nobody listens at any more is in the way. */
static void S_clear_path(const fb_address *address, socklen_t size) {
  struct stat st;
  if (stat(address->local.sun_path, &st) || !S_ISSOCK(st.st_mode)) return;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  if (connect(fd, &address->any, size) && errno == ECONNREFUSED) unlink(address->local.sun_path);
  close(fd);
}

static fb_status S_listen(fb_server *server, int *ret_fd, fb_error *err) {
  fb_address address;
  socklen_t size;
  int on = 1;
  if (!fb_address_parse(server->options.bind, &address, &size)) {
    fb_fail(err, FB_E_SERVER_OPTION, "`%s` is no address to listen at", server->options.bind);
    fb_error_hint(err, "127.0.0.1:8080, [::1]:8080, unix:/run/flyball.sock");
    return FB_E_SERVER_OPTION;
  }
  server->local = fb_address_is_local(&address);
  if (!server->local && !server->tokens.count) {
    fb_fail(err, FB_E_SERVER_BIND, "%s can be reached from outside, and no tokens are set",
            server->options.bind);
    fb_error_hint(err, "give a file of tokens, or listen on 127.0.0.1 or a Unix socket");
    return FB_E_SERVER_BIND;
  }
  if (address.any.sa_family == AF_UNIX) {
    S_clear_path(&address, size);
    snprintf(server->socket_path, sizeof server->socket_path, "%s", address.local.sun_path);
  }
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return S_bind_failed(server, err);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &address.any, size) || listen(fd, BACKLOG)) {
    fb_status status = S_bind_failed(server, err);
    server->socket_path[0] = 0; /* it is not ours */
    close(fd);
    return status;
  }
  S_set_url(server, fd);
  *ret_fd = fd;
  return FB_OK;
}

/* ── Metrics ── */

static fb_status S_define(fb_server *server, const fb_metric_def *def, fb_metric **ret,
                          fb_error *err) {
  return fb_metrics_define(server->metrics, def, ret, err);
}

static fb_status S_count_route(fb_server *server, size_t number, fb_metric *requests,
                               fb_metric *seconds, fb_error *err) {
  static const char *const classes[FB_CLASSES] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};
  bool known = number < fb_route_count;
  fb_slice labels[3] = {fb_slice_of(known ? fb_routes[number].method : ""),
                        fb_slice_of(known ? fb_routes[number].path : ""),
                        {0}};
  fb_status status = fb_metric_histogram(seconds, labels, &server->counts[number].seconds, err);
  for (int i = 2; i < FB_CLASSES && status == FB_OK; i++) {
    labels[2] = fb_slice_of(classes[i]);
    status = fb_metric_counter(requests, labels, &server->counts[number].requests[i], err);
  }
  return status;
}

static fb_status S_one(fb_server *server, const char *name, const char *help,
                       fb_counter **ret_counter, fb_gauge **ret_gauge, fb_error *err) {
  fb_metric *metric;
  fb_status status = S_define(
      server,
      &(fb_metric_def){
          .kind = ret_counter ? FB_METRIC_COUNTER : FB_METRIC_GAUGE, .name = name, .help = help},
      &metric, err);
  if (status != FB_OK) return status;
  return ret_counter ? fb_metric_counter(metric, NULL, ret_counter, err)
                     : fb_metric_gauge(metric, NULL, ret_gauge, err);
}

static fb_status S_metrics(fb_server *server, fb_error *err) {
  static const char *const labels[] = {"method", "route", "status"};
  fb_metric *requests, *seconds;
  fb_status status = FB_OK;
  server->metrics = server->options.metrics;
  if (!server->metrics) {
    fb_metrics_options options = {.service = "flyball"};
    status = fb_metrics_new(&options, &server->own_metrics, err);
    server->metrics = server->own_metrics;
  }
  server->counts = fb_arena_zero(&server->arena, (fb_route_count + 1) * sizeof *server->counts);
  if (status == FB_OK && !server->counts) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (status == FB_OK)
    status =
        S_define(server,
                 &(fb_metric_def){.kind = FB_METRIC_COUNTER,
                                  .name = "flyball_http_requests",
                                  .help = "Requests answered, by the hundreds of their status.",
                                  .labels = labels,
                                  .label_count = 3},
                 &requests, err);
  if (status == FB_OK)
    status = S_define(server,
                      &(fb_metric_def){.kind = FB_METRIC_HISTOGRAM,
                                       .name = "flyball_http_request_seconds",
                                       .help = "From a request's headers to the end of its answer.",
                                       .unit = "seconds",
                                       .labels = labels,
                                       .label_count = 2},
                      &seconds, err);
  for (size_t i = 0; i <= fb_route_count && status == FB_OK; i++)
    status = S_count_route(server, i, requests, seconds, err);
  if (status == FB_OK)
    status =
        S_one(server, "flyball_facts", "Facts asserted by requests.", &server->facts, NULL, err);
  if (status == FB_OK)
    status =
        S_one(server, "flyball_decisions", "Decisions handed out.", &server->decisions, NULL, err);
  if (status == FB_OK)
    status = S_one(server, "flyball_firings", "Rules fired.", &server->firings, NULL, err);
  if (status == FB_OK)
    status = S_one(server, "flyball_events_lost", "Events that watchers were too slow for.",
                   &server->lost, NULL, err);
  if (status == FB_OK)
    status =
        S_one(server, "flyball_http_busy", "Requests at work.", NULL, &server->busy_gauge, err);
  if (status == FB_OK)
    status =
        S_one(server, "flyball_rulesets", "Rulesets kept.", NULL, &server->rulesets_gauge, err);
  if (status == FB_OK)
    status =
        S_one(server, "flyball_sessions", "Sessions held.", NULL, &server->sessions_gauge, err);
  return status;
}

/* ── Life ── */

static fb_status S_read_file(fb_server *server, const char *path, const char **ret, fb_error *err) {
  char bytes[64 << 10];
  FILE *file = fopen(path, "rbe");
  if (!file) return fb_fail(err, FB_E_SERVER_OPTION, "%s: %s", path, strerror(errno));
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  if (size == sizeof bytes) return fb_fail(err, FB_E_SERVER_OPTION, "%s is too long", path);
  *ret = fb_arena_text(&server->arena, (fb_slice){bytes, size});
  return *ret ? FB_OK : fb_fail(err, FB_E_NOMEM, "out of memory");
}

static void S_quiet(void *context, const char *format, va_list args) {
  (void)context;
  (void)format;
  (void)args;
}

static int S_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 32;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoding in place. "%00" stays as it is: a name does not end where a client writes it. */
static size_t S_unescape(void *context, struct MHD_Connection *connection, char *text) {
  char *to = text;
  (void)context;
  (void)connection;
  for (const char *from = text; *from;) {
    int high = *from == '%' ? S_digit(from[1]) : -1, low = high >= 0 ? S_digit(from[2]) : -1;
    bool coded = low >= 0 && (high || low);
    *to++ = coded ? (char)(16 * high + low) : *from;
    from += coded ? 3 : 1;
  }
  *to = 0;
  return (size_t)(to - text);
}

static fb_status S_start(fb_server *server, int fd, fb_error *err) {
  const char *certificate = NULL, *key = NULL;
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
  fb_status status = FB_OK;
  if (server->options.tls_key) {
    flags |= MHD_USE_TLS;
    status = S_read_file(server, server->options.tls_certificate, &certificate, err);
    if (status == FB_OK) status = S_read_file(server, server->options.tls_key, &key, err);
    if (status != FB_OK) return status;
  }
  struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)certificate},
                                 {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
                                 {MHD_OPTION_END, 0, NULL}};
  if (!key) tls[0].option = MHD_OPTION_END;
  server->daemon = MHD_start_daemon(
      flags, 0, NULL, NULL, fb_request_access, server, MHD_OPTION_EXTERNAL_LOGGER, S_quiet, NULL,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_LISTEN_SOCKET, fd,
      MHD_OPTION_THREAD_POOL_SIZE, server->options.threads, MHD_OPTION_CONNECTION_LIMIT,
      (unsigned)MOST_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
      MHD_OPTION_NOTIFY_COMPLETED, fb_request_completed, server, MHD_OPTION_UNESCAPE_CALLBACK,
      S_unescape, NULL, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
  if (server->daemon) return FB_OK;
  return fb_fail(err, FB_E_SERVER_BIND,
                 key ? "the server does not start: are certificate and key good?"
                     : "the server does not start");
}

/* Where a shelf is kept; NULL: nowhere. */
static const char *S_shelf_folder(fb_server *server, const char *name) {
  return server->options.state ? fb_state_path(server, &server->arena, "%s", name) : NULL;
}

static fb_status S_parts(fb_server *server, fb_error *err) {
  const fb_server_options *options = &server->options;
  fb_status status = fb_jobs_new(options->threads, &server->jobs);
  if (status == FB_OK)
    status = fb_shelf_new(FB_SHELF_RULESETS, S_shelf_folder(server, "rulesets"),
                          options->max_rulesets, &server->rulesets);
  if (status == FB_OK)
    status = fb_shelf_new(FB_SHELF_MISSIONS, S_shelf_folder(server, "missions"),
                          options->max_missions, &server->missions);
  if (status == FB_OK) status = fb_recent_new(&server->recent);
  if (status == FB_OK) status = fb_held_new(server, &server->held);
  if (status == FB_OK) status = fb_flows_new(server, &server->flows);
  if (status == FB_OK) status = fb_events_new(server, &server->events);
  if (status == FB_OK) status = fb_figures_new(server, &server->figures);
  if (status == FB_OK) status = fb_bingo_new(&server->bingo);
  if (status != FB_OK) return fb_fail(err, status, "out of memory");
  status = fb_state_open(server, err);
  if (status == FB_OK) status = fb_audit_new(server, &server->audit, err);
  if (status == FB_OK) status = fb_runner_new(server, &server->runner, err);
  if (status != FB_OK) return status;
  fb_shelf_restore(server->rulesets, options->log);
  fb_shelf_restore(server->missions, options->log);
  fb_held_restore(server->held);
  if (!server->options.rate) return FB_OK;
  fb_rate_keys_config config = {.tokens = server->options.rate,
                                .per = INT64_C(1000000000),
                                .burst = server->options.burst,
                                .keys = 4096,
                                .seed = server->seed};
  return fb_rate_keys_new(&config, NULL, &server->rates, err);
}

fb_status fb_server_new(const fb_server_options *options, const fb_allocator *allocator,
                        fb_server **ret_server, fb_error *err) {
  fb_server *server = fb_alloc_zero(allocator, sizeof *server);
  int fd = -1;
  if (!server) return fb_fail(err, FB_E_NOMEM, "out of memory");
  server->allocator = allocator;
  server->clock = fb_clock_system();
  server->started = fb_server_now(server);
  server->seed = fb_random_seed_system();
  fb_arena_init(&server->arena, allocator, 0);
  fb_status status = fb_mhd_load(err);
  if (status == FB_OK) status = S_options(server, options, err);
  if (status == FB_OK) status = S_metrics(server, err);
  if (status == FB_OK) status = S_parts(server, err);
  if (status == FB_OK) status = S_listen(server, &fd, err);
  if (status == FB_OK) status = S_start(server, fd, err);
  if (status == FB_OK && !fb_flows_start(server->flows))
    status = fb_fail(err, FB_E_NOMEM, "no thread for what goes on");
  if (status != FB_OK) {
    if (fd >= 0) close(fd);
    fb_server_free(server);
    return status;
  }
  fb_audit_note(server, FB_SLICE("server"), "server.start", fb_slice_of(server->url));
  fb_runner_start(server->runner);
  *ret_server = server;
  return FB_OK;
}

const char *fb_server_url(const fb_server *server) {
  return server->url;
}

static fb_status S_put(fb_server *server, fb_shelf *shelf, const char *what, fb_slice name,
                       fb_slice text, const char *file, const char *folder, fb_errors *errors) {
  bool fresh;
  fb_edition *version;
  fb_status status = fb_shelf_put(shelf, name, text, file, folder, NULL, &version, &fresh, errors);
  if (status != FB_OK) return status;
  fb_audit_note(server, FB_SLICE("server"), what, name);
  fb_edition_drop(version);
  return FB_OK;
}

fb_status fb_server_put_ruleset(fb_server *server, fb_slice name, fb_slice text, const char *file,
                                fb_errors *errors) {
  return S_put(server, server->rulesets, "ruleset.load", name, text, file, NULL, errors);
}

fb_status fb_server_put_mission(fb_server *server, fb_slice name, fb_slice text, const char *file,
                                const char *folder, fb_errors *errors) {
  if (!server->options.state) {
    fb_error err;
    fb_fail(&err, FB_E_SERVER_STATE, "missions need a folder for their runs");
    fb_error_hint(&err, "--state DIR");
    return fb_errors_add(errors, &err);
  }
  return S_put(server, server->missions, "mission.load", name, text, file, folder, errors);
}

bool fb_server_drain(fb_server *server, int64_t grace) {
  int64_t end = fb_server_now(server) + grace;
  struct timespec pause = {0, POLL_NANOS};
  server->draining = true;
  fb_flows_news(server->flows);
  fb_runner_stop(server->runner);
  while (server->open && fb_server_now(server) < end) nanosleep(&pause, NULL);
  return !server->open;
}

/* Jobs end before the daemon, which waits for all connections that are suspended. */
void fb_server_free(fb_server *server) {
  if (!server) return;
  server->draining = true;
  fb_runner_stop(server->runner);
  fb_flows_stop(server->flows);
  fb_jobs_free(server->jobs);
  if (server->daemon) MHD_stop_daemon(server->daemon);
  if (server->socket_path[0]) unlink(server->socket_path);
  if (server->audit) fb_held_save(server->held); /* it got as far as having a state */
  fb_held_free(server->held);
  fb_recent_free(server->recent);
  fb_shelf_free(server->rulesets);
  fb_shelf_free(server->missions);
  fb_bingo_free(server->bingo);
  fb_runner_free(server->runner);
  fb_audit_free(server->audit);
  fb_flows_free(server->flows);
  fb_events_free(server->events);
  fb_figures_free(server->figures);
  fb_lease_release(server->lease);
  fb_rate_keys_free(server->rates);
  fb_metrics_free(server->own_metrics);
  fb_tokens_release(&server->tokens);
  fb_arena_release(&server->arena);
  fb_free(server->allocator, server, sizeof *server);
}
