/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine against a matcher that is too simple to be wrong: it computes all matches of all rules anew at every
 * change, by nested loops over all facts, with whole conditions evaluated by CEL over maps.
 *
 * FB_ORACLE_ROUNDS=n: so many rulebooks, from seed FB_ORACLE_FROM (1) on; FB_ORACLE_SEED=n: only the one of that seed, with its
 * rulebook shown. FB_ORACLE_STORE=1: facts are paged, as in the second test. FB_ORACLE_RANGES=1: all join by order and elements. FB_ORACLE_LOGICAL=1: most rules assert logically, and what they do often concerns their own reasons.
 */
#include "pages.h"

#include <flyball/cel.h>
#include <flyball/rules.h>

#include <math.h>

enum {
  TYPES = 3,
  FIELDS = 6,
  CONDITIONS = 4,
  PATTERNS = 2,   /* of a group */
  VARIABLES = 32, /* of positives, then of guards, then of groups: 6 for each condition */
  RULES = 40,
  FEW_RULES = 5,
  FACTS = 400,
  MATCHES = 4000, /* comparing them at each change is quadratic */
  SUPPORTS = 2000,
  WORK = 20000000, /* conditions evaluated: nested groups may ask for far more */
  MAX_FIRINGS = 25
};
static const char *const S_type_names[TYPES] = {"a", "b", "c"};
static const char *const S_field_names[FIELDS] = {"id", "x", "y", "s", "f", "t"};
enum { ID, X, Y, S, F, T };

typedef enum S_kind { FACT, NOT, EXISTS, TEST } S_kind;

/* Of a group; `other`: the same variable may be bound to a fact of this instead (an `any`). What a group's conditions read
 * depends on the way in which branches are chosen: bit i of it is set if pattern i is the other one. */
typedef struct S_pattern {
  int type, variable;
  char text[400];
  fb_cel_program *program;
  unsigned watched[1 << PATTERNS]; /* by way */
  struct S_pattern *other;
} S_pattern;

typedef struct S_group {
  S_kind kind; /* NOT, EXISTS */
  int pattern_count;
  S_pattern patterns[PATTERNS];
  char test[400];
  fb_cel_program *program; /* of the test; NULL: none */
  struct S_group *inner;   /* NULL: none */
} S_group;

typedef struct S_condition {
  S_kind kind;
  int type, variable;
  char text[400];
  fb_cel_program *program; /* NULL: no expression */
  unsigned watched;        /* fields that conditions of the rule read of this variable */
  S_group *group;          /* of NOT and EXISTS; NULL: of one fact */
} S_condition;

typedef struct S_action {
  char kind; /* a m r, l: logical assert, f: focus on the group `type` */
  int variable, type, field;
  char value[100];
  fb_cel_program *program;
} S_action;

typedef struct S_rule {
  int number, book, salience, condition_count, positive_count, action_count;
  S_condition conditions[CONDITIONS];
  S_action actions[2];
  bool no_loop, auto_focus, active;
  int group, from, until; /* 0: no bound */
  int salience_variable;  /* whose x is the salience; -1: none */
  int any; /* the condition that has another branch in the rule after it; -1: none; -2: this is that rule */
} S_rule;

typedef struct S_fact {
  int type;
  bool alive, logical;
  uint64_t recency;
  fb_value fields[FIELDS];
  fb_map map;
  fb_entry entries[FIELDS];
  fb_fact_id engine_id;
} S_fact;

typedef struct S_tuple {
  int rule;
  uint64_t tick; /* of the activation */
  bool pending;
  int facts[CONDITIONS];
  int salience;
  uint64_t tags[CONDITIONS], first; /* recencies of its facts, falling; of the first condition's */
} S_tuple;

typedef struct S_tuples {
  S_tuple *items;
  size_t count;
} S_tuples;

typedef struct S_support {
  S_tuple tuple;
  int fact;
} S_support;

typedef struct S_world {
  fb_random random;
  fb_cel_env *env;
  fb_arena arena;
  fb_cel_context context;
  S_rule rules[2 * RULES];
  int rule_count;
  S_fact facts[FACTS];
  int fact_count;
  S_tuples now, next, middle;
  S_support supports[SUPPORTS];
  int support_count;
  S_tuple firing; /* rule -1: none, or no match any more */
  uint64_t tick;
  int firings, firing_book; /* -1: none fires */
  fb_buf book, log, engine_log;
  bool declared, full;
  bool logical;            /* most asserts are */
  bool paged;              /* the engine holds no columns in memory between changes */
  bool ranges;             /* many joins by order or by elements, and more facts */
  bool many;               /* rules, most with more constants than joins */
  bool mixed;              /* fields and constants of all kinds */
  int seen[6], seen_count; /* variables of groups that the next conjunct may read */
  bool control, by_book;   /* strategies, groups and so on; the strategy stands in the rulebook */
  int strategy, clock;     /* clock: seconds */
  int *focus, focus_count;
  bool swaps, show;
  fb_ruleset *ruleset;
  bool overflow; /* more matches than the simple matcher has room or time for: no comparison */
  uint64_t work;
} S_world;

static uint32_t S_below(S_world *w, uint32_t bound) {
  return (uint32_t)fb_random_below(&w->random, bound);
}

#include "rule_oracle_control.h"

/* ── Making rulebooks ── */

static int S_any_variable(S_world *w, const S_rule *rule, int own) {
  if (own >= 0 && S_below(w, 2)) return own;
  int count = rule->positive_count + w->seen_count;
  if (own >= 0 && count == 0) return own;
  int at = count ? (int)S_below(w, (uint32_t)count) : 0;
  return !count ? own : at < rule->positive_count ? at : w->seen[at - rule->positive_count];
}

/* In the ways that have the bits of `mask` as in `way`. */
static bool S_watch_group(S_group *group, int variable, int field, int mask, int way) {
  bool found = false;
  for (int i = 0; i < group->pattern_count; i++) {
    if (group->patterns[i].variable != variable) continue;
    found = true;
    for (int w = 0; w < 1 << PATTERNS; w++)
      if ((w & mask) == way) group->patterns[i].watched[w] |= 1u << field;
  }
  return found;
}

