/* SPDX-License-Identifier: Apache-2.0
 * Reads budget files. */
#include "proof/results.h"

#include <math.h>
#include <stdlib.h>

enum { RUNS = 20, BUDGETS_MAX = 10000 };

typedef struct S_loader {
  fb_proof_loader base;
  fb_budgets *budgets;
} S_loader;

void fb_load_bad(fb_proof_loader *loader, const fb_node *node, const char *hint, const char *text) {
  fb_doc_fail(loader->doc, node, loader->errors, loader->code, hint, "%s", text);
  loader->failed = true;
}

static void S_bad(S_loader *loader, const fb_node *node, const char *hint, const char *text) {
  fb_load_bad(&loader->base, node, hint, text);
}

/* ── Quantities ── */

/* A plain decimal; strtod would take "inf", "nan" and hexadecimal. */
static size_t S_number_length(fb_slice text) {
  size_t i = 0, digits = 0;
  if (i < text.len && (text.ptr[i] == '-' || text.ptr[i] == '+')) i++;
  for (; i < text.len && ((text.ptr[i] >= '0' && text.ptr[i] <= '9') || text.ptr[i] == '.'); i++)
    digits += text.ptr[i] != '.';
  if (!digits) return 0;
  if (i + 1 < text.len && (text.ptr[i] == 'e' || text.ptr[i] == 'E')) {
    size_t j = i + 1;
    if (text.ptr[j] == '-' || text.ptr[j] == '+') j++;
    if (j < text.len && text.ptr[j] >= '0' && text.ptr[j] <= '9') {
      while (j < text.len && text.ptr[j] >= '0' && text.ptr[j] <= '9') j++;
      i = j;
    }
  }
  return i;
}

bool fb_quantity_parse(fb_slice text, double *ret, fb_slice *ret_unit) {
  char number[64], *end;
  size_t len = S_number_length(text);
  if (!len || len >= sizeof number) return false;
  memcpy(number, text.ptr, len);
  number[len] = 0;
  double value = strtod(number, &end);
  if (*end || !isfinite(value)) return false;
  while (len < text.len && text.ptr[len] == ' ') len++;
  *ret_unit = (fb_slice){text.ptr + len, text.len - len};
  *ret = value;
  if (fb_slice_equal(*ret_unit, FB_SLICE("%"))) {
    *ret = value / 100;
    ret_unit->len = 0;
  }
  return true;
}

double fb_unit_factor(fb_slice from, fb_slice to) {
  static const struct {
    const char *name;
    int kind;
    double factor;
  } units[] = {{"s", 0, 1},         {"ms", 0, 1e-3},    {"us", 0, 1e-6}, {"µs", 0, 1e-6},
               {"ns", 0, 1e-9},     {"B", 1, 1},        {"bytes", 1, 1}, {"kB", 1, 1e3},
               {"KB", 1, 1e3},      {"MB", 1, 1e6},     {"GB", 1, 1e9},  {"KiB", 1, 1024},
               {"MiB", 1, 1 << 20}, {"GiB", 1, 1 << 30}};
  int a = -1, b = -1;
  if (fb_slice_equal(from, to)) return 1;
  for (int i = 0; i < (int)(sizeof units / sizeof *units); i++) {
    if (fb_slice_equal(from, fb_slice_of(units[i].name))) a = i;
    if (fb_slice_equal(to, fb_slice_of(units[i].name))) b = i;
  }
  return a >= 0 && b >= 0 && units[a].kind == units[b].kind ? units[a].factor / units[b].factor : 0;
}

static bool S_node_quantity(const fb_node *node, double *ret, fb_slice *ret_unit) {
  *ret_unit = (fb_slice){"", 0};
  switch (node->kind) {
    case FB_INT: *ret = (double)node->as.scalar.as.i; return true;
    case FB_UINT: *ret = (double)node->as.scalar.as.u; return true;
    case FB_DOUBLE: *ret = node->as.scalar.as.d; return isfinite(*ret);
    case FB_STRING: return fb_quantity_parse(fb_node_text(node), ret, ret_unit);
    default: return false;
  }
}

