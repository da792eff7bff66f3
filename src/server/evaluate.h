/* SPDX-License-Identifier: Apache-2.0
 * Answers to requests, and what those that read JSON share. */
#ifndef FB_SERVER_EVALUATE_H
#define FB_SERVER_EVALUATE_H

#include "server/server.h"

fb_answered fb_evaluate(fb_request *request);
void fb_evaluate_later(fb_request *request);

/* The body as JSON, in the request's arena. False: it is answered. */
bool fb_evaluate_read(fb_request *request, fb_value *ret_body);
/* Its members by name; kinds are bits. False: it is no object, or has others; it is answered. */
bool fb_evaluate_keys(fb_request *request, const fb_value *body, const char *const *names,
                      const uint32_t *kinds, size_t count, const fb_value **values);
/* Held. NULL: it is answered. Number 0: the newest. */
fb_edition *fb_evaluate_ruleset(fb_request *request, fb_slice name, uint64_t number);

#endif
