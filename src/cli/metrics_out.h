/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics_out.h: the option `--metrics`: what a command counted, to a file or to a collector. */
#ifndef FB_CLI_METRICS_OUT_H
#define FB_CLI_METRICS_OUT_H

#include "cli/cli.h"

#include <flyball/metrics.h>

#define FB_OPTION_METRICS                                                                      \
  {                                                                                            \
    .name = "metrics", .kind = FB_OPTION_FILE, .value = "WHERE",                               \
    .help = "At the end, write what was counted: Prometheus text to a file, or OTLP to a URL", \
    .env = "FLYBALL_METRICS"                                                                   \
  }

/* *ret is NULL when the option was not given. FB_EXIT_OK, or what was printed. */
int fb_cli_metrics_begin(fb_cli *cli, fb_metrics **ret);
/* Writes and frees it; NULL: nothing. Returns `code`, or what was printed if that was FB_EXIT_OK. */
int fb_cli_metrics_end(fb_cli *cli, fb_metrics *metrics, int code);

#endif
