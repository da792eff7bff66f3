/* SPDX-License-Identifier: Apache-2.0
 * The machine that runs programs. */
#include "cel/origin.h"
#include "cel/program.h"
#include "cel/regex.h"

#include <stdio.h>

/* ── Errors on their way out ─────────────────────────────────────────────────────────────────── */

/* The name of the variable without a value that the instruction reads. */
static fb_slice S_unbound_name(const fb_cel_program *p, const fb_cel_ins *ins,
                               const fb_value *slots) {
  uint16_t operands[2] = {ins->b, ins->c};
  for (int i = 0; i < 2; i++) {
    uint32_t slot = operands[i] & (FB_OPERAND_MAX - 1);
    if (operands[i] >= FB_OPERAND_SLOT && slot < p->slot_count && slots[slot].kind == FB_ABSENT)
      return p->slot_names[slot];
  }
  return FB_SLICE("a variable");
}

static fb_status S_word_lazy(const fb_cel_program *p, const fb_value *slots, fb_value error,
                             const fb_cel_ins *ins, fb_error *err) {
  switch (error.reserved) {
    case FB_LAZY_NO_KEY: {
      fb_value name = p->accesses[ins->d].name;
      return fb_fail(err, FB_E_CEL_NO_KEY, "no such key: '%.*s'",
                     name.len > 100 ? 100 : (int)name.len, name.as.text);
    }
    case FB_LAZY_UNBOUND: {
      fb_slice name = S_unbound_name(p, ins, slots);
      return fb_fail(err, FB_E_CEL_UNBOUND, "`%.*s` has no value",
                     name.len > 100 ? 100 : (int)name.len, name.ptr);
    }
    case FB_LAZY_DIVIDE: return fb_fail(err, FB_E_CEL_DIVIDE, "division by zero");
    case FB_LAZY_OVERFLOW: return fb_fail(err, FB_E_CEL_OVERFLOW, "integer overflow");
    default: return fb_fail(err, FB_E_CEL_VALUE, "a variable holds an error");
  }
}

static fb_status S_report(const fb_cel_program *p, const fb_value *slots, fb_value error,
                          fb_error *err) {
  uint32_t pc = error.len && error.len <= p->code_count ? error.len - 1 : 0;
  fb_status code;
  if (!err && error.as.error) return error.as.error->code;
  if (error.as.error) {
    *err = *error.as.error;
    code = err->code;
  } else {
    code = S_word_lazy(p, slots, error, &p->code[pc], err);
  }
  fb_cel_origin_locate(&p->origin, p->spans[pc].at, p->spans[pc].len, err);
  return code;
}

/* ── What the loop calls ─────────────────────────────────────────────────────────────────────── */

static fb_value S_failed(fb_value value) {
  return value.kind == FB_ERROR ? value : fb_cel_lazy(FB_LAZY_UNBOUND);
}

/* Not to be absorbed by && or ||: the evaluation ends. */
static bool S_is_fatal(fb_value value) {
  return value.kind == FB_ERROR && value.as.error &&
         (value.as.error->code == FB_E_NOMEM || value.as.error->code == FB_E_CEL_BUDGET);
}

static fb_value S_logic(fb_cel_context *context, bool is_and, fb_value a, fb_value b) {
  bool clear = !is_and; /* the value that settles it whatever the other side is */
  if (b.kind == FB_BOOL && b.as.b == clear) return b;
  if (a.kind == FB_BOOL && a.as.b == clear) return a;
  if (a.kind >= FB_ERROR) return S_failed(a);
  if (b.kind >= FB_ERROR) return S_failed(b);
  if (a.kind == FB_BOOL && b.kind == FB_BOOL) return a;
  return fb_operate_misfit(context, is_and ? "&&" : "||", (fb_value[]){a, b}, 2);
}

static fb_value S_not_bool(fb_cel_context *context, const char *what, fb_value value) {
  return value.kind >= FB_ERROR ? S_failed(value) : fb_operate_misfit(context, what, &value, 1);
}

