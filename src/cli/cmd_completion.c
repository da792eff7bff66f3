/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

static const char *const S_shells[] = {"bash", "zsh", "fish", NULL};

static int S_run(fb_cli *cli) {
  const char *shell = cli->operands[0];
  size_t known = 0;
  while (S_shells[known] && strcmp(S_shells[known], shell) != 0) known++;
  if (!S_shells[known])
    return fb_cli_usage(cli, "bash, zsh and fish are known", "no completion for the shell `%s`",
                        shell);
  fb_buf text, json;
  fb_buf_init(&text, NULL, 0);
  fb_buf_init(&json, NULL, 0);
  fb_completion(shell, &text);
  if (cli->json && !text.failed) {
    fb_buf_printf(&json, "{\"type\":\"flyball.completion.v1\",\"shell\":\"%s\",\"script\":", shell);
    fb_json_write_text(&json, fb_slice_of(text.ptr), FB_JSON_COMPACT);
    fb_buf_text(&json, "}\n");
  }
  fb_status status = text.failed ? FB_E_NOMEM : fb_out_buf(cli, cli->json ? &json : &text);
  fb_buf_release(&text);
  fb_buf_release(&json);
  return status ? fb_cli_fail(cli, status, "out of memory") : FB_EXIT_OK;
}

const fb_command fb_command_completion = {
    .name = "completion",
    .summary = "Print a completion script for a shell",
    .usage = "bash|zsh|fish",
    .description =
        "Prints a script that teaches the shell to complete commands, options and their values. "
        "`make install` puts the scripts where the shells look for them.",
    .examples =
        (const fb_example[]){{"source <(flyball completion bash)", "for this session of bash"},
                             {"flyball completion fish > ~/.config/fish/completions/flyball.fish",
                              "for fish, for good"},
                             {0}},
    .operands = FB_OPERANDS_CHOICE,
    .operand_choices = S_shells,
    .min_operands = 1,
    .max_operands = 1,
    .run = S_run,
};
