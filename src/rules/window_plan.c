/* SPDX-License-Identifier: Apache-2.0
 * Times of facts while a rulebook is loaded: the field that has them, and `expires`. */
#include "rules/aggregate.h"

#include <stdio.h>

bool fb_rule_time_field(fb_rule_loader *loader, const fb_node *node, fb_fact_type *type,
                        fb_slice name, uint32_t *ret_field) {
  if (!name.len) name = FB_SLICE("at");
  fb_status status = fb_fact_type_learn(loader->set->schema, type, name, ret_field);
  if (status == FB_E_NOMEM) loader->nomem = true;
  fb_field_type kind = status == FB_OK ? type->fields[*ret_field].type : FB_FIELD_ANY;
  if (status == FB_OK && (kind == FB_FIELD_ANY || kind == FB_FIELD_TIMESTAMP)) return true;
  if (status == FB_OK)
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_FIELD,
                "declare it as `timestamp`, or name another one: `on FIELD`",
                "the time of a `%.*s` is in its field `%.*s`, which is %s", (int)type->name.len,
                type->name.ptr, (int)name.len, name.ptr, fb_field_type_name(kind));
  else if (status != FB_E_NOMEM)
    fb_doc_fail(loader->doc, node, loader->errors, FB_E_RULE_FIELD,
                "name the field that has its time: `on FIELD`",
                "fact type `%.*s` has no field `%.*s`", (int)type->name.len, type->name.ptr,
                (int)(name.len > 60 ? 60 : name.len), name.ptr);
  return false;
}

/* TIME [on FIELD]. */
static bool S_parse(fb_slice text, int64_t *ret_after, fb_slice *ret_field) {
  int64_t seconds;
  int32_t nanos;
  size_t end = 0;
  while (end < text.len && text.ptr[end] != ' ') end++;
  if (!fb_duration_parse((fb_slice){text.ptr, end}, &seconds, &nanos) || seconds < 0 || nanos < 0 ||
      seconds >= 3153600000 || !(seconds || nanos))
    return false;
  *ret_after = seconds * 1000000000 + nanos;
  *ret_field = (fb_slice){"", 0};
  if (end == text.len) return true;
  if (!fb_slice_starts((fb_slice){text.ptr + end, text.len - end}, FB_SLICE(" on "))) return false;
  *ret_field = (fb_slice){text.ptr + end + 4, text.len - end - 4};
  return fb_rule_is_variable(*ret_field);
}

static void S_expire(fb_rule_loader *loader, const fb_pair *pair) {
  fb_ruleset *set = loader->set;
  fb_rule_expiry expiry = {0};
  fb_slice field;
  fb_fact_type *type = fb_rule_type_named(loader, &pair->key, fb_node_text(&pair->key), false);
  if (!type) return;
  if (pair->value.kind != FB_STRING ||
      !S_parse(fb_node_text(&pair->value), &expiry.after, &field)) {
    fb_doc_fail(loader->doc, &pair->value, loader->errors, FB_E_RULE_SYNTAX,
                "as in `login: 5m` or `login: 5m on seen`",
                "facts expire a time of at most 100 years after their own");
    return;
  }
  expiry.type = type->id;
  if (!fb_rule_time_field(loader, &pair->value, type, field, &expiry.field)) return;
  if (!fb_rule_push(set, (void **)&set->expiries, &set->expiry_cap, set->expiry_count,
                    sizeof expiry))
    loader->nomem = true;
  else
    set->expiries[set->expiry_count++] = expiry;
}

void fb_rule_load_expires(fb_rule_loader *loader, const fb_node *map) {
  for (uint32_t i = 0; i < map->count && !loader->nomem; i++) S_expire(loader, &map->as.pairs[i]);
}