static fb_value S_fail_op(fb_cel_context *context, fb_value name, int32_t what) {
  return fb_cel_fail(context, FB_E_CEL_UNBOUND,
                     what == 0 ? "`%.*s` is not declared" : "there is no function `%.*s`",
                     name.len > 100 ? 100 : (int)name.len, name.as.text);
}

static fb_value S_field(fb_cel_context *context, fb_value of, const fb_cel_access *access) {
  if (FB_LIKELY(of.kind == FB_FACT && access->field >= 0)) {
    fb_value value = fb_facts_get(of.as.facts, of.len, (uint32_t)access->field);
    return FB_LIKELY(value.kind != FB_ABSENT) ? value : fb_cel_lazy(FB_LAZY_NO_KEY);
  }
  return fb_access_select(context, of, access, false);
}

static fb_value S_call(fb_cel_context *context, const fb_cel_call *call, const fb_value *args,
                       uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (args[i].kind >= FB_ERROR) return S_failed(args[i]);
  for (uint32_t n = 0; n < call->count; n++) {
    const fb_cel_candidate *candidate = &call->candidates[n];
    uint32_t i = 0;
    while (i < count && (candidate->masks[i < candidate->count ? i : candidate->count - 1] &
                         FB_KIND_BIT(args[i].kind)))
      i++;
    if (i < count) continue;
    return fb_cel_spend(context, 1) ? candidate->function(context, args, count)
                                    : fb_cel_over_budget(context);
  }
  char name[80];
  snprintf(name, sizeof name, "%.*s", call->name.len > 79 ? 79 : (int)call->name.len,
           call->name.ptr);
  return fb_operate_misfit(context, name, args, count);
}

static fb_value S_new_list(fb_cel_context *context, uint64_t room) {
  fb_list *list = fb_list_new(context->arena, room);
  return list ? fb_list_value(list) : fb_cel_fail(context, FB_E_NOMEM, "no memory for a list");
}

static fb_value S_new_map(fb_cel_context *context, uint64_t room) {
  fb_map *map = fb_map_new(context->arena, room);
  return map ? fb_map_value(map) : fb_cel_fail(context, FB_E_NOMEM, "no memory for a map");
}

/* state[0] the list or map, state[1] the number of the next element. */
static bool S_begin(fb_cel_context *context, fb_value *state, fb_value range,
                    fb_value *ret_failure) {
  fb_map *map;
  if (range.kind == FB_FACT) {
    if (fb_fact_map(range.as.facts, range.len, context->arena, &map)) {
      *ret_failure = fb_cel_fail(context, FB_E_NOMEM, "no memory for a fact");
      return false;
    }
    range = fb_map_value(map);
  }
  if (range.kind != FB_LIST && range.kind != FB_MAP) {
    *ret_failure = range.kind >= FB_ERROR
                       ? S_failed(range)
                       : fb_operate_misfit(context, "comprehension over ", &range, 1);
    return false;
  }
  state[0] = range;
  state[1] = fb_uint(0);
  return true;
}

static bool S_next(fb_value *state, fb_value *variable, bool pair) {
  uint64_t i = state[1].as.u++;
  if (state[0].kind == FB_LIST) {
    if (i >= state[0].as.list->len) return false;
    fb_value item = state[0].as.list->items[i];
    variable[0] = pair ? fb_int((int64_t)i) : item;
    if (pair) variable[1] = item;
    return true;
  }
  if (i >= state[0].as.map->len) return false;
  variable[0] = state[0].as.map->entries[i].key;
  if (pair) variable[1] = state[0].as.map->entries[i].value;
  return true;
}

/* One round of all (stops at false) or exists (stops at true): true to go on. */
static bool S_quantify(fb_cel_context *context, fb_value *into, fb_value round, bool stop) {
  if (round.kind == FB_BOOL) {
    if (round.as.b != stop) return true;
    *into = round;
    return false;
  }
  if (into->kind != FB_ERROR) *into = S_not_bool(context, stop ? "exists" : "all", round);
  return true;
}