static void S_watch(S_rule *rule, int variable, int field) {
  for (int i = 0; i < rule->condition_count; i++)
    for (S_group *group = rule->conditions[i].group; group; group = group->inner)
      S_watch_group(group, variable, field, 0, 0);
  for (int i = 0; i < rule->condition_count; i++)
    if (rule->conditions[i].kind != TEST && rule->conditions[i].variable == variable)
      rule->conditions[i].watched |= 1u << field;
}

static void S_constant(S_world *w, int n, char *text, size_t size) {
  static const char *const forms[] = {"%d", "%d.0", "%du", "%d.5", "'%d'"};
  snprintf(text, size, forms[w->mixed ? S_below(w, 5) : 0], n);
}

/* One conjunct over the variables bound so far; own: that of the condition, -1: none. */
static void S_conjunct(S_world *w, S_rule *rule, int own, fb_buf *out) {
  int v = own >= 0 && S_below(w, 4) ? own : S_any_variable(w, rule, own),
      u = S_any_variable(w, rule, own);
  static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
  const char *op = operators[S_below(w, 6)];
  int n = (int)S_below(w, 4), field = S_below(w, 2) ? X : Y, other = S_below(w, 2) ? X : Y;
  const char *f = S_field_names[field], *g = S_field_names[other];
  char constant[24];
  S_constant(w, n, constant, sizeof constant);
  switch (w->many && S_below(w, 4)     ? S_below(w, 5)
          : w->ranges && S_below(w, 2) ? 12 + S_below(w, 5)
                                       : S_below(w, 12)) {
    case 0:
    case 1:
      fb_buf_printf(out, "v%d.%s %s %s", v, f, op, constant);
      S_watch(rule, v, field);
      break;
    case 2:
      fb_buf_printf(out, "%s %s v%d.%s", constant, op, v, f);
      S_watch(rule, v, field);
      break;
    case 3:
      fb_buf_printf(out, "v%d.s == '%c'", v, 'p' + n % 2);
      S_watch(rule, v, S);
      break;
    case 4:
      fb_buf_printf(out, "%sv%d.f", n % 2 ? "!" : "", v);
      S_watch(rule, v, F);
      break;
    case 5:
      fb_buf_printf(out, "%shas(v%d.%s)", n == 0 ? "!" : "", v, f);
      S_watch(rule, v, field);
      break;
    case 6:
    case 7:
      fb_buf_printf(out, "v%d.%s == v%d.%s", v, f, u, g);
      S_watch(rule, v, field);
      S_watch(rule, u, other);
      break;
    case 8:
      fb_buf_printf(out, "v%d.s == v%d.s", v, u);
      S_watch(rule, v, S);
      S_watch(rule, u, S);
      break;
    case 9:
      fb_buf_printf(out, "v%d.%s == v%d.%s + %d", v, f, u, g, n - 1);
      S_watch(rule, v, field);
      S_watch(rule, u, other);
      break;
    case 10:
      fb_buf_printf(out, "v%d.%s %s v%d.%s", v, f, op, u, g);
      S_watch(rule, v, field);
      S_watch(rule, u, other);
      break;
    case 12: /* the same from here on, for sorted indexes */
    case 13:
      fb_buf_printf(out, "v%d.%s %s v%d.%s", v, f, operators[2 + n], u, g);
      S_watch(rule, v, field);
      S_watch(rule, u, other);
      break;
    case 14:
      fb_buf_printf(out, "v%d.%s + %d %s v%d.%s", v, f, (int)S_below(w, 3), operators[2 + n], u, g);
      S_watch(rule, v, field);
      S_watch(rule, u, other);
      break;
    case 15:
      if (n < 2) {
        fb_buf_printf(out, "v%d.x %s v%d.%s && v%d.%s %s v%d.y", v, n ? "<" : "<=", u, g, u, f,
                      S_below(w, 2) ? "<" : "<=", v);
        S_watch(rule, v, X);
        S_watch(rule, v, Y);
        S_watch(rule, u, field);
        S_watch(rule, u, other);
        break;
      }
      fb_buf_printf(out, "v%d.%s %s v%d.%s && v%d.s == v%d.s", v, f, operators[2 + n], u, g, v, u);
      S_watch(rule, v, field);
      S_watch(rule, u, other);
      break;
    case 16:
      fb_buf_printf(out, "v%d.%s%s in v%d.t", v, f, n ? "" : " + 1", u);
      S_watch(rule, v, field);
      S_watch(rule, u, T);
      break;
    default:
      fb_buf_printf(out, "(v%d.%s %s %d || v%d.s == 'q')", v, f, op, n, u);
      S_watch(rule, v, field);
      S_watch(rule, u, S);
  }
}

static void S_add_variable(S_world *w, int number) {
  char name[8];
  uint32_t slot;
  snprintf(name, sizeof name, "v%d", number);
  assert_int_equal(fb_cel_env_add(w->env, fb_slice_of(name), fb_cel_simple(FB_CEL_DYN), &slot),
                   FB_OK);
  assert_int_equal(slot, number);
}

static fb_cel_program *S_compile(S_world *w, const char *text) {
  fb_errors errors;
  fb_cel_program *program = NULL;
  fb_errors_init(&errors, NULL, 0);
  if (fb_cel_compile(w->env, fb_slice_of(text), NULL, &program, &errors) != FB_OK)
    fail_msg("%s: %s", text, errors.items[0].text);
  fb_errors_release(&errors);
  return program;
}

static void S_conjuncts(S_world *w, S_rule *rule, int own, uint32_t count, char *text, size_t size,
                        fb_cel_program **program) {
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  for (uint32_t i = 0; i < count; i++) {
    if (i) fb_buf_text(&out, " && ");
    S_conjunct(w, rule, own, &out);
  }
  snprintf(text, size, "%s", out.ptr ? out.ptr : "");
  *program = count ? S_compile(w, text) : NULL;
  fb_buf_release(&out);
}

