/* SPDX-License-Identifier: Apache-2.0
 *
 * flyball/loop.h: where the wings meet. Rules and missions do not know each other; the loop gives
 * missions a step that decides by rules.
 */
#ifndef FLYBALL_LOOP_H
#define FLYBALL_LOOP_H

#include <flyball/mission.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All tools of this build: run, shell, write. Static. */
FB_API fb_tools fb_loop_tools(void);

#ifdef __cplusplus
}
#endif
#endif
