/* SPDX-License-Identifier: Apache-2.0 */
#include <flyball/base.h>

const char *fb_version(void) {
  return FB_VERSION;
}
