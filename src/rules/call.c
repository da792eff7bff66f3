/* SPDX-License-Identifier: Apache-2.0
 * Calculators: C functions that `call` reaches by name, with arguments that are checked before anything runs where their
 * types are known, and when they are called. */
#include "rules/session.h"

#include <stdio.h>

static const fb_calculator *S_find(const fb_calculator *calculators, size_t count, fb_slice name) {
  for (size_t i = 0; i < count; i++)
    if (fb_slice_equal(name, fb_slice_of(calculators[i].name))) return &calculators[i];
  return NULL;
}

/* ── Before anything runs ── */

static void S_tell_unknown(const fb_ruleset *set, const fb_rule_action *action,
                           const fb_calculator *calculators, size_t count, fb_errors *errors) {
  char hint[160] = "a C program registers calculators by fb_session_options.calculators";
  for (size_t i = 0; i < count; i++)
    if (fb_nearest(action->name, &calculators[i].name, 1)) {
      snprintf(hint, sizeof hint, "did you mean `%s`?", calculators[i].name);
      break;
    }
  fb_doc_fail(set->doc, action->node, errors, FB_E_RULE_CALL, hint, "there is no calculator `%.*s`",
              (int)(action->name.len > 60 ? 60 : action->name.len), action->name.ptr);
}

static const fb_parameter *S_parameter(const fb_calculator *calculator, fb_slice name) {
  for (size_t i = 0; i < calculator->parameter_count; i++)
    if (fb_slice_equal(name, fb_slice_of(calculator->parameters[i].name)))
      return &calculator->parameters[i];
  return NULL;
}

static fb_status S_check_argument(const fb_ruleset *set, const fb_calculator *calculator,
                                  const fb_rule_field *field, fb_errors *errors) {
  const fb_parameter *parameter = S_parameter(calculator, field->name);
  int len = (int)(field->name.len > 60 ? 60 : field->name.len);
  if (!parameter) {
    char hint[160] = "";
    for (size_t i = 0; i < calculator->parameter_count && !hint[0]; i++)
      if (fb_nearest(field->name, &calculator->parameters[i].name, 1))
        snprintf(hint, sizeof hint, "did you mean `%s`?", calculator->parameters[i].name);
    return fb_doc_fail(set->doc, field->node, errors, FB_E_RULE_CALL, hint,
                       "calculator `%s` takes no `%.*s`", calculator->name, len, field->name.ptr);
  }
  const fb_cel_type *have = fb_template_type(field->template_);
  if (!have || have->kind == FB_CEL_DYN || have->kind == FB_CEL_OPTIONAL ||
      fb_rule_kind_fits(have->kind, parameter->type))
    return FB_OK;
  return fb_doc_fail(set->doc, field->node, errors, FB_E_RULE_VALUE, "",
                     "`%s` of calculator `%s` has the type %s", parameter->name, calculator->name,
                     fb_field_type_name(parameter->type));
}

static fb_status S_check_call(const fb_ruleset *set, const fb_rule_action *action,
                              const fb_calculator *calculators, size_t count, fb_errors *errors) {
  const fb_calculator *calculator = S_find(calculators, count, action->name);
  if (!calculator) {
    S_tell_unknown(set, action, calculators, count, errors);
    return FB_E_RULE_CALL;
  }
  fb_status first = FB_OK;
  for (uint32_t f = 0; calculator->parameters && f < action->field_count; f++) {
    fb_status status = S_check_argument(set, calculator, &action->fields[f], errors);
    if (first == FB_OK) first = status;
  }
  for (size_t i = 0; calculator->parameters && i < calculator->parameter_count; i++) {
    const fb_parameter *parameter = &calculator->parameters[i];
    uint32_t f = 0;
    while (f < action->field_count &&
           !fb_slice_equal(action->fields[f].name, fb_slice_of(parameter->name)))
      f++;
    if (parameter->optional || f < action->field_count) continue;
    fb_status status = fb_doc_fail(set->doc, action->node, errors, FB_E_RULE_CALL, "",
                                   "calculator `%s` needs `%s`", calculator->name, parameter->name);
    if (first == FB_OK) first = status;
  }
  return first;
}

fb_status fb_ruleset_check_calls(const fb_ruleset *set, const fb_calculator *calculators,
                                 size_t count, fb_errors *errors) {
  fb_status first = FB_OK;
  for (uint32_t r = 0; r < set->rule_count; r++)
    for (uint32_t a = 0; a < set->rules[r].action_count; a++) {
      const fb_rule_action *action = &set->rules[r].actions[a];
      bool again = r && set->rules[r - 1].book == set->rules[r].book; /* told once is enough */
      if (action->kind != FB_THEN_CALL || again) continue;
      fb_status status = S_check_call(set, action, calculators, count, errors);
      if (first == FB_OK) first = status;
    }
  return first;
}