/* What is in an optional element: FB_ABSENT for none. */
static fb_value S_element(fb_cel_context *context, fb_value value) {
  if (value.kind == FB_OPTIONAL) return value.as.optional ? *value.as.optional : fb_absent();
  return value.kind >= FB_ERROR ? S_failed(value) : fb_operate_misfit(context, "?", &value, 1);
}

static void S_append_optional(fb_cel_context *context, fb_value *into, fb_value value) {
  fb_value item = S_element(context, value);
  if (item.kind != FB_ABSENT) fb_build_append(context, into, item);
}

static void S_put_optional(fb_cel_context *context, fb_value *into, fb_value key, fb_value value) {
  fb_value item = S_element(context, value);
  if (item.kind == FB_ABSENT && key.kind < FB_ERROR) return;
  fb_build_put(context, into, key, item.kind == FB_ABSENT ? fb_null() : item);
}

/* Texts of one symbol table are equal where their pointers are; of others most differ in the first byte. */
static inline bool S_same_text(fb_value a, fb_value b) {
  if (a.len != b.len) return false;
  return a.as.text == b.as.text || a.len == 0 ||
         (a.as.text[0] == b.as.text[0] && memcmp(a.as.text, b.as.text, a.len) == 0);
}

/* ── The loop ────────────────────────────────────────────────────────────────────────────────── */

static bool S_reserve(fb_cel_context *context, size_t size) {
  if (context->scratch_size >= size) return true;
  void *scratch =
      fb_resize(context->arena->allocator, context->scratch, context->scratch_size, size);
  if (!scratch) return false;
  context->scratch = scratch;
  context->scratch_size = size;
  return true;
}

#define S_AT(operand) (base[(operand) >> 14][(operand) & (FB_OPERAND_MAX - 1)])
#define S_A (regs[ins->a])
#define S_B S_AT(ins->b)
#define S_C S_AT(ins->c)
#define S_NEXT_INS         \
  do {                     \
    ins++;                 \
    goto *labels[ins->op]; \
  } while (0)
#define S_GO(target)          \
  do {                        \
    ins = p->code + (target); \
    goto *labels[ins->op];    \
  } while (0)
/* Stores what may be an error: it learns where it comes from, and a fatal one ends it all. */
#define S_STORE(into, value)                                         \
  do {                                                               \
    fb_value stored_ = (value);                                      \
    if (FB_UNLIKELY(stored_.kind == FB_ERROR)) {                     \
      if (!stored_.len) stored_.len = (uint32_t)(ins - p->code) + 1; \
      if (S_is_fatal(stored_)) {                                     \
        result = stored_;                                            \
        goto done;                                                   \
      }                                                              \
    }                                                                \
    (into) = stored_;                                                \
  } while (0)
/* The same for what a helper left in a register. */
#define S_SETTLE(reg) S_STORE(reg, reg)

