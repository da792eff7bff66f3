/* SPDX-License-Identifier: Apache-2.0
 * flyball check: every error of a document, before anything runs. */
#include "cli/cli.h"

#include <flyball/loop.h>
#include <flyball/rules.h>
#include <sys/stat.h>

enum { DOCUMENT_MAX = 64 << 20 };

typedef struct S_check {
  fb_cli *cli;
  fb_errors errors, warnings;
  fb_buf plan;
  const char *path;
  const char *kind; /* "rulebook", "mission", "project" */
  const char *of;   /* what it is made of: "rule", "step" */
  size_t count;     /* of them */
} S_check;

static fb_status S_check_rulebook(S_check *check, const fb_doc *doc) {
  fb_ruleset *rules;
  check->kind = "rulebook";
  fb_status status = fb_ruleset_load(doc, NULL, NULL, &rules, &check->errors, &check->warnings);
  if (status != FB_OK) return status;
  fb_ruleset_check_calls(rules, NULL, 0, &check->warnings); /* a C program may have them */
  check->count = fb_ruleset_count(rules);
  if (fb_cli_has(check->cli, "plan")) fb_ruleset_dump(rules, &check->plan);
  fb_ruleset_free(rules);
  return FB_OK;
}

/* With the rulebooks and templates that it names. */
static fb_status S_check_mission(S_check *check, const fb_doc *doc) {
  char folder[4096];
  fb_world *world;
  fb_error err;
  fb_mission *mission;
  check->kind = "mission";
  check->of = "step";
  fb_status status = fb_world_uv_new(NULL, NULL, &world, &err);
  if (status != FB_OK) return fb_errors_add(&check->errors, &err);
  fb_mission_options options = {.tools = fb_loop_tools(),
                                .folder = fb_cli_folder(check->path, folder, sizeof folder),
                                .world = world,
                                .warnings = &check->warnings};
  status = fb_mission_load(doc, &options, NULL, &mission, &check->errors);
  if (status == FB_OK) {
    check->count = fb_mission_steps(mission);
    fb_mission_free(mission);
  }
  fb_world_uv_free(world);
  return status;
}

/* With its rulebooks and missions. */
static fb_status S_check_project(S_check *check) {
  fb_project *project;
  uint32_t counts[5];
  check->kind = "project";
  check->of = "part";
  fb_status status = fb_project_load(check->path, NULL, &project, &check->errors, &check->warnings);
  if (status != FB_OK) return status;
  fb_project_counts(project, counts);
  for (int i = 0; i < 5; i++) check->count += counts[i];
  fb_project_free(project);
  return FB_OK;
}

/* From its file, so that what it names is found. */
static fb_status S_check_again(S_check *check, const fb_doc *doc) {
  if (fb_doc_status(doc) == FB_OK) return S_check_project(check);
  check->kind = "project";
  return fb_doc_status(doc);
}

static fb_status S_check_document(S_check *check, fb_slice text, const char *name) {
  fb_doc *doc;
  fb_doc_options options = {.keep_going = true};
  fb_status status = fb_doc_read(text, name, &options, &doc, &check->errors);
  if (status != FB_OK) return status;
  if (fb_node_get(fb_doc_root(doc), "rules"))
    status = S_check_rulebook(check, doc);
  else if (fb_node_get(fb_doc_root(doc), "steps"))
    status = S_check_mission(check, doc);
  else if (fb_node_get(fb_doc_root(doc), "rulebooks") && strcmp(check->path, "-") != 0)
    status = S_check_again(check, doc);
  else
    status = fb_doc_fail(doc, fb_doc_root(doc), &check->errors, FB_E_RULE_SYNTAX,
                         "a rulebook has `rules:`, a mission `steps:`, a project `rulebooks:`",
                         "this is no document that Flyball knows");
  fb_doc_free(doc);
  return status;
}

