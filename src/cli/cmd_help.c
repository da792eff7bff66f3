/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

static int S_run(fb_cli *cli) {
  if (cli->operand_count == 0) return fb_cli_help(cli, NULL);
  const fb_command *command = fb_command_find(fb_slice_of(cli->operands[0]));
  return command ? fb_cli_help(cli, command) : fb_cli_no_command(cli, cli->operands[0]);
}

const fb_command fb_command_help = {
    .name = "help",
    .summary = "Show what the commands do",
    .usage = "[COMMAND]",
    .description =
        "Lists the commands, or explains one: the same text as `flyball COMMAND --help`. "
        "With `--json` each command is an object on a line, its options included.",
    .examples = (const fb_example[]){{"flyball help completion", "explain one command"}, {0}},
    .operands = FB_OPERANDS_COMMANDS,
    .max_operands = 1,
    .run = S_run,
};