/* A share of something: "5%" or 0.05. */
static bool S_share(S_loader *loader, const fb_node *node, double low, double high, double *ret) {
  fb_slice unit;
  if (S_node_quantity(node, ret, &unit) && !unit.len && *ret >= low && *ret <= high) return true;
  S_bad(loader, node, "as in `5%` or `0.05`", "this is no share within its bounds");
  return false;
}

bool fb_load_bound(fb_proof_loader *loader, const fb_node *node, double *ret, fb_slice *unit) {
  if (!node) return false;
  if (!S_node_quantity(node, ret, unit)) {
    fb_load_bad(loader, node, "a number, or a number with a unit: 30ms, 1.5MB, 100000/s",
                "this is no quantity");
    return false;
  }
  if (!fb_slice_keep(loader->arena, unit)) loader->failed = true;
  return true;
}

void fb_load_text(fb_proof_loader *loader, const fb_node *node, fb_slice *into) {
  if (!node) return;
  *into = fb_node_text(node);
  if (!fb_slice_keep(loader->arena, into)) loader->failed = true;
}

static bool S_flag(const fb_node *node) {
  return node && node->as.scalar.as.b;
}

/* ── The document ── */

enum { TEXT = FB_KIND_BIT(FB_STRING), FLAG = FB_KIND_BIT(FB_BOOL) };
enum {
  QUANTITY =
      FB_KIND_BIT(FB_STRING) | FB_KIND_BIT(FB_INT) | FB_KIND_BIT(FB_UINT) | FB_KIND_BIT(FB_DOUBLE)
};

fb_severity fb_load_severity(fb_proof_loader *loader, const fb_node *node) {
  static const char *const names[] = {"minor", "major", "critical"};
  if (!node) return FB_SEVERITY_MAJOR;
  for (int i = 0; i < 3; i++)
    if (fb_slice_equal(fb_node_text(node), fb_slice_of(names[i]))) return (fb_severity)i;
  fb_load_bad(loader, node, "one of minor, major and critical", "there is no such severity");
  return FB_SEVERITY_MAJOR;
}

/* `worse: kind`, or a share. */
static void S_load_worse(S_loader *loader, const fb_node *node, fb_budget *budget) {
  if (!node) return;
  budget->by_kind = node->kind == FB_STRING && fb_slice_equal(fb_node_text(node), FB_SLICE("kind"));
  budget->has_worse = budget->by_kind || S_share(loader, node, 0, 100, &budget->worse);
}

static void S_load_budget(S_loader *loader, const fb_node *node, fb_budget *budget) {
  enum { SERIES, WORSE, MAX, MIN, SEVERITY, EXACT, WARN, KEYS };
  static const fb_key_spec specs[KEYS] = {{"series", TEXT, true},    {"worse", QUANTITY, false},
                                          {"max", QUANTITY, false},  {"min", QUANTITY, false},
                                          {"severity", TEXT, false}, {"exact", FLAG, false},
                                          {"warn", FLAG, false}};
  const fb_node *nodes[KEYS];
  *budget = (fb_budget){.line = node->line};
  if (!fb_doc_keys(loader->base.doc, node, "a budget", specs, KEYS, nodes, loader->base.errors)) {
    loader->base.failed = true;
    return;
  }
  fb_load_text(&loader->base, nodes[SERIES], &budget->series);
  S_load_worse(loader, nodes[WORSE], budget);
  budget->has_max = fb_load_bound(&loader->base, nodes[MAX], &budget->max, &budget->max_unit);
  budget->has_min = fb_load_bound(&loader->base, nodes[MIN], &budget->min, &budget->min_unit);
  budget->severity = fb_load_severity(&loader->base, nodes[SEVERITY]);
  budget->exact = S_flag(nodes[EXACT]);
  budget->warns = S_flag(nodes[WARN]);
  if (!nodes[WORSE] && !nodes[MAX] && !nodes[MIN])
    S_bad(loader, node, "add `worse: 5%`, `max: 30ms` or `min: 1000/s`",
          "this budget sets no bound");
}