bool fb_ruleset_acts_outside(const fb_ruleset *set) {
  for (uint32_t r = 0; r < set->rule_count; r++)
    for (uint32_t a = 0; a < set->rules[r].action_count; a++)
      if (set->rules[r].actions[a].kind == FB_THEN_CALL ||
          set->rules[r].actions[a].kind == FB_THEN_RUN)
        return true;
  return false;
}

/* ── A call ── */

/* As a declared field takes it; an argument that is absent or null is left out. */
static fb_status S_convert(const fb_parameter *parameter, fb_value *value, fb_error *err) {
  double number = value->kind == FB_INT    ? (double)value->as.i
                  : value->kind == FB_UINT ? (double)value->as.u
                                           : 0;
  int64_t seconds;
  uint32_t nanos;
  switch (parameter->type) {
    case FB_FIELD_ANY: return FB_OK;
    case FB_FIELD_DOUBLE:
      if (value->kind == FB_DOUBLE) return FB_OK;
      if (value->kind != FB_INT && value->kind != FB_UINT) break;
      *value = fb_double(number);
      return FB_OK;
    case FB_FIELD_INT:
      if (value->kind == FB_UINT && value->as.u <= INT64_MAX) *value = fb_int(value->as.i);
      if (value->kind == FB_DOUBLE && value->as.d >= -0x1p63 && value->as.d < 0x1p63 &&
          (double)(int64_t)value->as.d == value->as.d)
        *value = fb_int((int64_t)value->as.d);
      break;
    case FB_FIELD_UINT:
      if (value->kind == FB_INT && value->as.i >= 0) *value = fb_uint(value->as.u);
      break;
    case FB_FIELD_TIMESTAMP:
      if (value->kind == FB_STRING && fb_time_parse(fb_value_text(*value), &seconds, &nanos))
        *value = fb_timestamp(seconds, nanos);
      break;
    default: break;
  }
  static const uint8_t kinds[] = {FB_ABSENT,   FB_BOOL,   FB_INT,   FB_UINT,
                                  FB_DOUBLE,   FB_STRING, FB_BYTES, FB_TIMESTAMP,
                                  FB_DURATION, FB_LIST,   FB_MAP};
  if (value->kind == kinds[parameter->type]) return FB_OK;
  return fb_fail(err, FB_E_RULE_VALUE, "`%s` has the type %s, not %s", parameter->name,
                 fb_field_type_name(parameter->type), fb_kind_name(value->kind));
}

static fb_status S_argument(const fb_calculator *calculator, fb_slice name, fb_value *value,
                            fb_error *err) {
  const fb_parameter *parameter = calculator->parameters ? S_parameter(calculator, name) : NULL;
  if (!parameter) return FB_OK;
  if (value->kind != FB_NULL && value->kind != FB_ABSENT) return S_convert(parameter, value, err);
  if (parameter->optional) return FB_OK;
  return fb_fail(err, FB_E_RULE_VALUE, "`%s` is missing", parameter->name);
}

fb_status fb_call_run(fb_session *session, const fb_rule_action *action, const fb_value *values,
                      fb_rule_place *place, fb_error *err) {
  const fb_calculator *calculator = session->calculators[action->call];
  fb_arena *arena = &session->firing_arena;
  fb_map *args = fb_map_new(arena, action->field_count + 1);
  if (!args) return fb_fail(err, FB_E_NOMEM, "out of memory");
  for (uint32_t f = 0; f < action->field_count; f++) {
    fb_value value = values[f];
    place->node = action->fields[f].node;
    fb_status status = S_argument(calculator, action->fields[f].name, &value, err);
    if (status != FB_OK) return status;
    if (value.kind == FB_NULL || value.kind == FB_ABSENT) continue;
    if (!fb_map_put(args, arena, fb_string(action->fields[f].name), value, NULL))
      return fb_fail(err, FB_E_NOMEM, "out of memory");
  }
  place->node = action->node;
  fb_value result = fb_null();
  fb_error told = {0};
  fb_status status = calculator->call(calculator->context, args, arena, &result, &told);
  if (status != FB_OK) {
    if (told.code)
      *err = told;
    else
      fb_fail(err, status, "it failed");
    fb_error_prefix(err, "calculator `%s`", calculator->name);
    return status;
  }
  if (action->slot != FB_RULE_NONE) session->slots[action->slot] = result;
  return FB_OK;
}

fb_status fb_call_init(fb_session *session) {
  const fb_ruleset *set = session->set;
  const fb_session_options *options = &session->options;
  session->calculators =
      fb_alloc_zero(&session->allocator, (set->call_count + 1) * sizeof *session->calculators);
  if (!session->calculators) return FB_E_NOMEM;
  for (uint32_t i = 0; i < set->call_count; i++)
    session->calculators[i] =
        S_find(options->calculators, options->calculator_count, set->calls[i]);
  return FB_OK;
}

void fb_call_release(fb_session *session) {
  if (session->calculators)
    fb_free(&session->allocator, session->calculators,
            (session->set->call_count + 1) * sizeof *session->calculators);
}
