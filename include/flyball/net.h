/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/net.h: an HTTP client. Requests go out on an event loop of libuv and are answered by callbacks on it;
 * connections are kept and used again, HTTP/2 where the other side speaks it. libcurl does the work; it is
 * loaded when the first client is made, so that whoever needs no network does not pay for it.
 *
 * Times are nanoseconds. Nothing here is thread-safe: a client belongs to the thread of its loop.
 */
#ifndef FLYBALL_NET_H
#define FLYBALL_NET_H

#include <flyball/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_http fb_http;           /* a client: its connections and what is under way */
typedef struct fb_http_call fb_http_call; /* one request; gone after its answer was delivered */

typedef struct fb_http_header {
  fb_slice name, value;
} fb_http_header;

/* All is borrowed until fb_http_send returns. Zero-filled: a GET that follows no redirect. */
typedef struct fb_http_request {
  const char *method; /* "GET", "POST" …; NULL: GET, POST with a body */
  const char *url;    /* http or https */
  const fb_http_header *headers;
  size_t header_count;
  fb_slice body;
  const char *user, *password; /* basic authentication; NULL: none */
  int64_t timeout;             /* of the whole, redirects included; 0: none */
  int64_t connect_timeout;     /* 0: 30 s */
  uint32_t redirects;          /* followed at most; 0: none */
  uint64_t max_body;           /* bytes of the answer; more: FB_E_NET_LIMIT; 0: 64 MiB */
  const char *proxy; /* NULL: as the environment says (http_proxy …); "": none whatever it says */
  const char *ca_file, *certificate,
      *key;       /* PEM files; NULL: the system's authorities, no certificate */
  bool no_verify; /* takes any certificate: for tests */
  bool
      share; /* a GET without a body: the answer of an equal one under way serves this one as well */
} fb_http_request;

/* Borrowed for the duration of the callback. */
typedef struct fb_http_answer {
  fb_status status;              /* FB_OK: an answer came, whatever its code says */
  const fb_error *error;         /* when not */
  int code;                      /* 200, 404 …; 0: none came */
  const fb_http_header *headers; /* of the last answer; names as they came */
  size_t header_count;
  fb_slice body;
  const char *url;    /* where it came from in the end */
  uint32_t redirects; /* followed */
  int64_t total, connected,
      first; /* since the start: its end, connection (and TLS) made, first byte */
  int64_t
      retry_after; /* what the header asks to wait; a date is measured against the wall clock; 0: nothing */
  bool reused, shared; /* a kept connection; another call's answer */
} fb_http_answer;

typedef void fb_http_done(void *user, const fb_http_answer *answer);

typedef struct fb_http_options {
  const char *user_agent; /* NULL: flyball/VERSION */
  uint32_t per_host;      /* connections at most; further requests wait; 0: 32 */
  uint32_t total;         /* 0: 256 */
  /* Asked before each connection is made, redirects included: may this address be spoken to? `address` is text:
   * "127.0.0.1", "::1". NULL: all may. With a proxy, that is the proxy's. */
  bool (*allow)(void *context, const char *address);
  void *context;
} fb_http_options;

/* `loop` is a uv_loop_t and outlives it. FB_E_NET when libcurl is not installed. */
FB_API fb_status fb_http_new(void *loop, const fb_http_options *options,
                             const fb_allocator *allocator, fb_http **ret_http, fb_error *err);
/* Cancels what is under way, calling nobody. The loop has to turn until its handles are closed. */
FB_API void fb_http_free(fb_http *http);

/* `done` is called once, from the loop, never from within. On failure (FB_E_NET_URL, FB_E_NOMEM) it is not called. */
FB_API fb_status fb_http_send(fb_http *http, const fb_http_request *request, fb_http_done *done,
                              void *user, fb_http_call **ret_call, fb_error *err);
/* Its `done` is not called any more. */
FB_API void fb_http_cancel(fb_http_call *call);
FB_API size_t fb_http_pending(const fb_http *http);

/* The header's value, name compared without case; ptr NULL: none. */
FB_API fb_slice fb_http_header_of(const fb_http_header *headers, size_t count, const char *name);
/* Retry-After as nanoseconds from `wall` (ns since 1970) on: seconds, or an HTTP date; 0: neither. */
FB_API int64_t fb_http_retry_after(fb_slice value, int64_t wall);
/* May this address (as in fb_http_options.allow) be one of the public internet? Not loopback, private, link-local (where
 * clouds keep their metadata), multicast or reserved, also where an IPv6 address wraps an IPv4 one. */
FB_API bool fb_net_is_public(const char *address);

#ifdef __cplusplus
}
#endif
#endif
