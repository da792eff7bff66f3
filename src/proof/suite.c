/* SPDX-License-Identifier: Apache-2.0
 * Reads suites: what is claimed, and what measures it. */
#include "proof/results.h"

enum { PARTS_MAX = 200, ROWS_MAX = 2000, WORDS_MAX = 200 };
enum { TEXT = FB_KIND_BIT(FB_STRING), LIST = FB_KIND_BIT(FB_LIST), FLAG = FB_KIND_BIT(FB_BOOL) };
enum {
  NUMBER = FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT) | FB_KIND_BIT(FB_DOUBLE),
  QUANTITY = TEXT | NUMBER
};

/* A text for a system call: without a NUL in it. NULL for NULL, and when it is none (told). */
static const char *S_c_text(fb_proof_loader *loader, const fb_node *node) {
  fb_slice text;
  if (!node) return NULL;
  fb_load_text(loader, node, &text);
  if (loader->failed || !memchr(text.ptr, 0, text.len)) return text.ptr;
  fb_load_bad(loader, node, NULL, "a text with a NUL in it");
  return NULL;
}

/* ── Rows ── */

static void S_load_per(fb_proof_loader *loader, const fb_node *node, fb_suite_row *row) {
  fb_slice unit;
  if (!fb_load_bound(loader, node, &row->per, &unit)) return;
  if (unit.len || row->per <= 0)
    fb_load_bad(loader, node, "how many operations one sample stands for", "`per` is above 0");
}

static void S_check_row(fb_proof_loader *loader, const fb_node *node, const fb_suite_part *part,
                        const fb_suite_row *row) {
  if (row->absent.len == 0 && row->budget.series.len == 0)
    fb_load_bad(loader, node, "`series: bench/workload/metric`, or `absent: why it is not there`",
                "this row has no series");
  else if (row->absent.len == 0 && part->source == FB_SUITE_NONE)
    fb_load_bad(loader, node, "give the part `run`, `shell`, `bench` or `results`",
                "nothing measures this row");
}

static void S_load_row(fb_proof_loader *loader, const fb_node *node, const fb_suite_part *part,
                       fb_suite_row *row) {
  enum { NAME, SERIES, MAX, MIN, EXACT, SEVERITY, PER, PUBLISHED, NOTE, ABSENT, KEYS };
  static const fb_key_spec specs[KEYS] = {{"name", TEXT, true},     {"series", TEXT, false},
                                          {"max", QUANTITY, false}, {"min", QUANTITY, false},
                                          {"exact", FLAG, false},   {"severity", TEXT, false},
                                          {"per", QUANTITY, false}, {"published", TEXT, false},
                                          {"note", TEXT, false},    {"absent", TEXT, false}};
  const fb_node *nodes[KEYS];
  fb_budget *budget = &row->budget;
  *budget = (fb_budget){.line = node->line};
  if (!fb_doc_keys(loader->doc, node, "a row", specs, KEYS, nodes, loader->errors)) {
    loader->failed = true;
    return;
  }
  fb_load_text(loader, nodes[NAME], &row->name);
  fb_load_text(loader, nodes[SERIES], &budget->series);
  fb_load_text(loader, nodes[PUBLISHED], &row->published);
  fb_load_text(loader, nodes[NOTE], &row->note);
  fb_load_text(loader, nodes[ABSENT], &row->absent);
  budget->has_max = fb_load_bound(loader, nodes[MAX], &budget->max, &budget->max_unit);
  budget->has_min = fb_load_bound(loader, nodes[MIN], &budget->min, &budget->min_unit);
  budget->severity = fb_load_severity(loader, nodes[SEVERITY]);
  budget->exact = nodes[EXACT] && nodes[EXACT]->as.scalar.as.b;
  S_load_per(loader, nodes[PER], row);
  S_check_row(loader, node, part, row);
}

static void S_load_rows(fb_proof_loader *loader, const fb_node *list, fb_suite_part *part) {
  if (list->count == 0 || list->count > ROWS_MAX) {
    fb_load_bad(loader, list, NULL, list->count ? "too many rows" : "there are no rows");
    return;
  }
  part->rows = fb_arena_zero(loader->arena, list->count * sizeof *part->rows);
  if (!part->rows) {
    loader->failed = true;
    return;
  }
  part->row_count = list->count;
  for (uint32_t i = 0; i < list->count; i++)
    S_load_row(loader, &list->as.items[i], part, &part->rows[i]);
}

/* ── Parts ── */

static void S_load_words(fb_proof_loader *loader, const fb_node *list, fb_suite_part *part) {
  if (list->count == 0 || list->count > WORDS_MAX) {
    fb_load_bad(loader, list, NULL, list->count ? "too many words" : "a command is empty");
    return;
  }
  const char **argv = fb_arena_zero(loader->arena, (list->count + 1) * sizeof *argv);
  for (uint32_t i = 0; i < list->count && argv; i++)
    if (list->as.items[i].kind == FB_STRING)
      argv[i] = S_c_text(loader, &list->as.items[i]);
    else
      fb_load_bad(loader, &list->as.items[i], "put it into quotes", "a word of a command is text");
  loader->failed |= !argv;
  part->argv = argv;
}

