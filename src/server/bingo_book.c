/* SPDX-License-Identifier: Apache-2.0
 *
 * Bingo's rules as a rulebook. Each becomes a rule with one condition on `fact as f` that emits its number and the fact's; fields are called
 * f0, f1, … in the order in which conditions name them, so that any text may be a field's name. A condition on a field that a fact lacks, or
 * that is of another kind, does not hold.
 */
#include "server/bingo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_RULES = 1000, MOST_CONDITIONS = 50, MOST_DEPTH = 32 };

typedef struct S_writer {
  fb_bingo_book *book;
  fb_buf cel;
  fb_error *err;
  const char *rule; /* its id, for messages */
} S_writer;

static fb_status S_wrong(S_writer *writer, const char *text) {
  return fb_fail(writer->err, FB_E_SERVER_REQUEST, "rule `%.80s`: %s", writer->rule, text);
}

/* ── Conditions ── */

typedef struct S_operator {
  const char *name, *camel, *cel;
} S_operator;
static const S_operator S_operators[] = {{"equal", "Equal", "=="},
                                         {"not_equal", "NotEqual", "!="},
                                         {"greater_than", "GreaterThan", ">"},
                                         {"less_than", "LessThan", "<"},
                                         {"greater_than_or_equal", "GreaterThanOrEqual", ">="},
                                         {"less_than_or_equal", "LessThanOrEqual", "<="},
                                         {"contains", "Contains", "contains"},
                                         {"starts_with", "StartsWith", "startsWith"},
                                         {"ends_with", "EndsWith", "endsWith"}};
enum { ORDERS = 2, TEXTS = 6, OPERATORS = sizeof S_operators / sizeof *S_operators };

static int S_operator_of(fb_slice name) {
  for (int i = 0; i < OPERATORS; i++)
    if (fb_slice_equal(name, fb_slice_of(S_operators[i].name)) ||
        fb_slice_equal(name, fb_slice_of(S_operators[i].camel)))
      return i;
  return -1;
}

/* "f.f3"; no memory: in cel.failed. */
static void S_field(S_writer *writer, fb_slice name, char out[24]) {
  bool added = false;
  fb_bingo_book *book = writer->book;
  uint32_t number = (uint32_t)book->fields.count;
  fb_table_slot *slot = fb_table_put(&book->fields, name, &added);
  if (!slot) writer->cel.failed = true;
  if (slot && added) slot->value.number = number;
  snprintf(out, 24, "f.f%u", slot ? (unsigned)slot->value.number : 0);
}

static fb_status S_simple(S_writer *writer, const fb_value *condition) {
  const fb_value *field = fb_bingo_get(condition, "field", FB_STRING),
                 *operator_ = fb_bingo_get(condition, "operator", FB_STRING),
                 *value = fb_map_get_text(condition->as.map, FB_SLICE("value"));
  char name[24];
  fb_buf *cel = &writer->cel;
  if (!field || !field->len || !operator_ || !value)
    return S_wrong(writer, "a simple condition has `field`, `operator` and `value`");
  int number = S_operator_of(fb_value_text(*operator_));
  bool is_number = value->kind == FB_INT || value->kind == FB_UINT || value->kind == FB_DOUBLE;
  if (number < 0) return S_wrong(writer, "unknown operator");
  if (!is_number && value->kind != FB_STRING && value->kind != FB_BOOL)
    return S_wrong(writer, "a condition's value is a text, a number or a bool");
  S_field(writer, fb_value_text(*field), name);
  fb_buf_printf(cel, "(has(%s) && ", name);
  if (number >= TEXTS && value->kind == FB_STRING) {
    fb_buf_printf(cel, "(type(%s) == string ? %s.%s(", name, name, S_operators[number].cel);
    fb_json_write(cel, *value, FB_JSON_COMPACT);
    fb_buf_text(cel, ") : false)");
  } else if (number >= TEXTS) {
    return S_wrong(writer, "`contains`, `starts_with` and `ends_with` take a text");
  } else {
    if (number >= ORDERS && value->kind == FB_BOOL) return S_wrong(writer, "bools have no order");
    if (number >= ORDERS)
      fb_buf_printf(
          cel, is_number ? "type(%s) in [int, uint, double] && " : "type(%s) == string && ", name);
    fb_buf_printf(cel, "%s %s ", name, S_operators[number].cel);
    fb_json_write(cel, *value, FB_JSON_COMPACT);
  }
  fb_buf_char(cel, ')');
  writer->book->condition_count++;
  return FB_OK;
}

