/* SPDX-License-Identifier: Apache-2.0
 * What a template comes to, for those who need not call the VM for it. */
#ifndef FB_CEL_TEMPLATE_H
#define FB_CEL_TEMPLATE_H

#include <flyball/cel.h>

/* True if it is always the same value, which lives as long as the template. */
bool fb_template_constant(const fb_template *template_, fb_value *ret_value);
/* True if it is a field, known by number, of the fact in a slot, and nothing else: `${{ o.id }}`. */
bool fb_template_field(const fb_template *template_, uint32_t *ret_slot, uint32_t *ret_field);

#endif
