/* SPDX-License-Identifier: Apache-2.0
 * flyball guard simulate: what a policy would do when the service has an outage. */
#include "cli/cli.h"
#include "cli/guard_sim.h"

enum { DOCUMENT_MAX = 1 << 20, MOST_OUTAGES = 64 };

typedef struct S_job {
  fb_cli *cli;
  fb_arena arena;
  fb_guard_reader reader;
  fb_errors errors;
  fb_retry_doc retry;
  fb_breaker_config breaker;
  fb_sim_outage outages[MOST_OUTAGES];
  fb_sim_policy policy;
} S_job;

/* ── The document ────────────────────────────────────────────────────────────────────────────── */

static double S_share(S_job *job, const fb_node *node) {
  if (!node) return 1;
  double share = node->kind == FB_INT      ? (double)node->as.scalar.as.i
                 : node->kind == FB_DOUBLE ? node->as.scalar.as.d
                                           : -1;
  if (node->kind == FB_STRING) share = fb_guard_percent(fb_node_text(node));
  if (share >= 0 && share <= 1) return share;
  fb_doc_fail(job->reader.doc, node, &job->errors, FB_E_MISSION_VALUE, "0.5 and 50% are the same",
              "a share from 0 to 1 stands here");
  return 1;
}

/* From the start: "0s" is allowed. */
static int64_t S_time(S_job *job, const fb_node *node) {
  fb_slice text = node ? fb_node_text(node) : FB_SLICE("");
  if (node && node->kind == FB_STRING && fb_slice_equal(text, FB_SLICE("0s"))) return 0;
  return fb_guard_read_duration(&job->reader, node);
}

enum { O_FROM, O_TO, O_FAIL, O_LATENCY, O_STATUS, O_AFTER, O_COUNT };

static void S_read_outage(S_job *job, const fb_node *node) {
  static const fb_key_spec specs[O_COUNT] = {[O_FROM] = {"from", FB_KIND_BIT(FB_STRING), true},
                                             [O_TO] = {"to", FB_KIND_BIT(FB_STRING), true},
                                             [O_FAIL] = {"fail", 0, false},
                                             [O_LATENCY] = {"latency", 0, false},
                                             [O_STATUS] = {"status", FB_KIND_BIT(FB_INT), false},
                                             [O_AFTER] = {"retry_after", 0, false}};
  const fb_node *nodes[O_COUNT] = {0};
  if (job->policy.outage_count == MOST_OUTAGES) {
    fb_doc_fail(job->reader.doc, node, &job->errors, FB_E_LIMIT, "", "at most %d outages",
                MOST_OUTAGES);
    return;
  }
  fb_doc_keys(job->reader.doc, node, "an outage", specs, O_COUNT, nodes, &job->errors);
  if (node->kind != FB_MAP) return;
  fb_sim_outage *outage = &job->outages[job->policy.outage_count++];
  outage->from = S_time(job, nodes[O_FROM]);
  outage->to = S_time(job, nodes[O_TO]);
  outage->fail = S_share(job, nodes[O_FAIL]);
  outage->latency = fb_guard_read_duration(&job->reader, nodes[O_LATENCY]);
  outage->code = nodes[O_STATUS] ? (int)nodes[O_STATUS]->as.scalar.as.i : 503;
  outage->after = fb_guard_read_duration(&job->reader, nodes[O_AFTER]);
}

enum { P_RETRY, P_BREAKER, P_EVERY, P_FOR, P_LATENCY, P_TIMEOUT, P_OUTAGES, P_COUNT };