static fb_status S_condition(S_writer *writer, const fb_value *condition, int depth);

static fb_status S_list(S_writer *writer, const fb_value *list, const char *between, int depth) {
  fb_status status = FB_OK;
  if (!list || !list->as.list->len)
    return S_wrong(writer, "at least one condition is needed in a list of them");
  fb_buf_char(&writer->cel, '(');
  for (uint32_t i = 0; i < list->as.list->len && status == FB_OK; i++) {
    if (i) fb_buf_text(&writer->cel, between);
    status = S_condition(writer, &list->as.list->items[i], depth + 1);
  }
  fb_buf_char(&writer->cel, ')');
  return status;
}

static fb_status S_condition(S_writer *writer, const fb_value *condition, int depth) {
  const fb_value *type = fb_bingo_get(condition, "type", FB_STRING);
  const fb_value *operator_ = fb_bingo_get(condition, "operator", FB_STRING);
  const fb_value *list = fb_bingo_get(condition, "conditions", FB_LIST);
  if (depth > MOST_DEPTH) return S_wrong(writer, "conditions are too deep in each other");
  if (writer->book->condition_count > MOST_RULES * MOST_CONDITIONS)
    return S_wrong(writer, "too many conditions");
  if (type && fb_slice_equal(fb_value_text(*type), FB_SLICE("simple")))
    return S_simple(writer, condition);
  if (!type || !operator_ || !fb_slice_equal(fb_value_text(*type), FB_SLICE("complex")))
    return S_wrong(writer, "a condition is `simple` or `complex`");
  fb_slice how = fb_value_text(*operator_);
  if (fb_slice_equal(how, FB_SLICE("and")) || fb_slice_equal(how, FB_SLICE("And")))
    return S_list(writer, list, " && ", depth);
  if (fb_slice_equal(how, FB_SLICE("or")) || fb_slice_equal(how, FB_SLICE("Or")))
    return S_list(writer, list, " || ", depth);
  if (!fb_slice_equal(how, FB_SLICE("not")) && !fb_slice_equal(how, FB_SLICE("Not")))
    return S_wrong(writer, "a complex condition's operator is and, or or not");
  fb_buf_char(&writer->cel, '!');
  return S_list(writer, list, " || ", depth); /* none of them */
}

/* ── Actions ── */

static const char *const S_calculators[] = {"add",
                                            "multiply",
                                            "percentage_add",
                                            "percentage_deduct",
                                            "proportional_allocator",
                                            "threshold_checker"};
enum { CALCULATORS = sizeof S_calculators / sizeof *S_calculators };

static int S_calculator_of(fb_slice name) {
  for (int i = 0; i < CALCULATORS; i++)
    if (fb_slice_equal(name, fb_slice_of(S_calculators[i]))) return i;
  return -1;
}

static fb_status S_check_action(S_writer *writer, const fb_value *action) {
  const fb_value *type = fb_bingo_get(action, "type", FB_STRING);
  fb_slice name = type ? fb_value_text(*type) : FB_SLICE("");
  if (fb_slice_equal(name, FB_SLICE("set_field")))
    return fb_bingo_get(action, "field", FB_STRING) &&
                   fb_map_get_text(action->as.map, FB_SLICE("value"))
               ? FB_OK
               : S_wrong(writer, "set_field has `field` and `value`");
  if (fb_slice_equal(name, FB_SLICE("log")))
    return fb_bingo_get(action, "message", FB_STRING) ? FB_OK
                                                      : S_wrong(writer, "log has a `message`");
  if (fb_slice_equal(name, FB_SLICE("create_fact")))
    return fb_bingo_get(action, "data", FB_MAP) ? FB_OK : S_wrong(writer, "create_fact has `data`");
  if (!fb_slice_equal(name, FB_SLICE("call_calculator")))
    return S_wrong(writer, "an action is set_field, log, create_fact or call_calculator");
  const fb_value *calculator = fb_bingo_get(action, "calculator_name", FB_STRING);
  if (!calculator || !fb_bingo_get(action, "input_mapping", FB_MAP))
    return S_wrong(writer, "call_calculator has `calculator_name` and `input_mapping`");
  return S_calculator_of(fb_value_text(*calculator)) >= 0
             ? FB_OK
             : S_wrong(writer,
                       "a calculator is add, multiply, percentage_add, percentage_deduct, "
                       "proportional_allocator or threshold_checker");
}

