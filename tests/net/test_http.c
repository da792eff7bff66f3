/* SPDX-License-Identifier: Apache-2.0
 * The HTTP client against the servers of serve.py. */
#include "../unit/test.h"

#include <flyball/net.h>

#include <uv.h>

typedef struct S_got {
  int times;
  fb_status status;
  int code;
  uint32_t redirects;
  bool reused, shared;
  int64_t total, first, retry_after;
  char error[400], url[200], type[100];
  bool has_empty;
  size_t size;
  char body[4096];
} S_got;

typedef struct S_set {
  uv_loop_t loop;
  fb_http *http;
} S_set;

static void S_done(void *user, const fb_http_answer *answer) {
  S_got *got = user;
  got->times++;
  got->status = answer->status;
  got->code = answer->code;
  got->redirects = answer->redirects;
  got->reused = answer->reused;
  got->shared = answer->shared;
  got->total = answer->total;
  got->first = answer->first;
  got->retry_after = answer->retry_after;
  snprintf(got->error, sizeof got->error, "%s", answer->error ? answer->error->text : "");
  snprintf(got->url, sizeof got->url, "%s", answer->url);
  fb_slice type = fb_http_header_of(answer->headers, answer->header_count, "content-TYPE");
  snprintf(got->type, sizeof got->type, "%.*s", (int)type.len, type.ptr ? type.ptr : "");
  got->has_empty = fb_http_header_of(answer->headers, answer->header_count, "X-Empty").ptr != NULL;
  got->size = answer->body.len;
  size_t kept = answer->body.len < sizeof got->body - 1 ? answer->body.len : sizeof got->body - 1;
  if (kept) memcpy(got->body, answer->body.ptr, kept);
  got->body[kept] = 0;
}

static void S_start(S_set *set, const fb_http_options *options) {
  fb_error err;
  assert_int_equal(uv_loop_init(&set->loop), 0);
  assert_int_equal(fb_http_new(&set->loop, options, NULL, &set->http, &err), FB_OK);
}
static void S_stop(S_set *set) {
  fb_http_free(set->http);
  uv_run(&set->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&set->loop), 0);
}
static void S_wait(S_set *set) {
  while (fb_http_pending(set->http)) uv_run(&set->loop, UV_RUN_ONCE);
}

static const char *S_url(const char *server, const char *path) {
  static char url[8][500];
  static int at;
  at = (at + 1) % 8;
  snprintf(url[at], sizeof url[at], "%s%s", getenv(server), path);
  return url[at];
}
#define HTTP(path) S_url("FLYBALL_TEST_HTTP", path)
#define HTTPS(path) S_url("FLYBALL_TEST_HTTPS", path)

static S_got S_ask(S_set *set, fb_http_request request) {
  S_got got = {0};
  fb_error err = {0};
  fb_status status = fb_http_send(set->http, &request, S_done, &got, NULL, &err);
  if (status) {
    got.status = status;
    snprintf(got.error, sizeof got.error, "%s", err.text);
    return got;
  }
  assert_int_equal(got.times, 0);
  S_wait(set);
  assert_int_equal(got.times, 1);
  return got;
}

/* ── Requests ── */

