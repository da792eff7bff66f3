/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

static int S_run(fb_cli *cli) {
  if (cli->json)
    fb_out_printf(cli, "{\"type\":\"flyball.version.v1\",\"version\":\"%s\"}\n", fb_version());
  else
    fb_out_printf(cli, "flyball %s\n", fb_version());
  return FB_EXIT_OK;
}

const fb_command fb_command_version = {
    .name = "version",
    .summary = "Print the version",
    .usage = "",
    .description = "Prints the name and the version, e.g. `flyball 0.1.0`.",
    .examples = (const fb_example[]){{"flyball version --json", "for a program to read"}, {0}},
    .run = S_run,
};