/* The field of the data that the input is mapped to. */
static const fb_value *S_input(const fb_value *action, const fb_map *data, const char *name) {
  const fb_value *mapping = fb_bingo_get(action, "input_mapping", FB_MAP);
  const fb_value *field = fb_bingo_get(mapping, name, FB_STRING);
  return field ? fb_map_get_text(data, fb_value_text(*field)) : NULL;
}

static bool S_number(const fb_value *action, const fb_map *data, const char *const *names,
                     double *ret_number) {
  for (; *names; names++) {
    const fb_value *value = S_input(action, data, *names);
    if (!value) continue;
    *ret_number = value->kind == FB_INT      ? (double)value->as.i
                  : value->kind == FB_UINT   ? (double)value->as.u
                  : value->kind == FB_DOUBLE ? value->as.d
                                             : NAN;
    return isfinite(*ret_number);
  }
  return false;
}

static void S_threshold(const fb_value *action, const fb_map *data, double value, double limit,
                        fb_buf *out) {
  const fb_value *given = S_input(action, data, "operator");
  const char *how = given && given->kind == FB_STRING ? given->as.text : "LessThanOrEqual";
  bool passes = !strcmp(how, "LessThan")             ? value < limit
                : !strcmp(how, "GreaterThan")        ? value > limit
                : !strcmp(how, "GreaterThanOrEqual") ? value >= limit
                : !strcmp(how, "Equal")              ? value == limit
                : !strcmp(how, "NotEqual")           ? value != limit
                                                     : value <= limit;
  char numbers[3][32];
  fb_double_format(value, numbers[0]);
  fb_double_format(limit, numbers[1]);
  fb_double_format(passes ? 0 : fabs(value - limit), numbers[2]);
  fb_buf_printf(out, "{\"passes\":%s,\"value\":%s,\"threshold\":%s", passes ? "true" : "false",
                numbers[0], numbers[1]);
  fb_json_member(out, "operator", fb_slice_of(how));
  fb_buf_printf(out, ",\"violation_amount\":%s,\"status\":\"%s\"}", numbers[2],
                passes ? "compliant" : "non_compliant");
}

/* The result as text: a number, or JSON. */
static fb_status S_calculate(const fb_value *action, const fb_map *data, fb_buf *out,
                             fb_error *err) {
  static const char *const first[] = {
      "a", "x", "value1", "addend1", "multiplicand", "amount", "total_amount", "value", NULL};
  static const char *const second[] = {"b",          "y",          "value2",           "addend2",
                                       "multiplier", "percentage", "individual_value", "threshold",
                                       NULL};
  static const char *const third[] = {"total_value", NULL};
  fb_slice name = fb_value_text(*fb_bingo_get(action, "calculator_name", FB_STRING));
  int which = S_calculator_of(name);
  double a = 0, b = 0, c = 0, result = 0;
  char text[32];
  if (!S_number(action, data, first, &a) || !S_number(action, data, second, &b) ||
      (which == 4 && !S_number(action, data, third, &c)))
    return fb_fail(err, FB_E_SERVER_REQUEST, "calculator `%s`: an input is missing, or no number",
                   S_calculators[which]);
  switch (which) {
    case 0: result = a + b; break;
    case 1: result = a * b; break;
    case 2: result = a + a * b; break;
    case 3: result = a - a * b; break;
    case 4: result = c == 0 ? 0 : a * (b / c); break;
    default: S_threshold(action, data, a, b, out); return FB_OK;
  }
  size_t length = fb_double_format(result, text);
  if (length > 2 && !strcmp(text + length - 2, ".0")) length -= 2;
  fb_buf_add(out, text, length);
  return FB_OK;
}

