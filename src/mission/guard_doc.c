/* SPDX-License-Identifier: Apache-2.0 */
#include "mission/guard_doc.h"

#include <stdio.h>

static void S_fail(fb_guard_reader *reader, const fb_node *node, const char *hint,
                   const char *text) {
  fb_doc_fail(reader->doc, node, reader->errors, FB_E_MISSION_VALUE, hint, "%s", text);
}

int64_t fb_guard_read_duration(fb_guard_reader *reader, const fb_node *node) {
  int64_t seconds;
  int32_t nanos;
  if (!node) return 0;
  if (node->kind == FB_STRING && fb_duration_parse(fb_node_text(node), &seconds, &nanos) &&
      seconds >= 0 && nanos >= 0 && seconds < INT64_C(9000000000) && (seconds || nanos))
    return seconds * 1000000000 + nanos;
  S_fail(reader, node, "a duration is written like 500ms, 10s, 5m or 1h30m",
         "not a duration above zero");
  return 0;
}

static uint32_t S_count(fb_guard_reader *reader, const fb_node *node, int64_t least, int64_t most,
                        uint32_t otherwise) {
  if (!node) return otherwise;
  int64_t number = node->as.scalar.as.i;
  if (number >= least && number <= most) return (uint32_t)number;
  fb_doc_fail(reader->doc, node, reader->errors, FB_E_MISSION_VALUE, "",
              "a whole number from %lld to %lld stands here", (long long)least, (long long)most);
  return otherwise;
}

/* "50%", "2.5%"; -1: something else. */
double fb_guard_percent(fb_slice text) {
  double number = 0, place = 0;
  size_t at = 0;
  for (; at < text.len && text.ptr[at] != '%'; at++) {
    char c = text.ptr[at];
    if (c == '.' && at > 0 && place == 0) {
      place = 1;
    } else if (c >= '0' && c <= '9' && at < 12) {
      number = number * 10 + (c - '0');
      place *= 10;
    } else {
      return -1;
    }
  }
  if (at == 0 || at + 1 != text.len) return -1;
  return number / (place > 0 ? place : 1) / 100;
}

/* 0.5, 1 or "50%": a share. */
static double S_share(fb_guard_reader *reader, const fb_node *node) {
  if (!node) return 0;
  double share = -1;
  if (node->kind == FB_INT) share = (double)node->as.scalar.as.i;
  if (node->kind == FB_DOUBLE) share = node->as.scalar.as.d;
  if (node->kind == FB_STRING) share = fb_guard_percent(fb_node_text(node));
  if (share >= 0 && share <= 1) return share;
  S_fail(reader, node, "0.5 and 50% are the same", "a share from 0 to 1 stands here");
  return 0;
}

static double S_factor(const fb_node *node) {
  if (!node) return 0;
  return node->kind == FB_INT ? (double)node->as.scalar.as.i : node->as.scalar.as.d;
}

static int S_word(fb_guard_reader *reader, const fb_node *node, const char *const *words,
                  size_t count, int otherwise) {
  char hint[200];
  size_t at = 0;
  if (!node) return otherwise;
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(fb_node_text(node), fb_slice_of(words[i]))) return (int)i;
  for (size_t i = 0; i < count && at < sizeof hint; i++)
    at += (size_t)snprintf(hint + at, sizeof hint - at, "%s%s", i ? ", " : "one of ", words[i]);
  fb_doc_fail(reader->doc, node, reader->errors, FB_E_MISSION_VALUE, hint,
              "`%.*s` cannot stand here", (int)fb_node_text(node).len, fb_node_text(node).ptr);
  return otherwise;
}

/* A policy that makes no sense as a whole. */
static void S_checked(fb_guard_reader *reader, const fb_node *node, size_t before, fb_status status,
                      const fb_error *err) {
  if (!status || status == FB_E_NOMEM || fb_errors_total(reader->errors) > before) return;
  fb_doc_fail(reader->doc, node, reader->errors, FB_E_MISSION_VALUE, err->hint, "%s", err->text);
}

