/* SPDX-License-Identifier: Apache-2.0
 * Reads a benchmark file: docs/reference/bench.md. Paths in it are relative to its folder, where commands run too. */
#include "cli/bench_plan.h"

#include <unistd.h>

enum { FILE_MAX = 16 << 20 };
enum {
  TEXT = FB_KIND_BIT(FB_STRING),
  NUMBER = FB_KIND_BIT(FB_INT),
  BOOL = FB_KIND_BIT(FB_BOOL),
  LIST = FB_KIND_BIT(FB_LIST),
  MAP = FB_KIND_BIT(FB_MAP),
  SCALAR = TEXT | NUMBER | BOOL | FB_KIND_BIT(FB_DOUBLE)
};

typedef struct S_file {
  fb_bench_plan *plan;
  const fb_doc *doc;
  fb_errors errors;
  const char *folder;
} S_file;

static const char *S_copy(S_file *file, const fb_node *node) {
  if (!node) return NULL;
  if (memchr(fb_node_text(node).ptr, 0, fb_node_text(node).len)) {
    fb_doc_fail(file->doc, node, &file->errors, FB_E_BENCH_FILE, NULL, "a text with a NUL in it");
    return NULL;
  }
  return fb_arena_text(&file->plan->arena, fb_node_text(node));
}

/* A text or a number, as text. */
static const char *S_scalar(S_file *file, const fb_node *node) {
  fb_buf out;
  if (fb_node_is(node, FB_STRING)) return S_copy(file, node);
  fb_buf_init(&out, NULL, 0);
  fb_json_write(&out, node->as.scalar, FB_JSON_COMPACT);
  const char *text = out.failed ? NULL : fb_arena_text(&file->plan->arena, fb_buf_slice(&out));
  fb_buf_release(&out);
  return text;
}

/* Relative to the file's folder, except for what names no file. */
static const char *S_path(S_file *file, const fb_node *node) {
  const char *path = S_copy(file, node);
  if (!path || path[0] == '/' || strcmp(file->folder, ".") == 0) return path;
  return fb_arena_printf(&file->plan->arena, "%s/%s", file->folder, path);
}

static int64_t S_duration(S_file *file, const fb_node *node, int64_t otherwise) {
  int64_t seconds;
  int32_t nanos;
  if (!node) return otherwise;
  if (fb_duration_parse(fb_node_text(node), &seconds, &nanos) && seconds >= 0 && nanos >= 0 &&
      seconds < 1000000000)
    return seconds * 1000000000 + nanos;
  fb_doc_fail(file->doc, node, &file->errors, FB_E_BENCH_FILE, "as in `3s`, `250ms`, `1m30s`",
              "this is no duration");
  return otherwise;
}

static uint32_t S_count(S_file *file, const fb_node *node, uint32_t otherwise) {
  if (!node) return otherwise;
  int64_t number = node->as.scalar.as.i;
  if (number >= 0 && number <= 1000000) return (uint32_t)number;
  fb_doc_fail(file->doc, node, &file->errors, FB_E_BENCH_FILE, NULL,
              "this is to be from 0 to 1,000,000");
  return otherwise;
}

/* ── Lists ───────────────────────────────────────────────────────────────────────────────────── */

static const char *const *S_words(S_file *file, const fb_node *node) {
  const char **words = fb_arena_zero(&file->plan->arena, (node->count + 1) * sizeof *words);
  if (node->count == 0)
    fb_doc_fail(file->doc, node, &file->errors, FB_E_BENCH_FILE, NULL, "a command is empty");
  for (uint32_t i = 0; i < node->count && words; i++) {
    const fb_node *item = &node->as.items[i];
    if (FB_KIND_BIT(item->kind) & SCALAR)
      words[i] = S_scalar(file, item);
    else
      fb_doc_fail(file->doc, item, &file->errors, FB_E_BENCH_FILE, NULL,
                  "a word of a command is text, not %s", fb_node_describe(item));
  }
  return words;
}

