/* SPDX-License-Identifier: Apache-2.0
 * Rulesets and missions by name: list, read, replace, delete. */
#ifndef FB_SERVER_NAMED_H
#define FB_SERVER_NAMED_H

#include "server/server.h"

fb_answered fb_rulesets_list(fb_request *request);
fb_answered fb_rulesets_show(fb_request *request);
fb_answered fb_rulesets_put(fb_request *request);
fb_answered fb_rulesets_delete(fb_request *request);
fb_answered fb_missions_list(fb_request *request);
fb_answered fb_missions_show(fb_request *request);
fb_answered fb_missions_put(fb_request *request);
fb_answered fb_missions_delete(fb_request *request);

#endif