static void test_methods(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = S_ask(&set, (fb_http_request){.url = HTTP("/echo?a=1")});
  assert_int_equal(got.code, 200);
  assert_string_equal(got.type, "application/json");
  assert_true(got.has_empty);
  assert_non_null(strstr(got.body, "\"method\": \"GET\""));
  assert_non_null(strstr(got.body, "\"user-agent\": \"flyball/"));
  assert_null(strstr(got.body, "expect"));
  assert_true(got.first > 0 && got.total >= got.first);
  fb_http_header headers[] = {{FB_SLICE("X-One"), FB_SLICE("1")},
                              {FB_SLICE("X-None"), FB_SLICE("")},
                              {FB_SLICE("Content-Type"), FB_SLICE("text/plain")}};
  got = S_ask(
      &set,
      (fb_http_request){
          .url = HTTP("/echo"), .headers = headers, .header_count = 3, .body = FB_SLICE("a body")});
  assert_non_null(strstr(got.body, "\"method\": \"POST\""));
  assert_non_null(strstr(got.body, "\"body\": \"a body\""));
  assert_non_null(strstr(got.body, "\"x-one\": \"1\""));
  assert_non_null(strstr(got.body, "\"x-none\": \"\""));
  assert_non_null(strstr(got.body, "\"content-type\": \"text/plain\""));
  assert_true(got.reused);
  static const char *const methods[] = {"PUT", "DELETE", "PATCH", "PROPFIND"};
  for (size_t i = 0; i < 4; i++) {
    char wanted[40];
    snprintf(wanted, sizeof wanted, "\"method\": \"%s\"", methods[i]);
    got = S_ask(&set, (fb_http_request){.method = methods[i], .url = HTTP("/echo")});
    assert_non_null(strstr(got.body, wanted));
    got = S_ask(
        &set, (fb_http_request){.method = methods[i], .url = HTTP("/echo"), .body = FB_SLICE("b")});
    assert_non_null(strstr(got.body, wanted));
    assert_non_null(strstr(got.body, "\"body\": \"b\""));
    assert_null(strstr(got.body, "content-type"));
  }
  got = S_ask(&set, (fb_http_request){.method = "HEAD", .url = HTTP("/echo")});
  assert_int_equal(got.code, 200);
  assert_int_equal(got.size, 0);
  S_stop(&set);
}

static void test_codes(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = S_ask(&set, (fb_http_request){.url = HTTP("/status/503?after=7")});
  assert_int_equal(got.status, FB_OK);
  assert_int_equal(got.code, 503);
  assert_int_equal(got.retry_after, INT64_C(7000000000));
  got = S_ask(&set, (fb_http_request){.url = HTTP("/nowhere")});
  assert_int_equal(got.code, 404);
  got = S_ask(&set, (fb_http_request){.url = HTTP("/private")});
  assert_int_equal(got.code, 401);
  got =
      S_ask(&set, (fb_http_request){.url = HTTP("/private"), .user = "user", .password = "pa:ss"});
  assert_int_equal(got.code, 200);
  assert_string_equal(got.body, "secret");
  got = S_ask(&set, (fb_http_request){.url = HTTP("/chunked")});
  assert_string_equal(got.body, "hello world");
  got = S_ask(&set, (fb_http_request){.url = HTTP("/gzip/1000")});
  assert_int_equal(got.size, 1000);
  S_stop(&set);
}

static void test_redirects(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = S_ask(&set, (fb_http_request){.url = HTTP("/redirect/2")});
  assert_int_equal(got.code, 302);
  assert_string_equal(got.body, "old");
  got = S_ask(&set, (fb_http_request){.url = HTTP("/redirect/2"), .redirects = 2});
  assert_int_equal(got.code, 200);
  assert_int_equal(got.redirects, 2);
  assert_non_null(strstr(got.url, "/echo"));
  assert_null(strstr(got.body, "old"));
  got = S_ask(&set, (fb_http_request){.url = HTTP("/redirect/3"), .redirects = 2});
  assert_int_equal(got.status, FB_E_NET_LIMIT);
  got = S_ask(&set, (fb_http_request){.url = HTTP("/to?url=file:///etc/passwd"), .redirects = 2});
  assert_int_equal(got.status, FB_E_NET_URL);
  S_stop(&set);
}

static void test_limits(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = S_ask(&set, (fb_http_request){.url = HTTP("/big/100000"), .max_body = 100000});
  assert_int_equal(got.size, 100000);
  got = S_ask(&set, (fb_http_request){.url = HTTP("/big/100001"), .max_body = 100000});
  assert_int_equal(got.status, FB_E_NET_LIMIT);
  assert_non_null(strstr(got.error, "longer than 100000 bytes"));
  got = S_ask(&set, (fb_http_request){.url = HTTP("/gzip/200000"), .max_body = 100000});
  assert_int_equal(got.status, FB_E_NET_LIMIT); /* a small answer that unpacks to a large one */
  got = S_ask(&set, (fb_http_request){.url = HTTP("/slow/3000"), .timeout = 50000000});
  assert_int_equal(got.status, FB_E_NET_TIMEOUT);
  assert_true(got.total < INT64_C(2900000000));
  S_stop(&set);
}

