/* SPDX-License-Identifier: Apache-2.0
 * Nanoseconds to evaluate one condition, one JSON object a line. The peer is the same condition written by hand in C
 * over the same facts: no interpreter reaches it, but it shows what is left to gain and that both find the same
 * rows. No other C implementation of the language is packaged. */
#include <flyball/cel.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 4096, ROUNDS = 60, PASSES = 10 };

typedef struct S_world {
  fb_symbols *symbols;
  fb_schema *schema;
  fb_fact_type *type;
  fb_facts *facts;
  fb_cel_env *env;
  fb_arena arena;
} S_world;

enum { F_ID, F_TIER, F_AMOUNT, F_COUNT, F_OPEN };

static void S_check(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "bench-cel: %s\n", what);
  exit(1);
}

static void S_open(S_world *w) {
  static const char *const tiers[] = {"gold", "silver", "bronze", "none"};
  const fb_field fields[] = {{FB_SLICE("id"), FB_FIELD_INT},
                             {FB_SLICE("tier"), FB_FIELD_STRING},
                             {FB_SLICE("amount"), FB_FIELD_DOUBLE},
                             {FB_SLICE("count"), FB_FIELD_INT},
                             {FB_SLICE("open"), FB_FIELD_BOOL}};
  fb_random random;
  fb_random_seed(&random, 42);
  fb_arena_init(&w->arena, NULL, 0);
  S_check(!fb_symbols_new(NULL, 1, &w->symbols) && !fb_schema_new(NULL, w->symbols, &w->schema),
          "no memory");
  S_check(!fb_schema_declare(w->schema, FB_SLICE("order"), fields, 5, &w->type, NULL), "no schema");
  S_check(!fb_facts_new(NULL, w->schema, w->type, &w->facts) && !fb_cel_env_new(NULL, &w->env),
          "no memory");
  for (uint32_t i = 0; i < ROWS; i++) {
    uint32_t row;
    S_check(!fb_facts_add(w->facts, &row), "no memory");
    fb_facts_set(w->facts, row, F_ID, fb_int(i), NULL);
    fb_facts_set(w->facts, row, F_TIER, fb_string(fb_slice_of(tiers[fb_random_below(&random, 4)])),
                 NULL);
    fb_facts_set(w->facts, row, F_AMOUNT, fb_double((double)fb_random_below(&random, 20000)), NULL);
    fb_facts_set(w->facts, row, F_COUNT, fb_int((int64_t)fb_random_below(&random, 100)), NULL);
    fb_facts_set(w->facts, row, F_OPEN, fb_bool(fb_random_below(&random, 2)), NULL);
  }
  uint32_t slot;
  S_check(!fb_cel_env_add(w->env, FB_SLICE("o"), fb_cel_env_fact(w->env, w->type), &slot),
          "no memory");
}

/* ── The same by hand ────────────────────────────────────────────────────────────────────────── */

typedef bool S_by_hand(const fb_facts *facts, uint32_t row);

static bool S_amount(const fb_facts *f, uint32_t row) {
  return fb_facts_get(f, row, F_AMOUNT).as.d > 10000.0;
}
static bool S_is(const fb_facts *f, uint32_t row, fb_slice text) {
  return fb_slice_equal(fb_value_text(fb_facts_get(f, row, F_TIER)), text);
}
static bool S_amount_tier(const fb_facts *f, uint32_t row) {
  return S_amount(f, row) && S_is(f, row, FB_SLICE("gold"));
}
static bool S_five(const fb_facts *f, uint32_t row) {
  int64_t count = fb_facts_get(f, row, F_COUNT).as.i;
  return fb_facts_get(f, row, F_OPEN).as.b && count >= 10 && count < 90 && S_amount(f, row) &&
         !S_is(f, row, FB_SLICE("none"));
}
static bool S_arithmetic(const fb_facts *f, uint32_t row) {
  return fb_facts_get(f, row, F_AMOUNT).as.d * 1.19 + 5.0 > 12000.0;
}
static bool S_in(const fb_facts *f, uint32_t row) {
  return S_is(f, row, FB_SLICE("gold")) || S_is(f, row, FB_SLICE("silver")) ||
         S_is(f, row, FB_SLICE("platinum"));
}
static bool S_function(const fb_facts *f, uint32_t row) {
  return fb_slice_starts(fb_value_text(fb_facts_get(f, row, F_TIER)), FB_SLICE("go"));
}
static bool S_exists(const fb_facts *f, uint32_t row) {
  static const int64_t of[] = {10, 20, 30, 40, 50};
  int64_t count = fb_facts_get(f, row, F_COUNT).as.i;
  for (size_t i = 0; i < 5; i++)
    if (of[i] == count) return true;
  return false;
}

/* ── Measuring ───────────────────────────────────────────────────────────────────────────────── */

