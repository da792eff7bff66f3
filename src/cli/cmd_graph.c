/* SPDX-License-Identifier: Apache-2.0
 * flyball graph: the steps of a mission and what they wait for, drawn. */
#include "cli/cli.h"

#include <flyball/loop.h>

enum { DOCUMENT_MAX = 64 << 20 };

static int S_draw(fb_cli *cli, const fb_mission *mission) {
  const char *as = fb_cli_text(cli, "as", "text");
  fb_buf out, json;
  fb_buf_init(&out, NULL, 0);
  fb_mission_draw(mission,
                  strcmp(as, "dot") == 0       ? FB_DRAWING_DOT
                  : strcmp(as, "mermaid") == 0 ? FB_DRAWING_MERMAID
                                               : FB_DRAWING_TEXT,
                  &out);
  fb_status status = FB_OK;
  if (cli->json) {
    fb_buf_init(&json, NULL, 0);
    fb_buf_printf(&json, "{\"type\":\"flyball.graph.v1\",\"as\":\"%s\",\"text\":", as);
    fb_json_write_text(&json, fb_buf_slice(&out), FB_JSON_COMPACT);
    fb_buf_text(&json, "}\n");
    status = out.failed ? FB_E_NOMEM : fb_out_buf(cli, &json);
    fb_buf_release(&json);
  } else {
    status = fb_out_buf(cli, &out);
  }
  fb_buf_release(&out);
  return status ? fb_cli_fail(cli, status, "out of memory") : FB_EXIT_OK;
}

static int S_load(fb_cli *cli, const fb_buf *text, fb_world *world) {
  char folder[4096];
  const char *path = cli->operands[0];
  fb_errors errors;
  fb_doc *doc = NULL;
  fb_mission *mission = NULL;
  fb_errors_init(&errors, NULL, 0);
  fb_mission_options options = {.tools = fb_loop_tools(),
                                .folder = fb_cli_folder(path, folder, sizeof folder),
                                .world = world};
  fb_doc_options reading = {.keep_going = true};
  fb_status status =
      fb_doc_read(fb_buf_slice(text), fb_cli_file_name(path), &reading, &doc, &errors);
  if (!status) status = fb_mission_load(doc, &options, NULL, &mission, &errors);
  int code = fb_cli_errors(cli, &errors);
  if (status && code == FB_EXIT_OK) code = fb_cli_fail(cli, status, "%s cannot be loaded", path);
  if (code == FB_EXIT_OK) code = S_draw(cli, mission);
  fb_mission_free(mission);
  fb_doc_free(doc);
  fb_errors_release(&errors);
  return code;
}

static int S_graph(fb_cli *cli) {
  fb_buf text;
  fb_error err = {0};
  fb_world *world = NULL;
  int code;
  fb_buf_init(&text, NULL, 0);
  if (fb_cli_read(cli->operands[0], DOCUMENT_MAX, &text, &err) ||
      fb_world_uv_new(NULL, NULL, &world, &err))
    code = fb_cli_error(cli, &err);
  else
    code = S_load(cli, &text, world);
  fb_world_uv_free(world);
  fb_buf_release(&text);
  return code;
}

static const char *const S_drawings[] = {"text", "dot", "mermaid", NULL};
static const fb_option S_options[] = {
    {.name = "as",
     .kind = FB_OPTION_CHOICE,
     .value = "FORMAT",
     .choices = S_drawings,
     .help = "How it is drawn: `text` for a terminal, `dot` for Graphviz, `mermaid`"},
    {0}};

const fb_command fb_command_graph = {
    .name = "graph",
    .summary = "Draw the steps of a mission",
    .usage = "[OPTION]… FILE",
    .description =
        "Draws which step of a mission waits for which. In a terminal each line is a step; lanes "
        "lead "
        "from a step to those that wait for it.",
    .options = S_options,
    .examples =
        (const fb_example[]){
            {"flyball graph nightly.yaml", "in the terminal"},
            {"flyball graph --as dot nightly.yaml | dot -Tsvg >nightly.svg", "as a picture"},
            {0}},
    .operands = FB_OPERANDS_FILES,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_graph,
};
