/* SPDX-License-Identifier: Apache-2.0
 * From what is to be measured to candidates: one for each combination of parameters. */
#include "cli/bench_plan.h"

#include <unistd.h>

enum { SHELL_RUNS = 40 };

static int S_no_memory(fb_bench_plan *plan) {
  return fb_cli_fail(plan->cli, FB_E_NOMEM, "out of memory");
}

/* An error about a candidate, at its place in the file if it came from one. */
static int S_tell(fb_bench_plan *plan, const fb_bench_spec *spec, const fb_error *err) {
  fb_error whole = *err;
  if (spec->at.code && !err->line) {
    memcpy(whole.file, spec->at.file, sizeof whole.file);
    memcpy(whole.excerpt, spec->at.excerpt, sizeof whole.excerpt);
    whole.line = spec->at.line;
    whole.column = spec->at.column;
    whole.length = spec->at.length;
    whole.excerpt_column = spec->at.excerpt_column;
  }
  int code = fb_cli_error(plan->cli, &whole);
  return !spec->at.code && (err->code == FB_E_BENCH_PARAMETER || err->code == FB_E_BENCH_COMMAND)
             ? FB_EXIT_USAGE
             : code;
}

int fb_bench_plan_add(fb_bench_plan *plan, const fb_bench_spec *spec) {
  if (!fb_grow(NULL, (void **)&plan->specs, &plan->spec_cap, plan->spec_count, sizeof *plan->specs))
    return S_no_memory(plan);
  plan->specs[plan->spec_count++] = *spec;
  return FB_EXIT_OK;
}

int fb_bench_plan_parameter(fb_bench_plan *plan, const char *text) {
  fb_error err = {0};
  if (plan->parameter_count == FB_PARAMETERS_MAX)
    return fb_cli_usage(plan->cli, "", "more than %d parameters", FB_PARAMETERS_MAX);
  fb_bench_parameter *parameter = &plan->parameters[plan->parameter_count];
  if (fb_bench_parameter_parse(text, &plan->arena, parameter, &err)) {
    int code = fb_cli_error(plan->cli, &err);
    return err.code == FB_E_NOMEM ? code : FB_EXIT_USAGE;
  }
  plan->parameter_count++;
  return FB_EXIT_OK;
}

/* ── One combination ─────────────────────────────────────────────────────────────────────────── */

typedef struct S_put {
  fb_bench_plan *plan;
  size_t combination;
  uint32_t used; /* bits of parameters */
  fb_status status;
  fb_error err;
} S_put;

static void S_put_text(S_put *put, const char **text) {
  if (put->status) return;
  put->status =
      fb_bench_substitute(*text, put->plan->parameters, put->plan->parameter_count,
                          put->combination, &put->plan->arena, &put->used, text, &put->err);
}

static void S_put_list(S_put *put, const char *const **list) {
  size_t count = 0;
  if (put->status || !*list) return;
  while ((*list)[count]) count++;
  const char **copy = fb_arena_zero(&put->plan->arena, (count + 1) * sizeof *copy);
  if (!copy) {
    put->status = fb_fail(&put->err, FB_E_NOMEM, "out of memory");
    return;
  }
  for (size_t i = 0; i < count; i++) {
    copy[i] = (*list)[i];
    S_put_text(put, &copy[i]);
  }
  *list = copy;
}

static void S_put_all(S_put *put, fb_bench_spec *spec) {
  const char **texts[] = {&spec->name,  &spec->command, &spec->mission, &spec->rules,
                          &spec->facts, &spec->setup,   &spec->prepare, &spec->cleanup,
                          &spec->input, &spec->output,  &spec->dir};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) S_put_text(put, texts[i]);
  S_put_list(put, &spec->argv);
  S_put_list(put, &spec->inputs);
}

/* ── Commands ────────────────────────────────────────────────────────────────────────────────── */

static void S_output(const fb_bench_spec *spec, fb_bench_command *command) {
  static const struct {
    const char *name;
    fb_output_mode mode;
  } modes[] = {{"null", FB_OUTPUT_NULL}, {"pipe", FB_OUTPUT_PIPE}, {"pass", FB_OUTPUT_PASS}};
  if (!spec->output) return;
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (strcmp(spec->output, modes[i].name) == 0) {
      command->output = modes[i].mode;
      return;
    }
  command->output_file = spec->output;
}

static const char *S_join(fb_arena *arena, const char *const *argv) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  for (size_t i = 0; argv[i]; i++) {
    if (i) fb_buf_char(&out, ' ');
    fb_buf_text(&out, argv[i]);
  }
  const char *text = out.failed ? NULL : fb_arena_text(arena, fb_buf_slice(&out));
  fb_buf_release(&out);
  return text;
}

