/* SPDX-License-Identifier: Apache-2.0
 * What the build calls to make the manual pages and the reference. */
#include "cli/cli.h"

static const fb_option S_options[] = {
    {0, "markdown", FB_OPTION_FLAG, .help = "Print the whole reference in Markdown instead"},
    {0},
};

static int S_print(fb_cli *cli, fb_buf *text) {
  fb_status status = fb_out_buf(cli, text);
  fb_buf_release(text);
  return status ? fb_cli_fail(cli, status, "out of memory") : FB_EXIT_OK;
}

static int S_run(fb_cli *cli) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  if (fb_cli_has(cli, "markdown")) {
    fb_markdown_all(&text);
    return S_print(cli, &text);
  }
  const char *page = cli->operand_count ? cli->operands[0] : "flyball";
  if (strcmp(page, "flyball") == 0) {
    fb_man_all(&text);
    return S_print(cli, &text);
  }
  if (strncmp(page, "flyball-", 8) == 0) page += 8;
  const fb_command *command = fb_command_find(fb_slice_of(page));
  if (!command) return fb_cli_no_command(cli, page);
  fb_man_command(command, &text);
  return S_print(cli, &text);
}

const fb_command fb_command_man = {
    .name = "man",
    .summary = "Print a manual page",
    .usage = "[--markdown | PAGE]",
    .description =
        "Prints the source of a manual page: `flyball`, or `flyball-COMMAND`. `flyball man "
        "flyball-version | man -l -` shows it.",
    .options = S_options,
    .operands = FB_OPERANDS_COMMANDS,
    .max_operands = 1,
    .hidden = true,
    .run = S_run,
};
