/* SPDX-License-Identifier: Apache-2.0 */
#include <flyball/base.h>

#include <stdio.h>

int main(void) {
  printf("flyball %s\n", fb_version());
  return 0;
}
