/* SPDX-License-Identifier: Apache-2.0
 * The client: libcurl's multi interface driven by a libuv loop. */
#include "net/internal.h"

/* ── Transfers ── */

static void S_free_transfer(fb_transfer *transfer) {
  fb_http *http = transfer->http;
  if (transfer->prev)
    transfer->prev->next = transfer->next;
  else if (http->transfers == transfer)
    http->transfers = transfer->next;
  if (transfer->next) transfer->next->prev = transfer->prev;
  if (transfer->easy) http->curl.curl_easy_cleanup(transfer->easy);
  http->curl.curl_slist_free_all(transfer->headers);
  for (fb_http_call *call = transfer->calls, *next; call; call = next) {
    next = call->next;
    fb_free(http->allocator, call, sizeof *call);
    http->pending--;
  }
  fb_buf_release(&transfer->body);
  fb_buf_release(&transfer->head);
  fb_buf_release(&transfer->key);
  fb_free(http->allocator, transfer, sizeof *transfer);
}

static void S_end_transfer(fb_transfer *transfer) {
  fb_http *http = transfer->http;
  http->curl.curl_multi_remove_handle(http->multi, transfer->easy);
  S_free_transfer(transfer);
}

static void S_finish_one(fb_transfer *transfer, CURLcode result) {
  transfer->http->curl.curl_multi_remove_handle(transfer->http->multi, transfer->easy);
  fb_buf_clear(&transfer->key); /* who asks for the same now asks anew */
  transfer->delivering = true;
  fb_transfer_deliver(transfer, result);
  S_free_transfer(transfer);
}

static fb_transfer *S_transfer_of(const fb_http *http, CURL *easy) {
  fb_transfer *transfer = NULL;
  http->curl.curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
  return transfer;
}

/* Delivers what has ended. Callbacks may send and cancel. */
static void S_finish(fb_http *http) {
  int left;
  while (http->starved) {
    fb_transfer *transfer = http->transfers;
    while (transfer && !transfer->starved) transfer = transfer->next;
    if (transfer)
      S_finish_one(transfer, CURLE_OUT_OF_MEMORY);
    else
      http->starved = false;
  }
  for (CURLMsg *message; (message = http->curl.curl_multi_info_read(http->multi, &left));) {
    if (message->msg == CURLMSG_DONE)
      S_finish_one(S_transfer_of(http, message->easy_handle), message->data.result);
  }
}

/* ── The loop ── */

typedef struct S_poll {
  uv_poll_t handle;
  fb_http *http;
  curl_socket_t socket;
} S_poll;

static void S_closed(fb_http *http) {
  if (--http->handles == 0 && http->freed) {
    const fb_allocator *allocator = http->allocator;
    fb_free(allocator, http, sizeof *http);
  }
}
static void S_poll_closed(uv_handle_t *handle) {
  S_poll *poll = handle->data;
  fb_http *http = poll->http;
  fb_free(http->allocator, poll, sizeof *poll);
  S_closed(http);
}
static void S_timer_closed(uv_handle_t *handle) {
  S_closed(handle->data);
}

static void S_polled(uv_poll_t *handle, int status, int events) {
  S_poll *poll = handle->data;
  fb_http *http = poll->http;
  int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
              (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0) | (status < 0 ? CURL_CSELECT_ERR : 0);
  int running;
  http->curl.curl_multi_socket_action(http->multi, poll->socket, flags, &running);
  S_finish(http);
}

static void S_timed(uv_timer_t *timer) {
  fb_http *http = timer->data;
  int running;
  http->curl.curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  S_finish(http);
}

static int S_on_timer(CURLM *multi, long milliseconds, void *user) {
  fb_http *http = user;
  (void)multi;
  if (milliseconds < 0) return uv_timer_stop(&http->timer);
  uv_update_time(http->loop);
  return uv_timer_start(&http->timer, S_timed, (uint64_t)milliseconds, 0);
}

static S_poll *S_new_poll(fb_http *http, curl_socket_t socket) {
  S_poll *poll = fb_alloc_zero(http->allocator, sizeof *poll);
  if (!poll) return NULL;
  poll->http = http;
  poll->socket = socket;
  poll->handle.data = poll;
  if (uv_poll_init_socket(http->loop, &poll->handle, socket) != 0) {
    fb_free(http->allocator, poll, sizeof *poll);
    return NULL;
  }
  http->handles++;
  http->curl.curl_multi_assign(http->multi, socket, poll);
  return poll;
}

/* To return -1 would make libcurl give up all that is under way, and never say so to the loop. */
static int S_starve(fb_http *http, CURL *easy) {
  fb_transfer *transfer = S_transfer_of(http, easy);
  if (transfer) transfer->starved = http->starved = true;
  return 0;
}

static int S_on_socket(CURL *easy, curl_socket_t socket, int what, void *user, void *socket_user) {
  fb_http *http = user;
  S_poll *poll = socket_user;
  if (what == CURL_POLL_REMOVE) {
    if (!poll) return 0;
    uv_poll_stop(&poll->handle);
    uv_close((uv_handle_t *)&poll->handle, S_poll_closed);
    http->curl.curl_multi_assign(http->multi, socket, NULL);
    return 0;
  }
  if (!poll && !(poll = S_new_poll(http, socket))) return S_starve(http, easy);
  int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
  return uv_poll_start(&poll->handle, events, S_polled) ? S_starve(http, easy) : 0;
}

/* ── Client ── */

