/* SPDX-License-Identifier: Apache-2.0
 * flyball compare: is B worse than A? */
#include "cli/proof_io.h"

typedef struct S_compare {
  fb_cli *cli;
  fb_results a, b;
  fb_compare_options options;
  fb_random random;
  fb_grid grid;
  size_t rows, worse, not_measured, lonely;
} S_compare;

/* A file, or else a run of the history. */
static int S_take(S_compare *compare, const char *word, fb_results *into) {
  fb_cli *cli = compare->cli;
  fb_history *history = NULL;
  fb_error err;
  if (fb_proof_is_file(word)) return fb_proof_read(cli, word, into);
  int code = fb_proof_history(cli, false, &history);
  if (code != FB_EXIT_OK) {
    if (code == FB_EXIT_DOCUMENT)
      fb_cli_note(cli, "`%s` is no file, so it is looked for there", word);
    return code;
  }
  if (fb_history_results(history, fb_slice_of(word), into, &err) != FB_OK)
    code = fb_cli_error(cli, &err);
  fb_history_close(history);
  return code;
}

static void S_print_json(S_compare *compare, const fb_bench_result *b, const fb_comparison *c) {
  fb_buf line, name;
  fb_buf_init(&line, NULL, 0);
  fb_buf_init(&name, NULL, 0);
  fb_result_name(b, &name);
  fb_buf_text(&line, "{\"type\":\"flyball.comparison.v1\",\"series\":");
  fb_json_write_text(&line, fb_buf_slice(&name), FB_JSON_COMPACT);
  fb_buf_text(&line, ",\"unit\":");
  fb_json_write_text(&line, b->unit, FB_JSON_COMPACT);
  fb_buf_printf(&line, ",\"a\":%.17g,\"b\":%.17g,\"a_samples\":%zu,\"b_samples\":%zu", c->a, c->b,
                c->a_count, c->b_count);
  if (c->verdict != FB_COMPARED_NOT_MEASURED)
    fb_buf_printf(&line,
                  ",\"worse\":%.6g,\"worse_low\":%.6g,\"worse_high\":%.6g,\"threshold\":%.6g,"
                  "\"probability\":%.4g,\"cliff\":%.4g,\"p\":%.4g",
                  c->worse, c->interval.low, c->interval.high, compare->options.threshold,
                  c->probability, c->cliff, c->p);
  fb_buf_printf(&line, ",\"verdict\":\"%s\"}\n", fb_comparison_verdict_name(c->verdict));
  if (name.failed || fb_out_buf(compare->cli, &line) != FB_OK)
    fb_cli_fail(compare->cli, FB_E_NOMEM, "no memory for a line");
  fb_buf_release(&name);
  fb_buf_release(&line);
}

static void S_add_row(S_compare *compare, const fb_bench_result *b, const fb_comparison *c) {
  char one[40], other[40];
  fb_grid *grid = &compare->grid;
  fb_quantity_format(c->a, b->unit, one);
  fb_quantity_format(c->b, b->unit, other);
  fb_grid_add(grid, "%s%s%s/%s", b->bench.ptr, b->bench.len ? "/" : "", b->workload.ptr,
              b->metric.ptr);
  fb_grid_add(grid, "%s", one);
  fb_grid_add(grid, "%s", other);
  if (c->verdict == FB_COMPARED_NOT_MEASURED) {
    fb_grid_add(grid, "-");
    fb_grid_add(grid, "-");
    fb_grid_add(grid, "-");
    fb_grid_add(grid, "not measured (%zu and %zu samples, %d needed)", c->a_count, c->b_count,
                FB_SAMPLES_MIN);
    return;
  }
  fb_grid_add(grid, "%+.1f %%", c->worse * 100);
  fb_grid_add(grid, "%+.1f … %+.1f %%", c->interval.low * 100, c->interval.high * 100);
  fb_grid_add(grid, "%.3g %%", c->probability * 100);
  fb_grid_add(grid, "%s", fb_comparison_verdict_name(c->verdict));
}

static int S_compare_one(S_compare *compare, const fb_bench_result *b) {
  fb_comparison c;
  fb_error err;
  const fb_bench_result *a = fb_results_find(&compare->a, b);
  if (!a) {
    compare->lonely++;
    return FB_EXIT_OK;
  }
  fb_status status = fb_compare(a, b, &compare->options, &compare->random, NULL, &c, &err);
  if (status != FB_OK) return fb_cli_error(compare->cli, &err);
  compare->rows++;
  compare->worse += c.verdict == FB_COMPARED_WORSE;
  compare->not_measured += c.verdict == FB_COMPARED_NOT_MEASURED;
  if (compare->cli->json)
    S_print_json(compare, b, &c);
  else
    S_add_row(compare, b, &c);
  return FB_EXIT_OK;
}

