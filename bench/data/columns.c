/* SPDX-License-Identifier: Apache-2.0
 * NDJSON of flat facts into columns, beside the readers of the packages. All in one process, one after
 * the other in every round; what is printed is the median round, in MB (10^6 bytes) a second of CPU time. */
#include "data_peers.h"

#include <flyball/data.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 9, REACH = 4 };

/* ── Workloads ── */

static const char *const S_countries[] = {"DE", "FR", "IT", "ES", "PL",
                                          "NL", "SE", "US", "GB", "CZ"};
static const char *const S_tiers[] = {"bronze", "silver", "gold", "platinum"};
static const char *const S_kinds[] = {"order", "refund", "invoice"};

/* Eight fields with their type: two ints, two doubles, three texts that repeat, a bool. */
static void S_flat(fb_random *random, uint32_t i, fb_buf *out) {
  fb_buf_printf(out,
                "{\"type\":\"order\",\"id\":%u,\"customer\":\"c-%u\",\"tier\":\"%s\",\"country\":"
                "\"%s\",\"amount\":%.2f,"
                "\"quantity\":%u,\"weight\":%.3f,\"express\":%s}\n",
                1000000 + i, (unsigned)fb_random_below(random, 5000),
                S_tiers[fb_random_below(random, 4)], S_countries[fb_random_below(random, 10)],
                fb_random_unit(random) * 1000, (unsigned)fb_random_below(random, 100),
                fb_random_unit(random) * 20, fb_random_below(random, 2) ? "true" : "false");
}

/* The same with blanks as most libraries write them, and a text of its own in every record. */
static void S_unique(fb_random *random, uint32_t i, fb_buf *out) {
  fb_buf_printf(out,
                "{\"type\": \"order\", \"id\": \"ord-%08x\", \"customer\": \"c-%u\", \"tier\": "
                "\"%s\", \"country\": \"%s\", "
                "\"amount\": %.2f, \"quantity\": %u, \"express\": %s}\n",
                (unsigned)fb_random_u64(random), (unsigned)fb_random_below(random, 5000),
                S_tiers[fb_random_below(random, 4)], S_countries[fb_random_below(random, 10)],
                fb_random_unit(random) * 1000, (unsigned)fb_random_below(random, 100),
                fb_random_below(random, 2) ? "true" : "false");
}

/* Three types in turn, keys that come and go, and now and then a whole number among the doubles. */
static void S_mixed(fb_random *random, uint32_t i, fb_buf *out) {
  fb_buf_printf(out, "{\"type\":\"%s\",\"id\":%u", S_kinds[fb_random_below(random, 3)], i);
  if (fb_random_below(random, 4))
    fb_buf_printf(out, ",\"customer\":\"c-%u\"", (unsigned)fb_random_below(random, 5000));
  fb_buf_printf(out, ",\"tier\":\"%s\"", S_tiers[fb_random_below(random, 4)]);
  if (fb_random_below(random, 4) == 0)
    fb_buf_printf(out, ",\"amount\":%u", (unsigned)fb_random_below(random, 1000));
  else
    fb_buf_printf(out, ",\"amount\":%.2f", fb_random_unit(random) * 1000);
  if (fb_random_below(random, 2))
    fb_buf_printf(out, ",\"country\":\"%s\"", S_countries[fb_random_below(random, 10)]);
  fb_buf_printf(out, ",\"quantity\":%u,\"note\":\"caf\\u00e9 %u\"}\n",
                (unsigned)fb_random_below(random, 100), (unsigned)fb_random_below(random, 50));
}

static const struct {
  const char *name;
  void (*write)(fb_random *random, uint32_t i, fb_buf *out);
  uint32_t lines;
} S_workloads[] = {
    {"ndjson-flat", S_flat, 120000},
    {"ndjson-unique-text", S_unique, 120000},
    {"ndjson-mixed", S_mixed, 120000},
};

/* ── Ours ── */

static double S_sum(const fb_run *run) {
  double sum = 0;
  int32_t field = fb_fact_type_field(fb_facts_type(run->facts), FB_SLICE("amount"));
  for (uint32_t row = run->first; field >= 0 && row < run->first + run->count; row++) {
    fb_value value = fb_facts_get(run->facts, row, (uint32_t)field);
    sum += value.kind == FB_INT ? (double)value.as.i : value.kind == FB_DOUBLE ? value.as.d : 0;
  }
  return sum;
}