/* A map as NAME=VALUE, after the first `kept` entries of the list `before` that it does not replace. */
static const char *const *S_pairs(S_file *file, const fb_node *node, const char *const *before) {
  size_t kept = 0, at = 0;
  while (before && before[kept]) kept++;
  const char **out = fb_arena_zero(&file->plan->arena, (kept + node->count + 1) * sizeof *out);
  for (size_t i = 0; i < kept && out; i++) {
    const char *equals = strchr(before[i], '=');
    char name[256];
    size_t len = equals ? (size_t)(equals - before[i]) : 0;
    if (!len || len >= sizeof name) continue;
    memcpy(name, before[i], len);
    name[len] = 0;
    if (!fb_node_get(node, name)) out[at++] = before[i];
  }
  for (uint32_t i = 0; i < node->count && out; i++) {
    const fb_pair *pair = &node->as.pairs[i];
    if (!(FB_KIND_BIT(pair->value.kind) & SCALAR)) {
      fb_doc_fail(file->doc, &pair->value, &file->errors, FB_E_BENCH_FILE, NULL,
                  "a value is text or a number here, not %s", fb_node_describe(&pair->value));
      continue;
    }
    out[at++] = fb_arena_printf(&file->plan->arena, "%s=%s", S_copy(file, &pair->key),
                                S_scalar(file, &pair->value));
  }
  return out;
}

/* ── A candidate, and what all have in common ────────────────────────────────────────────────── */

enum { SETUP, PREPARE, CLEANUP, SHELL, INPUT, OUTPUT, DIR, ENV, TIMEOUT, IGNORE, COMMON_COUNT };
enum { NAME = COMMON_COUNT, COMMAND, MISSION, INPUTS, RULES, FACTS, SPEC_COUNT };

#define COMMON_KEYS                                                                   \
  {"setup", TEXT, false}, {"prepare", TEXT, false}, {"cleanup", TEXT, false},         \
      {"shell", BOOL | TEXT, false}, {"input", TEXT, false}, {"output", TEXT, false}, \
      {"dir", TEXT, false}, {"env", MAP, false}, {"timeout", TEXT, false}, {          \
    "ignore_failure", BOOL, false                                                     \
  }

static void S_shell(S_file *file, const fb_node *node, fb_bench_spec *spec) {
  if (!node) return;
  if (node->kind == FB_BOOL) {
    spec->shell = node->as.scalar.as.b ? FB_SHELL_ALWAYS : FB_SHELL_NEVER;
    return;
  }
  spec->shell = FB_SHELL_ALWAYS;
  spec->shell_path = S_copy(file, node);
}

static void S_common(S_file *file, const fb_node *const *nodes, fb_bench_spec *spec) {
  static const char *const modes[] = {"null", "pipe", "pass"};
  if (nodes[SETUP]) spec->setup = S_copy(file, nodes[SETUP]);
  if (nodes[PREPARE]) spec->prepare = S_copy(file, nodes[PREPARE]);
  if (nodes[CLEANUP]) spec->cleanup = S_copy(file, nodes[CLEANUP]);
  S_shell(file, nodes[SHELL], spec);
  if (nodes[INPUT]) spec->input = S_path(file, nodes[INPUT]);
  if (nodes[OUTPUT]) {
    bool mode = false;
    for (size_t i = 0; i < 3; i++)
      mode |= fb_slice_equal(fb_node_text(nodes[OUTPUT]), fb_slice_of(modes[i]));
    spec->output = mode ? S_copy(file, nodes[OUTPUT]) : S_path(file, nodes[OUTPUT]);
  }
  if (nodes[DIR]) spec->dir = S_path(file, nodes[DIR]);
  if (nodes[ENV])
    spec->env = S_pairs(file, nodes[ENV], spec->env ? spec->env : (const char *const *)environ);
  spec->timeout = S_duration(file, nodes[TIMEOUT], spec->timeout);
  if (nodes[IGNORE]) spec->ignore_failure = nodes[IGNORE]->as.scalar.as.b;
}

static bool S_one_kind(S_file *file, const fb_node *node, const fb_node *const *nodes) {
  int kinds = !!nodes[COMMAND] + !!nodes[MISSION] + !!nodes[RULES];
  if (kinds != 1) {
    fb_doc_fail(file->doc, node, &file->errors, FB_E_BENCH_FILE,
                "each has exactly one of `command`, `mission` and `rules`",
                kinds ? "a candidate that is two things" : "a candidate without a command");
    return false;
  }
  if (nodes[RULES] && !nodes[FACTS])
    fb_doc_fail(file->doc, nodes[RULES], &file->errors, FB_E_BENCH_FILE, "facts: FILE",
                "a rulebook needs facts");
  if (nodes[FACTS] && !nodes[RULES])
    fb_doc_fail(file->doc, nodes[FACTS], &file->errors, FB_E_BENCH_FILE, NULL,
                "`facts` without `rules`");
  if (nodes[INPUTS] && !nodes[MISSION])
    fb_doc_fail(file->doc, nodes[INPUTS], &file->errors, FB_E_BENCH_FILE, NULL,
                "`inputs` without `mission`");
  return true;
}