/* What conjuncts read is noted later, by S_rewatch. */
static S_group *S_make_group(S_world *w, S_rule *rule, S_kind kind, int variable, int depth) {
  S_group *group = calloc(1, sizeof *group);
  int seen = w->seen_count;
  group->kind = kind;
  group->pattern_count = 1 + (int)S_below(w, PATTERNS);
  for (int i = 0; i < group->pattern_count; i++) {
    S_pattern *p = &group->patterns[i];
    for (int branch = 0; branch < 2; branch++) {
      *p = (S_pattern){.type = (int)S_below(w, TYPES), .variable = variable + i};
      S_conjuncts(w, rule, p->variable, S_below(w, 3), p->text, sizeof p->text, &p->program);
      if (branch || w->control || S_below(w, 6)) break; /* complexity would count every branch */
      p = p->other = calloc(1, sizeof *p);
    }
    w->seen[w->seen_count++] = variable + i;
  }
  if (S_below(w, 4) == 0)
    S_conjuncts(w, rule, -1, 1, group->test, sizeof group->test, &group->program);
  if (depth < 3 && S_below(w, 2))
    group->inner = S_make_group(w, rule, S_below(w, 3) ? NOT : EXISTS,
                                variable + group->pattern_count, depth + 1);
  w->seen_count = seen;
  return group;
}

static void S_free_group(S_group *group) {
  for (S_group *inner; group; group = inner) {
    inner = group->inner;
    for (int i = 0; i < group->pattern_count; i++) {
      fb_cel_program_free(group->patterns[i].program);
      if (group->patterns[i].other) fb_cel_program_free(group->patterns[i].other->program);
      free(group->patterns[i].other);
    }
    fb_cel_program_free(group->program);
    free(group);
  }
}

static void S_free_condition(S_condition *c) {
  fb_cel_program_free(c->program);
  S_free_group(c->group);
}

static void S_make_condition(S_world *w, S_rule *rule) {
  S_condition *c = &rule->conditions[rule->condition_count];
  uint32_t dice = S_below(w, 8);
  c->kind = rule->condition_count == 0 && S_below(w, 10) ? FACT
            : dice < 4                                   ? FACT
            : dice < 6                                   ? NOT
            : dice == 6                                  ? EXISTS
                                                         : TEST;
  if (c->kind == TEST && rule->positive_count == 0) c->kind = FACT;
  c->type = (int)S_below(w, w->ranges && S_below(w, 8) ? 1 : TYPES);
  /* Variables of guards have numbers of their own, after those of the positives. */
  c->variable = c->kind == FACT   ? rule->positive_count
                : c->kind == TEST ? -1
                                  : CONDITIONS + rule->condition_count;
  rule->condition_count++;
  if ((c->kind == NOT || c->kind == EXISTS) && S_below(w, 3) == 0) {
    c->group = S_make_group(w, rule, c->kind, 8 + 6 * (rule->condition_count - 1), 1);
    return;
  }
  if (c->kind == FACT) rule->positive_count++;
  S_conjuncts(w, rule, c->variable, c->kind == TEST ? 1 : S_below(w, 4), c->text, sizeof c->text,
              &c->program);
}

static void S_make_action(S_world *w, S_rule *rule) {
  S_action *action = &rule->actions[rule->action_count++];
  uint32_t dice = S_below(w, 6);
  action->kind = rule->positive_count == 0 || dice < 2 ? 'a' : dice < 5 ? 'm' : 'r';
  if (w->logical && S_below(w, 4)) action->kind = 'a';
  if (action->kind == 'a' && (S_below(w, 2) || w->logical)) action->kind = 'l';
  action->variable = rule->positive_count ? (int)S_below(w, (uint32_t)rule->positive_count) : -1;
  action->type = (int)S_below(w, TYPES);
  action->field = S_below(w, 2) ? X : Y;
  if (action->variable >= 0 && S_below(w, 2))
    snprintf(action->value, sizeof action->value, "(v%d.%s + %u) %% 4", action->variable,
             S_field_names[action->field], S_below(w, 3));
  else
    snprintf(action->value, sizeof action->value, "%u", S_below(w, 4));
  action->program = S_compile(w, action->value);
  if (!w->control || S_below(w, 6)) return;
  action->kind = 'f';
  action->type = S_below(w, 2) ? rule->group : 0;
}

/* The rule once more with another condition in one place: that is what `any` means. */
static void S_make_branch(S_world *w, S_rule *rule, S_rule *copy) {
  int at = (int)S_below(w, (uint32_t)rule->condition_count);
  bool fact = rule->conditions[at].kind == FACT;
  *copy = *rule;
  for (int tries = 0; tries < 20; tries++) {
    S_rule start = *rule;
    start.condition_count = at;
    start.positive_count = 0;
    for (int i = 0; i < at; i++) start.positive_count += start.conditions[i].kind == FACT;
    start.conditions[at] = (S_condition){0};
    S_make_condition(w, &start);
    if ((start.conditions[at].kind == FACT) == fact) {
      copy->conditions[at] = start.conditions[at];
      copy->any = -2;
      rule->any = at;
      return;
    }
    S_free_condition(&start.conditions[at]);
  }
}

/* Of pattern `number` of the group, if it is not NULL, in the ways that have its bit as in `way`. */
static void S_watch_text(S_rule *rule, const char *text, S_group *group, int number, int way) {
  for (const char *at = text; *at; at++) {
    if (at[0] != 'v') continue;
    char *end;
    int variable = (int)strtol(at + 1, &end, 10);
    for (int f = X; *end == '.' && f < FIELDS; f++) {
      if (S_field_names[f][0] != end[1]) continue;
      if (!group || !S_watch_group(group, variable, f, 1 << number, way))
        S_watch(rule, variable, f);
    }
  }
}

static void S_rewatch(S_rule *rule) {
  for (int i = 0; i < rule->condition_count; i++) rule->conditions[i].watched = 0;
  for (int i = 0; i < rule->condition_count; i++) {
    S_watch_text(rule, rule->conditions[i].text, NULL, 0, 0);
    for (S_group *group = rule->conditions[i].group; group; group = group->inner) {
      S_watch_text(rule, group->test, NULL, 0, 0);
      for (int k = 0; k < group->pattern_count; k++) {
        S_pattern *p = &group->patterns[k];
        S_watch_text(rule, p->text, group, k, 0);
        if (p->other) S_watch_text(rule, p->other->text, group, k, 1 << k);
      }
    }
  }
}

