/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules wing where nothing is joined: throughput, one fact a call, updates, one decision, memory, loading, and the whole program on a
 * file. What the named peers did elsewhere is printed as an anchor; bench/rules/README.md tells where. A JSON line a workload.
 */
#include "flat.h"

#include <flyball/rules.h>

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 15 };

typedef struct S_row {
  const char *workload;
  double ours;      /* in `unit` */
  const char *unit; /* "s" and "B/fact": less is better */
  double anchor;    /* the peer's figure, elsewhere */
  const char *anchor_name;
  double reach;     /* ours at least, or at most */
  uint64_t firings; /* decisions handed out */
  bool same_work;
  double extra; /* with extra_name */
  const char *extra_name;
} S_row;

static void S_print(const S_row *row) {
  bool less = row->unit[0] == 's' || row->unit[0] == 'B' || row->unit[0] == 'n';
  bool met = less ? row->ours <= row->reach : row->ours >= row->reach;
  double ratio = less ? row->anchor / row->ours : row->ours / row->anchor;
  printf(
      "{\"bench\":\"rules.fast\",\"workload\":\"%s\",\"ours\":%.6g,\"peer\":%.6g,\"peer_name\":\"%"
      "s\",\"unit\":\"%s\","
      "\"ratio\":%.2f,\"reach\":%.6g,\"verdict\":\"%s\",\"firings\":%llu,\"same_work\":%s",
      row->workload, row->ours, row->anchor, row->anchor_name, row->unit, ratio, row->reach,
      !row->same_work ? "not measured"
      : met           ? "met"
                      : "missed",
      (unsigned long long)row->firings, row->same_work ? "true" : "false");
  if (row->extra_name) printf(",\"%s\":%.6g", row->extra_name, row->extra);
  printf("}\n");
  fflush(stdout);
}

static void S_must(fb_status status) {
  if (status == FB_OK) return;
  fprintf(stderr, "failed: FB%04d\n", (int)status);
  exit(1);
}

static int S_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double S_median(double *items, int count) {
  qsort(items, (size_t)count, sizeof *items, S_by_value);
  return items[count / 2];
}

/* ── Results as records ── */

typedef struct S_result {
  uint32_t rule, field;
  fb_fact_id fact;
  fb_value value;
} S_result;

typedef struct S_results {
  S_result *items;
  size_t count, cap;
} S_results;

/* One a field: (rule, fact, field, value). There is room. */
static fb_status S_keep(void *context, fb_session *session, const fb_decision_record *records,
                        size_t count) {
  S_results *results = context;
  (void)session;
  if (results->count + count > results->cap) return FB_E_LIMIT;
  S_result *result = results->items + results->count;
  for (size_t i = 0; i < count; i++)
    *result++ =
        (S_result){records[i].rule_number, records[i].emit, records[i].fact, records[i].values[0]};
  results->count += count;
  return FB_OK;
}

static fb_status S_count(void *context, fb_session *session, const fb_decision_record *records,
                         size_t count) {
  (void)session;
  (void)records;
  *(uint64_t *)context += count;
  return FB_OK;
}

/* ── Bingo's three workloads: peers' notes, section 3.1 ── */

typedef struct S_bingo {
  const char *name, *facts; /* declaration */
  void (*rules)(fb_buf *out);
  void (*fill)(fb_facts *facts, uint64_t i, const fb_value *texts);
  const char *texts[8];
  uint64_t (*expected)(uint64_t i);
  double anchor, reach; /* seconds for 1,000,000 facts */
  const char *anchor_name;
} S_bingo;

static void S_simple_rules(fb_buf *out) {
  fb_buf_text(out,
              "- {name: active, when: [{fact as f: 'f.status == \"active\"'}], "
              "then: [{emit: set, with: {flag: true}}]}\n");
}

