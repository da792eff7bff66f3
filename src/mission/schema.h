/* SPDX-License-Identifier: Apache-2.0
 *
 * What a value may be: the part of JSON Schema that missions use for inputs and outputs.
 */
#ifndef FB_MISSION_SCHEMA_H
#define FB_MISSION_SCHEMA_H

#include "mission/plan.h"

enum {
  FB_SCHEMA_ENUM,
  FB_SCHEMA_MINIMUM,
  FB_SCHEMA_MAXIMUM,
  FB_SCHEMA_MIN_LENGTH,
  FB_SCHEMA_MAX_LENGTH,
  FB_SCHEMA_PATTERN,
  FB_SCHEMA_ITEMS,
  FB_SCHEMA_MIN_ITEMS,
  FB_SCHEMA_MAX_ITEMS,
  FB_SCHEMA_PROPERTIES,
  FB_SCHEMA_REQUIRED,
  FB_SCHEMA_ADDITIONAL,
  FB_SCHEMA_KEYS
};
extern const fb_key_spec fb_schema_specs[FB_SCHEMA_KEYS];

/* From the values of those keys; NULL when none is there (or no memory). */
fb_schema *fb_schema_load(fb_mission_loader *loader, const fb_node *const nodes[FB_SCHEMA_KEYS]);
/* A whole schema, `type` included. */
fb_schema *fb_schema_load_node(fb_mission_loader *loader, const fb_node *node);
/* FB_E_MISSION_INPUT with what does not fit and where in the value: "hosts[2].port". `name` begins that path. */
fb_status fb_schema_check(const fb_schema *schema, fb_slice name, fb_value value, fb_error *err);

#endif