static void S_write_pattern(S_world *w, const S_pattern *p) {
  fb_buf_printf(&w->book, "%s as v%d", S_type_names[p->type], p->variable);
  if (p->text[0]) fb_buf_printf(&w->book, ": \"%s\"", p->text);
}

/* In YAML's flow style, as `forall` where it may be. */
static void S_write_group(S_world *w, const S_group *group) {
  const S_group *inner = group->inner;
  bool forall = group->kind == NOT && inner && inner->kind == NOT && group->pattern_count == 1 &&
                !group->program && !group->patterns[0].other;
  fb_buf_printf(&w->book, "%s: [", forall ? "forall" : group->kind == NOT ? "not" : "exists");
  for (const S_group *at = group; at; at = forall && at != inner ? inner : NULL) {
    if (at == inner) fb_buf_text(&w->book, ", ");
    for (int i = 0; i < at->pattern_count; i++) {
      if (i) fb_buf_text(&w->book, ", ");
      if (at->patterns[i].other) fb_buf_text(&w->book, "any: [");
      S_write_pattern(w, &at->patterns[i]);
      if (!at->patterns[i].other) continue;
      fb_buf_text(&w->book, ", ");
      S_write_pattern(w, at->patterns[i].other);
      fb_buf_text(&w->book, "]");
    }
    if (at->test[0]) fb_buf_printf(&w->book, ", test: \"%s\"", at->test);
    if (at->inner && !(forall && at == group)) {
      fb_buf_text(&w->book, ", ");
      S_write_group(w, at->inner);
    }
  }
  fb_buf_text(&w->book, "]");
}

static void S_write_condition(S_world *w, const S_condition *c, const char *indent) {
  static const char *const heads[] = {"", "not ", "exists "};
  if (c->group) {
    fb_buf_printf(&w->book, "%s- ", indent);
    S_write_group(w, c->group);
    fb_buf_text(&w->book, "\n");
  } else if (c->kind == TEST)
    fb_buf_printf(&w->book, "%s- test: \"%s\"\n", indent, c->text);
  else if (c->text[0])
    fb_buf_printf(&w->book, "%s- %s%s as v%d: \"%s\"\n", indent, heads[c->kind],
                  S_type_names[c->type], c->variable, c->text);
  else
    fb_buf_printf(&w->book, "%s- %s%s as v%d\n", indent, heads[c->kind], S_type_names[c->type],
                  c->variable);
}

static void S_write_when(S_world *w, const S_rule *rule) {
  for (int i = 0; i < rule->condition_count; i++) {
    const S_condition *c = &rule->conditions[i];
    if (rule->any != i) {
      S_write_condition(w, c, "      ");
      continue;
    }
    fb_buf_text(&w->book, "      - any:\n");
    S_write_condition(w, c, "          ");
    S_write_condition(w, &rule[1].conditions[i], "          - ");
  }
}

static void S_write_rule(S_world *w, const S_rule *rule) {
  fb_buf_printf(&w->book, "  - name: r%d\n%s", rule->book,
                rule->no_loop ? "    no_loop: true\n" : "");
  S_write_control(w, rule);
  fb_buf_text(&w->book, "    when:\n");
  S_write_when(w, rule);
  fb_buf_printf(&w->book, "    then:\n      - emit: r%d\n        with: {", rule->book);
  for (int v = 0; v < rule->positive_count; v++)
    fb_buf_printf(&w->book, "%sv%d: \"${{ v%d.id }}\"", v ? ", " : "", v, v);
  fb_buf_text(&w->book, "}\n");
  for (int i = 0; i < rule->action_count; i++) {
    const S_action *action = &rule->actions[i];
    if (action->kind == 'f')
      fb_buf_printf(&w->book, "      - focus: %s\n", S_group_names[action->type]);
    else if (action->kind == 'r')
      fb_buf_printf(&w->book, "      - retract: v%d\n", action->variable);
    else if (action->kind == 'm')
      fb_buf_printf(&w->book, "      - modify: v%d\n        with: {%s: \"${{ %s }}\"}\n",
                    action->variable, S_field_names[action->field], action->value);
    else
      fb_buf_printf(&w->book, "      - assert: %s\n        with: {id: 99, %s: \"${{ %s }}\"}\n%s",
                    S_type_names[action->type], S_field_names[action->field], action->value,
                    action->kind == 'l' ? "        logical: true\n" : "");
  }
}

static void S_make_book(S_world *w) {
  w->declared = S_below(w, 2);
  w->full = S_below(w, 2);
  w->many = S_below(w, 8) == 0;
  w->ranges = S_below(w, 4) == 0 || getenv("FB_ORACLE_RANGES");
  w->control = S_below(w, 3) == 0;
  w->strategy = w->control ? FB_STRATEGY_DEPTH + (int)S_below(w, 6) : FB_STRATEGY_DEPTH;
  w->mixed = !w->declared && S_below(w, 2);
  w->by_book = w->control && S_below(w, 2);
  w->swaps = S_below(w, 3) == 0;
  /* Many rules with many constants now and then, for the tables that sort facts by them. */
  for (int r = 0, end = 1 + (int)S_below(w, w->ranges ? 2
                                            : w->many ? RULES
                                                      : FEW_RULES);
       r < end; r++) {
    S_rule *rule = &w->rules[w->rule_count];
    *rule = (S_rule){
        .number = w->rule_count++, .book = r, .salience = (int)S_below(w, 3) - 1, .any = -1};
    rule->no_loop = S_below(w, 5) == 0;
    fb_cel_env_truncate(w->env, 0);
    for (int v = 0; v < VARIABLES; v++) S_add_variable(w, v);
    S_make_control(w, rule);
    uint32_t count = 1 + S_below(w, w->ranges ? 3 : CONDITIONS);
    for (uint32_t i = 0; i < count; i++) S_make_condition(w, rule);
    S_make_salience(w, rule);
    uint32_t actions = w->logical ? 1 + S_below(w, 2) : S_below(w, 3);
    for (uint32_t i = 0; i < actions; i++) S_make_action(w, rule);
    /* The loader refuses to touch what was retracted. */
    if (rule->action_count == 2 && rule->actions[0].kind == 'r' && rule->actions[1].kind != 'a' &&
        rule->actions[1].kind != 'l')
      rule->action_count = 1;
    if (rule->action_count < (int)actions && rule->actions[1].program) {
      fb_cel_program_free(rule->actions[1].program);
      rule->actions[1].program = NULL;
    }
    if (S_below(w, 4) == 0) {
      S_make_branch(w, rule, rule + 1);
      if (rule->any >= 0) {
        rule[1].number = w->rule_count++;
      }
    }
    S_rewatch(rule);
    if (rule->any >= 0) S_rewatch(rule + 1);
  }
}