/* One line on stdout a file: what it is, how many errors. */
static void S_tell(S_check *check, const char *name) {
  fb_cli *cli = check->cli;
  size_t errors = fb_errors_total(&check->errors), warnings = fb_errors_total(&check->warnings);
  if (cli->json) {
    fb_buf line;
    fb_buf_init(&line, NULL, 0);
    fb_buf_text(&line, "{\"type\":\"flyball.check.v1\",\"file\":");
    fb_json_write_text(&line, fb_slice_of(name), FB_JSON_COMPACT);
    fb_buf_printf(&line, ",\"kind\":\"%s\",\"%ss\":%zu,\"errors\":%zu,\"warnings\":%zu}\n",
                  check->kind, check->of, check->count, errors, warnings);
    fb_out_buf(cli, &line);
    fb_buf_release(&line);
  } else if (errors) {
    fb_out_printf(cli, "%s: %zu error%s\n", name, errors, errors == 1 ? "" : "s");
  } else {
    fb_out_printf(cli, "%s: %s, %zu %s%s, no errors", name, check->kind, check->count, check->of,
                  check->count == 1 ? "" : "s");
    if (warnings) fb_out_printf(cli, ", %zu warning%s", warnings, warnings == 1 ? "" : "s");
    fb_out_text(cli, "\n");
    if (check->plan.len) fb_out_buf(cli, &check->plan);
  }
}

static int S_check_file(fb_cli *cli, const char *path) {
  S_check check = {.cli = cli, .path = path, .kind = "unknown", .of = "rule"};
  fb_error err;
  fb_buf text;
  const char *name = fb_cli_file_name(path);
  fb_buf_init(&text, NULL, 0);
  fb_buf_init(&check.plan, NULL, 0);
  fb_errors_init(&check.errors, NULL, 0);
  fb_errors_init(&check.warnings, NULL, 0);
  int code = FB_EXIT_OK;
  struct stat info;
  bool folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
  fb_status status = folder ? FB_OK : fb_cli_read(path, DOCUMENT_MAX, &text, &err);
  if (status != FB_OK) {
    code = fb_cli_error(cli, &err);
  } else {
    status = folder ? S_check_project(&check) : S_check_document(&check, fb_buf_slice(&text), name);
    code = fb_cli_errors(cli, &check.errors);
    if (code == FB_EXIT_OK && status != FB_OK)
      code = fb_cli_fail(cli, status, "%s cannot be checked", name);
    fb_out_flush(cli);
    fb_cli_warnings(cli, &check.warnings);
    if (code == FB_EXIT_OK && check.warnings.count && fb_cli_has(cli, "strict"))
      code = FB_EXIT_DOCUMENT;
    S_tell(&check, name);
  }
  fb_errors_release(&check.errors);
  fb_errors_release(&check.warnings);
  fb_buf_release(&check.plan);
  fb_buf_release(&text);
  return code;
}

static int S_run(fb_cli *cli) {
  int worst = FB_EXIT_OK;
  for (size_t i = 0; i < cli->operand_count; i++) {
    int code = S_check_file(cli, cli->operands[i]);
    if (code > worst) worst = code;
  }
  return worst;
}

static const fb_option S_options[] = {
    {0, "strict", FB_OPTION_FLAG, NULL, "Let warnings fail, too", NULL, NULL, false},
    {0, "plan", FB_OPTION_FLAG, NULL, "Show how each rule finds its facts", NULL, NULL, false},
    {0}};

const fb_command fb_command_check = {
    .name = "check",
    .summary = "Find every error of a document",
    .usage = "[OPTION]… FILE|FOLDER…",
    .description =
        "Reads rulebooks, told by their key `rules`, missions, told by `steps`, and projects, told "
        "by "
        "`rulebooks` (or the folder that has their `flyball.yaml`), with all that they name, and "
        "prints every error with its place, a caret and a hint. "
        "Nothing is run. The exit code is 3 if a file has an error.",
    .options = S_options,
    .examples = (const fb_example[]){{"flyball check rules.yaml", "one file"},
                                     {"flyball check watch/", "the project in a folder"},
                                     {"flyball check --strict *.yaml", "warnings fail, too"},
                                     {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 1,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
