/* SPDX-License-Identifier: Apache-2.0
 * The option parser and the reading of files, with a command of their own. Its messages go to stderr; the
 * goldens in tests/cli compare them. */
#include "cli/cli.h"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

static const char *const S_formats[] = {"json", "yaml", NULL};

static const fb_option S_options[] = {
    {'a', "all", FB_OPTION_FLAG, .help = "a"},
    {'b', "brief", FB_OPTION_FLAG, .help = "b"},
    {'v', "variable", FB_OPTION_TEXT, "NAME=VALUE", "v", .many = true},
    {'n', "number", FB_OPTION_NUMBER, "N", "n", .env = "FLYBALL_TEST_NUMBER"},
    {'t', "timeout", FB_OPTION_DURATION, "TIME", "t"},
    {'f', "from", FB_OPTION_CHOICE, "FORMAT", "f", .choices = S_formats},
    {'o', "output", FB_OPTION_FILE, "FILE", "o"},
    {0},
};

static const fb_command S_command = {
    .name = "try", .summary = "s", .usage = "", .description = "d", .options = S_options};

static fb_cli S_cli; /* large: not on the stack */

/* Parses the words; the caller releases with S_done. */
static bool S_parse(const char *const *words) {
  char *argv[32] = {(char *)"try"};
  int argc = 1;
  for (; words[argc - 1]; argc++) argv[argc] = (char *)words[argc - 1];
  memset(&S_cli, 0, sizeof S_cli);
  S_cli.command = &S_command;
  return fb_options_parse(&S_cli, argc, argv);
}
#define PARSE(...) S_parse((const char *const[]){__VA_ARGS__, NULL})

static void S_done(void) {
  free(S_cli.uses);
  free((void *)S_cli.operands);
}

static void test_forms(void **state) {
  assert_true(
      PARSE("-ab", "one", "--variable=x=1", "-vy=2", "-v", "z=3", "--from", "yaml", "-n12", "two"));
  assert_true(fb_cli_has(&S_cli, "all"));
  assert_true(fb_cli_has(&S_cli, "brief"));
  assert_false(fb_cli_has(&S_cli, "output"));
  size_t at = 0;
  assert_string_equal(fb_cli_next(&S_cli, "variable", &at), "x=1");
  assert_string_equal(fb_cli_next(&S_cli, "variable", &at), "y=2");
  assert_string_equal(fb_cli_next(&S_cli, "variable", &at), "z=3");
  assert_null(fb_cli_next(&S_cli, "variable", &at));
  assert_string_equal(fb_cli_text(&S_cli, "from", "json"), "yaml");
  assert_int_equal(fb_cli_number(&S_cli, "number", 1), 12);
  assert_int_equal(S_cli.operand_count, 2);
  assert_string_equal(S_cli.operands[0], "one");
  assert_string_equal(S_cli.operands[1], "two");
  S_done();
}

static void test_the_last_wins(void **state) {
  assert_true(PARSE("-f", "json", "-f", "yaml", "-abf", "json", "-t", "1m30s", "-t250ms"));
  assert_string_equal(fb_cli_text(&S_cli, "from", NULL), "json");
  assert_int_equal(fb_cli_duration(&S_cli, "timeout", 0), 250000000);
  S_done();
}

static void test_operands(void **state) {
  assert_true(PARSE("-", "-5", "-.5", "--", "--all", "-b", "--"));
  assert_int_equal(S_cli.operand_count, 6);
  assert_false(fb_cli_has(&S_cli, "all"));
  assert_string_equal(S_cli.operands[5], "--");
  S_done();
  assert_false(PARSE("-n", "--")); /* the value of -n, and no number */
  S_done();
}

static void test_dashes_as_values(void **state) {
  assert_true(PARSE("-o", "-", "--output=-", "-v", "--", "--all", "-v", "-x=1"));
  assert_string_equal(fb_cli_text(&S_cli, "output", NULL), "-");
  assert_string_equal(fb_cli_text(&S_cli, "variable", NULL), "-x=1");
  assert_true(fb_cli_has(&S_cli, "all"));
  S_done();
}

static void test_bad_values(void **state) {
  static const char *const bad[][3] = {
      {"-n", "", NULL},
      {"-n", "-1", NULL},
      {"-n", "1x", NULL},
      {"-n", " 1", NULL},
      {"-n", "18446744073709551616", NULL},
      {"-t", "5", NULL},
      {"-t", "-5s", NULL},
      {"-t", "9999999999s", NULL},
      {"-f", "toml", NULL},
      {"-f", "", NULL},
      {"-o", "", NULL},
      {"-n", NULL},
      {"--number", NULL},
      {"-x", NULL},
      {"-axb", NULL},
      {"--all=1", NULL},
      {"--nunber=1", NULL},
      {"--=1", NULL},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_false(S_parse(bad[i]));
    S_done();
  }
}

static void test_numbers_to_the_brim(void **state) {
  assert_true(PARSE("-n", "18446744073709551615"));
  assert_true(fb_cli_number(&S_cli, "number", 0) == UINT64_MAX);
  S_done();
}

static void test_environment(void **state) {
  setenv("FLYBALL_TEST_NUMBER", "42", 1);
  assert_true(PARSE("-a"));
  assert_int_equal(fb_cli_number(&S_cli, "number", 0), 42);
  S_done();
  assert_true(PARSE("-n1"));
  assert_int_equal(fb_cli_number(&S_cli, "number", 0), 1);
  S_done();
  setenv("FLYBALL_TEST_NUMBER", "many", 1);
  assert_false(PARSE("-a"));
  S_done();
  unsetenv("FLYBALL_TEST_NUMBER");
}

static void test_reading(void **state) {
  char path[] = "/tmp/flyball-options-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  char block[1000];
  memset(block, 'x', sizeof block);
  for (int i = 0; i < 200; i++) assert_int_equal(write(fd, block, sizeof block), sizeof block);
  close(fd);
  fb_buf text;
  fb_buf_init(&text, NULL, 0);
  fb_error err;
  assert_int_equal(fb_cli_read(path, 200000, &text, &err), FB_OK);
  assert_int_equal(text.len, 200000);
  assert_int_equal(text.ptr[text.len], 0);
  fb_buf_clear(&text);
  assert_int_equal(fb_cli_read(path, 199999, &text, &err), FB_E_LIMIT);
  fb_buf_clear(&text);
  assert_int_equal(fb_cli_read("/dev/null", 0, &text, &err), FB_OK);
  assert_int_equal(text.len, 0);
  assert_string_equal(text.ptr, "");
  assert_int_equal(fb_cli_read("/dev/zero", 1 << 20, &text, &err), FB_E_LIMIT);
  fb_buf_clear(&text);
  assert_int_equal(fb_cli_read("/", 10, &text, &err), FB_E_IO);
  assert_string_equal(err.text, "cannot read /: Is a directory");
  assert_int_equal(fb_cli_read("/nowhere", 10, &text, &err), FB_E_IO);
  assert_string_equal(err.text, "cannot read /nowhere: No such file or directory");
  fb_buf_release(&text);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forms),       cmocka_unit_test(test_the_last_wins),
      cmocka_unit_test(test_operands),    cmocka_unit_test(test_dashes_as_values),
      cmocka_unit_test(test_bad_values),  cmocka_unit_test(test_numbers_to_the_brim),
      cmocka_unit_test(test_environment), cmocka_unit_test(test_reading),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