/* ── The simple matcher ── */

typedef struct S_view {
  int absent; /* this fact … */
  unsigned
      changed; /* … is not seen by conditions that read one of these fields; 0: everything is seen */
} S_view;

static bool S_sees(const S_view *view, unsigned watched, int fact) {
  return view->absent != fact || !(watched & view->changed);
}

static bool S_true(S_world *w, const fb_cel_program *program, const fb_value *slots) {
  fb_value value;
  if (!program) return !w->overflow;
  w->overflow |= ++w->work > WORK;
  if (w->overflow) return false;
  w->context.steps = 1000000;
  fb_arena_mark mark = fb_arena_save(&w->arena);
  bool holds = fb_cel_eval(program, slots, &w->context, &value, NULL) == FB_OK &&
               value.kind == FB_BOOL && value.as.b;
  fb_arena_rewind(&w->arena, mark);
  return holds;
}

static bool S_fits(S_world *w, const S_pattern *p, unsigned watched, int f, fb_value *slots,
                   const S_view *view) {
  if (!w->facts[f].alive || w->facts[f].type != p->type || !S_sees(view, watched, f)) return false;
  slots[p->variable] = fb_map_value(&w->facts[f].map);
  return S_true(w, p->program, slots);
}

static bool S_group_holds(S_world *w, const S_group *group, fb_value *slots, const S_view *view);

static bool S_group_finds(S_world *w, const S_group *group, int at, int way, fb_value *slots,
                          const S_view *view) {
  if (at == PATTERNS || at == group->pattern_count)
    return S_true(w, group->program, slots) &&
           (!group->inner || S_group_holds(w, group->inner, slots, view));
  const S_pattern *p = &group->patterns[at], *chosen = way >> at & 1 ? p->other : p;
  bool found = false;
  for (int f = 0; f < w->fact_count && !found; f++)
    found = S_fits(w, chosen, p->watched[way], f, slots, view) &&
            S_group_finds(w, group, at + 1, way, slots, view);
  slots[p->variable] = fb_absent();
  return found;
}

static bool S_is_way(const S_group *group, int way) {
  for (int i = 0; i < PATTERNS; i++)
    if ((way >> i & 1) && (i >= group->pattern_count || !group->patterns[i].other)) return false;
  return true;
}

static bool S_group_holds(S_world *w, const S_group *group, fb_value *slots, const S_view *view) {
  bool found = false;
  for (int way = 0; way < 1 << PATTERNS && !found; way++)
    found = S_is_way(group, way) && S_group_finds(w, group, 0, way, slots, view);
  return found == (group->kind == EXISTS);
}

static bool S_guards(S_world *w, const S_rule *rule, fb_value *slots, const S_view *view) {
  for (int i = 0; i < rule->condition_count; i++) {
    const S_condition *c = &rule->conditions[i];
    if (c->kind == TEST && !S_true(w, c->program, slots)) return false;
    if (c->kind != NOT && c->kind != EXISTS) continue;
    if (c->group) {
      if (!S_group_holds(w, c->group, slots, view)) return false;
      continue;
    }
    bool found = false;
    for (int f = 0; f < w->fact_count && !found; f++) {
      if (!w->facts[f].alive || w->facts[f].type != c->type || !S_sees(view, c->watched, f))
        continue;
      slots[c->variable] = fb_map_value(&w->facts[f].map);
      found = S_true(w, c->program, slots);
    }
    slots[c->variable] = fb_absent();
    if (found != (c->kind == EXISTS)) return false;
  }
  return true;
}

static void S_match(S_world *w, const S_rule *rule, int condition, int *facts, fb_value *slots,
                    const S_view *view, S_tuples *out) {
  while (condition < rule->condition_count && rule->conditions[condition].kind != FACT) condition++;
  if (condition == rule->condition_count) {
    w->overflow |= out->count == MATCHES;
    if (out->count == MATCHES || !S_guards(w, rule, slots, view)) return;
    S_tuple *tuple = &out->items[out->count++];
    *tuple = (S_tuple){.rule = rule->number};
    memcpy(tuple->facts, facts, sizeof tuple->facts);
    return;
  }
  const S_condition *c = &rule->conditions[condition];
  for (int f = 0; f < w->fact_count; f++) {
    if (!w->facts[f].alive || w->facts[f].type != c->type || !S_sees(view, c->watched, f)) continue;
    facts[c->variable] = f;
    slots[c->variable] = fb_map_value(&w->facts[f].map);
    if (S_true(w, c->program, slots)) S_match(w, rule, condition + 1, facts, slots, view, out);
  }
}

static void S_match_all(S_world *w, const S_view *view, S_tuples *out) {
  out->count = 0;
  for (int r = 0; r < w->rule_count; r++) {
    if (!w->rules[r].active) continue;
    int facts[CONDITIONS] = {-1, -1, -1, -1};
    fb_value slots[VARIABLES];
    for (int i = 0; i < VARIABLES; i++) slots[i] = fb_absent();
    S_match(w, &w->rules[r], 0, facts, slots, view, out);
  }
}

static S_tuple *S_find(const S_tuples *tuples, const S_tuple *tuple) {
  for (size_t i = 0; i < tuples->count; i++)
    if (tuples->items[i].rule == tuple->rule &&
        !memcmp(tuples->items[i].facts, tuple->facts, sizeof tuple->facts))
      return &tuples->items[i];
  return NULL;
}

/* Of tuples that were matches before. */
static bool S_goes_on(const S_world *w, const S_view *view, const S_tuple *tuple) {
  return S_find(&w->next, tuple) && (!view || S_find(&w->middle, tuple));
}

/* After a change. A match goes on being one if it was one before and in between (when the changed fact was in no
 * condition that reads what changed); every other is a new activation. */