static void S_simple_fill(fb_facts *facts, uint64_t i, const fb_value *texts) {
  uint32_t row;
  char region[24];
  fb_symbol symbol;
  fb_symbols *symbols = fb_schema_symbols(fb_facts_schema(facts));
  size_t len = (size_t)snprintf(region, sizeof region, "region_%d", (int)(i % 50));
  S_must(fb_symbol_intern(symbols, (fb_slice){region, len}, &symbol));
  S_must(fb_facts_add(facts, &row));
  S_must(fb_facts_set(facts, row, 0, fb_int((int64_t)i), NULL));
  S_must(fb_facts_set(facts, row, 1, texts[i % 4 != 0], NULL));
  S_must(fb_facts_set(facts, row, 2, fb_symbol_value(symbols, symbol), NULL));
}

static uint64_t S_simple_expected(uint64_t i) {
  return i % 4 == 0;
}

static void S_payroll_rules(fb_buf *out) {
  static const char *const tests[] = {"f.shift_type == \"regular\"", "f.hours > 8.0",
                                      "f.day_of_week == \"weekend\"", "f.shift_start_hour >= 22"};
  for (int r = 0; r < 4; r++)
    fb_buf_printf(
        out, "- {name: r%d, when: [{fact as f: '%s'}], then: [{emit: set, with: {pay%d: true}}]}\n",
        r, tests[r], r);
}

static void S_payroll_fill(fb_facts *facts, uint64_t i, const fb_value *texts) {
  uint32_t row;
  bool late = i % 20 < 3;
  S_must(fb_facts_add(facts, &row));
  S_must(fb_facts_set(facts, row, 0, fb_int((int64_t)i), NULL));
  S_must(fb_facts_set(facts, row, 1, texts[0], NULL));
  S_must(fb_facts_set(facts, row, 2, fb_double(late ? 9.5 : 8.0), NULL));
  S_must(fb_facts_set(facts, row, 3, texts[i % 10 == 0 ? 1 : 2], NULL));
  S_must(fb_facts_set(facts, row, 4, fb_int(late ? 22 : 9), NULL));
}

static uint64_t S_payroll_expected(uint64_t i) {
  return 1 + 2 * (i % 20 < 3) + (i % 10 == 0);
}

enum { A = 143, B = 250, C = 400 }; /* the moduli of 1,000,000 facts */

static void S_enterprise_rules(fb_buf *out) {
  static const char *const tests[] = {"f.calculation_type == \"basic\"", "f.tier == \"premium\"",
                                      "f.risk_category == \"high\"",
                                      "f.compliance_required == true"};
  for (int r = 0; r < 400; r++)
    fb_buf_printf(
        out, "- {name: r%d, when: [{fact as f: '%s'}], then: [{emit: set, with: {f%d: true}}]}\n",
        r, tests[r / 100], r);
}

static void S_enterprise_fill(fb_facts *facts, uint64_t i, const fb_value *texts) {
  uint32_t row;
  S_must(fb_facts_add(facts, &row));
  S_must(fb_facts_set(facts, row, 0, fb_int((int64_t)i), NULL));
  S_must(fb_facts_set(facts, row, 1, texts[i % A == 0 ? 0 : 1], NULL));
  S_must(fb_facts_set(facts, row, 2, texts[i % B == 0 ? 2 : 3], NULL));
  S_must(fb_facts_set(facts, row, 3, texts[i % C == 0 ? 4 : 5], NULL));
  S_must(fb_facts_set(facts, row, 4, fb_bool(i % C == 0), NULL));
  S_must(fb_facts_set(facts, row, 5, fb_double((double)i * 1.5), NULL));
}

static uint64_t S_enterprise_expected(uint64_t i) {
  return 100 * ((i % A == 0) + (i % B == 0) + 2 * (i % C == 0));
}