static void S_load_source(fb_proof_loader *loader, const fb_node *node,
                          const fb_node *const sources[4], fb_suite_part *part) {
  static const fb_suite_source kinds[] = {FB_SUITE_RUN, FB_SUITE_SHELL, FB_SUITE_BENCH,
                                          FB_SUITE_RESULTS};
  for (size_t i = 0; i < 4; i++) {
    if (!sources[i]) continue;
    if (part->source != FB_SUITE_NONE) {
      fb_load_bad(loader, node, "split it into two parts",
                  "a part has one of `run`, `shell`, `bench` and `results`");
      return;
    }
    part->source = kinds[i];
    if (kinds[i] == FB_SUITE_RUN)
      S_load_words(loader, sources[i], part);
    else
      part->text = S_c_text(loader, sources[i]);
  }
}

static void S_load_timeout(fb_proof_loader *loader, const fb_node *node, fb_suite_part *part) {
  int64_t seconds;
  int32_t nanos;
  if (!node) return;
  if (fb_duration_parse(fb_node_text(node), &seconds, &nanos) && seconds >= 0 && nanos >= 0 &&
      seconds < 1000000000)
    part->timeout = seconds * 1000000000 + nanos;
  else
    fb_load_bad(loader, node, "as in `30s`, `5m`", "this is no duration");
}

static void S_load_part(fb_proof_loader *loader, const fb_node *node, fb_suite_part *part) {
  enum { NAME, ABOUT, RUN, SHELL, BENCH, RESULTS, TIMEOUT, ROWS, KEYS };
  static const fb_key_spec specs[KEYS] = {{"name", TEXT, true},     {"about", TEXT, false},
                                          {"run", LIST, false},     {"shell", TEXT, false},
                                          {"bench", TEXT, false},   {"results", TEXT, false},
                                          {"timeout", TEXT, false}, {"rows", LIST, true}};
  const fb_node *nodes[KEYS];
  bool good = fb_doc_keys(loader->doc, node, "a part", specs, KEYS, nodes, loader->errors);
  loader->failed |= !good;
  fb_load_text(loader, nodes[NAME], &part->name);
  fb_load_text(loader, nodes[ABOUT], &part->about);
  S_load_source(loader, node, &nodes[RUN], part);
  S_load_timeout(loader, nodes[TIMEOUT], part);
  if (nodes[ROWS]) S_load_rows(loader, nodes[ROWS], part);
}

static void S_load_parts(fb_proof_loader *loader, const fb_node *list, fb_suite *suite) {
  if (list->count == 0 || list->count > PARTS_MAX) {
    fb_load_bad(loader, list, NULL, list->count ? "too many parts" : "there are no parts");
    return;
  }
  suite->parts = fb_arena_zero(loader->arena, list->count * sizeof *suite->parts);
  if (!suite->parts) {
    loader->failed = true;
    return;
  }
  suite->part_count = list->count;
  for (uint32_t i = 0; i < list->count; i++)
    S_load_part(loader, &list->as.items[i], &suite->parts[i]);
}

static void S_load(fb_proof_loader *loader, fb_suite *suite) {
  enum { NAME, ABOUT, SETUP, RULES, PARTS, KEYS };
  static const fb_key_spec specs[KEYS] = {{"name", TEXT, true},
                                          {"about", TEXT, false},
                                          {"setup", TEXT, false},
                                          {"rules", TEXT, false},
                                          {"parts", LIST, true}};
  const fb_node *nodes[KEYS];
  loader->failed |= !fb_doc_keys(loader->doc, fb_doc_root(loader->doc), "a suite", specs, KEYS,
                                 nodes, loader->errors);
  fb_load_text(loader, nodes[NAME], &suite->name);
  fb_load_text(loader, nodes[ABOUT], &suite->about);
  suite->setup = S_c_text(loader, nodes[SETUP]);
  suite->rules = S_c_text(loader, nodes[RULES]);
  if (nodes[PARTS]) S_load_parts(loader, nodes[PARTS], suite);
}

void fb_suite_release(fb_suite *suite) {
  if (!suite) return;
  fb_free(suite->allocator, suite->alerts, suite->alert_cap * sizeof *suite->alerts);
  fb_arena_release(&suite->arena);
  *suite = (fb_suite){0};
}

fb_status fb_suite_read(fb_slice text, const char *name, const fb_allocator *allocator,
                        fb_suite *ret, fb_errors *errors) {
  fb_doc *doc;
  fb_doc_options options = {.keep_going = true, .allocator = allocator};
  fb_status status = fb_doc_read(text, name, &options, &doc, errors);
  if (status != FB_OK) return status;
  fb_suite suite = {.allocator = allocator};
  fb_arena_init(&suite.arena, allocator, 0);
  fb_proof_loader loader = {doc, errors, &suite.arena, FB_E_PROOF_SUITE, false};
  S_load(&loader, &suite);
  status = fb_doc_status(doc);
  if (status == FB_OK && loader.failed) {
    status = fb_errors_total(errors) ? FB_E_PROOF_SUITE : FB_E_NOMEM;
    if (errors && errors->count) status = errors->items[0].code;
  }
  fb_doc_free(doc);
  if (status == FB_OK)
    *ret = suite;
  else
    fb_suite_release(&suite);
  return status;
}