static void S_change(S_world *w, const S_view *view) {
  S_view whole = {-1, 0};
  w->tick++;
  S_match_all(w, &whole, &w->next);
  if (view) S_match_all(w, view, &w->middle);
  for (size_t i = 0; i < w->next.count; i++) {
    S_tuple *tuple = &w->next.items[i], *before = S_find(&w->now, tuple);
    bool goes_on = before && (!view || S_find(&w->middle, tuple));
    if (goes_on) {
      bool pending = before->pending;
      *tuple = *before;
      tuple->pending = pending;
      continue;
    }
    tuple->tick = w->tick;
    S_rank(w, tuple);
    const S_rule *rule = &w->rules[tuple->rule];
    tuple->pending = !(rule->no_loop && rule->book == w->firing_book);
  }
  S_auto_focus(w, &w->next);
  int kept = 0;
  for (int i = 0; i < w->support_count; i++)
    if (S_goes_on(w, view, &w->supports[i].tuple)) w->supports[kept++] = w->supports[i];
  w->support_count = kept;
  if (w->firing.rule >= 0 && !S_goes_on(w, view, &w->firing)) w->firing.rule = -1;
  S_tuples swap = w->now;
  w->now = w->next;
  w->next = swap;
}

static bool S_supported(const S_world *w, int fact) {
  for (int i = 0; i < w->support_count; i++)
    if (w->supports[i].fact == fact) return true;
  return !w->facts[fact].logical;
}

/* Logical facts without support go, the earliest first, each a change of its own. */
static void S_withdraw(S_world *w) {
  for (int f = 0; f < w->fact_count; f++) {
    if (!w->facts[f].alive || S_supported(w, f)) continue;
    w->facts[f].alive = false;
    S_change(w, NULL);
    f = -1;
  }
}

static void S_changed(S_world *w, const S_view *view) {
  S_change(w, view);
  S_withdraw(w);
}

/* ── Changes ── */

static void S_remap(S_fact *fact) {
  fact->map = (fb_map){.cap = FIELDS, .entries = fact->entries};
  for (int f = 0; f < FIELDS; f++)
    if (fact->fields[f].kind != FB_ABSENT)
      fact->entries[fact->map.len++] =
          (fb_entry){fb_string(fb_slice_of(S_field_names[f])), fact->fields[f]};
}

static S_fact *S_new_fact(S_world *w, int type) {
  if (w->fact_count == FACTS) return NULL;
  S_fact *fact = &w->facts[w->fact_count++];
  *fact = (S_fact){.type = type, .alive = true, .recency = w->tick + 1};
  for (int f = 0; f < FIELDS; f++) fact->fields[f] = fb_absent();
  return fact;
}

static void S_oracle_modify(S_world *w, int number, unsigned fields, const fb_value *values) {
  S_fact *fact = &w->facts[number];
  unsigned changed = 0;
  for (int f = 0; f < FIELDS; f++) {
    if (!(fields >> f & 1)) continue;
    /* NaN, too, is what it was. */
    if (fact->fields[f].kind == values[f].kind && fb_value_order(fact->fields[f], values[f]) == 0)
      continue;
    changed |= 1u << f;
  }
  if (!changed) return;
  for (int f = 0; f < FIELDS; f++)
    if (changed >> f & 1) fact->fields[f] = values[f];
  S_remap(fact);
  fact->recency = w->tick + 1;
  /* The view in between sees the new values, but no condition that reads a changed one sees the fact. */
  S_view view = {number, changed};
  S_changed(w, &view);
}

static void S_oracle_retract(S_world *w, int number) {
  if (!w->facts[number].alive) return;
  w->facts[number].alive = false;
  S_changed(w, NULL);
}

static bool S_values(S_world *w, const S_rule *rule, const S_tuple *tuple, fb_value *values) {
  fb_value slots[VARIABLES];
  for (int i = 0; i < VARIABLES; i++) slots[i] = fb_absent();
  for (int v = 0; v < rule->positive_count; v++)
    slots[v] = fb_map_value(&w->facts[tuple->facts[v]].map);
  for (int v = 0; v < rule->positive_count; v++)
    if (w->facts[tuple->facts[v]].fields[ID].kind == FB_ABSENT) return false;
  for (int i = 0; i < rule->action_count; i++) {
    w->context.steps = 1000000;
    if (rule->actions[i].kind == 'r' || rule->actions[i].kind == 'f') continue;
    if (fb_cel_eval(rule->actions[i].program, slots, &w->context, &values[i], NULL) != FB_OK)
      return false;
  }
  return true;
}

static bool S_same(const S_fact *fact, const S_action *action, fb_value value) {
  if (!fact->alive || !fact->logical || fact->type != action->type) return false;
  for (int f = 0; f < FIELDS; f++) {
    fb_value want = f == ID ? fb_int(99) : f == action->field ? value : fb_absent();
    if (want.kind != fact->fields[f].kind) return false;
    if (want.kind != FB_ABSENT && fb_value_order(want, fact->fields[f]) != 0) return false;
  }
  return true;
}

static void S_oracle_logical(S_world *w, const S_action *action, fb_value value) {
  if (w->firing.rule < 0) return;
  int number = 0;
  while (number < w->fact_count && !S_same(&w->facts[number], action, value)) number++;
  bool made = number == w->fact_count;
  if (made) {
    S_fact *fact = S_new_fact(w, action->type);
    if (!fact) return;
    fact->logical = true;
    fact->fields[ID] = fb_int(99);
    fact->fields[action->field] = value;
    S_remap(fact);
  }
  if (w->support_count == SUPPORTS)
    w->overflow = true;
  else
    w->supports[w->support_count++] = (S_support){w->firing, number};
  if (made) S_changed(w, NULL);
}

