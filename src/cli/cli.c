/* SPDX-License-Identifier: Apache-2.0
 * From argv to the command and back to an exit code. */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define FB_COMMAND(name) extern const fb_command fb_command_##name;
#include "cli/commands.def"
#undef FB_COMMAND

static const fb_command *const S_commands[] = {
#define FB_COMMAND(name) &fb_command_##name,
#include "cli/commands.def"
#undef FB_COMMAND
};
enum { COMMAND_COUNT = sizeof S_commands / sizeof *S_commands };

const fb_command *const *fb_commands(size_t *ret_count) {
  *ret_count = COMMAND_COUNT;
  return S_commands;
}

const fb_command *fb_command_find(fb_slice name) {
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    if (fb_slice_equal(name, fb_slice_of(S_commands[i]->name))) return S_commands[i];
  return NULL;
}

int fb_cli_no_command(fb_cli *cli, const char *name) {
  const char *names[COMMAND_COUNT];
  size_t count = 0;
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    if (!S_commands[i]->hidden) names[count++] = S_commands[i]->name;
  const char *near = fb_nearest(fb_slice_of(name), names, count);
  for (size_t i = 0; i < count && !near && *name; i++)
    if (fb_slice_starts(fb_slice_of(names[i]), fb_slice_of(name))) near = names[i];
  char hint[80] = "`flyball help` lists the commands";
  if (near) snprintf(hint, sizeof hint, "did you mean `%s`?", near);
  return fb_cli_usage(cli, hint, "there is no command `%s`", name);
}

/* Whatever is opened later must not land on a standard descriptor that the caller closed. The stand-in
 * is opened the wrong way round, so that using it fails as the closed one would. */
static void S_fill_standard_descriptors(void) {
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

static int S_finish(fb_cli *cli, int code) {
  fb_out_flush(cli);
  if (!cli->out_errno && close(STDOUT_FILENO) != 0) cli->out_errno = errno;
  if (cli->out_errno) {
    fb_error err;
    fb_fail(&err, FB_E_IO, "cannot write to standard output: %s", strerror(cli->out_errno));
    code = fb_cli_error(cli, &err);
  }
  free(cli->uses);
  free((void *)cli->operands);
  return code;
}

static void S_help_json(const fb_command *command, fb_buf *out) {
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    if (command ? S_commands[i] == command : !S_commands[i]->hidden)
      fb_help_json(S_commands[i], out);
}

int fb_cli_help(fb_cli *cli, const fb_command *command) {
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  if (cli->json)
    S_help_json(command, &text);
  else if (command)
    fb_help_command(command, &text);
  else
    fb_help_all(&text);
  fb_status status = fb_out_buf(cli, &text);
  fb_buf_release(&text);
  return status ? fb_cli_fail(cli, status, "out of memory") : FB_EXIT_OK;
}

static int S_run_command(fb_cli *cli, int argc, char **argv) {
  if (!fb_options_parse(cli, argc, argv)) return FB_EXIT_USAGE;
  if (fb_cli_has(cli, "help")) return fb_cli_help(cli, cli->command);
  const fb_command *command = cli->command;
  if (cli->operand_count < command->min_operands)
    return fb_cli_usage(cli, NULL,
                        command->min_operands == 1 && command->max_operands == 1
                            ? "an operand is missing: flyball %s %s"
                            : "operands are missing: flyball %s %s",
                        command->name, command->usage);
  if (cli->operand_count > command->max_operands)
    return fb_cli_usage(cli, NULL, "unexpected operand `%s`", cli->operands[command->max_operands]);
  return command->run(cli);
}

/* Where the command's name stands: behind the options that every command takes. argc: nowhere. */
static int S_command_index(int argc, char **argv) {
  int i = 1;
  for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++)
    if (strcmp(argv[i], "--color") == 0) i++;
  return i < argc ? i : argc;
}

static int S_without_command(fb_cli *cli, int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fb_cli_help(cli, NULL);
    if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
      return fb_command_version.run(cli);
  }
  if (!fb_options_parse(cli, argc, argv)) return FB_EXIT_USAGE;
  return fb_cli_usage(cli, "`flyball help` lists the commands", "a command is missing");
}

int fb_cli_main(int argc, char **argv) {
  S_fill_standard_descriptors();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a limit on files is told as a full disk is */
  static fb_cli cli;        /* static for its size only */
  fb_cli_streams(&cli, argc, argv);
  int at = S_command_index(argc, argv);
  if (at == argc) return S_finish(&cli, S_without_command(&cli, argc, argv));
  cli.command = fb_command_find(fb_slice_of(argv[at]));
  if (!cli.command) return S_finish(&cli, fb_cli_no_command(&cli, argv[at]));
  /* What stood before the command's name is moved behind it: argv[1..at) goes to argv[2..at]. */
  char *name = argv[at];
  memmove(&argv[2], &argv[1], (size_t)(at - 1) * sizeof *argv);
  argv[1] = name;
  return S_finish(&cli, S_run_command(&cli, argc - 1, argv + 1));
}
