/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdlib.h>

static const fb_option S_options[] = {
    {0, "markdown", FB_OPTION_FLAG, .help = "Print the whole catalogue in Markdown"},
    {0},
};

static void S_explain(fb_cli *cli, const fb_error_info *info, fb_buf *out) {
  if (!cli->json) {
    fb_buf_printf(out, "FB%04d: %s\n\n", (int)info->code, info->title);
    fb_help_wrap(out, info->explanation, 0);
    return;
  }
  fb_buf_printf(
      out, "{\"type\":\"flyball.error_info.v1\",\"code\":\"FB%04d\",\"name\":\"%s\",\"title\":",
      (int)info->code, info->name);
  fb_json_write_text(out, fb_slice_of(info->title), FB_JSON_COMPACT);
  fb_buf_text(out, ",\"explanation\":");
  fb_json_write_text(out, fb_slice_of(info->explanation), FB_JSON_COMPACT);
  fb_buf_text(out, "}\n");
}

static void S_list(fb_cli *cli, fb_buf *out) {
  size_t count;
  const fb_error_info *all = fb_error_catalogue(&count);
  for (size_t i = 0; i < count; i++) {
    if (cli->json)
      S_explain(cli, &all[i], out);
    else
      fb_buf_printf(out, "FB%04d  %s\n", (int)all[i].code, all[i].title);
  }
}

static void S_markdown(fb_buf *out) {
  static const char *const parts[] = {"Use and the outside world", "Data", "Expressions", "Rules",
                                      "Missions"};
  size_t count, part = 0;
  const fb_error_info *all = fb_error_catalogue(&count);
  fb_buf_text(
      out,
      "<!-- Made by `flyball explain-error --markdown`; `make docs` renews it. -->\n# Errors\n\n"
      "Every error has a number that never changes its meaning. `flyball explain-error FB1002` "
      "prints its entry.\n");
  for (size_t i = 0; i < count; i++) {
    size_t thousand = (size_t)all[i].code / 1000;
    if (thousand != part && thousand >= 1 && thousand <= 5)
      fb_buf_printf(out, "\n## %s\n", parts[(part = thousand) - 1]);
    fb_buf_printf(out, "\n### FB%04d: %s\n\n%s\n", (int)all[i].code, all[i].title,
                  all[i].explanation);
  }
}

/* "FB1042", "fb1042" or "1042". 0: none of these. */
static int S_code(const char *text) {
  if ((text[0] == 'F' || text[0] == 'f') && (text[1] == 'B' || text[1] == 'b')) text += 2;
  if (strlen(text) != 4 || strspn(text, "0123456789") != 4) return 0;
  return (int)strtol(text, NULL, 10);
}

static int S_explain_all(fb_cli *cli, fb_buf *out) {
  for (size_t i = 0; i < cli->operand_count; i++) {
    const fb_error_info *info = fb_error_info_of((fb_status)S_code(cli->operands[i]));
    if (!info)
      return fb_cli_usage(cli, "`flyball explain-error` lists them all", "there is no error `%s`",
                          cli->operands[i]);
    if (i > 0 && !cli->json) fb_buf_char(out, '\n');
    S_explain(cli, info, out);
  }
  fb_status status = fb_out_buf(cli, out);
  return status ? fb_cli_fail(cli, status, "out of memory") : FB_EXIT_OK;
}

static int S_run(fb_cli *cli) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  if (fb_cli_has(cli, "markdown"))
    S_markdown(&text);
  else if (cli->operand_count == 0)
    S_list(cli, &text);
  int code = S_explain_all(cli, &text);
  fb_buf_release(&text);
  return code;
}

const fb_command fb_command_explain_error = {
    .name = "explain-error",
    .summary = "Explain an error by its number",
    .usage = "[FBnnnn]…",
    .description =
        "Prints what an error means, what usually causes it and what to do about it. "
        "Without a number, lists all errors.",
    .options = S_options,
    .examples =
        (const fb_example[]){{"flyball explain-error FB1002", "one entry"},
                             {"flyball explain-error --json", "the catalogue, one object a line"},
                             {0}},
    .operands = FB_OPERANDS_TEXT,
    .max_operands = UINT32_MAX,
    .run = S_run,
};