static fb_status S_command(fb_bench_plan *plan, const fb_bench_spec *spec, fb_candidate *candidate,
                           fb_bench_about *about, fb_error *err) {
  fb_bench_command *command = fb_arena_zero(&plan->arena, sizeof *command);
  const char *what = spec->command ? spec->command : S_join(&plan->arena, spec->argv);
  if (!command || !what) return fb_fail(err, FB_E_NOMEM, "out of memory");
  *command = (fb_bench_command){.name = spec->name ? spec->name : what,
                                .text = spec->command,
                                .argv = spec->argv,
                                .setup = spec->setup,
                                .cleanup = spec->cleanup,
                                .prepare = spec->prepare,
                                .dir = spec->dir,
                                .input = spec->input,
                                .env = spec->env,
                                .shell = spec->shell,
                                .shell_path = spec->shell_path,
                                .timeout = spec->timeout,
                                .ignore_failure = spec->ignore_failure,
                                .counter = plan->counter};
  S_output(spec, command);
  fb_status status = fb_bench_command_init(command, &plan->arena, candidate, err);
  if (status) return status;
  about->kind = "command";
  about->what = what;
  about->command = command;
  if (command->in_shell && !plan->shell_known) {
    status = fb_bench_shell_cost(spec->shell_path, SHELL_RUNS, NULL, &plan->shell_cost, err);
    plan->shell_known = !status;
  }
  if (command->in_shell) command->shell_cost = &plan->shell_cost;
  return status;
}

/* ── All of them ─────────────────────────────────────────────────────────────────────────────── */

static int S_make(fb_bench_plan *plan, const fb_bench_spec *given, size_t combination,
                  uint32_t *used) {
  fb_bench_spec spec = *given;
  S_put put = {.plan = plan, .combination = combination};
  size_t at = plan->count;
  fb_candidate *candidate = &plan->candidates[at];
  fb_bench_about *about = &plan->abouts[at];
  fb_errors errors;
  fb_error err = {0};
  fb_status status;
  S_put_all(&put, &spec);
  *used |= put.used;
  if (put.status) return S_tell(plan, given, &put.err);
  fb_errors_init(&errors, NULL, 0);
  if (spec.mission)
    status = fb_bench_mission_init(plan, &spec, candidate, about, &plan->engines[at], &errors);
  else if (spec.rules)
    status = fb_bench_rules_init(plan, &spec, candidate, about, &plan->engines[at], &errors);
  else if ((status = S_command(plan, &spec, candidate, about, &err)))
    fb_errors_add(&errors, &err);
  int code = FB_EXIT_OK;
  for (size_t i = errors.count; i-- > 0;) code = S_tell(plan, given, &errors.items[i]);
  if (status && !code) code = S_no_memory(plan);
  fb_errors_release(&errors);
  about->parameters = plan->parameters;
  about->parameter_count = plan->parameter_count;
  about->combination = combination;
  plan->count++;
  return code;
}

static int S_all_used(fb_bench_plan *plan, uint32_t used) {
  for (size_t i = 0; i < plan->parameter_count; i++)
    if (!(used >> i & 1))
      return fb_cli_usage(plan->cli, "write its name in braces where its value belongs",
                          "parameter `%s` is used by no candidate", plan->parameters[i].name);
  return FB_EXIT_OK;
}

int fb_bench_plan_expand(fb_bench_plan *plan) {
  size_t combinations;
  fb_error err = {0};
  uint32_t used = 0;
  if (fb_bench_combinations(plan->parameters, plan->parameter_count, &combinations, &err)) {
    fb_cli_error(plan->cli, &err);
    return FB_EXIT_USAGE;
  }
  size_t all = combinations * plan->spec_count;
  plan->candidates = fb_arena_zero(&plan->arena, all * sizeof *plan->candidates);
  plan->abouts = fb_arena_zero(&plan->arena, all * sizeof *plan->abouts);
  plan->engines = fb_arena_zero(&plan->arena, all * sizeof *plan->engines);
  if (!plan->candidates || !plan->abouts || !plan->engines) return S_no_memory(plan);
  int code = FB_EXIT_OK;
  /* The same mistake once more for each combination helps nobody. */
  for (size_t c = 0; c < combinations && !code; c++)
    for (size_t i = 0; i < plan->spec_count; i++) {
      int now = S_make(plan, &plan->specs[i], c, &used);
      if (!code) code = now;
    }
  return code ? code : S_all_used(plan, used);
}

void fb_bench_plan_release(fb_bench_plan *plan) {
  for (size_t i = 0; i < plan->count; i++) fb_bench_engine_free(plan->engines[i]);
  fb_free(NULL, plan->specs, plan->spec_cap * sizeof *plan->specs);
  fb_doc_free(plan->doc);
  fb_arena_release(&plan->arena);
}
