/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/proof_io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static fb_status S_results(void *into, fb_slice text, const char *name, fb_errors *errors) {
  return fb_results_read(into, text, name, errors);
}

int fb_proof_read(fb_cli *cli, const char *path, fb_results *results) {
  return fb_cli_load(cli, path, FB_RESULTS_SIZE_MAX, S_results, results);
}

bool fb_proof_is_file(const char *path) {
  struct stat about;
  return !strcmp(path, "-") || (stat(path, &about) == 0 && !S_ISDIR(about.st_mode));
}

int fb_proof_write(fb_cli *cli, const char *path, const fb_buf *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  size_t done = 0;
  while (fd >= 0 && done < text->len) {
    ssize_t n = write(fd, text->ptr + done, text->len - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += (size_t)n;
  }
  int error = errno;
  bool bad = fd < 0 || done < text->len;
  if (fd >= 0 && close(fd) && !bad) bad = true, error = errno;
  return bad ? fb_cli_fail(cli, FB_E_IO, "cannot write %s: %s", path, strerror(error)) : FB_EXIT_OK;
}

/* ── Which commit ── */

enum { GIT_FILE_MAX = 4 << 20, PATH_SIZE = 4096 };

/* The file's text without blanks at its end; false when it cannot be read. */
static bool S_small_file(const char *path, fb_buf *out) {
  fb_buf_clear(out);
  if (!fb_proof_is_file(path) || fb_cli_read(path, GIT_FILE_MAX, out, NULL) != FB_OK) return false;
  while (out->len && strchr(" \r\n", out->ptr[out->len - 1])) out->ptr[--out->len] = 0;
  return !out->failed;
}

/* The folder with HEAD: .git here or above, or where a file .git (of a worktree) points to. */
static bool S_git_folder(char folder[PATH_SIZE], fb_buf *scratch) {
  char at[PATH_SIZE / 2];
  struct stat about;
  if (!getcwd(at, sizeof at)) return false;
  for (;;) {
    snprintf(folder, PATH_SIZE, "%s/.git", at);
    if (stat(folder, &about) == 0) break;
    char *slash = strrchr(at, '/');
    if (!slash) return false;
    *slash = 0;
  }
  if (S_ISDIR(about.st_mode)) return true;
  if (!S_small_file(folder, scratch) || strncmp(scratch->ptr, "gitdir: ", 8) != 0) return false;
  const char *target = scratch->ptr + 8;
  int len = *target == '/' ? snprintf(folder, PATH_SIZE, "%s", target)
                           : snprintf(folder, PATH_SIZE, "%s/%s", at, target);
  return len > 0 && len < PATH_SIZE;
}

/* Where refs lie that all worktrees share. */
static void S_common_folder(const char *folder, char common[PATH_SIZE], fb_buf *scratch) {
  snprintf(common, PATH_SIZE, "%.4000s/commondir", folder);
  if (!S_small_file(common, scratch))
    snprintf(common, PATH_SIZE, "%.4000s", folder);
  else if (scratch->ptr[0] == '/')
    snprintf(common, PATH_SIZE, "%.4000s", scratch->ptr);
  else
    snprintf(common, PATH_SIZE, "%.2000s/%.2000s", folder, scratch->ptr);
}

/* A line "HASH NAME" of packed-refs. */
static bool S_packed(const char *common, const char *ref, fb_buf *scratch, char commit[65]) {
  char path[PATH_SIZE];
  snprintf(path, sizeof path, "%.4000s/packed-refs", common);
  if (!S_small_file(path, scratch)) return false;
  for (char *line = scratch->ptr, *next; line; line = next) {
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    char *blank = strchr(line, ' ');
    if (!blank || strcmp(blank + 1, ref) != 0 || blank - line > 64) continue;
    snprintf(commit, 65, "%.*s", (int)(blank - line), line);
    return true;
  }
  return false;
}

static bool S_git(char commit[65], char branch[256]) {
  char folder[PATH_SIZE], common[PATH_SIZE], path[PATH_SIZE], ref[512];
  fb_buf text;
  bool found = false;
  fb_buf_init(&text, NULL, 0);
  branch[0] = 0;
  if (S_git_folder(folder, &text)) {
    S_common_folder(folder, common, &text);
    snprintf(path, sizeof path, "%.4000s/HEAD", folder);
    found = S_small_file(path, &text) && text.len;
  }
  if (found && !strncmp(text.ptr, "ref: ", 5)) {
    snprintf(ref, sizeof ref, "%s", text.ptr + 5);
    if (!strncmp(ref, "refs/heads/", 11)) snprintf(branch, 256, "%.255s", ref + 11);
    snprintf(path, sizeof path, "%.3400s/%s", common, ref);
    found = S_small_file(path, &text);
    if (found)
      snprintf(commit, 65, "%s", text.ptr);
    else
      found = S_packed(common, ref, &text, commit);
  } else if (found) {
    snprintf(commit, 65, "%s", text.ptr);
  }
  fb_buf_release(&text);
  return found;
}

static const char *S_first_env(const char *const *names) {
  for (; *names; names++) {
    const char *value = getenv(*names);
    if (value && *value) return value;
  }
  return NULL;
}

static bool S_set(fb_results *results, fb_slice *into, const char *text) {
  if (!text || !*text) return true;
  char *copy = fb_arena_text(&results->arena, fb_slice_of(text));
  if (copy) *into = fb_slice_of(copy);
  return copy;
}

static int S_set_time(fb_cli *cli, fb_result_run *run) {
  const char *text = fb_cli_text(cli, "time", NULL);
  const fb_clock *clock = fb_clock_system();
  int64_t seconds;
  uint32_t nanos;
  if (!text) {
    if (!run->at) run->at = clock->wall(clock->context);
    return FB_EXIT_OK;
  }
  if (!fb_time_parse(fb_slice_of(text), &seconds, &nanos) || seconds < 0 ||
      seconds > INT64_C(9000000000))
    return fb_cli_usage(cli, "as in --time 2026-11-20T16:00:00Z", "`%s` is no time", text);
  run->at = seconds * 1000000000 + nanos;
  return FB_EXIT_OK;
}

int fb_proof_machine(fb_cli *cli, fb_results *results) {
  return S_set(results, &results->run.fingerprint, fb_cli_text(cli, "machine", NULL))
             ? FB_EXIT_OK
             : fb_cli_fail(cli, FB_E_NOMEM, "no memory for the name of the machine");
}

int fb_proof_complete(fb_cli *cli, fb_results *results) {
  static const char *const commits[] = {"GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", NULL};
  static const char *const branches[] = {"GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME",
                                         "GIT_BRANCH", NULL};
  char commit[65] = "", branch[256] = "";
  fb_result_run *run = &results->run;
  const char *own_commit = fb_cli_text(cli, "commit", NULL);
  const char *own_branch = fb_cli_text(cli, "branch", NULL);
  if (!own_commit && !run->commit.len) {
    S_git(commit, branch);
    const char *ci = S_first_env(commits);
    if (ci) snprintf(commit, sizeof commit, "%s", ci);
    ci = S_first_env(branches);
    if (ci) snprintf(branch, sizeof branch, "%s", ci);
  }
  bool good = S_set(results, &run->commit, own_commit ? own_commit : commit) &&
              S_set(results, &run->branch, own_branch ? own_branch : branch);
  if (!good) return fb_cli_fail(cli, FB_E_NOMEM, "no memory for the names of the run");
  int code = fb_proof_machine(cli, results);
  return code == FB_EXIT_OK ? S_set_time(cli, run) : code;
}

/* ── History ── */

int fb_proof_history(fb_cli *cli, bool write, fb_history **ret) {
  const char *path = fb_cli_text(cli, "history", NULL);
  fb_error err;
  if (!path) {
    path = ".flyball/history.db";
    if (write && mkdir(".flyball", 0777) != 0 && errno != EEXIST)
      return fb_cli_fail(cli, FB_E_IO, "the folder .flyball cannot be made: %s", strerror(errno));
  }
  if (!write && !fb_proof_is_file(path)) {
    fb_fail(&err, FB_E_PROOF_HISTORY, "there is no history %s", path);
    fb_error_hint(&err, "`flyball history import RESULTS` makes one");
    return fb_cli_error(cli, &err);
  }
  fb_status status = fb_history_open(path, !write, NULL, ret, &err);
  return status == FB_OK ? FB_EXIT_OK : fb_cli_error(cli, &err);
}

bool fb_proof_share(fb_cli *cli, const char *option, double otherwise, double *ret) {
  const char *text = fb_cli_text(cli, option, NULL);
  fb_slice unit;
  *ret = otherwise;
  if (!text) return true;
  if (fb_quantity_parse(fb_slice_of(text), ret, &unit) && !unit.len && *ret >= 0 && *ret < 100)
    return true;
  fb_cli_usage(cli, "as in 5% or 0.05", "`--%s %s` is no share", option, text);
  return false;
}

void fb_proof_random(fb_cli *cli, fb_random *random) {
  fb_random_seed(random, fb_cli_number(cli, "seed", FB_PROOF_SEED));
}

/* ── Tables ── */

void fb_grid_init(fb_grid *grid, size_t columns) {
  *grid = (fb_grid){.columns = columns};
  fb_arena_init(&grid->arena, NULL, 0);
}

void fb_grid_add(fb_grid *grid, const char *format, ...) {
  char text[600];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  char *copy = fb_arena_text(&grid->arena, fb_slice_of(text));
  if (!copy ||
      !fb_grow(NULL, (void **)&grid->cells, &grid->cap, grid->count, sizeof *grid->cells)) {
    grid->failed = true;
    return;
  }
  grid->cells[grid->count++] = copy;
}

static size_t S_column_width(const fb_grid *grid, size_t column) {
  size_t width = 0;
  for (size_t i = column; i < grid->count; i += grid->columns) {
    size_t len = fb_utf8_length(grid->cells[i], strlen(grid->cells[i]));
    if (len > width) width = len;
  }
  return width;
}

static void S_print_cell(fb_cli *cli, const char *text, size_t width, bool right, bool last) {
  size_t len = fb_utf8_length(text, strlen(text));
  int blanks = len < width ? (int)(width - len) : 0;
  if (right) fb_out_printf(cli, "%*s", blanks, "");
  fb_out_text(cli, text);
  if (!last) fb_out_printf(cli, "%*s", (right ? 0 : blanks) + 2, "");
}

void fb_grid_release(fb_grid *grid) {
  fb_free(NULL, grid->cells, grid->cap * sizeof *grid->cells);
  fb_arena_release(&grid->arena);
}

void fb_grid_print(fb_grid *grid, fb_cli *cli, uint32_t right) {
  size_t widths[32] = {0};
  for (size_t c = 0; c < grid->columns && c < 32; c++) widths[c] = S_column_width(grid, c);
  for (size_t i = 0; i + grid->columns <= grid->count; i += grid->columns) {
    for (size_t c = 0; c < grid->columns; c++)
      S_print_cell(cli, grid->cells[i + c], widths[c], right >> c & 1, c + 1 == grid->columns);
    fb_out_text(cli, "\n");
  }
  if (grid->failed) fb_cli_fail(cli, FB_E_NOMEM, "no memory for the whole table");
  fb_grid_release(grid);
}