static void S_oracle_act(S_world *w, const S_rule *rule, const S_tuple *tuple) {
  fb_value values[2];
  if (!S_values(w, rule, tuple, values)) return;
  fb_buf_printf(&w->log, "{");
  for (int v = 0; v < rule->positive_count; v++)
    fb_buf_printf(&w->log, "%s\"v%d\":%lld", v ? "," : "", v,
                  (long long)w->facts[tuple->facts[v]].fields[ID].as.i);
  fb_buf_printf(&w->log, "}\n");
  for (int i = 0; i < rule->action_count; i++) {
    const S_action *action = &rule->actions[i];
    if (action->kind == 'f') {
      S_focus(w, action->type);
      continue;
    }
    if (action->kind == 'l') {
      S_oracle_logical(w, action, values[i]);
      continue;
    }
    if (action->kind == 'a') {
      S_fact *fact = S_new_fact(w, action->type);
      if (!fact) return;
      fact->fields[ID] = fb_int(99);
      fact->fields[action->field] = values[i];
      S_remap(fact);
      S_changed(w, NULL);
      continue;
    }
    int number = tuple->facts[action->variable];
    fb_value fields[FIELDS];
    if (action->kind == 'r') {
      S_oracle_retract(w, number);
      continue;
    }
    if (!w->facts[number].alive) return;
    fields[action->field] = values[i];
    S_oracle_modify(w, number, 1u << action->field, fields);
  }
}

static void S_oracle_fire(S_world *w) {
  for (int fired = 0;; fired++) {
    S_tuple *best = S_next(w);
    if (!best || fired == MAX_FIRINGS) return;
    best->pending = false;
    S_tuple tuple = w->firing = *best;
    w->firing_book = w->rules[tuple.rule].book;
    S_oracle_act(w, &w->rules[tuple.rule], &tuple);
    w->firing.rule = w->firing_book = -1;
    fb_buf_printf(&w->log, "r%d\n", w->rules[tuple.rule].book);
  }
}

/* ── The engine ── */

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_world *w = context;
  (void)session;
  fb_json_write(&w->engine_log, fb_map_value(decision->fields), 0);
  fb_buf_char(&w->engine_log, '\n');
  return FB_OK;
}

static void S_fired(void *context, fb_session *session, uint32_t rule, uint64_t firing) {
  S_world *w = context;
  (void)firing;
  fb_slice name = fb_ruleset_rule(fb_session_ruleset(session), rule).name;
  fb_buf_printf(&w->engine_log, "%.*s\n", (int)name.len, name.ptr);
}

static fb_value S_random_value(S_world *w, int field);

static fb_value S_random_list(S_world *w) {
  fb_list *list = fb_arena_zero(&w->arena, sizeof *list);
  list->len = list->cap = S_below(w, 4);
  list->items = fb_arena_zero(&w->arena, (list->len + 1) * sizeof *list->items);
  for (uint32_t i = 0; i < list->len; i++) list->items[i] = S_random_value(w, X);
  return fb_list_value(list);
}

static fb_value S_random_value(S_world *w, int field) {
  switch (field) {
    case T: return w->declared || S_below(w, 8) ? S_random_list(w) : fb_int(1);
    case S: return fb_string(S_below(w, 2) ? FB_SLICE("p") : FB_SLICE("q"));
    case F: return fb_bool(S_below(w, 2));
    default: break;
  }
  static const char *const texts[] = {"0", "1", "2", "3"};
  uint32_t n = S_below(w, 4);
  switch (w->mixed ? S_below(w, 6) : 0) {
    case 1: return fb_double(n);
    case 2: return fb_double(n + 0.5);
    case 3: return fb_uint(n);
    case 4: return fb_string(fb_slice_of(texts[n]));
    case 5: return fb_double(NAN);
    default: return fb_int(n);
  }
}

static void S_random_assert(S_world *w, fb_session *session) {
  S_fact *fact = S_new_fact(w, (int)S_below(w, w->ranges && S_below(w, 8) ? 1 : TYPES));
  if (!fact) return;
  for (int f = 0; f < FIELDS; f++)
    if (w->full || S_below(w, 8)) fact->fields[f] = S_random_value(w, f);
  fact->fields[ID] = fb_int(w->fact_count);
  S_remap(fact);
  fb_error err;
  if (fb_session_assert(session, fb_slice_of(S_type_names[fact->type]), &fact->map,
                        &fact->engine_id, &err) != FB_OK)
    fail_msg("assert: %s", err.text);
  S_changed(w, NULL);
}

static void S_random_change(S_world *w, fb_session *session) {
  fb_error err;
  int number = w->fact_count ? (int)S_below(w, (uint32_t)w->fact_count) : -1;
  if (number < 0 || !w->facts[number].engine_id) return;
  S_fact *fact = &w->facts[number];
  if (S_below(w, 3) == 0) {
    assert_int_equal(fb_session_retract(session, fact->engine_id, &err),
                     fact->alive ? FB_OK : FB_E_RULE_FACT);
    S_oracle_retract(w, number);
    return;
  }
  fb_entry entries[2];
  fb_map map = {.cap = 2, .entries = entries};
  fb_value values[FIELDS];
  unsigned fields = 0;
  for (uint32_t i = 0, count = 1 + S_below(w, 2); i < count; i++) {
    int field = X + (int)S_below(w, FIELDS - 1);
    if (fields >> field & 1) continue;
    fields |= 1u << field;
    values[field] = S_random_value(w, field);
    entries[map.len++] = (fb_entry){fb_string(fb_slice_of(S_field_names[field])), values[field]};
  }
  assert_int_equal(fb_session_modify(session, fact->engine_id, &map, &err),
                   fact->alive ? FB_OK : FB_E_RULE_FACT);
  if (fact->alive) S_oracle_modify(w, number, fields, values);
}

static fb_status S_count_left(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_world *w = context;
  fb_value id_value = fb_fact_get(fact, FB_SLICE("id"));
  (void)session;
  (void)id;
  w->engine_log.failed |= id_value.kind != FB_INT;
  return FB_OK;
}

/* The session goes on as its own snapshot. */
static fb_session *S_reborn(fb_session *session, const fb_session_options *options) {
  fb_session *again;
  fb_buf first, second;
  fb_error err;
  fb_buf_init(&first, NULL, 0);
  fb_buf_init(&second, NULL, 0);
  if (fb_session_save(session, &first, &err) != FB_OK) fail_msg("save: %s", err.text);
  if (fb_session_restore(fb_session_ruleset(session), options, NULL, fb_buf_slice(&first), false,
                         &again, &err) != FB_OK)
    fail_msg("restore: %s", err.text);
  assert_int_equal(fb_session_save(again, &second, NULL), FB_OK);
  assert_int_equal(first.len, second.len);
  assert_memory_equal(first.ptr, second.ptr, first.len);
  fb_buf_release(&first);
  fb_buf_release(&second);
  fb_session_free(session);
  return again;
}