static bool S_wanted(const fb_bench_result *result, fb_slice pattern) {
  fb_buf name;
  fb_buf_init(&name, NULL, 0);
  fb_result_name(result, &name);
  bool wanted = !pattern.len || fb_glob_match(pattern, fb_buf_slice(&name));
  fb_buf_release(&name);
  return wanted;
}

static int S_compare_all(S_compare *compare) {
  fb_cli *cli = compare->cli;
  fb_slice pattern = fb_slice_of(fb_cli_text(cli, "series", ""));
  int code = FB_EXIT_OK;
  fb_grid_init(&compare->grid, 7);
  const char *const head[] = {"series", "A", "B", "worse", "interval", "beyond", "verdict"};
  for (size_t i = 0; i < 7; i++) fb_grid_add(&compare->grid, "%s", head[i]);
  for (size_t i = 0; i < compare->b.count && code == FB_EXIT_OK; i++)
    if (S_wanted(&compare->b.items[i], pattern))
      code = S_compare_one(compare, &compare->b.items[i]);
  if (cli->json || code != FB_EXIT_OK || !compare->rows) compare->grid.count = 0;
  fb_grid_print(&compare->grid, cli, 0x3e);
  if (code != FB_EXIT_OK) return code;
  if (compare->lonely) fb_cli_note(cli, "%zu series of B are not in A", compare->lonely);
  if (!compare->rows)
    return fb_cli_fail(cli, FB_E_PROOF_RESULT, "A and B have no series in common");
  return compare->worse || compare->not_measured ? FB_EXIT_NO : FB_EXIT_OK;
}

static int S_run(fb_cli *cli) {
  S_compare compare = {.cli = cli};
  compare.options.exact = fb_cli_has(cli, "exact");
  compare.options.paired = fb_cli_has(cli, "paired");
  if (!fb_proof_share(cli, "threshold", 0.05, &compare.options.threshold) ||
      !fb_proof_share(cli, "confidence", 0.95, &compare.options.confidence))
    return FB_EXIT_USAGE;
  if (compare.options.confidence < 0.5 || compare.options.confidence > 0.9999)
    return fb_cli_usage(cli, NULL, "`--confidence` is from 50%% to 99.99%%");
  fb_proof_random(cli, &compare.random);
  fb_results_init(&compare.a, NULL);
  fb_results_init(&compare.b, NULL);
  int code = S_take(&compare, cli->operands[0], &compare.a);
  if (code == FB_EXIT_OK) code = S_take(&compare, cli->operands[1], &compare.b);
  fb_slice one = compare.a.run.fingerprint, other = compare.b.run.fingerprint;
  if (code == FB_EXIT_OK && one.len && other.len && !fb_slice_equal(one, other))
    fb_cli_note(cli, "A and B were measured on different machines (%s, %s)", one.ptr, other.ptr);
  if (code == FB_EXIT_OK) code = S_compare_all(&compare);
  fb_results_release(&compare.a);
  fb_results_release(&compare.b);
  return code;
}

static const fb_option S_options[] = {
    {'t', "threshold", FB_OPTION_TEXT, "SHARE", "How much worse is worse; 5% if not given", NULL,
     NULL, false},
    {0, "confidence", FB_OPTION_TEXT, "SHARE", "How sure a verdict must be; 95% if not given", NULL,
     NULL, false},
    {0, "series", FB_OPTION_TEXT, "PATTERN", "Only series whose bench/workload/metric fits", NULL,
     NULL, false},
    {0, "exact", FB_OPTION_FLAG, NULL,
     "The values repeat exactly (counts of instructions): one sample is enough", NULL, NULL, false},
    {0, "paired", FB_OPTION_FLAG, NULL, "Sample i of A and of B were measured side by side", NULL,
     NULL, false},
    FB_OPTION_HISTORY,
    FB_OPTION_SEED,
    {0}};

const fb_command fb_command_compare = {
    .name = "compare",
    .summary = "Compare two sets of results",
    .usage = "[OPTION]… A B",
    .description =
        "A and B are files of results, or runs of the history: a branch (its newest run), the "
        "beginning of a commit, or `#` and the run's number.\n\n"
        "For each series that both have: the medians, by how much B is worse (a metric's direction "
        "is in that: less throughput is worse), the interval of that, and how probable it is that "
        "B is worse by more than the threshold. `worse` and `better` are beyond the threshold, "
        "`same` is within it, `unclear` is neither for certain: measure more. With fewer than six "
        "samples on a side the verdict is `not measured`.\n\n"
        "The exit code is 1 if anything is worse or not measured.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball compare before.json after.json", "two files"},
                                     {"flyball compare -t 2% main 1a2b3c4",
                                      "the newest run of a branch, and a commit"},
                                     {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 2,
    .max_operands = 2,
    .run = S_run,
};