static void S_setup_multi(fb_http *http) {
  const fb_http_options *options = &http->options;
  long per_host = options->per_host ? (long)options->per_host : 32,
       total = options->total ? (long)options->total : 256;
  __typeof__(http->curl.curl_multi_setopt) set = http->curl.curl_multi_setopt;
  set(http->multi, CURLMOPT_SOCKETFUNCTION, S_on_socket);
  set(http->multi, CURLMOPT_SOCKETDATA, http);
  set(http->multi, CURLMOPT_TIMERFUNCTION, S_on_timer);
  set(http->multi, CURLMOPT_TIMERDATA, http);
  set(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
  set(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, total);
  set(http->multi, CURLMOPT_MAXCONNECTS, total);
}

fb_status fb_http_new(void *loop, const fb_http_options *options, const fb_allocator *allocator,
                      fb_http **ret_http, fb_error *err) {
  if (!allocator) allocator = fb_allocator_system();
  fb_http *http = fb_alloc_zero(allocator, sizeof *http);
  if (!http) return fb_fail(err, FB_E_NOMEM, "out of memory");
  http->allocator = allocator;
  http->loop = loop;
  if (options) http->options = *options;
  const char *agent = options ? options->user_agent : NULL;
  snprintf(http->user_agent, sizeof http->user_agent, "%s", agent ? agent : "flyball/" FB_VERSION);
  http->options.user_agent = NULL;
  fb_status status = fb_curl_load(&http->curl, err);
  if (!status && !(http->multi = http->curl.curl_multi_init()))
    status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (status) {
    fb_free(allocator, http, sizeof *http);
    return status;
  }
  uv_timer_init(http->loop, &http->timer);
  http->timer.data = http;
  http->handles = 1;
  S_setup_multi(http);
  *ret_http = http;
  return FB_OK;
}

void fb_http_free(fb_http *http) {
  if (!http) return;
  while (http->transfers) S_end_transfer(http->transfers);
  http->curl.curl_multi_cleanup(http->multi);
  http->freed = true;
  uv_close((uv_handle_t *)&http->timer, S_timer_closed);
}

/* ── Sending ── */

static void S_join(fb_transfer *transfer, fb_http_call *call) {
  call->transfer = transfer;
  call->next = transfer->calls;
  if (transfer->calls) transfer->calls->prev = call;
  transfer->joined |= transfer->calls != NULL;
  transfer->calls = call;
  transfer->http->pending++;
}

static fb_transfer *S_find_shared(fb_http *http, const fb_buf *key) {
  uint64_t hash = fb_hash_bytes(key->ptr, key->len, 0);
  for (fb_transfer *at = http->transfers; at && key->len; at = at->next)
    if (at->key_hash == hash && at->key.len == key->len &&
        memcmp(at->key.ptr, key->ptr, key->len) == 0)
      return at;
  return NULL;
}

static fb_transfer *S_new_transfer(fb_http *http) {
  fb_transfer *transfer = fb_alloc_zero(http->allocator, sizeof *transfer);
  if (!transfer) return NULL;
  transfer->http = http;
  fb_buf_init(&transfer->body, http->allocator, 0);
  fb_buf_init(&transfer->head, http->allocator, 0);
  fb_buf_init(&transfer->key, http->allocator, 0);
  transfer->next = http->transfers;
  if (http->transfers) http->transfers->prev = transfer;
  http->transfers = transfer;
  if ((transfer->easy = http->curl.curl_easy_init())) return transfer;
  S_free_transfer(transfer);
  return NULL;
}

static fb_status S_begin(fb_http *http, const fb_http_request *request, fb_buf *key,
                         fb_transfer **ret_transfer, fb_error *err) {
  fb_transfer *transfer = S_new_transfer(http);
  if (!transfer) return fb_fail(err, FB_E_NOMEM, "out of memory");
  fb_status status = fb_transfer_setup(transfer, request, err);
  if (!status && http->curl.curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
    status = fb_fail(err, FB_E_NOMEM, "libcurl takes no further request");
  if (status) {
    S_free_transfer(transfer);
    return status;
  }
  transfer->key_hash = fb_hash_bytes(key->ptr, key->len, 0);
  transfer->key = *key;
  fb_buf_init(key, http->allocator, 0);
  *ret_transfer = transfer;
  return FB_OK;
}

fb_status fb_http_send(fb_http *http, const fb_http_request *request, fb_http_done *done,
                       void *user, fb_http_call **ret_call, fb_error *err) {
  fb_http_call *call = fb_alloc_zero(http->allocator, sizeof *call);
  fb_buf key;
  fb_buf_init(&key, http->allocator, 0);
  if (call) fb_request_key(request, &key);
  if (!call || key.failed) {
    fb_free(http->allocator, call, sizeof *call);
    fb_buf_release(&key);
    return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  fb_transfer *transfer = S_find_shared(http, &key);
  fb_status status = transfer ? FB_OK : S_begin(http, request, &key, &transfer, err);
  fb_buf_release(&key);
  if (status) {
    fb_free(http->allocator, call, sizeof *call);
    return status;
  }
  call->done = done;
  call->user = user;
  S_join(transfer, call);
  if (ret_call) *ret_call = call;
  return FB_OK;
}

void fb_http_cancel(fb_http_call *call) {
  fb_transfer *transfer = call->transfer;
  fb_http *http = transfer->http;
  if (call->prev)
    call->prev->next = call->next;
  else
    transfer->calls = call->next;
  if (call->next) call->next->prev = call->prev;
  fb_free(http->allocator, call, sizeof *call);
  http->pending--;
  if (!transfer->calls && transfer->easy && !transfer->delivering) S_end_transfer(transfer);
}

size_t fb_http_pending(const fb_http *http) {
  return http->pending;
}
