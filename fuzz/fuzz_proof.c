/* SPDX-License-Identifier: Apache-2.0
 * Results, a budget file and a suite, separated by lines `---`: what loads is judged and written down in every form.
 * An error must have a text; what is written as results reads back as the same series. */
#include <flyball/proof.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void S_check(bool holds) {
  if (!holds) abort();
}

/* Cuts off what stands before the next line `---`. */
static fb_slice S_part(fb_slice *rest) {
  const char *cut = rest->len ? memmem(rest->ptr, rest->len, "\n---\n", 5) : NULL;
  fb_slice part = {rest->ptr, cut ? (size_t)(cut - rest->ptr) + 1 : rest->len};
  size_t skip = cut ? part.len + 4 : part.len;
  rest->ptr += skip;
  rest->len -= skip;
  return part;
}

static void S_read_back(const fb_results *results) {
  fb_results again;
  fb_buf out;
  fb_results_init(&again, NULL);
  fb_buf_init(&out, NULL, 0);
  for (size_t i = 0; i < results->count; i++) {
    fb_result_json(&results->items[i], &out);
    fb_buf_char(&out, '\n');
  }
  if (results->count) S_check(fb_results_read(&again, fb_buf_slice(&out), "again", NULL) == FB_OK);
  S_check(again.count == results->count);
  for (size_t i = 0; i < results->count; i++)
    S_check(again.items[i].count == results->items[i].count);
  fb_buf_release(&out);
  fb_results_release(&again);
}

static void S_gate(const fb_budgets *budgets, const fb_results *results, fb_random *random) {
  fb_arena arena;
  fb_gate_row *rows;
  size_t count;
  fb_arena_init(&arena, NULL, 0);
  if (fb_gate_judge(budgets, results, NULL, 0, random, &arena, &rows, &count, NULL) == FB_OK)
    S_check(count >= budgets->count);
  fb_arena_release(&arena);
}

static void S_report(fb_suite *suite, const fb_results *results, fb_random *random) {
  fb_environment environment = {.load = -1};
  fb_result_run run = {.at = 1};
  fb_suite_about about = {&environment, &run, 1, "fuzz"};
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  for (size_t i = 0; i < suite->part_count; i++) suite->parts[i].results = results;
  if (fb_suite_judge(suite, random, NULL) == FB_OK) {
    fb_suite_write_html(suite, &about, &out);
    S_check(fb_utf8_valid(out.ptr, out.len, NULL));
    fb_suite_write_markdown(suite, &about, &out);
    fb_suite_write_json(suite, &about, &out);
  }
  fb_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fb_slice rest = {(const char *)data, size};
  fb_results results;
  fb_budgets budgets;
  fb_suite suite;
  fb_errors errors;
  fb_random random;
  if (size > 4096) return 0;
  fb_random_seed(&random, 1);
  fb_errors_init(&errors, NULL, 0);
  fb_results_init(&results, NULL);
  fb_results_read(&results, S_part(&rest), "results", &errors);
  S_read_back(&results);
  if (fb_budgets_read(S_part(&rest), "budgets", NULL, &budgets, &errors) == FB_OK) {
    S_gate(&budgets, &results, &random);
    fb_budgets_release(&budgets);
  }
  if (fb_suite_read(S_part(&rest), "suite", NULL, &suite, &errors) == FB_OK) {
    S_report(&suite, &results, &random);
    fb_suite_release(&suite);
  }
  for (size_t i = 0; i < errors.count; i++) S_check(errors.items[i].text[0]);
  fb_errors_release(&errors);
  fb_results_release(&results);
  return 0;
}