/* ── Retry ───────────────────────────────────────────────────────────────────────────────────── */

static const char *const S_failures[FB_FAILURE_COUNT] = {"other",   "exit",    "signal",  "spawn",
                                                         "parse",   "timeout", "network", "status",
                                                         "breaker", "limit"};

static bool S_retryable(void *context, int64_t code) {
  const fb_retry_doc *retry = context;
  fb_failure failure = (fb_failure)(code >> 32);
  int number = (int)(uint32_t)code;
  if (retry->kinds >> failure & 1) return true;
  if (failure != FB_FAILURE_EXIT && failure != FB_FAILURE_STATUS) return false;
  for (uint32_t i = 0; i < retry->range_count; i++)
    if (number >= retry->ranges[i].first && number <= retry->ranges[i].last) return true;
  return false;
}

/* "75", "1-3", "5xx". */
static bool S_range_parse(fb_slice text, fb_code_range *ret_range) {
  int numbers[2] = {0, 0}, count = 0;
  size_t at = 0;
  if (text.len == 3 && text.ptr[0] >= '1' && text.ptr[0] <= '5' && text.ptr[1] == 'x' &&
      text.ptr[2] == 'x') {
    int hundred = (text.ptr[0] - '0') * 100;
    *ret_range = (fb_code_range){hundred, hundred + 99};
    return true;
  }
  while (count < 2) {
    size_t from = at;
    for (; at < text.len && at - from < 3 && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++)
      numbers[count] = numbers[count] * 10 + (text.ptr[at] - '0');
    if (at == from) return false;
    count++;
    if (at == text.len) break;
    if (text.ptr[at++] != '-') return false;
  }
  *ret_range = (fb_code_range){numbers[0], numbers[count - 1]};
  return at == text.len && ret_range->first <= ret_range->last;
}

static bool S_read_code(const fb_node *node, fb_code_range *ret_range) {
  if (node->kind == FB_STRING) return S_range_parse(fb_node_text(node), ret_range);
  if (node->kind != FB_INT || node->as.scalar.as.i < 0 || node->as.scalar.as.i > 999) return false;
  ret_range->first = ret_range->last = (int)node->as.scalar.as.i;
  return true;
}

void fb_guard_read_codes(fb_guard_reader *reader, const fb_node *node, fb_code_range **ret_ranges,
                         uint32_t *ret_count) {
  uint32_t count = node->kind == FB_LIST ? node->count : 1;
  *ret_ranges = fb_arena_zero(reader->arena, (count + 1) * sizeof **ret_ranges);
  if (!*ret_ranges) reader->out_of_memory = true;
  for (uint32_t i = 0; *ret_ranges && i < count; i++) {
    const fb_node *one = node->kind == FB_LIST ? &node->as.items[i] : node;
    if (S_read_code(one, &(*ret_ranges)[*ret_count]))
      ++*ret_count;
    else
      S_fail(reader, one, "200, 200-204, 2xx", "not a status or a range of them");
  }
}

/* True for a word that `on` knows. */
static bool S_read_kind(const fb_node *node, uint32_t *kinds) {
  if (node->kind != FB_STRING) return false;
  bool any = fb_slice_equal(fb_node_text(node), FB_SLICE("any"));
  if (any) *kinds = UINT32_MAX;
  for (int i = 0; i < FB_FAILURE_COUNT && !any; i++)
    if (fb_slice_equal(fb_node_text(node), fb_slice_of(S_failures[i]))) {
      *kinds |= 1u << i;
      return true;
    }
  return any;
}

static void S_read_on(fb_guard_reader *reader, const fb_node *node, fb_retry_doc *retry) {
  if (S_read_kind(node, &retry->kinds)) return;
  if (S_read_code(node, &retry->ranges[retry->range_count]))
    retry->range_count++;
  else
    S_fail(reader, node,
           "a code (75, 429), a range (1-3, 5xx), or one of any, exit, signal, spawn, parse, "
           "timeout, network, status, breaker, limit, other",
           "`on` does not know this");
}

