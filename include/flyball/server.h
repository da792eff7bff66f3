/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/server.h: Flyball over HTTP. Rulesets are kept under names and versions, facts are decided upon in one
 * request or held in sessions; docs/reference/server.md tells the requests and answers.
 *
 * A server answers on threads of its own from fb_server_new on. Its functions may be called from any thread.
 */
#ifndef FLYBALL_SERVER_H
#define FLYBALL_SERVER_H

#include <flyball/metrics.h>
#include <flyball/rules.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_server fb_server;

/* What a caller may do; each may what those before it may. */
typedef enum fb_role {
  FB_ROLE_NONE,     /* ask whether it is alive */
  FB_ROLE_VIEWER,   /* read */
  FB_ROLE_OPERATOR, /* evaluate, work with sessions, start and steer runs */
  FB_ROLE_ADMIN     /* change rulesets and missions */
} fb_role;

/* Zero-filled fields mean what is said behind the colon. All is copied. */
typedef struct fb_server_options {
  const char *
      bind; /* "127.0.0.1:8080", "[::1]:0" (any free port), "unix:/run/flyball.sock": 127.0.0.1:8080 */
  uint32_t threads; /* that answer: one a processor */
  /* Who may do what: a line each, "ROLE NAME SHA256", the last being the hex digest of the bearer token; "#" begins a
   * comment. Empty: everybody is an admin, which is only admitted on loopback and Unix sockets. */
  fb_slice tokens;
  const char *tls_certificate, *tls_key; /* PEM files: no TLS */
  uint64_t max_body;                     /* bytes of a JSON or YAML body: 16 MiB */
  uint64_t
      max_stream; /* bytes of an NDJSON body: 4 GiB. More than 1 MiB of it waits in a file of `folder` */
  uint64_t max_facts;    /* of one evaluation or session: 10 million */
  uint64_t max_firings;  /* of one evaluation: 10 million */
  int64_t max_time;      /* nanoseconds of one evaluation: 10 s */
  uint32_t max_rulesets; /* 1,000 */
  uint32_t max_missions; /* 1,000 */
  uint32_t max_runs;     /* at work at once; further ones wait: 4 */
  uint32_t max_watchers; /* of GET /v1/events: 256 */
  uint32_t max_sessions; /* 1,000 */
  int64_t session_idle;  /* nanoseconds without a request after which a session is forgotten: 1 h */
  uint64_t max_explained; /* last firings of a session that explanations reach back to: 100,000 */
  int64_t snapshot; /* nanoseconds between snapshots of sessions that changed, with `state`: 30 s */
  uint32_t max_busy; /* requests at work at once; more get 503: 256 */
  uint32_t
      max_client; /* requests at work at once of one client (token, else address); more get 429: no limit */
  uint32_t rate;  /* requests a second and client (token, else address); more get 429: no limit */
  uint32_t burst; /* 2 × rate */
  const char *
      state; /* folder of what outlives the server: NULL: nothing does, and there are no missions */
  const char *history; /* file of `flyball history`: NULL: none is shown */
  const char
      *folder; /* of the files with what is under way, unlinked as soon as they are made: /tmp */
  const fb_log *
      log; /* borrowed; NULL: none. One line a request at FB_LOG_DEBUG, failures (5xx) at FB_LOG_WARN */
  fb_metrics *metrics;  /* borrowed; NULL: one of its own */
  struct fb_loop *loop; /* borrowed: where /v1/facts go; NULL: none. Outlives the server */
} fb_server_options;

/* Binds, and answers from then on. FB_E_SERVER_BIND: the address cannot be bound, or is public without tokens;
 * FB_E_SERVER_OPTION: an option that makes no sense (the text names it). */
FB_API fb_status fb_server_new(const fb_server_options *options, const fb_allocator *allocator,
                               fb_server **ret_server, fb_error *err);
/* Where it listens: "http://127.0.0.1:8080", "unix:/run/flyball.sock". */
FB_API const char *fb_server_url(const fb_server *server);
/* Keeps a ruleset under a name, as PUT /v1/rulesets/NAME does. The errors of a text that does not load go to
 * `errors`. */
FB_API fb_status fb_server_put_ruleset(fb_server *server, fb_slice name, fb_slice text,
                                       const char *file, fb_errors *errors);
/* Keeps a mission under a name, as PUT /v1/missions/NAME does. Paths in it are relative to `folder`. FB_E_SERVER_STATE: the server
 * has no folder for what outlives it. */
FB_API fb_status fb_server_put_mission(fb_server *server, fb_slice name, fb_slice text,
                                       const char *file, const char *folder, fb_errors *errors);
/* Tells those who watch (GET /v1/events) that something happened. kind: at most 15 letters; members: of a JSON object without its
 * braces, in one line, without "at", at most 16 KiB (longer ones are dropped). Never waits for a watcher; cheap enough for 10,000 a second. */
FB_API void fb_server_publish(fb_server *server, const char *kind, fb_slice members);
/* Not ready any more, and no new connections; waits until what is under way is answered, at most `grace` nanoseconds.
 * True if all was. */
FB_API bool fb_server_drain(fb_server *server, int64_t grace);
FB_API void fb_server_free(fb_server *server);

#ifdef __cplusplus
}
#endif
#endif