static void S_read_policy(S_job *job, const fb_node *root) {
  static const fb_key_spec specs[P_COUNT] = {
      [P_RETRY] = {"retry", FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_MAP), false},
      [P_BREAKER] = {"breaker", FB_KIND_BIT(FB_MAP), false},
      [P_EVERY] = {"every", 0, false},
      [P_FOR] = {"for", 0, false},
      [P_LATENCY] = {"latency", 0, false},
      [P_TIMEOUT] = {"timeout", 0, false},
      [P_OUTAGES] = {"outages", FB_KIND_BIT(FB_LIST), false}};
  const fb_node *nodes[P_COUNT] = {0};
  fb_sim_policy *policy = &job->policy;
  fb_doc_keys(job->reader.doc, root, "a simulation", specs, P_COUNT, nodes, &job->errors);
  if (root->kind != FB_MAP) return;
  policy->every = 100 * FB_MILLISECOND;
  policy->length = 120 * FB_SECOND;
  policy->latency = 50 * FB_MILLISECOND;
  if (nodes[P_RETRY]) {
    fb_guard_read_retry(&job->reader, nodes[P_RETRY], true, &job->retry);
    policy->retry = &job->retry;
  }
  if (nodes[P_BREAKER]) {
    fb_guard_read_breaker(&job->reader, nodes[P_BREAKER], &job->breaker);
    policy->breaker = &job->breaker;
  }
  if (nodes[P_EVERY]) policy->every = fb_guard_read_duration(&job->reader, nodes[P_EVERY]);
  if (nodes[P_FOR]) policy->length = fb_guard_read_duration(&job->reader, nodes[P_FOR]);
  if (nodes[P_LATENCY]) policy->latency = fb_guard_read_duration(&job->reader, nodes[P_LATENCY]);
  policy->timeout = fb_guard_read_duration(&job->reader, nodes[P_TIMEOUT]);
  for (uint32_t i = 0; nodes[P_OUTAGES] && i < nodes[P_OUTAGES]->count; i++)
    S_read_outage(job, &nodes[P_OUTAGES]->as.items[i]);
  policy->outages = job->outages;
}

/* ── What comes out ──────────────────────────────────────────────────────────────────────────── */

static void S_duration(fb_buf *out, int64_t nanos, int width) {
  char text[FB_TIME_TEXT_MAX + 1];
  size_t length = fb_duration_format(nanos / 1000000 * 1000000, text);
  fb_buf_printf(out, "%*.*s", width, (int)length, text);
}

static void S_table(const fb_sim_result *result, fb_buf *out) {
  bool breaker = result->rows[0].state != 0;
  fb_buf_printf(out, "%8s  %8s  %8s  %8s  %8s  %8s%s\n", "from", "calls", "ok", "failed", "sent",
                "refused", breaker ? "  breaker" : "");
  for (uint32_t i = 0; i < result->row_count; i++) {
    const fb_sim_row *row = &result->rows[i];
    S_duration(out, row->from, 8);
    fb_buf_printf(out, "  %8llu  %8llu  %8llu  %8llu  %8llu", (unsigned long long)row->calls,
                  (unsigned long long)row->ok, (unsigned long long)row->failed,
                  (unsigned long long)row->attempts, (unsigned long long)row->refused);
    if (breaker) fb_buf_printf(out, "  %s", fb_breaker_state_name(row->state));
    fb_buf_char(out, '\n');
  }
  const fb_sim_row *total = &result->total;
  fb_buf_printf(out, "%8s  %8llu  %8llu  %8llu  %8llu  %8llu\n\n", "all",
                (unsigned long long)total->calls, (unsigned long long)total->ok,
                (unsigned long long)total->failed, (unsigned long long)total->attempts,
                (unsigned long long)total->refused);
  fb_buf_printf(out, "the service got %.2f attempts a call",
                total->calls ? (double)total->attempts / (double)total->calls : 0);
  if (breaker)
    fb_buf_printf(out, "; the breaker opened %llu times", (unsigned long long)result->opened);
  fb_buf_text(out, "\ncalls that went well took ");
  S_duration(out, result->median, 0);
  fb_buf_text(out, " (median), ");
  S_duration(out, result->high, 0);
  fb_buf_text(out, " (99th percentile)\n");
  if (result->recovered < 0) {
    fb_buf_text(out, "no call went well after the last outage\n");
  } else {
    fb_buf_text(out, "the first call went well ");
    S_duration(out, result->recovered, 0);
    fb_buf_text(out, " after the last outage\n");
  }
}

static void S_json_row(fb_buf *out, const fb_sim_row *row) {
  fb_buf_printf(out, "\"calls\":%llu,\"ok\":%llu,\"failed\":%llu,\"sent\":%llu,\"refused\":%llu",
                (unsigned long long)row->calls, (unsigned long long)row->ok,
                (unsigned long long)row->failed, (unsigned long long)row->attempts,
                (unsigned long long)row->refused);
}