static void S_read_on_list(fb_guard_reader *reader, const fb_node *node, fb_retry_doc *retry) {
  uint32_t count = node->kind == FB_LIST ? node->count : 1;
  retry->ranges = fb_arena_zero(reader->arena, (count + 1) * sizeof *retry->ranges);
  retry->range_count = 0;
  retry->kinds = 0;
  if (!retry->ranges) reader->out_of_memory = true;
  for (uint32_t i = 0; retry->ranges && i < count; i++)
    S_read_on(reader, node->kind == FB_LIST ? &node->as.items[i] : node, retry);
}

static void S_retry_defaults(fb_retry_doc *retry, bool http) {
  static const fb_code_range passing[] = {{408, 408}, {425, 425}, {429, 429}, {500, 599}};
  *retry = (fb_retry_doc){.policy = fb_retry_policy_default(), .kinds = UINT32_MAX};
  retry->policy.attempts = 3;
  retry->policy.retryable = S_retryable;
  retry->policy.context = retry;
  if (!http) return;
  retry->kinds = 1u << FB_FAILURE_NETWORK | 1u << FB_FAILURE_TIMEOUT | 1u << FB_FAILURE_BREAKER |
                 1u << FB_FAILURE_LIMIT;
  retry->ranges = (fb_code_range *)passing;
  retry->range_count = 4;
}

enum {
  R_ATTEMPTS,
  R_BACKOFF,
  R_BASE,
  R_MAX,
  R_FACTOR,
  R_JITTER,
  R_ON,
  R_DEADLINE,
  R_AFTER_MAX,
  R_BUDGET,
  R_COUNT
};

void fb_guard_read_retry(fb_guard_reader *reader, const fb_node *node, bool http,
                         fb_retry_doc *ret_retry) {
  static const uint32_t number = FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_DOUBLE);
  static const char *const backoffs[] = {"fixed", "linear", "exponential", "decorrelated"};
  static const char *const jitters[] = {"none", "equal", "full"};
  const fb_key_spec specs[R_COUNT] = {[R_ATTEMPTS] = {"attempts", FB_KIND_BIT(FB_INT), false},
                                      [R_BACKOFF] = {"backoff", FB_KIND_BIT(FB_STRING), false},
                                      [R_BASE] = {"base", 0, false},
                                      [R_MAX] = {"max", 0, false},
                                      [R_FACTOR] = {"factor", number, false},
                                      [R_JITTER] = {"jitter", FB_KIND_BIT(FB_STRING), false},
                                      [R_ON] = {"on", 0, false},
                                      [R_DEADLINE] = {"deadline", 0, false},
                                      [R_AFTER_MAX] = {"after_max", 0, false},
                                      [R_BUDGET] = {"budget", FB_KIND_BIT(FB_STRING), false}};
  const fb_node *nodes[R_COUNT] = {0};
  size_t before = fb_errors_total(reader->errors);
  fb_error err = {0};
  fb_retry_policy *policy = &ret_retry->policy;
  S_retry_defaults(ret_retry, http);
  if (node->kind == FB_INT) {
    policy->attempts = S_count(reader, node, 1, 1000000, 1);
    return;
  }
  fb_doc_keys(reader->doc, node, "retry", specs, R_COUNT, nodes, reader->errors);
  if (node->kind != FB_MAP) return;
  policy->attempts = S_count(reader, nodes[R_ATTEMPTS], 1, 1000000, policy->attempts);
  policy->backoff = (fb_backoff)S_word(reader, nodes[R_BACKOFF], backoffs, 4, policy->backoff);
  policy->jitter = (fb_jitter)S_word(reader, nodes[R_JITTER], jitters, 3, policy->jitter);
  if (nodes[R_BASE]) policy->base = fb_guard_read_duration(reader, nodes[R_BASE]);
  if (policy->max < policy->base) policy->max = policy->base;
  if (nodes[R_MAX]) policy->max = fb_guard_read_duration(reader, nodes[R_MAX]);
  policy->factor = S_factor(nodes[R_FACTOR]);
  policy->total = fb_guard_read_duration(reader, nodes[R_DEADLINE]);
  policy->after_max = fb_guard_read_duration(reader, nodes[R_AFTER_MAX]);
  if (nodes[R_ON]) S_read_on_list(reader, nodes[R_ON], ret_retry);
  ret_retry->budget = nodes[R_BUDGET];
  S_checked(reader, node, before, fb_retry_policy_check(policy, &err), &err);
}