static void test_bad_days(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = S_ask(&set, (fb_http_request){.url = "http://127.0.0.1:1/"});
  assert_int_equal(got.status, FB_E_NET_CONNECT);
  got = S_ask(&set, (fb_http_request){.url = "http://user:hush@no-such-host.invalid/x"});
  assert_int_equal(got.status, FB_E_NET_RESOLVE);
  assert_non_null(strstr(got.error, "http://no-such-host.invalid/x"));
  assert_null(strstr(got.error, "hush"));
  static const char *const broken[] = {"/cut", "/reset", "/garbage"};
  for (size_t i = 0; i < 3; i++) {
    got = S_ask(&set, (fb_http_request){.url = HTTP(broken[i])});
    assert_int_equal(got.status, FB_E_NET_BROKEN);
    assert_true(*got.error);
  }
  got = S_ask(&set, (fb_http_request){.url = HTTP("/headers/2000")});
  assert_int_not_equal(got.status, FB_OK);
  S_stop(&set);
}

static void test_refused(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  fb_http_header split = {FB_SLICE("X"), FB_SLICE("a\r\nY: b")},
                 name = {FB_SLICE("X Y"), FB_SLICE("a")};
  fb_http_request bad[] = {{.url = NULL},
                           {.url = "file:///etc/passwd"},
                           {.url = "echo"},
                           {.url = "http://a b/"},
                           {.url = "http://a/\r\nX: y"},
                           {.url = "http://a/", .method = "GET /"},
                           {.url = "http://a/", .method = ""},
                           {.url = "http://a/", .headers = &split, .header_count = 1},
                           {.url = "http://a/", .headers = &name, .header_count = 1}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    S_got got = S_ask(&set, bad[i]);
    assert_int_equal(got.status, FB_E_NET_URL);
    assert_int_equal(got.times, 0);
  }
  assert_int_equal(fb_http_pending(set.http), 0);
  S_stop(&set);
}

/* ── TLS, proxy, filter ── */

static void test_tls(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = S_ask(&set, (fb_http_request){.url = HTTPS("/echo")});
  assert_int_equal(got.status, FB_E_NET_TLS);
  got = S_ask(&set, (fb_http_request){.url = HTTPS("/echo"), .ca_file = getenv("FLYBALL_TEST_CA")});
  assert_int_equal(got.status, FB_OK);
  assert_int_equal(got.code, 200);
  got = S_ask(&set, (fb_http_request){.url = HTTPS("/echo"), .no_verify = true});
  assert_int_equal(got.code, 200);
  got = S_ask(&set, (fb_http_request){.url = HTTPS("/echo"), .ca_file = "/no/such/file"});
  assert_int_equal(got.status, FB_E_NET_TLS);
  S_stop(&set);
}

static void test_proxy(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = S_ask(&set, (fb_http_request){.url = "http://elsewhere.invalid/x",
                                            .proxy = getenv("FLYBALL_TEST_PROXY")});
  assert_int_equal(got.code, 200);
  assert_string_equal(got.body, "by proxy: http://elsewhere.invalid/x");
  assert_int_equal(setenv("http_proxy", getenv("FLYBALL_TEST_PROXY"), 1), 0);
  got = S_ask(&set, (fb_http_request){.url = "http://elsewhere.invalid/y"});
  assert_string_equal(got.body, "by proxy: http://elsewhere.invalid/y");
  got = S_ask(&set, (fb_http_request){.url = HTTP("/echo"), .proxy = ""});
  assert_non_null(strstr(got.body, "\"path\": \"/echo\""));
  unsetenv("http_proxy");
  S_stop(&set);
}

static bool S_no_loopback(void *context, const char *address) {
  int *asked = context;
  (*asked)++;
  return fb_net_is_public(address);
}
static void test_filter(void **state) {
  (void)state;
  S_set set;
  int asked = 0;
  S_start(&set, &(fb_http_options){.allow = S_no_loopback, .context = &asked});
  S_got got = S_ask(&set, (fb_http_request){.url = HTTP("/echo")});
  assert_int_equal(got.status, FB_E_NET_REFUSED);
  assert_true(asked > 0);
  S_stop(&set);
}

