/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the HTTP client.
 *
 *   transfer   what libcurl does: one exchange, with its redirects
 *   call       who waits for it; several of one transfer if the request may be shared
 */
#ifndef FB_NET_INTERNAL_H
#define FB_NET_INTERNAL_H

#include "net/curl.h"

#include <uv.h>

typedef struct fb_transfer fb_transfer;

struct fb_http_call {
  fb_transfer *transfer;
  fb_http_call *next, *prev; /* of the transfer */
  fb_http_done *done;
  void *user;
};

struct fb_transfer {
  fb_http *http;
  fb_transfer *next, *prev;
  CURL *easy;
  struct curl_slist *headers;
  fb_http_call *calls;
  fb_buf body;
  fb_buf head; /* header lines of the latest answer */
  fb_buf key;  /* of what may be shared; empty: it may not */
  uint64_t key_hash;
  bool body_full, refused, joined;
  bool starved;    /* the loop had no memory for its socket */
  bool delivering; /* the last of its calls is not its end */
  char text[CURL_ERROR_SIZE];
};

struct fb_http {
  fb_curl curl;
  const fb_allocator *allocator;
  uv_loop_t *loop;
  uv_timer_t timer;
  CURLM *multi;
  fb_http_options options;
  char user_agent[64];
  fb_transfer *transfers;
  size_t pending; /* calls */
  size_t handles; /* of the loop, not yet closed */
  bool freed, starved;
};

/* request.c: checks the request and tells libcurl of it. */
fb_status fb_transfer_setup(fb_transfer *transfer, const fb_http_request *request, fb_error *err);
/* What a request must have in common with another to have the same answer. */
void fb_request_key(const fb_http_request *request, fb_buf *out);
/* answer.c: hands the answer to every call, and frees the calls. */
void fb_transfer_deliver(fb_transfer *transfer, CURLcode result);

#endif