void fb_guard_read_budget(fb_guard_reader *reader, const fb_node *node, uint32_t *ret_retries,
                          double *ret_ratio) {
  static const fb_key_spec specs[] = {
      {"retries", FB_KIND_BIT(FB_INT), false},
      {"ratio", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_DOUBLE) | FB_KIND_BIT(FB_STRING), false}};
  const fb_node *nodes[2] = {0};
  *ret_retries = 10;
  *ret_ratio = 0.1;
  fb_doc_keys(reader->doc, node, "a budget", specs, 2, nodes, reader->errors);
  if (node->kind != FB_MAP) return;
  *ret_retries = S_count(reader, nodes[0], 1, 1000000000, *ret_retries);
  size_t before = fb_errors_total(reader->errors);
  if (nodes[1]) *ret_ratio = S_share(reader, nodes[1]);
  if (fb_errors_total(reader->errors) > before) {
    *ret_ratio = 0.1;
  } else if (*ret_ratio < 0.001) {
    S_fail(reader, nodes[1], "10% is one retry for ten calls that go well",
           "a budget gives back at least 0.1 %");
    *ret_ratio = 0.1;
  }
}

/* ── Breaker ─────────────────────────────────────────────────────────────────────────────────── */

enum {
  B_CONSECUTIVE,
  B_WINDOW,
  B_BUCKETS,
  B_FAILURE_RATE,
  B_SLOW_RATE,
  B_SLOW_AFTER,
  B_MINIMUM,
  B_WAIT,
  B_WAIT_FACTOR,
  B_WAIT_MAX,
  B_JITTER,
  B_PROBES,
  B_CLOSE_AFTER,
  B_PROBE_TIME,
  B_COUNT
};

static void S_breaker_window(fb_guard_reader *reader, const fb_node *const *nodes,
                             fb_breaker_config *config) {
  const fb_node *window = nodes[B_WINDOW];
  if (window && window->kind == FB_INT)
    config->window_calls = S_count(reader, window, 1, 1000000, 100);
  else
    config->window_time = fb_guard_read_duration(reader, window);
  config->buckets = S_count(reader, nodes[B_BUCKETS], 2, 63, 0);
  config->failure_rate = S_share(reader, nodes[B_FAILURE_RATE]);
  config->slow_rate = S_share(reader, nodes[B_SLOW_RATE]);
  config->slow_after = fb_guard_read_duration(reader, nodes[B_SLOW_AFTER]);
  config->minimum = S_count(reader, nodes[B_MINIMUM], 1, 1000000, 0);
  config->consecutive = S_count(reader, nodes[B_CONSECUTIVE], 1, 1000000, 0);
}