#include "rule_oracle_swap.h"

static void S_run(S_world *w) {
  w->firing.rule = w->firing_book = -1;
  w->focus = calloc(FOCUS, sizeof *w->focus);
  bool snapshots = S_below(w, 2);
  fb_session *session;
  fb_session_options options = {
      .max_firings = MAX_FIRINGS,
      .strategy = w->by_book ? FB_STRATEGY_BOOK : (fb_strategy)w->strategy,
      .explain = snapshots,
      .output = {.decision = S_decision, .fired = S_fired, .context = w}};
  fb_test_pages pages = {0};
  fb_page_store store = fb_test_pages_store(&pages);
  if (w->paged) options.store = &store;
  assert_int_equal(fb_session_new(w->ruleset, &options, NULL, &session), FB_OK);
  S_changed(w, NULL);
  for (int i = 0; w->ranges && i < 24; i++) S_random_assert(w, session);
  for (uint32_t step = 0, steps = 5 + S_below(w, 30); step < steps; step++) {
    uint32_t dice = S_below(w, 10);
    S_random_control(w, session);
    S_random_swap(w, session);
    if (dice < 5)
      S_random_assert(w, session);
    else if (dice < 9)
      S_random_change(w, session);
    else {
      fb_status status = fb_session_fire(session, NULL, NULL);
      assert_true(status == FB_OK || status == FB_E_RULE_LIMIT);
      S_oracle_fire(w);
    }
    if (snapshots) session = S_reborn(session, &options);
    if (w->fact_count > (w->ranges ? 90 : 60) || w->overflow) break;
  }
  fb_session_fire(session, NULL, NULL);
  S_oracle_fire(w);
  int alive = 0;
  for (int f = 0; f < w->fact_count; f++) alive += w->facts[f].alive;
  fb_session_query(session, FB_SLICE(""), FB_SLICE(""), S_count_left, w, NULL);
  if (!w->overflow && w->fact_count < FACTS)
    assert_int_equal(fb_session_count(session, FB_SLICE("")), alive);
  fb_session_free(session);
  fb_test_pages_release(&pages);
}

/* A rulebook that contradicts itself is refused; that is no difference. */
static bool S_refused(const fb_errors *errors) {
  for (size_t i = 0; i < errors->count; i++)
    if (errors->items[i].code != FB_E_RULE_NEVER) return false;
  return errors->count > 0;
}

static bool S_round(uint64_t seed, bool show, bool paged) {
  S_world *w = calloc(1, sizeof *w);
  fb_random_seed(&w->random, seed);
  w->logical = getenv("FB_ORACLE_LOGICAL") != NULL;
  w->paged = paged;
  fb_cel_env_new(NULL, &w->env);
  fb_arena_init(&w->arena, NULL, 0);
  fb_cel_context_init(&w->context, &w->arena);
  fb_buf_init(&w->book, NULL, 0);
  fb_buf_init(&w->log, NULL, 0);
  fb_buf_init(&w->engine_log, NULL, 0);
  S_tuples *all[] = {&w->now, &w->next, &w->middle};
  for (int i = 0; i < 3; i++) all[i]->items = malloc(MATCHES * sizeof(S_tuple));
  w->show = show;
  S_make_book(w);
  S_choose_rules(w);
  S_write_book(w);
  if (show) print_message("%s\n", w->book.ptr);
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  bool same = true;
  if (fb_ruleset_read(fb_buf_slice(&w->book), "random.yaml", NULL, &w->ruleset, &errors, NULL) ==
      FB_OK) {
    S_run(w);
    same = w->overflow || fb_slice_equal(fb_buf_slice(&w->log), fb_buf_slice(&w->engine_log));
  } else if (!S_refused(&errors)) {
    print_error("%s\n%s\n", errors.items[0].text, w->book.ptr);
    same = false;
  }
  if (!same || show)
    fprintf(stderr, "seed %llu:\n%s\n-- oracle\n%s\n-- engine\n%s\n", (unsigned long long)seed,
            w->book.ptr, w->log.ptr, w->engine_log.ptr);
  for (int r = 0; r < w->rule_count; r++) {
    if (w->rules[r].any == -2) { /* the rest is that of the rule before */
      S_free_condition(&w->rules[r].conditions[w->rules[r - 1].any]);
      continue;
    }
    for (int i = 0; i < w->rules[r].condition_count; i++)
      S_free_condition(&w->rules[r].conditions[i]);
    for (int i = 0; i < 2; i++) fb_cel_program_free(w->rules[r].actions[i].program);
  }
  for (int i = 0; i < 3; i++) free(all[i]->items);
  free(w->focus);
  fb_errors_release(&errors);
  fb_ruleset_free(w->ruleset);
  fb_cel_context_release(&w->context);
  fb_arena_release(&w->arena);
  fb_cel_env_free(w->env);
  fb_buf_release(&w->book);
  fb_buf_release(&w->log);
  fb_buf_release(&w->engine_log);
  free(w);
  return same;
}

static void S_rounds(uint64_t count, bool paged) {
  const char *rounds = getenv("FB_ORACLE_ROUNDS"), *seed = getenv("FB_ORACLE_SEED"),
             *from = getenv("FB_ORACLE_FROM");
  paged |= getenv("FB_ORACLE_STORE") != NULL;
  if (seed) {
    assert_true(S_round(strtoull(seed, NULL, 10), true, paged));
    return;
  }
  if (rounds) count = paged && !getenv("FB_ORACLE_STORE") ? 0 : strtoull(rounds, NULL, 10);
  uint64_t first = from ? strtoull(from, NULL, 10) : 1;
  for (uint64_t i = first; i < first + count; i++)
    if (!S_round(i, false, paged))
      fail_msg("engine and oracle differ: FB_ORACLE_SEED=%llu", (unsigned long long)i);
}

static void test_random_rulebooks(void **state) {
  (void)state;
  S_rounds(1000, false);
}

static void test_random_rulebooks_with_paged_facts(void **state) {
  (void)state;
  S_rounds(400, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_rulebooks),
                                     cmocka_unit_test(test_random_rulebooks_with_paged_facts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