static void S_place(S_file *file, const fb_node *node, fb_error *at) {
  fb_errors one;
  fb_errors_init(&one, NULL, 0);
  fb_doc_fail(file->doc, node, &one, FB_E_BENCH_FILE, NULL, "here");
  if (one.count) *at = one.items[0];
  fb_errors_release(&one);
}

static void S_candidate(S_file *file, const fb_node *node) {
  static const fb_key_spec keys[SPEC_COUNT] = {COMMON_KEYS,
                                               {"name", TEXT, false},
                                               {"command", TEXT | LIST, false},
                                               {"mission", TEXT, false},
                                               {"inputs", MAP, false},
                                               {"rules", TEXT, false},
                                               {"facts", TEXT, false}};
  const fb_node *nodes[SPEC_COUNT];
  fb_bench_spec spec = file->plan->common;
  if (fb_node_is(node, FB_STRING)) {
    spec.command = S_copy(file, node);
    S_place(file, node, &spec.at);
    if (spec.command) fb_bench_plan_add(file->plan, &spec);
    return;
  }
  if (!fb_node_is(node, FB_MAP)) {
    fb_doc_fail(file->doc, node, &file->errors, FB_E_BENCH_FILE, NULL,
                "a candidate is a map or a command, not %s", fb_node_describe(node));
    return;
  }
  bool good = fb_doc_keys(file->doc, node, "a candidate", keys, SPEC_COUNT, nodes, &file->errors);
  S_common(file, nodes, &spec);
  if (!good || !S_one_kind(file, node, nodes)) return;
  spec.name = S_copy(file, nodes[NAME]);
  if (fb_node_is(nodes[COMMAND], FB_LIST))
    spec.argv = S_words(file, nodes[COMMAND]);
  else
    spec.command = S_copy(file, nodes[COMMAND]);
  spec.mission = S_path(file, nodes[MISSION]);
  spec.rules = S_path(file, nodes[RULES]);
  spec.facts = S_path(file, nodes[FACTS]);
  if (nodes[INPUTS]) spec.inputs = S_pairs(file, nodes[INPUTS], NULL);
  S_place(file, nodes[COMMAND] ? nodes[COMMAND] : node, &spec.at);
  fb_bench_plan_add(file->plan, &spec);
}

/* ── Parameters ──────────────────────────────────────────────────────────────────────────────── */

static void S_parameter_text(S_file *file, const fb_pair *pair) {
  fb_error err = {0};
  fb_bench_plan *plan = file->plan;
  const char *text = fb_arena_printf(&plan->arena, "%.*s=%s", (int)fb_node_text(&pair->key).len,
                                     fb_node_text(&pair->key).ptr, S_scalar(file, &pair->value));
  if (!text || !fb_bench_parameter_parse(text, &plan->arena,
                                         &plan->parameters[plan->parameter_count], &err)) {
    plan->parameter_count += text != NULL;
    return;
  }
  fb_doc_fail(file->doc, &pair->value, &file->errors, err.code, err.hint, "%s", err.text);
}

static void S_parameters(S_file *file, const fb_node *node) {
  fb_bench_plan *plan = file->plan;
  for (uint32_t i = 0; node && i < node->count; i++) {
    const fb_pair *pair = &node->as.pairs[i];
    if (plan->parameter_count == FB_PARAMETERS_MAX) {
      fb_doc_fail(file->doc, &pair->key, &file->errors, FB_E_BENCH_PARAMETER, NULL,
                  "more than %d parameters", FB_PARAMETERS_MAX);
      return;
    }
    if (!fb_node_is(&pair->value, FB_LIST)) {
      S_parameter_text(file, pair);
      continue;
    }
    const char *const *values = S_words(file, &pair->value);
    if (values && pair->value.count)
      plan->parameters[plan->parameter_count++] = (fb_bench_parameter){
          .name = S_copy(file, &pair->key), .values = values, .count = pair->value.count};
  }
}

