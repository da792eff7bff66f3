/* SPDX-License-Identifier: Apache-2.0
 * From a request to libcurl's options. */
#include "net/internal.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 1 << 20, BODY_MAX = 64 << 20, CONNECT_SECONDS = 30 };

/* ── Checks ── */

static bool S_is_clean(fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
  }
  return true;
}

/* RFC 9110's token: methods and names of headers. */
static bool S_is_token(fb_slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && (!c || !strchr("!#$%&'*+-.^_`|~", c))) return false;
  }
  return text.len > 0;
}

static fb_status S_check(const fb_http_request *request, fb_error *err) {
  fb_slice url = fb_slice_of(request->url ? request->url : "");
  if (!fb_slice_starts(url, FB_SLICE("http://")) && !fb_slice_starts(url, FB_SLICE("https://")))
    return fb_fail(err, FB_E_NET_URL, "`%.*s` is not an http:// or https:// address",
                   (int)(url.len > 100 ? 100 : url.len), url.ptr);
  if (!S_is_clean(url) || memchr(url.ptr, ' ', url.len))
    return fb_fail(err, FB_E_NET_URL, "the address has blanks or control characters in it");
  if (request->method && !S_is_token(fb_slice_of(request->method)))
    return fb_fail(err, FB_E_NET_URL, "`%.40s` is not a method", request->method);
  for (size_t i = 0; i < request->header_count; i++) {
    const fb_http_header *header = &request->headers[i];
    if (!S_is_token(header->name))
      return fb_fail(err, FB_E_NET_URL, "`%.*s` is not the name of a header",
                     (int)(header->name.len > 60 ? 60 : header->name.len), header->name.ptr);
    if (!S_is_clean(header->value))
      return fb_fail(err, FB_E_NET_URL, "header %.*s has a line end or control character in it",
                     (int)(header->name.len > 60 ? 60 : header->name.len), header->name.ptr);
  }
  return FB_OK;
}

/* ── What libcurl calls ── */

static size_t S_body(char *bytes, size_t size, size_t count, void *user) {
  fb_transfer *transfer = user;
  fb_buf_add(&transfer->body, bytes, size * count);
  if (!transfer->body.failed) return size * count;
  transfer->body_full = true;
  return 0;
}

/* Every answer on the way (100, redirects) begins with a status line. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type that libcurl wants */
static size_t S_head(char *bytes, size_t size, size_t count, void *user) {
  fb_transfer *transfer = user;
  fb_slice line = {bytes, size * count};
  if (fb_slice_starts(line, FB_SLICE("HTTP/"))) {
    fb_buf_clear(&transfer->head);
    fb_buf_clear(&transfer->body);
  } else {
    fb_buf_add(&transfer->head, line.ptr, line.len);
  }
  return transfer->head.failed ? 0 : line.len;
}

