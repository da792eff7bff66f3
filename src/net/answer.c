/* SPDX-License-Identifier: Apache-2.0
 * From what libcurl says at the end of a transfer to an answer. */
#include "net/internal.h"

#include <strings.h>

/* ── Headers ── */

fb_slice fb_http_header_of(const fb_http_header *headers, size_t count, const char *name) {
  size_t len = strlen(name);
  for (size_t i = 0; i < count; i++)
    if (headers[i].name.len == len && strncasecmp(headers[i].name.ptr, name, len) == 0)
      return headers[i].value;
  return (fb_slice){NULL, 0};
}

static fb_slice S_trim(fb_slice text) {
  while (text.len && strchr(" \t\r\n", text.ptr[text.len - 1])) text.len--;
  while (text.len && (*text.ptr == ' ' || *text.ptr == '\t')) {
    text.ptr++;
    text.len--;
  }
  return text;
}

/* The lines of the head that are headers, into `out` if it is not NULL. */
static size_t S_parse_head(fb_slice head, fb_http_header *out) {
  size_t count = 0;
  while (head.len) {
    const char *end = memchr(head.ptr, '\n', head.len);
    size_t len = end ? (size_t)(end - head.ptr) + 1 : head.len;
    const char *colon = memchr(head.ptr, ':', len);
    if (colon && colon > head.ptr && out)
      out[count] =
          (fb_http_header){{head.ptr, (size_t)(colon - head.ptr)},
                           S_trim((fb_slice){colon + 1, len - (size_t)(colon + 1 - head.ptr)})};
    count += colon && colon > head.ptr;
    head = (fb_slice){head.ptr + len, head.len - len};
  }
  return count;
}

/* ── Retry-After ── */

static unsigned S_month(const char *text) {
  static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  for (unsigned i = 0; i < 12; i++)
    if (strncmp(names + 3 * i, text, 3) == 0) return i + 1;
  return 0;
}

/* Two digits below `end`; -1: they are not. */
static int S_pair(const char *text, int end) {
  if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') return -1;
  int number = (text[0] - '0') * 10 + text[1] - '0';
  return number < end ? number : -1;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate), in seconds since 1970. */
static bool S_date(fb_slice text, int64_t *ret_seconds) {
  static const char form[] = "___, __ ___ ____ __:__:__ GMT";
  if (text.len != sizeof form - 1) return false;
  for (size_t i = 0; i < text.len; i++)
    if (form[i] != '_' && form[i] != text.ptr[i]) return false;
  const char *at = text.ptr;
  int day = S_pair(at + 5, 32), century = S_pair(at + 12, 100), year = S_pair(at + 14, 100),
      hour = S_pair(at + 17, 24), minute = S_pair(at + 20, 60), second = S_pair(at + 23, 61);
  unsigned month = S_month(at + 8);
  if (day < 1 || century < 0 || year < 0 || hour < 0 || minute < 0 || second < 0 || !month)
    return false;
  *ret_seconds = fb_days_from_civil(century * 100 + year, month, (unsigned)day) * 86400 +
                 hour * 3600 + minute * 60 + second;
  return true;
}

int64_t fb_http_retry_after(fb_slice value, int64_t wall) {
  const int64_t second = INT64_C(1000000000), most = INT64_C(1000000000);
  int64_t seconds = 0;
  size_t digits = 0;
  value = S_trim(value);
  for (; digits < value.len && value.ptr[digits] >= '0' && value.ptr[digits] <= '9'; digits++)
    if (seconds < most) seconds = seconds * 10 + (value.ptr[digits] - '0');
  if (value.len && digits == value.len) return (seconds < most ? seconds : most) * second;
  if (!S_date(value, &seconds)) return 0;
  int64_t wait = seconds * second - wall;
  return wait > 0 ? wait : 0;
}

/* ── Errors ── */

static fb_status S_code_of(const fb_transfer *transfer, CURLcode result) {
  switch (result) {
    case CURLE_OUT_OF_MEMORY: return FB_E_NOMEM;
    case CURLE_URL_MALFORMAT: return FB_E_NET_URL;
    case CURLE_UNSUPPORTED_PROTOCOL: /* also what does not begin like an answer */
      return strstr(transfer->text, "HTTP/0.9") ? FB_E_NET_BROKEN : FB_E_NET_URL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return FB_E_NET_RESOLVE;
    case CURLE_COULDNT_CONNECT: return transfer->refused ? FB_E_NET_REFUSED : FB_E_NET_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER: return FB_E_NET_TLS;
    case CURLE_OPERATION_TIMEDOUT: return FB_E_NET_TIMEOUT;
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_WRITE_ERROR: return FB_E_NET_LIMIT;
    default: return FB_E_NET_BROKEN;
  }
}

