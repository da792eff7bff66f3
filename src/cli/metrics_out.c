/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/metrics_out.h"

#include "cli/proof_io.h"

#include <flyball/loop.h>

#include <unistd.h>

int fb_cli_metrics_begin(fb_cli *cli, fb_metrics **ret) {
  fb_error err;
  fb_metrics_options options = {.service = "flyball"};
  *ret = NULL;
  if (!fb_cli_text(cli, "metrics", NULL)) return FB_EXIT_OK;
  return fb_metrics_new(&options, ret, &err) == FB_OK ? FB_EXIT_OK : fb_cli_error(cli, &err);
}

/* Beside it first, so that who reads it never sees half of it. */
static int S_write(fb_cli *cli, fb_metrics *metrics, const char *path) {
  fb_buf out, beside;
  fb_error err;
  fb_buf_init(&out, NULL, 0);
  fb_buf_init(&beside, NULL, 0);
  fb_buf_printf(&beside, "%s.%d", path, (int)getpid());
  int code = FB_EXIT_OK;
  if (fb_metrics_write(metrics, FB_METRICS_PROMETHEUS, 0, &out, &err) != FB_OK)
    code = fb_cli_error(cli, &err);
  else if (beside.failed)
    code = fb_cli_fail(cli, FB_E_NOMEM, "no memory for a path");
  else
    code = fb_proof_write(cli, beside.ptr, &out);
  if (code == FB_EXIT_OK && rename(beside.ptr, path) != 0) {
    code = fb_cli_fail(cli, FB_E_IO, "cannot write %s: %s", path, strerror(errno));
    unlink(beside.ptr);
  }
  fb_buf_release(&out);
  fb_buf_release(&beside);
  return code;
}

static int S_send(fb_cli *cli, fb_metrics *metrics, const char *url) {
  fb_error err;
  fb_metrics_push push = {.url = url};
  if (fb_metrics_send(metrics, &push, NULL, &err) == FB_OK) return FB_EXIT_OK;
  fb_error_prefix(&err, "the metrics cannot be sent");
  return fb_cli_error(cli, &err);
}

int fb_cli_metrics_end(fb_cli *cli, fb_metrics *metrics, int code) {
  if (!metrics) return code;
  const char *where = fb_cli_text(cli, "metrics", "");
  bool url = strncmp(where, "http://", 7) == 0 || strncmp(where, "https://", 8) == 0;
  int told = url ? S_send(cli, metrics, where) : S_write(cli, metrics, where);
  fb_metrics_free(metrics);
  return code == FB_EXIT_OK ? told : code;
}
