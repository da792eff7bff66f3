/* SPDX-License-Identifier: Apache-2.0
 *
 * proof_io.h: what the commands about results share: reading them, saying which commit they are of, the history
 * file, and tables. */
#ifndef FB_CLI_PROOF_IO_H
#define FB_CLI_PROOF_IO_H

#include "cli/cli.h"

#include <flyball/proof.h>
#include <flyball/rules.h>

enum { FB_RESULTS_SIZE_MAX = 256 << 20, FB_PROOF_DOCUMENT_MAX = 16 << 20 };

/* What is drawn depends on it alone: the same input gives the same verdict. `--seed` changes it. */
enum { FB_PROOF_SEED = 20 };

/* The option `--history`, in its one form. */
#define FB_OPTION_HISTORY                                                                          \
  {                                                                                                \
    0, "history", FB_OPTION_FILE, "FILE", "The history; `.flyball/history.db` if not given", NULL, \
        "FLYBALL_HISTORY", false                                                                   \
  }
#define FB_OPTION_SEED \
  { 0, "seed", FB_OPTION_NUMBER, "N", "Of the random choices of resampling", NULL, NULL, false }

/* Reads one file ("-": stdin) into the results. FB_EXIT_OK, or what was printed. */
int fb_proof_read(fb_cli *cli, const char *path, fb_results *results);
/* Writes a file anew. FB_EXIT_OK, or what was printed. */
int fb_proof_write(fb_cli *cli, const char *path, const fb_buf *text);
/* Sets what is not known about the run: commit and branch from options, CI's variables or the git checkout that the
 * current folder is in; the time from `--time` or the clock; the machine from `--machine` or this one. */
int fb_proof_complete(fb_cli *cli, fb_results *results);
/* Only the machine. */
int fb_proof_machine(fb_cli *cli, fb_results *results);
/* Makes its folder too if it is the default one and is to be written. */
int fb_proof_history(fb_cli *cli, bool write, fb_history **ret);
/* A share: `--threshold 5%`. False: a usage error was printed. */
bool fb_proof_share(fb_cli *cli, const char *option, double otherwise, double *ret);
void fb_proof_random(fb_cli *cli, fb_random *random);
bool fb_proof_is_file(const char *path);

/* A table for people: cells are added row by row, the first row is the head. */
typedef struct fb_grid {
  fb_arena arena;
  char **cells;
  size_t count, cap, columns;
  bool failed;
} fb_grid;

void fb_grid_init(fb_grid *grid, size_t columns);
void fb_grid_add(fb_grid *grid, const char *format, ...) FB_PRINTF(2, 3);
/* Columns are as wide as they need to be; those whose bit is set in `right` end at the right. Releases the grid. */
void fb_grid_print(fb_grid *grid, fb_cli *cli, uint32_t right);
/* Of one that is not printed. */
void fb_grid_release(fb_grid *grid);

#endif
