/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions that clients hold: facts stay until they are retracted, the session is deleted or it was left alone too long.
 * A change may be fired at once (`?fire=true`, the default); what the rules decide comes with the answer.
 */
#ifndef FB_SERVER_HELD_H
#define FB_SERVER_HELD_H

#include "server/server.h"

fb_answered fb_held_list(fb_request *request);
fb_answered fb_held_make(fb_request *request);
fb_answered fb_held_show(fb_request *request);
fb_answered fb_held_delete(fb_request *request);
fb_answered fb_held_query(fb_request *request);
fb_answered fb_held_assert(fb_request *request);
fb_answered fb_held_modify(fb_request *request);
fb_answered fb_held_retract(fb_request *request);

#endif
