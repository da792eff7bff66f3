/* SPDX-License-Identifier: Apache-2.0
 * One delivery: how it goes to where its sink leads. */
#ifndef FB_LOOP_DELIVER_H
#define FB_LOOP_DELIVER_H

#include "loop/engine.h"

/* Ends with fb_delivery_end, now or later. */
void fb_delivery_begin(fb_delivery *delivery);
void fb_delivery_free(fb_delivery *delivery);
/* "t=SECONDS,v1=HEX" over "SECONDS.BODY". */
void fb_delivery_sign(fb_slice secret, int64_t seconds, fb_slice body, char out[96]);

#endif