void fb_guard_read_breaker(fb_guard_reader *reader, const fb_node *node,
                           fb_breaker_config *ret_config) {
  static const uint32_t whole = FB_KIND_BIT(FB_INT), number = whole | FB_KIND_BIT(FB_DOUBLE),
                        share = number | FB_KIND_BIT(FB_STRING);
  const fb_key_spec specs[B_COUNT] = {
      [B_CONSECUTIVE] = {"consecutive", whole, false},
      [B_WINDOW] = {"window", whole | FB_KIND_BIT(FB_STRING), false},
      [B_BUCKETS] = {"buckets", whole, false},
      [B_FAILURE_RATE] = {"failure_rate", share, false},
      [B_SLOW_RATE] = {"slow_rate", share, false},
      [B_SLOW_AFTER] = {"slow_after", 0, false},
      [B_MINIMUM] = {"minimum", whole, false},
      [B_WAIT] = {"wait", 0, false},
      [B_WAIT_FACTOR] = {"wait_factor", number, false},
      [B_WAIT_MAX] = {"wait_max", 0, false},
      [B_JITTER] = {"jitter", share, false},
      [B_PROBES] = {"probes", whole, false},
      [B_CLOSE_AFTER] = {"close_after", whole, false},
      [B_PROBE_TIME] = {"probe_time", 0, false}};
  const fb_node *nodes[B_COUNT] = {0};
  size_t before = fb_errors_total(reader->errors);
  fb_error err = {0};
  fb_breaker *trial = NULL;
  *ret_config = fb_breaker_config_default();
  fb_doc_keys(reader->doc, node, "a breaker", specs, B_COUNT, nodes, reader->errors);
  if (node->kind != FB_MAP) return;
  if (nodes[B_CONSECUTIVE] || nodes[B_WINDOW] || nodes[B_FAILURE_RATE] || nodes[B_SLOW_RATE]) {
    *ret_config = (fb_breaker_config){.wait = ret_config->wait,
                                      .wait_factor = ret_config->wait_factor,
                                      .wait_max = ret_config->wait_max,
                                      .wait_jitter = ret_config->wait_jitter,
                                      .probes = ret_config->probes};
    S_breaker_window(reader, nodes, ret_config);
  }
  if (nodes[B_WAIT]) {
    ret_config->wait = fb_guard_read_duration(reader, nodes[B_WAIT]);
    if (ret_config->wait_max < ret_config->wait) ret_config->wait_max = ret_config->wait;
  }
  if (nodes[B_WAIT_FACTOR]) ret_config->wait_factor = S_factor(nodes[B_WAIT_FACTOR]);
  if (nodes[B_WAIT_MAX]) ret_config->wait_max = fb_guard_read_duration(reader, nodes[B_WAIT_MAX]);
  if (nodes[B_JITTER]) ret_config->wait_jitter = S_share(reader, nodes[B_JITTER]);
  ret_config->probes = S_count(reader, nodes[B_PROBES], 1, 65535, ret_config->probes);
  ret_config->close_after = S_count(reader, nodes[B_CLOSE_AFTER], 1, 65535, 0);
  ret_config->probe_time = fb_guard_read_duration(reader, nodes[B_PROBE_TIME]);
  ret_config->stripes = 1; /* a run has one thread */
  fb_status status = fb_breaker_new(ret_config, NULL, &trial, &err);
  fb_breaker_free(trial);
  S_checked(reader, node, before, status, &err);
}

/* ── Limit ───────────────────────────────────────────────────────────────────────────────────── */

/* "10/s", "100/1m", "5/h" */
static bool S_rate_parse(fb_slice text, uint32_t *ret_tokens, int64_t *ret_per) {
  uint64_t tokens = 0;
  int64_t seconds;
  int32_t nanos;
  size_t at = 0;
  for (; at < text.len && at < 9 && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++)
    tokens = tokens * 10 + (uint64_t)(text.ptr[at] - '0');
  if (at == 0 || tokens == 0 || at >= text.len || text.ptr[at++] != '/') return false;
  fb_slice per = {text.ptr + at, text.len - at};
  char unit[8];
  if (per.len && per.len < 3 && !(per.ptr[0] >= '0' && per.ptr[0] <= '9')) {
    snprintf(unit, sizeof unit, "1%.*s", (int)per.len, per.ptr);
    per = fb_slice_of(unit);
  }
  if (!fb_duration_parse(per, &seconds, &nanos) || seconds < 0 || nanos < 0 || seconds > 31536000 ||
      !(seconds || nanos))
    return false;
  *ret_tokens = (uint32_t)tokens;
  *ret_per = seconds * 1000000000 + nanos;
  return true;
}

