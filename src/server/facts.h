/* SPDX-License-Identifier: Apache-2.0
 * Facts for the loop, and how it stands. */
#ifndef FB_SERVER_FACTS_H
#define FB_SERVER_FACTS_H

#include "server/server.h"

fb_answered fb_facts_take(fb_request *request);
fb_answered fb_facts_loop(fb_request *request);

#endif
