/* SPDX-License-Identifier: Apache-2.0
 * For clang-tidy alone (tools/lint includes it before every file but error.c): tells the analyzer what it
 * cannot see from another file, that fb_fail never returns FB_OK. Without it every `ret_` parameter seems to be
 * left unset by a call that succeeded. */
#include <flyball/base.h>
#define fb_fail(err, code, ...)                       \
  ({                                                  \
    fb_status fail_code_ = (code);                    \
    (fb_fail)((err), fail_code_, __VA_ARGS__);        \
    if (fail_code_ == FB_OK) __builtin_unreachable(); \
    fail_code_;                                       \
  })