static const S_bingo S_workloads[] = {
    {"bingo.simple",
     "fact: {entity_id: int, status: string, region: string}",
     S_simple_rules,
     S_simple_fill,
     {"active", "inactive"},
     S_simple_expected,
     1.44,
     1.44 / 40,
     "Bingo 1.44-1.75 s (anchor)"},
    {"bingo.payroll",
     "fact: {employee_id: int, shift_type: string, hours: double, day_of_week: string, "
     "shift_start_hour: int}",
     S_payroll_rules,
     S_payroll_fill,
     {"regular", "weekend", "weekday"},
     S_payroll_expected,
     1.26,
     1.26 / 25,
     "Bingo 1.26-2.7 s (anchor)"},
    {"bingo.enterprise",
     "fact: {entity_id: int, calculation_type: string, tier: string, risk_category: string, "
     "compliance_required: bool, amount: double}",
     S_enterprise_rules,
     S_enterprise_fill,
     {"basic", "advanced", "premium", "standard", "high", "low"},
     S_enterprise_expected,
     4.2,
     4.2 / 60,
     "Bingo 4.2-15.5 s (anchor)"}};

static fb_ruleset *S_read(fb_slice book, const char *name) {
  fb_ruleset *rules;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_ruleset_read(book, name, NULL, &rules, &errors, NULL);
  if (status != FB_OK) fprintf(stderr, "%s\n", errors.count ? errors.items[0].text : "?");
  S_must(status);
  fb_errors_release(&errors);
  return rules;
}

static fb_facts *S_table(fb_session *session, const char *type) {
  fb_facts *facts;
  fb_schema *schema = fb_session_schema(session);
  S_must(fb_facts_new(NULL, schema, fb_schema_find(schema, fb_slice_of(type)), &facts));
  return facts;
}

/* Checks a sample of the results against the fact they name. */
static bool S_check_results(fb_session *session, const S_results *results) {
  for (size_t i = 0; i < results->count; i += 9973) {
    fb_value fact = fb_session_fact(session, results->items[i].fact);
    if (fact.kind != FB_FACT || results->items[i].value.kind != FB_BOOL) return false;
  }
  return true;
}

static void S_bingo_run(const S_bingo *w, size_t count, int rounds) {
  fb_buf book;
  fb_buf_init(&book, NULL, 0);
  fb_buf_printf(&book, "facts:\n  %s\nrules:\n", w->facts);
  w->rules(&book);
  fb_ruleset *rules = S_read(fb_buf_slice(&book), "bingo.yaml");
  uint64_t expected = 0;
  for (size_t i = 0; i < count; i++) expected += w->expected(i);
  double seconds[ROUNDS_MAX];
  uint64_t firings = 0;
  bool same = true;
  S_results results = {.cap = expected + 1}; /* the caller's, there before */
  results.items = fb_alloc(NULL, results.cap * sizeof *results.items);
  for (int round = 0; round < rounds; round++) {
    results.count = 0;
    fb_session_options options = {.output = {.decisions = S_keep, .context = &results}};
    fb_session *session;
    S_must(fb_session_new(rules, &options, NULL, &session));
    fb_facts *facts = S_table(session, "fact");
    fb_value texts[8];
    for (int t = 0; t < 8 && w->texts[t]; t++) {
      fb_symbol symbol;
      fb_symbols *symbols = fb_schema_symbols(fb_session_schema(session));
      S_must(fb_symbol_intern(symbols, fb_slice_of(w->texts[t]), &symbol));
      texts[t] = fb_symbol_value(symbols, symbol);
    }
    for (size_t i = 0; i < count; i++) w->fill(facts, i, texts);
    double start = bench_processor_seconds();
    S_must(fb_session_assert_rows(session, facts, 0, (uint32_t)count, NULL, NULL, NULL));
    S_must(fb_session_fire(session, NULL, NULL));
    seconds[round] = bench_processor_seconds() - start;
    firings = results.count;
    same = same && firings == expected && S_check_results(session, &results);
    fb_facts_free(facts);
    fb_session_free(session);
  }
  fb_free(NULL, results.items, results.cap * sizeof *results.items);
  double scale = (double)count / 1e6;
  double first = seconds[0];
  S_print(&(S_row){w->name, S_median(seconds, rounds), "s", w->anchor * scale, w->anchor_name,
                   w->reach * scale, firings, same, first, "first_round"});
  fb_ruleset_free(rules);
  fb_buf_release(&book);
}

/* ── Orders, one a call ── */

