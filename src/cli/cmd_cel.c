/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <flyball/cel.h>

static const fb_option S_options[] = {
    {'v', "variable", FB_OPTION_TEXT, "NAME=JSON", "Give a variable a value; its type is dyn",
     .many = true},
    {'u', "unchecked", FB_OPTION_FLAG,
     .help = "Leave out the type check: unknown names and wrong types become errors of evaluation"},
    {0, "steps", FB_OPTION_NUMBER, "N", "Stop after this many steps; 10 million unless given"},
    {0, "dump", FB_OPTION_FLAG, .help = "Print the program instead of running it"},
    {0},
};

/* One run: what has to be given back at its end. */
typedef struct S_run {
  fb_cli *cli;
  fb_cel_env *env;
  fb_cel_program *program;
  fb_zones *zones;
  fb_arena arena;
  fb_value *slots;
  size_t slot_cap;
  fb_errors errors;
} S_run;

/* "NAME=JSON" → a slot. Returns an exit code. */
static int S_variable(S_run *run, const char *text) {
  const char *equals = strchr(text, '=');
  if (!equals || equals == text)
    return fb_cli_usage(run->cli, "as in -v 'x=[1, 2]'", "`%s` is not NAME=JSON", text);
  fb_error err;
  fb_value value;
  char name[128];
  snprintf(name, sizeof name, "-v %.*s", (int)(equals - text > 100 ? 100 : equals - text), text);
  if (fb_json_read(fb_slice_of(equals + 1), name, NULL, &run->arena, &value, &err))
    return fb_cli_error(run->cli, &err);
  uint32_t slot;
  if (!fb_grow(NULL, (void **)&run->slots, &run->slot_cap, fb_cel_env_slots(run->env),
               sizeof *run->slots) ||
      fb_cel_env_add(run->env, (fb_slice){text, (size_t)(equals - text)}, NULL, &slot))
    return fb_cli_fail(run->cli, FB_E_NOMEM, "no memory for the variables");
  run->slots[slot] = value;
  return FB_EXIT_OK;
}

static int S_print(S_run *run, fb_value value) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  if (run->cli->json)
    fb_buf_printf(
        &out, "{\"type\":\"flyball.cel.v1\",\"kind\":\"%s\",\"value\":", fb_kind_name(value.kind));
  fb_json_write(&out, value, FB_JSON_COMPACT);
  fb_buf_text(&out, run->cli->json ? "}\n" : "\n");
  fb_status status = fb_out_buf(run->cli, &out);
  fb_buf_release(&out);
  return status ? fb_cli_fail(run->cli, status, "no memory for the result") : FB_EXIT_OK;
}

static int S_dump(S_run *run) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_cel_program_dump(run->program, &out);
  fb_status status = fb_out_buf(run->cli, &out);
  fb_buf_release(&out);
  return status ? fb_cli_fail(run->cli, status, "no memory for the program") : FB_EXIT_OK;
}

static int S_evaluate(S_run *run) {
  fb_cel_context context;
  fb_value value;
  fb_error err;
  fb_cel_context_init(&context, &run->arena);
  context.steps = fb_cli_number(run->cli, "steps", context.steps);
  context.zone = fb_zone_system;
  context.zone_context = run->zones;
  fb_status status = fb_cel_eval(run->program, run->slots, &context, &value, &err);
  fb_cel_context_release(&context);
  if (!status) return S_print(run, value);
  int code = fb_cli_error(run->cli, &err);
  return status == FB_E_NOMEM ? code : FB_EXIT_NO;
}

static int S_run_expression(S_run *run) {
  size_t at = 0;
  for (const char *text; (text = fb_cli_next(run->cli, "variable", &at));) {
    int code = S_variable(run, text);
    if (code) return code;
  }
  fb_cel_options options = {.no_check = fb_cli_has(run->cli, "unchecked")};
  fb_status status = fb_cel_compile(run->env, fb_slice_of(run->cli->operands[0]), &options,
                                    &run->program, &run->errors);
  if (status && !run->errors.count)
    return fb_cli_fail(run->cli, status, "no memory for the expression");
  if (status) return fb_cli_errors(run->cli, &run->errors);
  return fb_cli_has(run->cli, "dump") ? S_dump(run) : S_evaluate(run);
}

static int S_cel(fb_cli *cli) {
  S_run run = {.cli = cli};
  int code;
  fb_arena_init(&run.arena, NULL, 0);
  fb_errors_init(&run.errors, NULL, 0);
  if (fb_cel_env_new(NULL, &run.env) || fb_zones_new(NULL, NULL, &run.zones))
    code = fb_cli_fail(cli, FB_E_NOMEM, "no memory to start with");
  else
    code = S_run_expression(&run);
  fb_cel_program_free(run.program);
  fb_cel_env_free(run.env);
  fb_zones_free(run.zones);
  fb_errors_release(&run.errors);
  fb_free(NULL, run.slots, run.slot_cap * sizeof *run.slots);
  fb_arena_release(&run.arena);
  return code;
}

const fb_command fb_command_cel = {
    .name = "cel",
    .summary = "Evaluate an expression",
    .usage = "[OPTION]… EXPRESSION",
    .description =
        "Evaluates an expression of the Common Expression Language, the language of conditions and "
        "of `${{ … }}`, and "
        "prints its value as JSON.\n\n"
        "The exit code is 3 when the expression does not compile, 1 when its evaluation fails.",
    .options = S_options,
    .examples =
        (const fb_example[]){
            {"flyball cel '[1, 2, 3].filter(x, x > 1)'", "[2,3]"},
            {"flyball cel -v 'order={\"amount\": 12.5}' 'order.amount > 10.0'", "true"},
            {0}},
    .operands = FB_OPERANDS_TEXT,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_cel,
};