static void test_addresses(void **state) {
  (void)state;
  static const char *const closed[] = {"127.0.0.1",
                                       "127.255.0.1",
                                       "0.0.0.0",
                                       "10.1.2.3",
                                       "172.16.0.1",
                                       "172.31.255.255",
                                       "192.168.0.1",
                                       "169.254.169.254",
                                       "100.64.0.1",
                                       "198.18.0.1",
                                       "192.0.2.1",
                                       "224.0.0.1",
                                       "255.255.255.255",
                                       "::",
                                       "::1",
                                       "fe80::1",
                                       "fc00::1",
                                       "fd12::1",
                                       "ff02::1",
                                       "::ffff:127.0.0.1",
                                       "::ffff:169.254.169.254",
                                       "64:ff9b::10.0.0.1",
                                       "2002:7f00:1::",
                                       "2001:db8::1",
                                       "3fff::1",
                                       "2001::1",
                                       "fd00:ec2::254",
                                       "",
                                       "localhost",
                                       "1.2.3"};
  static const char *const open[] = {
      "1.1.1.1",     "8.8.8.8",         "172.32.0.1",   "172.15.0.1",     "100.128.0.1",
      "192.169.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1", "2002:101:101::"};
  for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
    if (fb_net_is_public(closed[i])) fail_msg("%s", closed[i]);
  for (size_t i = 0; i < sizeof open / sizeof *open; i++)
    if (!fb_net_is_public(open[i])) fail_msg("%s", open[i]);
}