typedef struct S_shop {
  fb_ruleset *rules;
  fb_session *session;
  const fb_fact_type *type;
  fb_value statuses[4];
  uint64_t fired;
} S_shop;

static void S_open(S_shop *shop, const char *workload, bool stateless) {
  fb_buf book;
  fb_buf_init(&book, NULL, 0);
  bench_rulebook(workload, false, &book);
  shop->rules = S_read(fb_buf_slice(&book), "bench.yaml");
  fb_buf_release(&book);
  shop->fired = 0;
  fb_session_options options = {.stateless = stateless,
                                .output = {.decisions = S_count, .context = &shop->fired}};
  S_must(fb_session_new(shop->rules, &options, NULL, &shop->session));
  fb_schema *schema = fb_session_schema(shop->session);
  shop->type = fb_schema_find(schema, FB_SLICE("order"));
  for (int i = 0; i < 4; i++) {
    fb_symbol symbol;
    S_must(fb_symbol_intern(fb_schema_symbols(schema), fb_slice_of(bench_statuses[i]), &symbol));
    shop->statuses[i] = fb_symbol_value(fb_schema_symbols(schema), symbol);
  }
}

static void S_close(S_shop *shop) {
  fb_session_free(shop->session);
  fb_ruleset_free(shop->rules);
}

/* The record of a struct, handed in; the id comes back. */
static inline fb_fact_id S_call(S_shop *shop, const bench_order *o) {
  fb_value values[5] = {fb_int(o->id), fb_int(o->customer), fb_int(o->amount),
                        shop->statuses[o->status], fb_int(o->region)};
  fb_fact_id id;
  S_must(fb_session_assert_values(shop->session, shop->type, values, 5, &id, NULL));
  return id;
}

/* Asserts facts from `from` on, and fires; processor seconds. */
static double S_calls(S_shop *shop, const bench_data *data, size_t from, size_t count) {
  uint64_t sum = 0;
  double start = bench_processor_seconds();
  for (size_t i = 0; i < count; i++) sum += S_call(shop, &data->orders[(from + i) % data->count]);
  S_must(fb_session_fire(shop->session, NULL, NULL));
  double seconds = bench_processor_seconds() - start;
  return sum ? seconds : 0;
}

static void S_one_a_call(const bench_data *data, size_t held, int rounds) {
  enum { PART = 100000 };
  double few[ROUNDS_MAX], many[ROUNDS_MAX];
  uint64_t fired = 0;
  bool same = true;
  for (int i = 0; i < rounds; i++) {
    S_shop shop;
    S_open(&shop, "r10", false);
    few[i] = PART / S_calls(&shop, data, 0, PART);
    fired = shop.fired;
    same = same && fired == bench_expected(data, "r10", 0, PART);
    S_close(&shop);
  }
  double rate = S_median(few, rounds);
  S_print(&(S_row){"one fact a call, 100k held", rate, "facts/s", 650000, "CLIPS tuned (anchor)",
                   6.5e6, fired, same, 0, NULL});
  S_shop shop;
  uint64_t expected = 0;
  S_open(&shop, "r10", false);
  for (size_t at = 0; at < held; at += PART) S_calls(&shop, data, at, PART);
  for (int i = 0; i < rounds; i++) many[i] = PART / S_calls(&shop, data, (size_t)i * PART, PART);
  for (size_t at = 0; at < held; at += PART)
    expected += bench_expected(data, "r10", at % data->count, PART);
  for (int i = 0; i < rounds; i++)
    expected += bench_expected(data, "r10", (size_t)i * PART % data->count, PART);
  double late = S_median(many, rounds);
  S_print(&(S_row){"one fact a call, 10M held", late, "facts/s", 650000,
                   "CLIPS tuned at 100k facts (anchor)", 0.7 * rate, shop.fired,
                   shop.fired == expected, late / rate, "of_100k_rate"});
  S_close(&shop);
}

/* ── 10 % modified ── */