static fb_status S_act(const fb_value *action, const fb_map *data, uint32_t number, fb_buf *out,
                       fb_error *err) {
  fb_slice type = fb_value_text(*fb_bingo_get(action, "type", FB_STRING));
  if (fb_slice_equal(type, FB_SLICE("set_field"))) {
    fb_buf_text(out, "{\"type\":\"field_set\"");
    fb_json_member(out, "field", fb_value_text(*fb_bingo_get(action, "field", FB_STRING)));
    fb_buf_text(out, ",\"value\":");
    fb_json_write(out, *fb_map_get_text(action->as.map, FB_SLICE("value")), FB_JSON_COMPACT);
  } else if (fb_slice_equal(type, FB_SLICE("log"))) {
    fb_buf_text(out, "{\"type\":\"logged\"");
    fb_json_member(out, "message", fb_value_text(*fb_bingo_get(action, "message", FB_STRING)));
  } else if (fb_slice_equal(type, FB_SLICE("create_fact"))) {
    fb_buf_printf(out,
                  "{\"type\":\"fact_created\",\"fact_id\":%u,\"fact_data\":{\"fields\":", number);
    fb_json_write(out, *fb_bingo_get(action, "data", FB_MAP), FB_JSON_COMPACT);
    fb_buf_char(out, '}');
  } else {
    fb_buf result;
    fb_buf_init(&result, NULL, 0);
    fb_status status = S_calculate(action, data, &result, err);
    fb_buf_text(out, "{\"type\":\"calculator_result\"");
    fb_json_member(out, "calculator",
                   fb_value_text(*fb_bingo_get(action, "calculator_name", FB_STRING)));
    fb_json_member(out, "result", fb_buf_slice(&result));
    out->failed |= result.failed;
    fb_buf_release(&result);
    if (status != FB_OK) return status;
  }
  fb_buf_char(out, '}');
  return FB_OK;
}

fb_status fb_bingo_act(const fb_bingo_book *book, uint32_t rule, const fb_map *data, fb_buf *out,
                       fb_error *err) {
  const fb_list *actions = fb_bingo_get(book->rules[rule], "actions", FB_LIST)->as.list;
  fb_status status = FB_OK;
  for (uint32_t i = 0; i < actions->len && status == FB_OK; i++) {
    if (i) fb_buf_char(out, ',');
    status = S_act(&actions->items[i], data, i + 1, out, err);
  }
  return status;
}

/* ── The book ── */

static int64_t S_priority(const fb_value *rule) {
  const fb_value *value = fb_bingo_get(rule, "priority", FB_INT);
  return value ? value->as.i : 0;
}

/* Those that are enabled, by priority, else as they came. */
static void S_order(fb_bingo_book *book, const fb_list *rules) {
  for (uint32_t i = 0; i < rules->len; i++) {
    const fb_value *enabled = fb_bingo_get(&rules->items[i], "enabled", FB_BOOL);
    if (enabled && !enabled->as.b) continue;
    uint32_t at = book->rule_count++;
    for (; at && S_priority(book->rules[at - 1]) < S_priority(&rules->items[i]); at--)
      book->rules[at] = book->rules[at - 1];
    book->rules[at] = &rules->items[i];
  }
}

