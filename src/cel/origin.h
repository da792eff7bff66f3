/* SPDX-License-Identifier: Apache-2.0
 *
 * Where errors of evaluation are shown: the lines that an expression stands on, kept with its program.
 */
#ifndef FB_CEL_ORIGIN_H
#define FB_CEL_ORIGIN_H

#include "cel/ast.h"
#include "cel/report.h"

/* Fills expr->origin and the place of every node in it. `report` says which text the source is a part of. */
fb_status fb_cel_origin_set(fb_cel_expr *expr, const fb_cel_options *options,
                            const fb_cel_report *report);
/* A copy in another arena; false when there is no memory. */
bool fb_cel_origin_copy(const fb_cel_origin *from, fb_arena *arena, fb_cel_origin *ret_copy);
/* Places an error at bytes of the origin. err may be NULL. */
void fb_cel_origin_locate(const fb_cel_origin *origin, size_t at, size_t span, fb_error *err);

#endif
