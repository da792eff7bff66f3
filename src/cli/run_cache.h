/* SPDX-License-Identifier: Apache-2.0
 * Where results of steps are kept beyond their runs: a file each, beside the folder of runs. */
#ifndef FB_RUN_CACHE_H
#define FB_RUN_CACHE_H

#include "cli/run_store.h"

/* Made if it is not there. NULL: an error was printed. */
const char *fb_run_cache_folder(fb_cli *cli, fb_arena *arena);
/* Each entry's file name and when it was written, s since 1970; in no order. False from `each` removes it. How many were
 * removed. */
size_t fb_run_cache_each(const char *folder,
                         bool (*each)(void *user, const char *path, const char *name, int64_t made),
                         void *user);
/* Removes entries that are older; how many. */
size_t fb_run_cache_prune(const char *folder, int64_t seconds);

#endif