/* ── The whole ───────────────────────────────────────────────────────────────────────────────── */

enum {
  TITLE = COMMON_COUNT,
  WARMUP,
  RUNS,
  MIN_RUNS,
  MAX_RUNS,
  MIN_TIME,
  MAX_TIME,
  SEED,
  REFERENCE,
  PARAMETERS,
  CANDIDATES,
  FILE_COUNT
};

static void S_settings(S_file *file, const fb_node *const *nodes) {
  fb_bench_plan *plan = file->plan;
  fb_bench_options *o = &plan->options;
  plan->name = S_copy(file, nodes[TITLE]);
  o->warmup = S_count(file, nodes[WARMUP], o->warmup);
  o->runs = S_count(file, nodes[RUNS], o->runs);
  o->min_runs = S_count(file, nodes[MIN_RUNS], o->min_runs);
  o->max_runs = S_count(file, nodes[MAX_RUNS], o->max_runs);
  o->min_time = S_duration(file, nodes[MIN_TIME], o->min_time);
  o->max_time = S_duration(file, nodes[MAX_TIME], o->max_time);
  if (nodes[SEED]) plan->seed = (uint64_t)nodes[SEED]->as.scalar.as.i;
  if (nodes[REFERENCE]) plan->reference = S_scalar(file, nodes[REFERENCE]);
}

static void S_root(S_file *file, const fb_node *root) {
  static const fb_key_spec keys[FILE_COUNT] = {COMMON_KEYS,
                                               {"name", TEXT, false},
                                               {"warmup", NUMBER, false},
                                               {"runs", NUMBER, false},
                                               {"min_runs", NUMBER, false},
                                               {"max_runs", NUMBER, false},
                                               {"min_time", TEXT, false},
                                               {"max_time", TEXT, false},
                                               {"seed", NUMBER, false},
                                               {"reference", TEXT | NUMBER, false},
                                               {"parameters", MAP, false},
                                               {"candidates", LIST, true}};
  const fb_node *nodes[FILE_COUNT];
  if (!fb_node_is(root, FB_MAP)) {
    fb_doc_fail(file->doc, root, &file->errors, FB_E_BENCH_FILE, "it begins with `candidates:`",
                "a benchmark file is a map, not %s", fb_node_describe(root));
    return;
  }
  fb_doc_keys(file->doc, root, "a benchmark file", keys, FILE_COUNT, nodes, &file->errors);
  if (strcmp(file->folder, ".") != 0) file->plan->common.dir = file->folder;
  S_common(file, nodes, &file->plan->common);
  S_settings(file, nodes);
  S_parameters(file, nodes[PARAMETERS]);
  const fb_node *list = nodes[CANDIDATES];
  if (list && list->count == 0)
    fb_doc_fail(file->doc, list, &file->errors, FB_E_BENCH_FILE, NULL, "there are no candidates");
  for (uint32_t i = 0; list && i < list->count; i++) S_candidate(file, &list->as.items[i]);
}

static const char *S_folder(fb_bench_plan *plan, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ".";
  if (slash == path) return "/";
  return fb_arena_text(&plan->arena, (fb_slice){path, (size_t)(slash - path)});
}

int fb_bench_plan_read(fb_bench_plan *plan, const char *path) {
  fb_buf text;
  fb_error err = {0};
  S_file file = {.plan = plan, .folder = S_folder(plan, path)};
  fb_buf_init(&text, NULL, 0);
  if (!file.folder || fb_cli_read(path, FILE_MAX, &text, &err)) {
    fb_buf_release(&text);
    return file.folder ? fb_cli_error(plan->cli, &err)
                       : fb_cli_fail(plan->cli, FB_E_NOMEM, "out of memory");
  }
  fb_errors_init(&file.errors, NULL, 0);
  fb_doc_options reading = {.keep_going = true};
  fb_status status =
      fb_doc_read(fb_buf_slice(&text), fb_cli_file_name(path), &reading, &plan->doc, &file.errors);
  file.doc = plan->doc;
  if (!status) S_root(&file, fb_doc_root(plan->doc));
  int code = fb_cli_errors(plan->cli, &file.errors);
  if (status && !code) code = fb_cli_fail(plan->cli, status, "%s cannot be read", path);
  fb_errors_release(&file.errors);
  fb_buf_release(&text);
  return code;
}