/* The address without user and password, for people. */
static void S_shown_url(const char *url, char *out, size_t size) {
  const char *host = strstr(url, "://");
  host = host ? host + 3 : url;
  size_t authority = strcspn(host, "/?#");
  const char *at = memrchr(host, '@', authority);
  snprintf(out, size, "%.*s%.150s", (int)(host - url), url, at ? at + 1 : host);
}

static fb_status S_fail(const fb_transfer *transfer, const char *url, CURLcode result,
                        fb_error *err) {
  fb_status code = S_code_of(transfer, result);
  char shown[200];
  S_shown_url(url, shown, sizeof shown);
  if (code == FB_E_NET_REFUSED)
    return fb_fail(err, code, "%s: its address may not be spoken to", shown);
  if (transfer->body_full)
    return fb_fail(err, code, "%s: the answer is longer than %llu bytes", shown,
                   (unsigned long long)transfer->body.max);
  if (result == CURLE_WRITE_ERROR && transfer->head.failed)
    return fb_fail(err, code, "%s: the answer's headers are longer than %llu bytes", shown,
                   (unsigned long long)transfer->head.max);
  const char *text =
      *transfer->text ? transfer->text : transfer->http->curl.curl_easy_strerror(result);
  return fb_fail(err, code, "%s: %s", shown, text);
}

/* ── The answer ── */

static int64_t S_time(const fb_transfer *transfer, CURLINFO info) {
  curl_off_t micros = 0;
  transfer->http->curl.curl_easy_getinfo(transfer->easy, info, &micros);
  return (int64_t)micros * 1000;
}
static long S_number(const fb_transfer *transfer, CURLINFO info) {
  long number = 0;
  transfer->http->curl.curl_easy_getinfo(transfer->easy, info, &number);
  return number;
}

static void S_fill(const fb_transfer *transfer, fb_http_answer *answer) {
  answer->code = (int)S_number(transfer, CURLINFO_RESPONSE_CODE);
  answer->redirects = (uint32_t)S_number(transfer, CURLINFO_REDIRECT_COUNT);
  answer->reused = S_number(transfer, CURLINFO_NUM_CONNECTS) == 0;
  answer->total = S_time(transfer, CURLINFO_TOTAL_TIME_T);
  int64_t tls = S_time(transfer, CURLINFO_APPCONNECT_TIME_T);
  answer->connected = tls ? tls : S_time(transfer, CURLINFO_CONNECT_TIME_T);
  answer->first = S_time(transfer, CURLINFO_STARTTRANSFER_TIME_T);
  answer->body = fb_buf_slice(&transfer->body);
  const fb_clock *clock = fb_clock_system();
  answer->retry_after =
      fb_http_retry_after(fb_http_header_of(answer->headers, answer->header_count, "Retry-After"),
                          clock->wall(clock->context));
}

static void S_call_all(fb_transfer *transfer, fb_http_answer *answer) {
  fb_http *http = transfer->http;
  answer->shared = transfer->joined;
  while (transfer->calls) { /* a callback may cancel the others */
    fb_http_call *call = transfer->calls;
    transfer->calls = call->next;
    if (call->next) call->next->prev = NULL;
    fb_http_done *done = call->done;
    void *user = call->user;
    fb_free(http->allocator, call, sizeof *call);
    http->pending--;
    done(user, answer);
  }
}

void fb_transfer_deliver(fb_transfer *transfer, CURLcode result) {
  fb_http *http = transfer->http;
  fb_error err = {0};
  fb_http_answer answer = {.url = ""};
  http->curl.curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &answer.url);
  if (!answer.url) answer.url = "";
  fb_slice head = fb_buf_slice(&transfer->head);
  size_t count = S_parse_head(head, NULL);
  fb_http_header *headers = count ? fb_alloc(http->allocator, count * sizeof *headers) : NULL;
  if (result == CURLE_OK && count && !headers) result = CURLE_OUT_OF_MEMORY;
  if (headers) {
    S_parse_head(head, headers);
    answer.headers = headers;
    answer.header_count = count;
  }
  S_fill(transfer, &answer);
  if (result != CURLE_OK) {
    answer.status = S_fail(transfer, answer.url, result, &err);
    answer.error = &err;
    answer.body = (fb_slice){NULL, 0};
  }
  S_call_all(transfer, &answer);
  fb_free(http->allocator, headers, count * sizeof *headers);
}