static fb_status S_rule(S_writer *writer, const fb_value *rule, uint32_t number, fb_buf *out) {
  const fb_value *id = fb_bingo_get(rule, "id", FB_STRING),
                 *name = fb_bingo_get(rule, "name", FB_STRING),
                 *conditions = fb_bingo_get(rule, "conditions", FB_LIST),
                 *actions = fb_bingo_get(rule, "actions", FB_LIST);
  writer->rule = id ? id->as.text : "";
  if (!id || !name || !name->len) return S_wrong(writer, "a rule has an `id` and a `name`");
  if (!conditions || !conditions->as.list->len || conditions->as.list->len > MOST_CONDITIONS)
    return S_wrong(writer, "a rule has 1 to 50 `conditions`");
  if (!actions || !actions->as.list->len) return S_wrong(writer, "a rule has `actions`");
  fb_buf_clear(&writer->cel);
  fb_status status = S_list(writer, conditions, " && ", 0);
  for (uint32_t i = 0; i < actions->as.list->len && status == FB_OK; i++)
    status = S_check_action(writer, &actions->as.list->items[i]);
  if (status != FB_OK) return status;
  fb_buf_printf(out, "%s{\"name\":\"r%u\",\"when\":[{\"fact as f\":", number ? "," : "", number);
  fb_json_write_text(out, fb_buf_slice(&writer->cel), FB_JSON_COMPACT);
  fb_buf_printf(out, "}],\"then\":[{\"emit\":\"fired\",\"with\":{\"r\":%u,\"n\":\"${{ f.n }}\"}}]}",
                number);
  out->failed |= writer->cel.failed;
  return FB_OK;
}

static fb_status S_compile(fb_bingo_book *book, fb_buf *text, fb_error *err) {
  S_writer writer = {.book = book, .err = err};
  fb_status status = FB_OK;
  fb_errors errors;
  fb_buf_init(&writer.cel, NULL, 0);
  fb_errors_init(&errors, NULL, 0);
  fb_buf_text(text, "{\"rules\":[");
  for (uint32_t i = 0; i < book->rule_count && status == FB_OK; i++)
    status = S_rule(&writer, book->rules[i], i, text);
  fb_buf_text(text, "]}");
  if (status == FB_OK && text->failed) status = fb_fail(err, FB_E_NOMEM, "out of memory");
  if (status == FB_OK && fb_edition_new(fb_buf_slice(text), "rules.json", NULL, FB_SHELF_RULESETS,
                                        &book->edition, &errors) != FB_OK)
    status = fb_fail(err, FB_E_SERVER_REQUEST, "%s",
                     errors.count ? errors.items[0].text : "the rules cannot be translated");
  fb_errors_release(&errors);
  fb_buf_release(&writer.cel);
  return status;
}

fb_status fb_bingo_book_new(fb_value rules, const fb_clock *clock, fb_bingo_book **ret_book,
                            fb_error *err) {
  int64_t start = clock->mono(clock->context);
  fb_value copy;
  fb_buf text;
  if (rules.as.list->len > MOST_RULES)
    return fb_fail(err, FB_E_SERVER_REQUEST, "at most %d rules", MOST_RULES);
  fb_bingo_book *book = calloc(1, sizeof *book);
  if (!book) return fb_fail(err, FB_E_NOMEM, "out of memory");
  atomic_init(&book->users, 1);
  fb_arena_init(&book->arena, NULL, 0);
  fb_table_init(&book->fields, NULL, fb_random_seed_system());
  fb_buf_init(&text, NULL, 0);
  book->rules = fb_arena_alloc(&book->arena, (rules.as.list->len + 1) * sizeof *book->rules);
  fb_status status = book->rules ? fb_value_copy(&book->arena, rules, &copy) : FB_E_NOMEM;
  if (status == FB_OK) {
    S_order(book, copy.as.list);
    status = S_compile(book, &text, err);
  } else {
    fb_fail(err, status, "out of memory");
  }
  if (status == FB_OK) {
    memcpy(book->hash, book->edition->hash, sizeof book->hash);
    book->compiled = clock->mono(clock->context) - start;
    *ret_book = book;
  } else {
    fb_bingo_book_drop(book);
  }
  fb_buf_release(&text);
  return status;
}

void fb_bingo_book_drop(fb_bingo_book *book) {
  if (!book || atomic_fetch_sub(&book->users, 1) != 1) return;
  fb_edition_drop(book->edition);
  fb_table_release(&book->fields);
  fb_arena_release(&book->arena);
  free(book);
}