static void S_json(const fb_sim_result *result, fb_buf *out) {
  fb_buf_text(out, "{\"type\":\"flyball.guard.v1\",");
  S_json_row(out, &result->total);
  fb_buf_printf(out, ",\"opened\":%llu,\"median\":%.6f,\"p99\":%.6f",
                (unsigned long long)result->opened, (double)result->median / 1e9,
                (double)result->high / 1e9);
  if (result->recovered >= 0)
    fb_buf_printf(out, ",\"recovered\":%.6f", (double)result->recovered / 1e9);
  fb_buf_text(out, ",\"rows\":[");
  for (uint32_t i = 0; i < result->row_count; i++) {
    fb_buf_printf(out, "%s{\"from\":%.6f,", i ? "," : "", (double)result->rows[i].from / 1e9);
    S_json_row(out, &result->rows[i]);
    if (result->rows[i].state)
      fb_buf_printf(out, ",\"breaker\":\"%s\"", fb_breaker_state_name(result->rows[i].state));
    fb_buf_char(out, '}');
  }
  fb_buf_text(out, "]}\n");
}

static int S_simulate(S_job *job) {
  fb_sim_result result;
  fb_error err = {0};
  job->policy.seed = fb_cli_number(job->cli, "seed", 1);
  uint64_t rows = fb_cli_number(job->cli, "rows", 12);
  job->policy.rows = rows < 1 ? 1 : rows > 1000 ? 1000 : (uint32_t)rows;
  if (fb_sim_run(&job->policy, &job->arena, &result, &err)) return fb_cli_error(job->cli, &err);
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  if (job->cli->json)
    S_json(&result, &out);
  else
    S_table(&result, &out);
  fb_status status = fb_out_buf(job->cli, &out);
  fb_buf_release(&out);
  return status ? fb_cli_fail(job->cli, status, "out of memory") : FB_EXIT_OK;
}

static int S_load(S_job *job, const char *path, const fb_buf *text) {
  fb_doc *doc = NULL;
  fb_doc_options reading = {.keep_going = true};
  fb_status status =
      fb_doc_read(fb_buf_slice(text), fb_cli_file_name(path), &reading, &doc, &job->errors);
  if (!status) {
    job->reader = (fb_guard_reader){.doc = doc, .errors = &job->errors, .arena = &job->arena};
    S_read_policy(job, fb_doc_root(doc));
  }
  int code = fb_cli_errors(job->cli, &job->errors);
  if (code == FB_EXIT_OK && (status || job->reader.out_of_memory))
    code = fb_cli_fail(job->cli, status ? status : FB_E_NOMEM, "%s cannot be loaded", path);
  if (code == FB_EXIT_OK) code = S_simulate(job);
  fb_doc_free(doc);
  return code;
}

static int S_guard(fb_cli *cli) {
  S_job job = {.cli = cli};
  fb_buf text;
  fb_error err = {0};
  if (strcmp(cli->operands[0], "simulate") != 0)
    return fb_cli_usage(cli, "flyball guard simulate FILE", "`guard` cannot `%s`",
                        cli->operands[0]);
  fb_buf_init(&text, NULL, 0);
  fb_arena_init(&job.arena, NULL, 0);
  fb_errors_init(&job.errors, NULL, 0);
  int code = fb_cli_read(cli->operands[1], DOCUMENT_MAX, &text, &err)
                 ? fb_cli_error(cli, &err)
                 : S_load(&job, cli->operands[1], &text);
  fb_errors_release(&job.errors);
  fb_arena_release(&job.arena);
  fb_buf_release(&text);
  return code;
}

static const fb_option S_options[] = {{.name = "seed",
                                       .kind = FB_OPTION_NUMBER,
                                       .value = "N",
                                       .help = "Draw the random numbers from another seed than 1"},
                                      {.name = "rows",
                                       .kind = FB_OPTION_NUMBER,
                                       .value = "N",
                                       .help = "Show so many stretches of time instead of 12"},
                                      {0}};

const fb_command fb_command_guard = {
    .name = "guard",
    .summary = "Try out retries and breakers",
    .usage = "[OPTION]… simulate FILE",
    .description =
        "Simulates calls to a service that has outages, under a policy of retries and a circuit "
        "breaker, and "
        "shows what the callers and the service would see. No time passes and nothing is called; "
        "the policies are those of "
        "missions, and so is the code that follows them.\n\n"
        "The file says `retry` and `breaker` as in a mission (each may be left out); a call is "
        "made `every` 100ms "
        "`for` 2m; the service answers after `latency`, an attempt has a `timeout`; `outages` "
        "lists what goes wrong: "
        "`from`, `to`, `fail` (a share), `latency`, `status`, `retry_after`.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball guard simulate policy.yaml", "as a table"}, {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 2,
    .max_operands = 2,
    .run = S_guard,
};
