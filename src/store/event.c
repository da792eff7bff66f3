/* SPDX-License-Identifier: Apache-2.0 */
#include <flyball/store.h>

const char *fb_event_kind_name(unsigned kind) {
  static const char *const names[] = {
      "?",          "run.started",  "run.resumed", "run.ended", "step.started",
      "step.ended", "step.settled", "decided",     "retry",     "note"};
  return kind < sizeof names / sizeof *names ? names[kind] : "?";
}
