/* SPDX-License-Identifier: Apache-2.0
 * Signed heads of journals. */
#ifndef FB_AUDIT_SIGN_H
#define FB_AUDIT_SIGN_H

#include "cli/run_store.h"

/* A head as it was signed. */
typedef struct fb_signed_head {
  fb_journal_head head;
  uint8_t key[FB_PUBLIC_KEY_SIZE];
} fb_signed_head;

/* Signs the head of the open journal with the key in the file (a seed in hex), and adds it to the run's `heads`. */
int fb_audit_sign(fb_cli *cli, const fb_run_place *place, const char *key_file,
                  const fb_journal *journal);
/* Makes a key: the seed into `path` (mode 0600; it must not exist), the public key into path.pub and onto stdout. */
int fb_audit_keygen(fb_cli *cli, const char *path);
/* A key of a file or in hex. */
int fb_audit_read_key(fb_cli *cli, const char *given, uint8_t ret_key[FB_PUBLIC_KEY_SIZE]);
/* The signed heads of a run. Those whose signature does not hold are counted in ret_bad. In the arena. */
int fb_audit_heads(fb_cli *cli, const fb_run_place *place, fb_arena *arena,
                   fb_signed_head **ret_heads, size_t *ret_count, size_t *ret_bad);

#endif
