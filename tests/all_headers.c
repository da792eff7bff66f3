/* SPDX-License-Identifier: Apache-2.0
 * All public headers in one program: no two may use one name for two things. */
#include <flyball/base.h>
#include <flyball/bench.h>
#include <flyball/cel.h>
#include <flyball/data.h>
#include <flyball/guard.h>
#include <flyball/loop.h>
#include <flyball/metrics.h>
#include <flyball/mission.h>
#include <flyball/net.h>
#include <flyball/proof.h>
#include <flyball/rules.h>
#include <flyball/store.h>

int fb_all_headers(void);

int fb_all_headers(void) {
  return (int)strlen(fb_version());
}