static void S_load_baseline(S_loader *loader, const fb_node *node) {
  enum { BRANCH, RUNS_KEY, MACHINE, KEYS };
  static const fb_key_spec specs[KEYS] = {
      {"branch", TEXT, false}, {"runs", FB_KIND_BIT(FB_INT), false}, {"machine", TEXT, false}};
  const fb_node *nodes[KEYS];
  fb_budgets *budgets = loader->budgets;
  if (!node) return;
  if (!fb_doc_keys(loader->base.doc, node, "the baseline", specs, KEYS, nodes,
                   loader->base.errors)) {
    loader->base.failed = true;
    return;
  }
  fb_load_text(&loader->base, nodes[BRANCH], &budgets->branch);
  if (nodes[RUNS_KEY]) {
    int64_t runs = nodes[RUNS_KEY]->as.scalar.as.i;
    if (runs < 1 || runs > FB_SERIES_MAX)
      S_bad(loader, nodes[RUNS_KEY], NULL, "`runs` is from 1 to 2000");
    else
      budgets->runs = (size_t)runs;
  }
  if (!nodes[MACHINE]) return;
  budgets->any_machine = fb_slice_equal(fb_node_text(nodes[MACHINE]), FB_SLICE("any"));
  if (!budgets->any_machine && !fb_slice_equal(fb_node_text(nodes[MACHINE]), FB_SLICE("same")))
    S_bad(loader, nodes[MACHINE], "`same` compares runs of one fingerprint only",
          "`machine` is `same` or `any`");
}

static void S_load_list(S_loader *loader, const fb_node *list) {
  fb_budgets *budgets = loader->budgets;
  if (list->count == 0 || list->count > BUDGETS_MAX) {
    S_bad(loader, list, NULL, list->count ? "too many budgets" : "there are no budgets");
    return;
  }
  budgets->items = fb_arena_zero(&budgets->arena, list->count * sizeof *budgets->items);
  if (!budgets->items) {
    loader->base.failed = true;
    return;
  }
  budgets->count = list->count;
  for (uint32_t i = 0; i < list->count; i++)
    S_load_budget(loader, &list->as.items[i], &budgets->items[i]);
}

static void S_load(S_loader *loader) {
  enum { BASELINE, CONFIDENCE, BUDGETS, RULES, KEYS };
  static const fb_key_spec specs[KEYS] = {{"baseline", FB_KIND_BIT(FB_MAP), false},
                                          {"confidence", QUANTITY, false},
                                          {"budgets", FB_KIND_BIT(FB_LIST), true},
                                          {"rules", TEXT, false}};
  const fb_node *nodes[KEYS];
  loader->base.failed |= !fb_doc_keys(loader->base.doc, fb_doc_root(loader->base.doc),
                                      "a budget file", specs, KEYS, nodes, loader->base.errors);
  S_load_baseline(loader, nodes[BASELINE]);
  if (nodes[CONFIDENCE])
    S_share(loader, nodes[CONFIDENCE], 0.5, 0.9999, &loader->budgets->confidence);
  fb_load_text(&loader->base, nodes[RULES], &loader->budgets->rules);
  if (nodes[BUDGETS]) S_load_list(loader, nodes[BUDGETS]);
}

void fb_budgets_release(fb_budgets *budgets) {
  if (!budgets) return;
  fb_arena_release(&budgets->arena);
  *budgets = (fb_budgets){0};
}

fb_status fb_budgets_read(fb_slice text, const char *name, const fb_allocator *allocator,
                          fb_budgets *ret, fb_errors *errors) {
  fb_doc *doc;
  fb_doc_options options = {.keep_going = true, .allocator = allocator};
  fb_status status = fb_doc_read(text, name, &options, &doc, errors);
  if (status != FB_OK) return status;
  fb_budgets budgets = {.runs = RUNS, .name = fb_slice_of(name)};
  fb_arena_init(&budgets.arena, allocator, 0);
  S_loader loader = {.base = {doc, errors, &budgets.arena, FB_E_PROOF_BUDGET, false},
                     .budgets = &budgets};
  S_load(&loader);
  if (!fb_slice_keep(&budgets.arena, &budgets.name)) loader.base.failed = true;
  status = fb_doc_status(doc);
  if (status == FB_OK && loader.base.failed) {
    status = fb_errors_total(errors) ? FB_E_PROOF_BUDGET : FB_E_NOMEM;
    if (errors && errors->count) status = errors->items[0].code;
  }
  fb_doc_free(doc);
  if (status == FB_OK)
    *ret = budgets;
  else
    fb_budgets_release(&budgets);
  return status;
}