/* From nothing: the symbols, the types and the columns are part of the work. */
static bool S_ours(fb_slice text, data_proof *ret_proof) {
  data_proof proof = {0};
  fb_symbols *symbols = NULL;
  fb_schema *schema = NULL;
  fb_stream *stream = NULL;
  fb_memory_source memory = {text};
  fb_stream_options options = {.format = FB_STREAM_NDJSON};
  fb_batch batch;
  fb_status status = FB_E_NOMEM;
  if (!fb_symbols_new(NULL, 1, &symbols) && !fb_schema_new(NULL, symbols, &schema) &&
      !fb_stream_open(fb_source_memory(&memory), schema, &options, NULL, &stream, NULL))
    while ((status = fb_stream_next(stream, &batch, NULL)) == FB_OK) {
      proof.rows += batch.rows;
      for (size_t i = 0; i < batch.run_count; i++) proof.sum += S_sum(&batch.runs[i]);
    }
  if (stream && fb_stream_records(stream) != proof.rows) status = FB_E_INTERNAL;
  fb_stream_free(stream);
  fb_schema_free(schema);
  fb_symbols_free(symbols);
  *ret_proof = proof;
  return status == FB_DONE;
}

/* ── Measuring ── */

static double S_cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int S_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct reader {
  const char *name;
  bool (*read)(fb_slice text, data_proof *ret_proof);
  double rates[ROUNDS];
  data_proof proof;
  bool good;
} reader;

static void S_round(reader *r, fb_slice text, int round) {
  if (!r->read) return;
  double from = S_cpu_seconds();
  r->good = r->read(text, &r->proof) && r->good;
  r->rates[round] = (double)text.len / 1e6 / (S_cpu_seconds() - from);
}

/* Sums are added up in another order by batches: the same but for rounding. */
static bool S_same(data_proof a, data_proof b) {
  double difference = a.sum - b.sum;
  return a.rows == b.rows && difference < 1e-3 && difference > -1e-3;
}

static void S_print(const char *workload, reader *ours, reader *peer, size_t bytes) {
  double mine = ours->rates[ROUNDS / 2], theirs = peer->rates[ROUNDS / 2];
  bool same = ours->good && peer->good && S_same(ours->proof, peer->proof);
  printf("{\"bench\": \"data\", \"workload\": \"%s\", \"ours\": %.1f, ", workload, mine);
  if (peer->read && same)
    printf(
        "\"peer\": %.1f, \"peer_name\": \"%s\", \"unit\": \"MB/s\", \"ratio\": %.2f, \"reach\": "
        "%d, \"verdict\": \"%s\", ",
        theirs, peer->name, mine / theirs, REACH, mine >= REACH * theirs ? "met" : "missed");
  else
    printf(
        "\"peer\": null, \"peer_name\": \"%s\", \"unit\": \"MB/s\", \"ratio\": null, \"reach\": "
        "%d, \"verdict\": \"not measured\", ",
        peer->name, REACH);
  printf("\"rows\": %llu, \"sum\": %.2f, \"bytes\": %zu, \"rounds\": %d}\n",
         (unsigned long long)ours->proof.rows, ours->proof.sum, bytes, ROUNDS);
  fflush(stdout);
}

static void S_run(const char *workload, fb_slice text, int only_ours) {
  reader readers[1 + DATA_PEERS] = {{.name = "flyball", .read = S_ours, .good = true}};
  for (int i = 0; i < DATA_PEERS; i++)
    readers[i + 1] = (reader){
        .name = data_peers[i].name, .read = only_ours ? NULL : data_peers[i].read, .good = true};
  for (int round = 0; round < ROUNDS; round++)
    for (int i = 0; i <= DATA_PEERS; i++) S_round(&readers[i], text, round);
  for (int i = 0; i <= DATA_PEERS; i++) qsort(readers[i].rates, ROUNDS, sizeof(double), S_compare);
  for (int i = 1; i <= DATA_PEERS; i++) S_print(workload, &readers[0], &readers[i], text.len);
}

/* Arguments: the names of workloads (none: all); "ours" leaves the peers out, for profiling. */
int main(int argc, char **argv) {
  int only_ours = argc > 1 && strcmp(argv[1], "ours") == 0;
  for (size_t i = 0; i < sizeof S_workloads / sizeof *S_workloads; i++) {
    bool wanted = argc - only_ours < 2;
    for (int a = 1 + only_ours; a < argc; a++) wanted |= strcmp(argv[a], S_workloads[i].name) == 0;
    if (!wanted) continue;
    fb_buf text;
    fb_random random;
    fb_buf_init(&text, NULL, 0);
    fb_random_seed(&random, 42);
    for (uint32_t n = 0; n < S_workloads[i].lines; n++) S_workloads[i].write(&random, n, &text);
    if (text.failed) return 4;
    S_run(S_workloads[i].name, fb_buf_slice(&text), only_ours);
    fb_buf_release(&text);
  }
  return 0;
}