static void S_modified(const bench_data *data, int rounds) {
  double rates[ROUNDS_MAX], bytes = 0;
  uint64_t fired = 0, expected = 0;
  bool same = true;
  for (size_t i = 0; i < data->count; i += 10) {
    bench_order o = data->orders[i];
    o.amount = (o.amount + 37) % 1000;
    expected += bench_fires(&o, "r10");
  }
  for (int round = 0; round < rounds; round++) {
    S_shop shop;
    S_open(&shop, "r10", false);
    fb_fact_id *ids = calloc(data->count, sizeof *ids);
    for (size_t i = 0; i < data->count; i++) ids[i] = S_call(&shop, &data->orders[i]);
    S_must(fb_session_fire(shop.session, NULL, NULL));
    bytes = (double)fb_session_statistics(shop.session).memory / (double)data->count;
    uint64_t before = shop.fired;
    const uint32_t amount = 2; /* the field's number */
    double start = bench_processor_seconds();
    for (size_t i = 0; i < data->count; i += 10) {
      fb_value value = fb_int((data->orders[i].amount + 37) % 1000);
      S_must(fb_session_modify_values(shop.session, ids[i], &amount, &value, 1, NULL));
    }
    S_must(fb_session_fire(shop.session, NULL, NULL));
    rates[round] = (double)(data->count / 10) / (bench_processor_seconds() - start);
    fired = shop.fired - before;
    same = same && fired == expected;
    free(ids);
    S_close(&shop);
  }
  S_print(&(S_row){"10 % modified, rules run again", S_median(rates, rounds), "updates/s", 450000,
                   "CLIPS (anchor)", 4.5e6, fired, same, 0, NULL});
  S_print(&(S_row){"memory of a held fact of 5 fields", bytes, "B/fact", 312, "CLIPS (anchor)", 64,
                   fired, same, 32, "then"});
}

/* ── One decision ── */

static int64_t S_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int S_by_number(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* From the call to the result that the callback got, minus what reading the clock takes. */
static void S_decision(const bench_data *data) {
  enum { CALLS = 200000 };
  static int64_t nanos[CALLS], empty[CALLS];
  S_shop shop;
  S_open(&shop, "r100", true);
  for (int i = 0; i < CALLS; i++) {
    int64_t start = S_now();
    empty[i] = S_now() - start;
  }
  qsort(empty, CALLS, sizeof *empty, S_by_number);
  int64_t clock = empty[CALLS / 2];
  for (int i = 0; i < CALLS; i++) {
    const bench_order *o = &data->orders[(size_t)i % data->count];
    int64_t start = S_now();
    S_call(&shop, o);
    nanos[i] = S_now() - start - clock;
  }
  uint64_t expected = bench_expected(data, "r100", 0, CALLS);
  qsort(nanos, CALLS, sizeof *nanos, S_by_number);
  bool same = shop.fired == expected;
  S_print(&(S_row){"one decision, 100 rules, p50", (double)nanos[CALLS / 2], "ns", 67000,
                   "ZEN (anchor)", 1000, shop.fired, same, (double)clock, "clock_ns"});
  S_print(&(S_row){"one decision, 100 rules, p99", (double)nanos[CALLS / 100 * 99], "ns", 67000,
                   "ZEN, mean (anchor)", 3000, shop.fired, same, (double)clock, "clock_ns"});
  S_close(&shop);
}

/* ── Loading ── */

static void S_load(bool json, int rounds) {
  double seconds[ROUNDS_MAX];
  fb_buf book;
  fb_buf_init(&book, NULL, 0);
  bench_rulebook("r10000", json, &book);
  size_t loaded = 0;
  for (int i = 0; i < rounds; i++) {
    double start = bench_processor_seconds();
    fb_ruleset *rules = S_read(fb_buf_slice(&book), json ? "bench.json" : "bench.yaml");
    seconds[i] = bench_processor_seconds() - start;
    loaded = fb_ruleset_count(rules);
    fb_ruleset_free(rules);
  }
  S_print(&(S_row){json ? "10,000 rules loaded, JSON" : "10,000 rules loaded, YAML",
                   S_median(seconds, rounds), "s", 0.21, "CLIPS (anchor)", 0.02, loaded,
                   loaded == 10000, (double)book.len, "bytes"});
  fb_buf_release(&book);
}

/* ── The whole program ── */

static void S_write(const char *path, fb_slice text) {
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(text.ptr, 1, text.len, file) != text.len || fclose(file)) {
    perror(path);
    exit(1);
  }
}

