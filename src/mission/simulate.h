/* SPDX-License-Identifier: Apache-2.0
 *
 * A mission on a simulated world: its programs are imitated, its journal is on a disk that loses what disks lose, and it is killed, its
 * power cut and its disk filled, again and again, until it is done. The same seed gives the same, always.
 *
 * What must hold, whatever happens:
 *   - what was committed is in the journal after every crash, and the journal can be read and verifies
 *   - nothing is begun that is not recorded before (but pure steps)
 *   - a step that ended well is never begun again
 *   - what is begun although the end of an earlier attempt is not known says so; with `once` only by a check or a person
 *   - in the end every step is as it would have been without a crash, and so are the outputs
 */
#ifndef FB_MISSION_SIMULATE_H
#define FB_MISSION_SIMULATE_H

#include <flyball/mission.h>

typedef struct fb_simulation_options {
  uint64_t seed;
  const fb_map *inputs;
  const fb_map *
      replies; /* label of a step ("build", "each.3", "each") → {out, err, code, duration}; NULL: all invented */
  uint32_t parallel; /* 0: as the mission has it */
  uint32_t crashes;  /* at most; 0: drawn, up to 6 */
  bool no_failures;  /* invented programs never fail */
} fb_simulation_options;

typedef struct fb_simulation {
  bool broke;
  char what[400]; /* which rule was broken */
  fb_mission_status status;
  uint32_t sessions, kills, cuts, full; /* processes that worked on it; how they were ended */
  uint32_t starts, repeats, decisions, checks;
  uint64_t events;
  int64_t duration; /* simulated, ns */
} fb_simulation;

/* FB_OK whether it broke or not. FB_E_NOMEM, FB_E_MISSION_INPUT. */
fb_status fb_simulate(const fb_mission *mission, const fb_simulation_options *options,
                      const fb_allocator *allocator, fb_simulation *ret_simulation,
                      fb_errors *errors);

#endif