enum { L_RATE, L_BURST, L_CONCURRENCY, L_QUEUE, L_QUEUE_TIME, L_ADAPT, L_TARGET, L_LEAST, L_COUNT };

static void S_read_bulkhead(fb_guard_reader *reader, const fb_node *const *nodes,
                            fb_bulkhead_config *config) {
  static const char *const adapts[] = {"none", "aimd", "gradient"};
  enum { QUEUE = 1000000 }; /* places cost nothing until they are taken */
  config->limit = S_count(reader, nodes[L_CONCURRENCY], 1, 1000000, 0);
  config->queue = S_count(reader, nodes[L_QUEUE], 0, QUEUE, QUEUE);
  config->adapt = (fb_adapt)S_word(reader, nodes[L_ADAPT], adapts, 3, FB_ADAPT_NONE);
  config->target = fb_guard_read_duration(reader, nodes[L_TARGET]);
  config->least = S_count(reader, nodes[L_LEAST], 1, 1000000, 0);
}

void fb_guard_read_limit(fb_guard_reader *reader, const fb_node *node, fb_limit_doc *ret_limit) {
  static const uint32_t whole = FB_KIND_BIT(FB_INT), text = FB_KIND_BIT(FB_STRING);
  const fb_key_spec specs[L_COUNT] = {[L_RATE] = {"rate", text, false},
                                      [L_BURST] = {"burst", whole, false},
                                      [L_CONCURRENCY] = {"concurrency", whole, false},
                                      [L_QUEUE] = {"queue", whole, false},
                                      [L_QUEUE_TIME] = {"queue_time", 0, false},
                                      [L_ADAPT] = {"adapt", text, false},
                                      [L_TARGET] = {"target", 0, false},
                                      [L_LEAST] = {"least", whole, false}};
  const fb_node *nodes[L_COUNT] = {0};
  size_t before = fb_errors_total(reader->errors);
  fb_error err = {0};
  fb_rate rate;
  *ret_limit = (fb_limit_doc){0};
  fb_doc_keys(reader->doc, node, "a limit", specs, L_COUNT, nodes, reader->errors);
  if (node->kind != FB_MAP) return;
  if (!nodes[L_RATE] && !nodes[L_CONCURRENCY] && fb_errors_total(reader->errors) == before)
    S_fail(reader, node, "rate: 10/s, concurrency: 2, or both", "this limit limits nothing");
  if (nodes[L_RATE] &&
      !S_rate_parse(fb_node_text(nodes[L_RATE]), &ret_limit->tokens, &ret_limit->per))
    S_fail(reader, nodes[L_RATE], "10/s, 100/1m, 5/h", "not a rate");
  ret_limit->burst = S_count(reader, nodes[L_BURST], 1, 1000000, 1);
  ret_limit->queue_time = fb_guard_read_duration(reader, nodes[L_QUEUE_TIME]);
  S_read_bulkhead(reader, nodes, &ret_limit->bulkhead);
  ret_limit->bulkhead.queue_time = ret_limit->queue_time;
  if (ret_limit->tokens) {
    fb_status status =
        fb_rate_init(&rate, ret_limit->tokens, ret_limit->per, ret_limit->burst, &err);
    S_checked(reader, nodes[L_RATE], before, status, &err);
  }
  if (ret_limit->bulkhead.limit) {
    fb_bulkhead *trial = NULL;
    fb_status status = fb_bulkhead_new(&ret_limit->bulkhead, NULL, &trial, &err);
    fb_bulkhead_free(trial);
    S_checked(reader, node, before, status, &err);
  }
}