/* Sockets that children do not inherit, to addresses that are allowed. */
static curl_socket_t S_open(void *user, curlsocktype purpose, struct curl_sockaddr *to) {
  fb_transfer *transfer = user;
  const fb_http_options *options = &transfer->http->options;
  char address[64];
  (void)purpose;
  if (options->allow) {
    if (getnameinfo(&to->addr, to->addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) !=
            0 ||
        !options->allow(options->context, address)) {
      transfer->refused = true;
      return CURL_SOCKET_BAD;
    }
  }
  return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* ── Options ── */

/* libcurl keeps its own copies of texts. The first failure is kept. */
typedef struct S_options {
  const fb_curl *curl;
  CURL *easy;
  CURLcode code;
} S_options;

static void S_long(S_options *options, CURLoption option, long value) {
  if (options->code == CURLE_OK)
    options->code = options->curl->curl_easy_setopt(options->easy, option, value);
}
static void S_text(S_options *options, CURLoption option, const char *value) {
  if (options->code == CURLE_OK && value)
    options->code = options->curl->curl_easy_setopt(options->easy, option, value);
}
static void S_pointer(S_options *options, CURLoption option, void *value) {
  if (options->code == CURLE_OK)
    options->code = options->curl->curl_easy_setopt(options->easy, option, value);
}
#define S_CALLBACK(options, option, function)                                                     \
  do                                                                                              \
    if ((options)->code == CURLE_OK)                                                              \
      (options)->code = (options)->curl->curl_easy_setopt((options)->easy, (option), (function)); \
  while (0)

static long S_milliseconds(int64_t nanos) {
  int64_t value = (nanos + 999999) / 1000000;
  return value > 2000000000 ? 2000000000 : (long)value;
}

static fb_status S_add_header(fb_transfer *transfer, fb_buf *line, fb_slice name, fb_slice value) {
  fb_buf_clear(line);
  fb_buf_add(line, name.ptr, name.len);
  fb_buf_text(line, value.len ? ": " : ";");
  fb_buf_add(line, value.ptr, value.len);
  if (line->failed) return FB_E_NOMEM;
  struct curl_slist *more = transfer->http->curl.curl_slist_append(transfer->headers, line->ptr);
  if (!more) return FB_E_NOMEM;
  transfer->headers = more;
  return FB_OK;
}

/* Those that libcurl would add of its own accord are left out by a name without a value. */
static fb_status S_no_header(fb_transfer *transfer, const fb_http_request *request,
                             const char *name) {
  char line[32];
  if (fb_http_header_of(request->headers, request->header_count, name).ptr) return FB_OK;
  snprintf(line, sizeof line, "%s:", name);
  struct curl_slist *more = transfer->http->curl.curl_slist_append(transfer->headers, line);
  if (!more) return FB_E_NOMEM;
  transfer->headers = more;
  return FB_OK;
}

static fb_status S_headers(fb_transfer *transfer, const fb_http_request *request) {
  fb_buf line;
  fb_buf_init(&line, transfer->http->allocator, 0);
  fb_status status = S_no_header(transfer, request, "Expect");
  if (!status && request->body.len) status = S_no_header(transfer, request, "Content-Type");
  for (size_t i = 0; i < request->header_count && !status; i++)
    status = S_add_header(transfer, &line, request->headers[i].name, request->headers[i].value);
  fb_buf_release(&line);
  return status;
}

static void S_method(S_options *options, const fb_http_request *request) {
  const char *method = request->method ? request->method : request->body.len ? "POST" : "GET";
  bool post = strcmp(method, "POST") == 0, put = strcmp(method, "PUT") == 0;
  if (strcmp(method, "HEAD") == 0) {
    S_long(options, CURLOPT_NOBODY, 1);
  } else if (request->body.len || post || put) { /* these two say so when the body is empty */
    if (options->code == CURLE_OK)
      options->code = options->curl->curl_easy_setopt(options->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                                      (curl_off_t)request->body.len);
    S_text(options, CURLOPT_COPYPOSTFIELDS, request->body.len ? request->body.ptr : "");
    if (!post) S_text(options, CURLOPT_CUSTOMREQUEST, method);
  } else if (strcmp(method, "GET") != 0) {
    S_text(options, CURLOPT_CUSTOMREQUEST, method);
  }
}

static void S_security(S_options *options, const fb_http_request *request) {
  S_text(options, CURLOPT_PROTOCOLS_STR, "http,https");
  S_text(options, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  S_text(options, CURLOPT_CAINFO, request->ca_file);
  S_text(options, CURLOPT_SSLCERT, request->certificate);
  S_text(options, CURLOPT_SSLKEY, request->key);
  if (request->no_verify) {
    S_long(options, CURLOPT_SSL_VERIFYPEER, 0);
    S_long(options, CURLOPT_SSL_VERIFYHOST, 0);
  }
  if (request->user || request->password) {
    S_long(options, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    S_text(options, CURLOPT_USERNAME, request->user ? request->user : "");
    S_text(options, CURLOPT_PASSWORD, request->password ? request->password : "");
  }
}

static void S_callbacks(S_options *options, fb_transfer *transfer) {
  S_pointer(options, CURLOPT_PRIVATE, transfer);
  S_pointer(options, CURLOPT_ERRORBUFFER, transfer->text);
  S_pointer(options, CURLOPT_WRITEDATA, transfer);
  S_CALLBACK(options, CURLOPT_WRITEFUNCTION, S_body);
  S_pointer(options, CURLOPT_HEADERDATA, transfer);
  S_CALLBACK(options, CURLOPT_HEADERFUNCTION, S_head);
  S_pointer(options, CURLOPT_OPENSOCKETDATA, transfer);
  S_CALLBACK(options, CURLOPT_OPENSOCKETFUNCTION, S_open);
}

fb_status fb_transfer_setup(fb_transfer *transfer, const fb_http_request *request, fb_error *err) {
  fb_http *http = transfer->http;
  fb_status status = S_check(request, err);
  if (status) return status;
  if (S_headers(transfer, request)) return fb_fail(err, FB_E_NOMEM, "out of memory");
  S_options options = {&http->curl, transfer->easy, CURLE_OK};
  S_callbacks(&options, transfer);
  S_text(&options, CURLOPT_URL, request->url);
  S_text(&options, CURLOPT_USERAGENT, http->user_agent);
  S_text(&options, CURLOPT_ACCEPT_ENCODING, "");
  S_text(&options, CURLOPT_PROXY, request->proxy);
  S_pointer(&options, CURLOPT_HTTPHEADER, transfer->headers);
  S_long(&options, CURLOPT_NOSIGNAL, 1);
  S_long(&options, CURLOPT_FOLLOWLOCATION, request->redirects > 0);
  S_long(&options, CURLOPT_MAXREDIRS, request->redirects > 1000 ? 1000 : (long)request->redirects);
  S_long(&options, CURLOPT_TIMEOUT_MS, S_milliseconds(request->timeout));
  S_long(
      &options, CURLOPT_CONNECTTIMEOUT_MS,
      request->connect_timeout ? S_milliseconds(request->connect_timeout) : CONNECT_SECONDS * 1000);
  S_method(&options, request);
  S_security(&options, request);
  transfer->body.max = request->max_body ? request->max_body : BODY_MAX;
  transfer->head.max = HEAD_MAX;
  if (options.code == CURLE_OUT_OF_MEMORY) return fb_fail(err, FB_E_NOMEM, "out of memory");
  if (options.code != CURLE_OK)
    return fb_fail(err, FB_E_NET_URL, "libcurl does not take the request: %s",
                   http->curl.curl_easy_strerror(options.code));
  return FB_OK;
}

/* ── Sharing ── */

static void S_key_text(fb_buf *out, const char *text) {
  fb_buf_text(out, text ? text : "\1");
  fb_buf_char(out, '\n');
}

void fb_request_key(const fb_http_request *request, fb_buf *out) {
  if (!request->share || request->body.len ||
      (request->method && strcmp(request->method, "GET") != 0))
    return;
  S_key_text(out, request->url);
  S_key_text(out, request->user);
  S_key_text(out, request->password);
  S_key_text(out, request->proxy);
  S_key_text(out, request->ca_file);
  S_key_text(out, request->certificate);
  S_key_text(out, request->key);
  fb_buf_printf(out, "%lld %lld %u %llu %d\n", (long long)request->timeout,
                (long long)request->connect_timeout, request->redirects,
                (unsigned long long)request->max_body, request->no_verify);
  for (size_t i = 0; i < request->header_count; i++) {
    fb_buf_add(out, request->headers[i].name.ptr, request->headers[i].name.len);
    fb_buf_char(out, ':');
    fb_buf_add(out, request->headers[i].value.ptr, request->headers[i].value.len);
    fb_buf_char(out, '\n');
  }
}