/* Runs it; returns the lines that it writes. *ret_seconds: processor time, its own. */
static uint64_t S_program(const char *flyball, const char *rules, const char *facts,
                          double *ret_seconds) {
  int fds[2], status;
  char buffer[1 << 16];
  uint64_t lines = 0;
  struct rusage usage;
  if (pipe(fds)) exit(1);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(fds[1], 1);
    close(fds[0]);
    close(fds[1]);
    execl(flyball, flyball, "eval", "-r", rules, "-t", "order", facts, (char *)NULL);
    _exit(127);
  }
  close(fds[1]);
  for (ssize_t got; (got = read(fds[0], buffer, sizeof buffer)) > 0;)
    for (ssize_t i = 0; i < got; i++) lines += buffer[i] == '\n';
  close(fds[0]);
  if (wait4(pid, &status, 0, &usage) != pid || !WIFEXITED(status) || WEXITSTATUS(status)) {
    *ret_seconds = 0;
    return 0;
  }
  *ret_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  return lines;
}

static void S_whole(const bench_data *data, const char *flyball, int rounds) {
  char rules[64], facts[64];
  double rates[ROUNDS_MAX], seconds;
  uint64_t lines = 0, expected = bench_expected(data, "r10", 0, data->count);
  bool same = true;
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  snprintf(rules, sizeof rules, "/tmp/fb-bench-%d.yaml", (int)getpid());
  snprintf(facts, sizeof facts, "/tmp/fb-bench-%d.ndjson", (int)getpid());
  bench_rulebook("r10", false, &text);
  S_write(rules, fb_buf_slice(&text));
  fb_buf_clear(&text);
  for (size_t i = 0; i < data->count; i++) {
    const bench_order *o = &data->orders[i];
    fb_buf_printf(&text,
                  "{\"id\":%d,\"customer\":%d,\"amount\":%d,\"status\":\"%s\",\"region\":%d}\n",
                  o->id, o->customer, o->amount, bench_statuses[o->status], o->region);
  }
  S_write(facts, fb_buf_slice(&text));
  for (int i = 0; i < rounds && same; i++) {
    lines = S_program(flyball, rules, facts, &seconds);
    rates[i] = seconds > 0 ? (double)data->count / seconds : 0;
    same = lines == expected;
  }
  unlink(rules);
  unlink(facts);
  S_print(&(S_row){"NDJSON file to decisions, 10 rules, whole process",
                   same ? S_median(rates, rounds) : 0, "facts/s", 2.6e6,
                   "DuckDB's bare ingest (anchor)", 3e6, lines, same, (double)text.len, "bytes"});
  fb_buf_release(&text);
}

int main(int argc, char **argv) {
  size_t count = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1000000;
  int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5;
  const char *flyball = argc > 3 ? argv[3] : "build/flyball", *only = argc > 4 ? argv[4] : "";
  if (rounds < 1 || rounds > ROUNDS_MAX || count < 200000) return 2;
  /* Memory stays with the process from round to round; "first_round" tells what it costs to get it. */
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  bench_data data = bench_make(count);
  for (size_t i = 0; i < sizeof S_workloads / sizeof *S_workloads; i++)
    if (!*only || !strcmp(only, "bingo")) S_bingo_run(&S_workloads[i], count, rounds);
  if (!*only || !strcmp(only, "whole")) S_whole(&data, flyball, rounds);
  if (!*only || !strcmp(only, "call")) S_one_a_call(&data, 10 * count, rounds);
  if (!*only || !strcmp(only, "modify")) S_modified(&data, rounds);
  if (!*only || !strcmp(only, "decision")) S_decision(&data);
  if (!*only || !strcmp(only, "load")) S_load(false, rounds);
  if (!*only || !strcmp(only, "load")) S_load(true, rounds);
  bench_free(&data);
  return 0;
}