static void test_retry_after(void **state) {
  (void)state;
  const int64_t second = INT64_C(1000000000),
                wall = 784111777 * second; /* Sun, 06 Nov 1994 08:49:37 */
  assert_int_equal(fb_http_retry_after(FB_SLICE("120"), wall), 120 * second);
  assert_int_equal(fb_http_retry_after(FB_SLICE(" 0 "), wall), 0);
  assert_int_equal(fb_http_retry_after(FB_SLICE("Sun, 06 Nov 1994 08:50:37 GMT"), wall),
                   60 * second);
  assert_int_equal(fb_http_retry_after(FB_SLICE("Sun, 06 Nov 1994 08:49:36 GMT"), wall), 0);
  static const char *const bad[] = {"",
                                    "soon",
                                    "-5",
                                    "1.5",
                                    "12 s",
                                    "Sun, 06 Foo 1994 08:50:37 GMT",
                                    "Sun, 06 Nov 1994 08:50:37 GMT+1",
                                    "Sun, 99 Nov 1994 08:50:37 GMT"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(fb_http_retry_after(fb_slice_of(bad[i]), wall), 0);
  assert_true(fb_http_retry_after(FB_SLICE("99999999999999999999"), wall) > 0);
}

/* ── Many at once ── */

static void test_shared(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  enum { MANY = 50 };
  static S_got got[MANY];
  fb_http_call *calls[MANY];
  fb_error err;
  fb_http_request request = {.url = HTTP("/slow/100/shared"), .share = true};
  for (int i = 0; i < MANY; i++)
    assert_int_equal(fb_http_send(set.http, &request, S_done, &got[i], &calls[i], &err), FB_OK);
  fb_http_request other = request, alone = request;
  fb_http_header header = {FB_SLICE("X"), FB_SLICE("y")};
  other.headers = &header;
  other.header_count = 1;
  alone.share = false;
  S_got with_header = {0}, not_shared = {0};
  assert_int_equal(fb_http_send(set.http, &other, S_done, &with_header, NULL, &err), FB_OK);
  assert_int_equal(fb_http_send(set.http, &alone, S_done, &not_shared, NULL, &err), FB_OK);
  for (int i = 0; i < 5; i++) fb_http_cancel(calls[i * 7]);
  S_wait(&set);
  int answered = 0;
  for (int i = 0; i < MANY; i++) {
    answered += got[i].times;
    if (got[i].times) assert_true(got[i].shared && got[i].code == 200);
  }
  assert_int_equal(answered, MANY - 5);
  assert_int_equal(with_header.code, 200);
  assert_false(not_shared.shared);
  S_got count = S_ask(&set, (fb_http_request){.url = HTTP("/count/slow/100/shared")});
  assert_string_equal(count.body, "3");
  S_stop(&set);
}

static void test_many(void **state) {
  (void)state;
  S_set set;
  S_start(&set, &(fb_http_options){.per_host = 8});
  enum { MANY = 300 };
  static S_got got[MANY];
  fb_error err;
  for (int i = 0; i < MANY; i++) {
    char url[200];
    snprintf(url, sizeof url, "%s/echo/%d", getenv("FLYBALL_TEST_HTTP"), i);
    assert_int_equal(
        fb_http_send(set.http, &(fb_http_request){.url = url}, S_done, &got[i], NULL, &err), FB_OK);
  }
  S_wait(&set);
  int reused = 0;
  for (int i = 0; i < MANY; i++) {
    char wanted[40];
    snprintf(wanted, sizeof wanted, "\"path\": \"/echo/%d\"", i);
    assert_non_null(strstr(got[i].body, wanted));
    reused += got[i].reused;
  }
  assert_true(reused >= MANY - 8 - 8);
  S_stop(&set);
}

static void test_cancel(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_got got = {0};
  fb_http_call *call;
  fb_error err;
  fb_http_request request = {.url = HTTP("/slow/2000")};
  assert_int_equal(fb_http_send(set.http, &request, S_done, &got, &call, &err), FB_OK);
  for (int i = 0; i < 3; i++) uv_run(&set.loop, UV_RUN_NOWAIT);
  fb_http_cancel(call);
  assert_int_equal(fb_http_pending(set.http), 0);
  S_got after = S_ask(&set, (fb_http_request){.url = HTTP("/echo")});
  assert_int_equal(after.code, 200);
  assert_int_equal(fb_http_send(set.http, &request, S_done, &got, &call, &err), FB_OK);
  S_stop(&set); /* in the middle of one */
  assert_int_equal(got.times, 0);
}

/* A callback that cancels the others that wait for the same answer, and asks again. */
typedef struct S_chain {
  S_set *set;
  fb_http_call *other;
  int answers;
} S_chain;
static void S_chained(void *user, const fb_http_answer *answer) {
  S_chain *chain = user;
  fb_error err;
  (void)answer;
  chain->answers++;
  if (chain->other) fb_http_cancel(chain->other);
  chain->other = NULL;
  fb_http_request request = {.url = HTTP("/echo"), .share = true};
  if (chain->answers < 3)
    assert_int_equal(fb_http_send(chain->set->http, &request, S_chained, chain, NULL, &err), FB_OK);
}
static void test_callbacks(void **state) {
  (void)state;
  S_set set;
  S_start(&set, NULL);
  S_chain chain = {.set = &set};
  S_got never = {0};
  fb_error err;
  fb_http_request request = {.url = HTTP("/slow/20"), .share = true};
  assert_int_equal(fb_http_send(set.http, &request, S_done, &never, &chain.other, &err), FB_OK);
  assert_int_equal(fb_http_send(set.http, &request, S_chained, &chain, NULL, &err), FB_OK);
  S_wait(&set);
  assert_int_equal(chain.answers, 3);
  assert_int_equal(never.times, 0);
  S_stop(&set);
}

static bool S_torture(const fb_allocator *allocator) {
  uv_loop_t loop;
  fb_http *http = NULL;
  fb_error err;
  S_got got = {0};
  assert_int_equal(uv_loop_init(&loop), 0);
  fb_status status = fb_http_new(&loop, NULL, allocator, &http, &err);
  fb_http_request request = {.url = HTTP("/echo"), .share = true};
  if (status == FB_OK) status = fb_http_send(http, &request, S_done, &got, NULL, &err);
  while (http && fb_http_pending(http)) uv_run(&loop, UV_RUN_ONCE);
  fb_http_free(http);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  assert_true(status == FB_OK || status == FB_E_NOMEM);
  return status == FB_OK && got.status == FB_OK && got.code == 200 && got.size;
}
static void test_memory(void **state) {
  (void)state;
  fb_test_each_failure(S_torture);
}

int main(void) {
  if (!getenv("FLYBALL_TEST_HTTP")) {
    puts("1..0 # SKIP run it by serve.py");
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_methods),     cmocka_unit_test(test_codes),
      cmocka_unit_test(test_redirects),   cmocka_unit_test(test_limits),
      cmocka_unit_test(test_bad_days),    cmocka_unit_test(test_refused),
      cmocka_unit_test(test_tls),         cmocka_unit_test(test_proxy),
      cmocka_unit_test(test_filter),      cmocka_unit_test(test_addresses),
      cmocka_unit_test(test_retry_after), cmocka_unit_test(test_shared),
      cmocka_unit_test(test_many),        cmocka_unit_test(test_cancel),
      cmocka_unit_test(test_callbacks),   cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