static double S_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int S_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct S_result {
  double nanos; /* of the fastest round: the machine may have other work */
  uint64_t found;
} S_result;

static uint64_t S_pass_ours(const S_world *w, const fb_cel_program *program,
                            fb_cel_context *context) {
  uint64_t found = 0;
  for (uint32_t row = 0; row < ROWS; row++) {
    fb_value slot = fb_fact_value(w->facts, row), value;
    context->steps = 1000;
    S_check(!fb_cel_eval(program, &slot, context, &value, NULL), "an evaluation failed");
    found += value.as.b;
  }
  return found;
}

static uint64_t S_pass_by_hand(const S_world *w, S_by_hand *by_hand) {
  uint64_t found = 0;
  for (uint32_t row = 0; row < ROWS; row++) found += by_hand(w->facts, row);
  return found;
}

static S_result S_measure(const S_world *w, const fb_cel_program *program, fb_cel_context *context,
                          S_by_hand *by_hand) {
  double rounds[ROUNDS];
  S_result result = {0};
  for (int round = 0; round < ROUNDS; round++) {
    double start = S_now();
    for (int pass = 0; pass < PASSES; pass++)
      result.found = program ? S_pass_ours(w, program, context) : S_pass_by_hand(w, by_hand);
    rounds[round] = (S_now() - start) / ((double)PASSES * ROWS);
  }
  qsort(rounds, ROUNDS, sizeof *rounds, S_compare);
  result.nanos = rounds[0];
  return result;
}

static void S_bench(S_world *w, const char *expr, S_by_hand *by_hand, double reach) {
  fb_cel_program *program;
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  if (fb_cel_compile(w->env, fb_slice_of(expr), NULL, &program, &errors))
    S_check(false, errors.items[0].text);
  fb_cel_context context;
  fb_cel_context_init(&context, &w->arena);

  S_result ours = S_measure(w, program, &context, NULL), peer = S_measure(w, NULL, NULL, by_hand);
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_json_write_text(&text, fb_slice_of(expr), FB_JSON_COMPACT);
  printf(
      "{\"bench\":\"cel\",\"workload\":%s,\"ours\":%.1f,\"peer\":%.1f,\"peer_name\":\"by hand in "
      "C\",\"unit\":\"ns/evaluation\",\"ratio\":%.2f,"
      "\"reach\":\"at most %.0f times as long\",\"verdict\":\"%s\",\"found\":%" PRIu64
      ",\"found_by_peer\":%" PRIu64 "}\n",
      text.ptr, ours.nanos, peer.nanos, ours.nanos / peer.nanos, reach,
      ours.found != peer.found           ? "not measured"
      : ours.nanos <= reach * peer.nanos ? "met"
                                         : "missed",
      ours.found, peer.found);
  fb_buf_release(&text);
  fb_errors_release(&errors);
  fb_cel_context_release(&context);
  fb_cel_program_free(program);
}

static void S_bench_compile(S_world *w, const char *expr) {
  enum { COUNT = 2000 };
  double start = S_now();
  for (int i = 0; i < COUNT; i++) {
    fb_cel_program *program;
    S_check(!fb_cel_compile(w->env, fb_slice_of(expr), NULL, &program, NULL), "does not compile");
    fb_cel_program_free(program);
  }
  printf(
      "{\"bench\":\"cel\",\"workload\":\"compile "
      "%s\",\"ours\":%.2f,\"peer\":null,\"peer_name\":\"none "
      "packaged\",\"unit\":\"us\",\"ratio\":null,"
      "\"reach\":null,\"verdict\":\"not measured\",\"programs\":%d}\n",
      expr, (S_now() - start) / COUNT / 1000, COUNT);
}

int main(void) {
  S_world w;
  S_open(&w);
  S_bench(&w, "o.amount > 10000.0", S_amount, 5);
  S_bench(&w, "o.amount > 10000.0 && o.tier == \"gold\"", S_amount_tier, 5);
  S_bench(&w, "o.open && o.count >= 10 && o.count < 90 && o.amount > 10000.0 && o.tier != \"none\"",
          S_five, 5);
  S_bench(&w, "o.amount * 1.19 + 5.0 > 12000.0", S_arithmetic, 5);
  S_bench(&w, "o.tier in [\"gold\", \"silver\", \"platinum\"]", S_in, 5);
  S_bench(&w, "o.tier.startsWith(\"go\")", S_function, 5);
  S_bench(&w, "[10, 20, 30, 40, 50].exists(x, x == o.count)", S_exists, 10);
  S_bench_compile(&w, "o.amount > 10000.0 && o.tier == 'gold'");
  fb_cel_env_free(w.env);
  fb_facts_free(w.facts);
  fb_schema_free(w.schema);
  fb_symbols_free(w.symbols);
  fb_arena_release(&w.arena);
  return 0;
}