#define S_ORDER_OP(name, left, sign)                                  \
  do {                                                                \
    fb_value l_ = (left), r_ = S_C;                                   \
    if (l_.kind == FB_DOUBLE && r_.kind == FB_DOUBLE)                 \
      S_A = fb_bool(l_.as.d sign r_.as.d);                            \
    else if (l_.kind == FB_INT && r_.kind == FB_INT)                  \
      S_A = fb_bool(l_.as.i sign r_.as.i);                            \
    else                                                              \
      S_STORE(S_A, fb_operate_binary(context, FB_OP_##name, l_, r_)); \
    S_NEXT_INS;                                                       \
  } while (0)
#define S_EQUAL_OP(name, left, negated)                                                          \
  do {                                                                                           \
    fb_value l_ = (left), r_ = S_C;                                                              \
    if (l_.kind == FB_STRING && r_.kind == FB_STRING)                                            \
      S_A = fb_bool(S_same_text(l_, r_) != (negated));                                           \
    else if (l_.kind == r_.kind && (l_.kind == FB_INT || l_.kind == FB_BOOL))                    \
      S_A = fb_bool((l_.kind == FB_INT ? l_.as.i == r_.as.i : l_.as.b == r_.as.b) != (negated)); \
    else                                                                                         \
      S_STORE(S_A, fb_operate_binary(context, FB_OP_##name, l_, r_));                            \
    S_NEXT_INS;                                                                                  \
  } while (0)
#define S_ARITHMETIC_OP(name, builtin, sign)                                         \
  do {                                                                               \
    fb_value l_ = S_B, r_ = S_C;                                                     \
    int64_t sum_;                                                                    \
    if (l_.kind == FB_INT && r_.kind == FB_INT && !builtin(l_.as.i, r_.as.i, &sum_)) \
      S_A = fb_int(sum_);                                                            \
    else if (l_.kind == FB_DOUBLE && r_.kind == FB_DOUBLE)                           \
      S_A = fb_double(l_.as.d sign r_.as.d);                                         \
    else                                                                             \
      S_STORE(S_A, fb_operate_binary(context, FB_OP_##name, l_, r_));                \
    S_NEXT_INS;                                                                      \
  } while (0)

/* Returns the result or an error value. Straight code was paid for by the caller: an instruction outside of
 * loops runs at most once. A round of a loop pays for its body here. */
static fb_value S_run(const fb_cel_program *p, const fb_value *slots, fb_cel_context *context) {
  static const void *const labels[] = {
#define S_OP(name) &&L_##name,
      FB_CEL_OPS(S_OP)
#undef S_OP
  };
  fb_value *regs = context->scratch;
  fb_value *const base[4] = {regs, (fb_value *)p->consts, (fb_value *)slots, NULL};
  const fb_cel_ins *ins = p->code;
  fb_value result = fb_null();
  goto *labels[ins->op];

L_MOVE:
  S_STORE(S_A, S_B.kind == FB_ABSENT ? fb_cel_lazy(FB_LAZY_UNBOUND) : S_B);
  S_NEXT_INS;
L_FAIL:
  S_STORE(S_A, S_fail_op(context, S_C, ins->d));
  S_NEXT_INS;
L_JUMP:
  S_GO(ins->d);
L_JUMP_FALSE:
  if (S_A.kind == FB_BOOL && !S_A.as.b) S_GO(ins->d);
  S_NEXT_INS;
L_JUMP_TRUE:
  if (S_A.kind == FB_BOOL && S_A.as.b) S_GO(ins->d);
  S_NEXT_INS;
L_BRANCH:
  if (S_B.kind != FB_BOOL) {
    S_STORE(S_A, S_not_bool(context, "?:", S_B));
    S_NEXT_INS;
  }
  if (!S_B.as.b) S_GO(ins->d);
  ins++;
  S_NEXT_INS;
L_AND:
  if (FB_LIKELY(S_A.kind == FB_BOOL && S_B.kind == FB_BOOL))
    S_A = S_B;
  else
    S_STORE(S_A, S_logic(context, true, S_A, S_B));
  S_NEXT_INS;
L_OR:
  if (FB_LIKELY(S_A.kind == FB_BOOL && S_B.kind == FB_BOOL))
    S_A = S_B;
  else
    S_STORE(S_A, S_logic(context, false, S_A, S_B));
  S_NEXT_INS;
L_NOT:
  S_STORE(S_A, fb_operate_not(context, S_B));
  S_NEXT_INS;
L_NEGATE:
  S_STORE(S_A, fb_operate_negate(context, S_B));
  S_NEXT_INS;
L_ADD:
  S_ARITHMETIC_OP(ADD, __builtin_add_overflow, +);
L_SUB:
  S_ARITHMETIC_OP(SUB, __builtin_sub_overflow, -);
L_MUL:
  S_ARITHMETIC_OP(MUL, __builtin_mul_overflow, *);
L_DIV:
  S_STORE(S_A, fb_operate_binary(context, FB_OP_DIV, S_B, S_C));
  S_NEXT_INS;
L_MOD:
  S_STORE(S_A, fb_operate_binary(context, FB_OP_MOD, S_B, S_C));
  S_NEXT_INS;
L_EQ:
  S_EQUAL_OP(EQ, S_B, false);
L_NE:
  S_EQUAL_OP(NE, S_B, true);
L_LT:
  S_ORDER_OP(LT, S_B, <);
L_LE:
  S_ORDER_OP(LE, S_B, <=);
L_GT:
  S_ORDER_OP(GT, S_B, >);
L_GE:
  S_ORDER_OP(GE, S_B, >=);
L_FIELD_EQ:
  S_EQUAL_OP(EQ, S_field(context, S_B, &p->accesses[ins->d]), false);
L_FIELD_NE:
  S_EQUAL_OP(NE, S_field(context, S_B, &p->accesses[ins->d]), true);
L_FIELD_LT:
  S_ORDER_OP(LT, S_field(context, S_B, &p->accesses[ins->d]), <);
L_FIELD_LE:
  S_ORDER_OP(LE, S_field(context, S_B, &p->accesses[ins->d]), <=);
L_FIELD_GT:
  S_ORDER_OP(GT, S_field(context, S_B, &p->accesses[ins->d]), >);
L_FIELD_GE:
  S_ORDER_OP(GE, S_field(context, S_B, &p->accesses[ins->d]), >=);
L_FIELD:
  S_STORE(S_A, S_field(context, S_B, &p->accesses[ins->d]));
  S_NEXT_INS;
L_IN:
  S_STORE(S_A, fb_access_in(context, S_B, S_C));
  S_NEXT_INS;
L_INDEX:
  S_STORE(S_A, fb_access_index(context, S_B, S_C, false));
  S_NEXT_INS;
L_INDEX_OPT:
  S_STORE(S_A, fb_access_index(context, S_B, S_C, true));
  S_NEXT_INS;
L_SELECT:
  S_STORE(S_A, fb_access_select(context, S_B, &p->accesses[ins->d], false));
  S_NEXT_INS;
L_SELECT_OPT:
  S_STORE(S_A, fb_access_select(context, S_B, &p->accesses[ins->d], true));
  S_NEXT_INS;
L_HAS:
  S_STORE(S_A, fb_access_has(context, S_B, &p->accesses[ins->d]));
  S_NEXT_INS;
L_CALL:
  S_STORE(S_A, S_call(context, &p->calls[ins->d], &S_B, ins->c));
  S_NEXT_INS;
L_LIST:
  S_STORE(S_A, S_new_list(context, (uint64_t)ins->d));
  S_NEXT_INS;
L_APPEND:
  if (!fb_build_append(context, &S_A, S_B)) S_SETTLE(S_A);
  S_NEXT_INS;
L_APPEND_OPT:
  S_append_optional(context, &S_A, S_B);
  S_SETTLE(S_A);
  S_NEXT_INS;
L_MAP:
  S_STORE(S_A, S_new_map(context, (uint64_t)ins->d));
  S_NEXT_INS;
L_PUT:
  if (!fb_build_put(context, &S_A, S_B, S_C)) S_SETTLE(S_A);
  S_NEXT_INS;
L_PUT_OPT:
  S_put_optional(context, &S_A, S_B, S_C);
  S_SETTLE(S_A);
  S_NEXT_INS;
L_ITER:
  if (!S_begin(context, &S_A, S_B, &result)) {
    S_STORE(regs[ins->c], result);
    S_GO(ins->d);
  }
  S_NEXT_INS;
L_NEXT:
  if (!S_next(&S_A, &S_B, false)) S_GO(ins->d);
  goto round;
L_NEXT_PAIR:
  if (!S_next(&S_A, &S_B, true)) S_GO(ins->d);
round:
  if (FB_UNLIKELY(!fb_cel_spend(context, (uint64_t)(p->code + ins->d - ins)))) {
    result = fb_cel_over_budget(context);
    result.len = (uint32_t)(ins - p->code) + 1;
    goto done;
  }
  S_NEXT_INS;
L_ROOM:
  S_STORE(S_A, S_new_list(context, S_B.kind == FB_LIST ? S_B.as.list->len : S_B.as.map->len));
  S_NEXT_INS;
L_ALL:
  if (S_quantify(context, &S_A, S_B, false)) {
    S_SETTLE(S_A);
    S_GO(ins->d);
  }
  S_NEXT_INS;
L_EXISTS:
  if (S_quantify(context, &S_A, S_B, true)) {
    S_SETTLE(S_A);
    S_GO(ins->d);
  }
  S_NEXT_INS;
L_COUNT:
  if (S_B.kind == FB_BOOL) {
    S_A.as.i += S_B.as.b;
    S_GO(ins->d);
  }
  S_STORE(S_A, S_not_bool(context, "exists_one", S_B));
  S_NEXT_INS;
L_COUNTED:
  S_A = fb_bool(S_A.as.i == 1);
  S_NEXT_INS;
L_FILTER:
  if (S_B.kind != FB_BOOL) {
    S_STORE(S_A, S_not_bool(context, "filter", S_B));
    S_NEXT_INS;
  }
  if (!S_B.as.b) S_GO(ins->d);
  ins++;
  S_NEXT_INS;
L_PUSH:
  if (fb_build_append(context, &S_A, S_B)) S_GO(ins->d);
  S_SETTLE(S_A);
  S_NEXT_INS;
L_ENTER:
  if (fb_build_put(context, &S_A, S_B, S_C)) S_GO(ins->d);
  S_SETTLE(S_A);
  S_NEXT_INS;
L_MERGE:
  if (fb_build_merge(context, &S_A, S_B)) S_GO(ins->d);
  S_SETTLE(S_A);
  S_NEXT_INS;
L_SORT:
  S_STORE(S_A, fb_build_sort(context, S_A));
  S_NEXT_INS;
L_UNWRAP:
  result = S_B;
  if (result.kind == FB_OPTIONAL && result.as.optional) {
    S_A = *result.as.optional;
    S_NEXT_INS;
  }
  S_STORE(regs[ins->c],
          result.kind == FB_OPTIONAL ? result : S_not_bool(context, "optMap", result));
  S_GO(ins->d);
L_WRAP:
  S_STORE(S_A, S_B.kind >= FB_ERROR ? S_failed(S_B) : fb_access_some(context, S_B));
  S_NEXT_INS;
L_RETURN:
  result = S_B;
  if (result.kind == FB_ABSENT) result = fb_cel_lazy(FB_LAZY_UNBOUND);
  if (result.kind == FB_ERROR && !result.len) result.len = (uint32_t)(ins - p->code) + 1;
done:
  return result;
}

fb_status fb_cel_eval(const fb_cel_program *program, const fb_value *slots, fb_cel_context *context,
                      fb_value *ret_value, fb_error *err) {
  if (!S_reserve(context, (size_t)program->reg_count * sizeof(fb_value)))
    return fb_fail(err, FB_E_NOMEM, "no memory for the registers");
  fb_value result = fb_cel_spend(context, program->code_count) ? S_run(program, slots, context)
                                                               : fb_cel_over_budget(context);
  if (FB_UNLIKELY(result.kind == FB_ERROR)) return S_report(program, slots, result, err);
  *ret_value = result;
  return FB_OK;
}

void fb_cel_context_init(fb_cel_context *context, fb_arena *arena) {
  *context =
      (fb_cel_context){.arena = arena, .steps = 10 * 1000 * 1000, .max_size = 64 * 1024 * 1024};
}

void fb_cel_context_release(fb_cel_context *context) {
  if (!context) return;
  if (context->scratch) fb_free(context->arena->allocator, context->scratch, context->scratch_size);
  fb_regex_cache_free(context->regexes);
  *context = (fb_cel_context){0};
}
