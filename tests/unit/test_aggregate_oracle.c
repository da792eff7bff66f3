/* SPDX-License-Identifier: Apache-2.0
 *
 * Aggregates and windows against a shadow: the same rulebook with a pattern over plain facts in place of each aggregate, in a session of
 * its own, for which this test computes results anew from all facts whenever rules are about to fire, and asserts, modifies and
 * retracts them from outside. Both must fire the same. (That rules without aggregates are right is told by test_rule_oracle.c.)
 *
 * FB_ORACLE_ROUNDS=n: so many rulebooks; FB_ORACLE_SEED=n: only the one of that seed, shown.
 */
#include "test.h"

#include <flyball/rules.h>

enum {
  AGGREGATES = 8,
  RULES = 4,
  FOLDS = 2,
  HELD = 400, /* facts that there were, at most */
  GROUPS = 200,
  MAX_FIRINGS = 20,
  COUNT = 0
};
static const char *const S_types[] = {"a", "b", "c"};
static const char *const S_names[] = {"count", "sum",      "avg",   "min",     "max",
                                      "last",  "distinct", "first", "collect", "percentile"};
enum { SUM = 1, AVG, MIN, MAX, LAST, DISTINCT, FIRST, COLLECT, PERCENTILE };
enum { ALL, WITHIN, KEEP, TUMBLING, SESSION };

typedef struct S_fold {
  int kind;
  bool plain; /* count() */
} S_fold;

/* A rule's texts. */
typedef struct S_rule {
  fb_slice book, shadow;
  bool active, twisted; /* twisted: with one more condition, which holds */
  int aggregates;
} S_rule;

typedef struct S_aggregate {
  int rule;
  int type, window, span;
  bool related, by; /* keys: x, and s */
  char filter[80];  /* over `fact`; "": none */
  int fold_count;
  S_fold folds[FOLDS];
} S_aggregate;

/* A group's result. */
typedef struct S_result {
  int64_t end, start; /* of windows that end, in seconds */
  int number;         /* of its aggregate */
  fb_value keys[2], values[FOLDS];
  fb_fact_id id;
  bool seen, standing;
} S_result;

/* A fact as the test sees it. */
typedef struct S_fact {
  fb_fact_id id;
  int64_t order; /* by which it was asserted */
  fb_value x, y, s, at;
  bool alive, here, held[AGGREGATES]; /* held: by windows that end */
} S_fact;

typedef struct S_world {
  fb_random random;
  fb_arena arena; /* of one step */
  fb_buf book, shadow, log, shadow_log;
  S_aggregate aggregates[AGGREGATES];
  int aggregate_count;
  S_rule rules[RULES];
  int rule_count;
  fb_ruleset *set, *twin_set;
  fb_arena texts; /* of rules */
  S_fact facts[HELD];
  int fact_count, type; /* type: that is being looked at */
  int64_t order;
  S_result results[GROUPS], found[GROUPS];
  int result_count, found_count;
  int64_t now; /* seconds; -1: never moved */
  bool told, full, expires, show;
  bool maintained; /* one aggregate of one group, and logical facts: see S_make_books */
  int aggregate;   /* that the query is for */
  fb_session *session, *twin;
  fb_fact_id ids[HELD], twin_ids[HELD];
  int id_count;
} S_world;

static uint32_t S_below(S_world *w, uint32_t bound) {
  return (uint32_t)fb_random_below(&w->random, bound);
}

/* ── Rulebooks, twice ── */

static void S_both(S_world *w, const char *text) {
  fb_buf_text(&w->book, text);
  fb_buf_text(&w->shadow, text);
}

typedef struct S_condition {
  char text[500], shadow[900],
      empty
          [300]; /* empty: of the shadow where there are no facts; "": such a variant is not there */
  bool may_be_empty;
} S_condition;

static const char *S_field(S_world *w) {
  return S_below(w, 2) ? "x" : "y";
}

static bool S_is_active(const S_world *w, int aggregate) {
  return w->rules[w->aggregates[aggregate].rule].active;
}

static int S_make_aggregate(S_world *w, int patterns, S_condition *c) {
  static const char *const windows[] = {"", " within %ds", " last %d", " tumbling %ds",
                                        " session %ds"};
  int number = w->aggregate_count++;
  S_aggregate *a = &w->aggregates[number];
  *a = (S_aggregate){
      .rule = w->rule_count, .type = (int)S_below(w, 3), .fold_count = 1 + (int)S_below(w, FOLDS)};
  a->window = S_below(w, 2) ? 0 : (int)S_below(w, 5);
  a->span = 1 + (int)S_below(w, 12);
  a->related = patterns > 0 && !w->maintained && S_below(w, 2);
  a->by = !w->maintained && S_below(w, 3) == 0;
  if (S_below(w, 2))
    snprintf(a->filter, sizeof a->filter, "fact.%s %s %u", S_field(w),
             S_below(w, 2) ? ">" : "!=", S_below(w, 3));
  c->may_be_empty = !a->by && a->window != TUMBLING && a->window != SESSION;
  char *text = c->text, *end = c->text + sizeof c->text;
  char has[200] = "", window[40];
  for (int i = 0; i < a->fold_count; i++) {
    S_fold *fold = &a->folds[i];
    fold->kind = (int)S_below(w, 10);
    fold->plain = fold->kind == COUNT && S_below(w, 2);
    text += snprintf(text, (size_t)(end - text), "%s%s(%s%s) as n%d_%d", i ? ", " : "",
                     S_names[fold->kind], fold->plain ? "" : "q.y",
                     fold->kind == PERCENTILE ? ", 40" : "", number, i);
    if (fold->kind != COUNT && fold->kind != SUM && fold->kind != DISTINCT && fold->kind != COLLECT)
      c->may_be_empty = false;
    if (fold->kind != COUNT && fold->kind != COLLECT)
      snprintf(has + strlen(has), sizeof has - strlen(has), " && has(g%d.f%d)", number, i);
    snprintf(has + strlen(has), sizeof has - strlen(has), " && (g%d.f%d == 0 || true)", number, i);
  }
  snprintf(window, sizeof window, windows[a->window], a->span);
  int of = patterns ? (int)S_below(w, (uint32_t)patterns) : 0;
  text += snprintf(text, (size_t)(end - text), "%s of %s as q%s: \"true",
                   a->by ? " by q.s as b" : "", S_types[a->type], window);
  if (a->by) { /* the name of a key has the aggregate's number, too */
    char *b = strstr(c->text, "q.s as b");
    memmove(b + 9, b + 8, strlen(b + 8) + 1);
    b[8] = (char)('0' + number);
    text++;
  }
  if (a->filter[0]) text += snprintf(text, (size_t)(end - text), " && q.%s", a->filter + 5);
  if (a->related) text += snprintf(text, (size_t)(end - text), " && q.x == v%d.x", of);
  snprintf(text, (size_t)(end - text), "\"");
  char join[60] = "";
  if (a->related) snprintf(join, sizeof join, " && g%d.k0 == v%d.x", number, of);
  snprintf(c->shadow, sizeof c->shadow, "g%d as g%d: \"true%s%s\"", number, number, has, join);
  snprintf(c->empty, sizeof c->empty, "not g%d as g%d: \"true%s\"", number, number, join);
  return number;
}

static const char *S_constant(const S_fold *fold) {
  return fold->kind == COLLECT ? "[]" : "0";
}

/* Of the same in a `not` or an `exists`, with a test of its first value. */
static void S_group(S_world *w, int number, S_condition *c) {
  const S_fold *fold = &w->aggregates[number].folds[0];
  bool tested = (fold->kind == COUNT || fold->kind == DISTINCT) && S_below(w, 3),
       less = S_below(w, 2);
  unsigned bound = S_below(w, 4);
  bool empty = c->may_be_empty && !(tested && (less ? bound == 0 : bound > 0)), not = S_below(w, 2);
  char test[2][60] = {"", ""}, text[300], shadow[400];
  snprintf(text, sizeof text, "%s", c->text);
  snprintf(shadow, sizeof shadow, "%s", c->shadow);
  if (tested) {
    snprintf(test[0], sizeof test[0], "\n          - test: n%d_0 %s %u", number,
             less ? "<" : ">=", bound);
    snprintf(test[1], sizeof test[1], ", test: g%d.f0 %s %u", number, less ? "<" : ">=", bound);
  }
  snprintf(c->text, sizeof c->text, "%s:\n          - %s%s", not ? "not" : "exists", text, test[0]);
  const char *none = strchr(c->empty, ' ') + 1;
  int len = snprintf(c->shadow, sizeof c->shadow,
                     not     ? "not: [%s%s]"
                     : empty ? "not: [not: [%s%s]"
                             : "exists: [%s%s]",
                     shadow, test[1]);
  if (empty)
    snprintf(c->shadow + len, sizeof c->shadow - (size_t)len,
             not ? "\n      - not: [not: [%s]]" : ", not: [not: [%s]]]", none);
  c->may_be_empty = false;
}

/* A rule; in the shadow once for each way in which aggregates may be of no facts. */
static void S_make_rule(S_world *w, int number) {
  S_condition conditions[5] = {{{0}}};
  int aggregates[5], kinds[5], patterns = 0, count = 1 + (int)S_below(w, 4), made = 0;
  char tests[5][60];
  int salience = (int)S_below(w, 3) - 1;
  for (int i = 0; i < count; i++) {
    S_condition *c = &conditions[i];
    uint32_t dice = S_below(w, 8);
    kinds[i] = dice < 4 && w->aggregate_count < (w->maintained ? 1 : AGGREGATES) && made < 2 ? 2
               : dice < 6                                                                    ? 0
                                                                                             : 1;
    aggregates[i] = -1;
    tests[i][0] = 0;
    if (kinds[i] == 2) {
      aggregates[i] = S_make_aggregate(w, patterns, c);
      made++;
      if (S_below(w, 4) == 0) {
        S_group(w, aggregates[i], c);
        aggregates[i] = -1;
        continue;
      }
      const S_fold *fold = &w->aggregates[aggregates[i]].folds[0];
      if ((fold->kind == COUNT || fold->kind == DISTINCT) && S_below(w, 2))
        snprintf(tests[i], sizeof tests[i], "%s %u", S_below(w, 2) ? ">=" : "<", S_below(w, 4));
      continue;
    }
    char join[80] = "true";
    if (patterns && S_below(w, 2))
      snprintf(join, sizeof join, "u.%s == v%u.%s", S_field(w), S_below(w, (uint32_t)patterns),
               S_field(w));
    else if (S_below(w, 2))
      snprintf(join, sizeof join, "u.%s > %u", S_field(w), S_below(w, 3));
    char name[8], *at;
    snprintf(name, sizeof name, kinds[i] ? "w%d" : "v%d", kinds[i] ? i : patterns);
    while ((at = strstr(join, "u."))) { /* two letters for one, so that there is room */
      memmove(at + 2, at + 1, strlen(at + 1) + 1);
      at[0] = name[0];
      at[1] = name[1];
    }
    patterns += !kinds[i];
    snprintf(c->text, sizeof c->text, "%s%s as %s: \"%s\"",
             kinds[i] ? S_below(w, 2) ? "not " : "exists " : "", S_types[S_below(w, 3)], name,
             join);
    snprintf(c->shadow, sizeof c->shadow, "%s", c->text);
  }
  char action[200] = "";
  uint32_t dice = S_below(w, 6);
  if (dice < 2)
    snprintf(action, sizeof action,
             "      - assert: %s\n        with: {id: 99, x: %u, y: %u, s: p}\n%s",
             S_types[S_below(w, 3)], S_below(w, 4), S_below(w, 4),
             (w->maintained || !made) && S_below(w, 2) ? "        logical: true\n" : "");
  else if (dice < 4 && patterns)
    snprintf(action, sizeof action,
             "      - modify: v%u\n        with: {%s: \"${{ (v0.x + 1) %% 4 }}\"}\n",
             S_below(w, (uint32_t)patterns), S_field(w));
  else if (dice == 4 && patterns)
    snprintf(action, sizeof action, "      - retract: v%u\n", S_below(w, (uint32_t)patterns));
  fb_buf_printf(&w->book, "  - name: r%d\n    salience: %d\n    when:\n", number, salience);
  for (int i = 0; i < count; i++) {
    fb_buf_printf(&w->book, "      - %s\n", conditions[i].text);
    if (tests[i][0]) fb_buf_printf(&w->book, "      - test: n%d_0 %s\n", aggregates[i], tests[i]);
  }
  fb_buf_text(&w->book, "@");
  int ways = 1;
  for (int i = 0; i < count; i++) ways *= conditions[i].may_be_empty ? 2 : 1;
  for (int way = -1; way < ways; way++) {
    fb_buf *out = way < 0 ? &w->book : &w->shadow;
    int left = way, empties[5] = {0};
    bool dead = false;
    for (int i = 0; i < count && way >= 0; i++) {
      if (!conditions[i].may_be_empty) continue;
      empties[i] = left % 2;
      left /= 2;
      unsigned bound = 0;
      if (empties[i] && tests[i][0]) {
        bool less = tests[i][0] == '<';
        bound = (unsigned)(tests[i][strlen(tests[i]) - 1] - '0');
        dead |= less ? bound == 0 : bound > 0;
      }
    }
    if (dead) continue;
    if (way >= 0) {
      fb_buf_printf(out, "  - name: r%d_%d\n    salience: %d\n    when:\n", number, way, salience);
      for (int i = 0; i < count; i++) {
        fb_buf_printf(out, "      - %s\n", empties[i] ? conditions[i].empty : conditions[i].shadow);
        if (tests[i][0] && !empties[i])
          fb_buf_printf(out, "      - test: g%d.f0 %s\n", aggregates[i], tests[i]);
      }
    }
    if (way >= 0) fb_buf_text(out, "@");
    fb_buf_printf(out, "    then:\n      - emit: r%d\n        with: {z: 0", number);
    for (int v = 0; v < patterns; v++) fb_buf_printf(out, ", v%d: \"${{ v%d.id }}\"", v, v);
    for (int i = 0; i < count; i++) {
      if (aggregates[i] < 0) continue;
      const S_aggregate *a = &w->aggregates[aggregates[i]];
      for (int f = 0; f < a->fold_count; f++) {
        fb_buf_printf(out, ", n%d_%d: \"${{ ", aggregates[i], f);
        if (way < 0)
          fb_buf_printf(out, "n%d_%d", aggregates[i], f);
        else if (empties[i])
          fb_buf_text(out, S_constant(&a->folds[f]));
        else
          fb_buf_printf(out, "g%d.f%d", aggregates[i], f);
        fb_buf_text(out, " }}\"");
      }
      if (a->by)
        fb_buf_printf(out, way < 0 ? ", b%d: \"${{ b%d }}\"" : ", b%d: \"${{ g%d.k1 }}\"",
                      aggregates[i], aggregates[i]);
    }
    fb_buf_printf(out, "}\n%s", action);
  }
}

/* Texts of a rule, in which an @ stands where a condition may be added. */
static fb_slice S_take(S_world *w, fb_buf *text) {
  fb_slice taken = {fb_arena_copy(&w->texts, text->ptr, text->len), text->len};
  fb_buf_clear(text);
  return taken;
}

static void S_write(fb_buf *out, fb_slice text, bool twisted) {
  for (size_t i = 0; i < text.len; i++)
    if (text.ptr[i] != '@')
      fb_buf_char(out, text.ptr[i]);
    else if (twisted)
      fb_buf_text(out, "      - test: \"1 < 2\"\n");
}

/* The books of the rules that are active. */
static void S_write_books(S_world *w) {
  fb_buf_clear(&w->book);
  fb_buf_clear(&w->shadow);
  if (w->expires) fb_buf_text(&w->book, "expires: {a: 15s, b: 20s}\n");
  S_both(w, "rules:\n");
  bool none = true;
  for (int r = 0; r < w->rule_count; r++) {
    const S_rule *rule = &w->rules[r];
    if (!rule->active) continue;
    none = false;
    S_write(&w->book, rule->book, rule->twisted);
    S_write(&w->shadow, rule->shadow, rule->twisted);
  }
  if (none) S_both(w, "  []\n");
}

/* A result that changes may withdraw facts. The engine withdraws when all results have followed, the shadow after each of its
 * changes: that is the same where there is one result. */
static void S_make_books(S_world *w) {
  w->maintained = S_below(w, 3) == 0;
  w->full = S_below(w, 2);
  w->expires = S_below(w, 4) == 0;
  for (int count = 1 + (int)S_below(w, RULES); w->rule_count < count; w->rule_count++) {
    S_rule *rule = &w->rules[w->rule_count];
    int before = w->aggregate_count;
    S_make_rule(w, w->rule_count);
    *rule = (S_rule){.book = S_take(w, &w->book), .shadow = S_take(w, &w->shadow), .active = true};
    rule->aggregates = w->aggregate_count - before;
  }
  S_write_books(w);
}

/* ── What the facts are ── */

static fb_status S_see(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_world *w = context;
  (void)session;
  int i = 0;
  while (i < w->fact_count && w->facts[i].id != id) i++;
  if (i == HELD) return FB_OK;
  if (i == w->fact_count)
    w->facts[w->fact_count++] = (S_fact){.id = id, .order = ++w->order, .alive = true};
  S_fact *at = &w->facts[i];
  at->here = true;
  at->x = fb_fact_get(fact, FB_SLICE("x"));
  at->y = fb_fact_get(fact, FB_SLICE("y"));
  at->s = fb_fact_get(fact, FB_SLICE("s"));
  at->at = fb_fact_get(fact, FB_SLICE("at"));
  return FB_OK;
}

static bool S_timed(const S_fact *fact, int64_t *ret) {
  *ret = fact->at.as.i;
  return fact->at.kind == FB_TIMESTAMP;
}

static fb_status S_hold(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  S_world *w = context;
  const S_aggregate *a = &w->aggregates[w->aggregate];
  (void)session;
  (void)fact;
  for (int i = 0; i < w->fact_count; i++) {
    S_fact *f = &w->facts[i];
    int64_t time;
    if (f->id != id || !S_timed(f, &time)) continue;
    int64_t end = a->window == TUMBLING ? time - time % a->span + a->span : time + a->span;
    f->here = f->held[w->aggregate] || end > w->now;
    if (a->window == TUMBLING) f->here = end > w->now;
  }
  return FB_OK;
}

static fb_status S_forget(void *context, fb_session *session, fb_fact_id id, fb_value fact) {
  (void)context;
  (void)session;
  (void)id;
  (void)fact;
  return FB_OK;
}

static void S_query(S_world *w, int number, fb_query_fn *fn) {
  const S_aggregate *a = &w->aggregates[number];
  w->aggregate = number;
  for (int i = 0; i < w->fact_count; i++) w->facts[i].here = false;
  assert_int_equal(
      fb_session_query(w->twin, fb_slice_of(S_types[a->type]), fb_slice_of(a->filter), fn, w, NULL),
      FB_OK);
}

/* Before and after each change: which facts there are, and which of them windows hold that end. */
static void S_look(S_world *w) {
  for (int i = 0; i < w->fact_count; i++) w->facts[i].here = false;
  for (int t = 0; t < 3; t++)
    fb_session_query(w->twin, fb_slice_of(S_types[t]), FB_SLICE(""), S_see, w, NULL);
  for (int i = 0; i < w->fact_count; i++) w->facts[i].alive = w->facts[i].here;
  for (int n = 0; n < w->aggregate_count; n++) {
    if (w->aggregates[n].window < TUMBLING) continue;
    S_query(w, n, S_is_active(w, n) ? S_hold : S_forget);
    for (int i = 0; i < w->fact_count; i++) w->facts[i].held[n] = w->facts[i].here;
  }
}

/* ── Folds, anew ── */

typedef struct S_members {
  const S_fact *items[HELD];
  int count;
} S_members;

static bool S_is_number(fb_value value) {
  return value.kind == FB_INT || value.kind == FB_DOUBLE;
}

/* Values that count are ints, doubles (quarters), and texts. */
static fb_value S_fold_value(S_world *w, const S_fold *fold, const S_members *members) {
  fb_value values[HELD];
  int count = 0, numbers = 0, ints = 0;
  double sum = 0;
  for (int i = 0; i < members->count; i++) {
    fb_value y = members->items[i]->y;
    if (y.kind == FB_ABSENT || y.kind == FB_NULL) continue;
    numbers += S_is_number(y);
    ints += y.kind == FB_INT;
    sum += y.kind == FB_INT ? (double)y.as.i : y.kind == FB_DOUBLE ? y.as.d : 0;
    values[count++] = y;
  }
  switch (fold->kind) {
    case COUNT: return fb_int(fold->plain ? members->count : count);
    case COLLECT: {
      fb_list *list = fb_list_new(&w->arena, (size_t)count + 1);
      for (int i = 0; i < count; i++) fb_list_push(list, &w->arena, values[i]);
      return fb_list_value(list);
    }
    case DISTINCT: {
      int different = 0;
      for (int i = 0; i < count; i++) {
        int j = 0;
        while (j < i && !fb_value_equal(values[i], values[j])) j++;
        different += j == i;
      }
      return fb_int(different);
    }
    case SUM:
      if (numbers < count) return fb_absent();
      return ints == count ? fb_int((int64_t)sum) : fb_double(sum);
    default: break;
  }
  if (!count) return fb_absent();
  if (fold->kind == FIRST) return values[0];
  if (fold->kind == LAST) return values[count - 1];
  if (numbers && numbers < count) return fb_absent();
  if (fold->kind == AVG) return numbers ? fb_double(sum / count) : fb_absent();
  for (int i = 1; i < count; i++)
    for (int j = i; j && fb_value_order(values[j], values[j - 1]) < 0; j--) {
      fb_value swap = values[j];
      values[j] = values[j - 1];
      values[j - 1] = swap;
    }
  if (fold->kind == PERCENTILE) {
    int rank = 0;
    while (100 * (rank + 1) < 40 * count) rank++;
    return values[rank];
  }
  return values[fold->kind == MIN ? 0 : count - 1];
}

/* Keys that are equal are one, written as an integer where it is one. A text is the test's own: those of facts go with a swap. */
static fb_value S_key(fb_value value) {
  if (value.kind == FB_STRING)
    return fb_string(fb_value_text(value).ptr[0] == 'p' ? FB_SLICE("p") : FB_SLICE("q"));
  bool whole = value.kind == FB_DOUBLE && value.as.d == (double)(int64_t)value.as.d;
  return whole ? fb_int((int64_t)value.as.d) : value;
}

static bool S_keys(const S_aggregate *a, const S_fact *fact, fb_value keys[2]) {
  keys[0] = a->related ? S_key(fact->x) : fb_null();
  keys[1] = a->by ? S_key(fact->s) : fb_null();
  return keys[0].kind != FB_ABSENT && keys[1].kind != FB_ABSENT;
}

static int S_order_keys(const S_result *a, const S_result *b) {
  int order = fb_value_order(a->keys[0], b->keys[0]);
  return order ? order : fb_value_order(a->keys[1], b->keys[1]);
}

static S_result *S_find(S_result *results, int count, int number, const fb_value *keys) {
  for (int i = 0; i < count; i++)
    if (results[i].number == number && !results[i].standing &&
        fb_value_equal(results[i].keys[0], keys[0]) && fb_value_equal(results[i].keys[1], keys[1]))
      return &results[i];
  return NULL;
}

static void S_fill(S_world *w, S_result *result, const S_members *members) {
  const S_aggregate *a = &w->aggregates[result->number];
  for (int f = 0; f < a->fold_count; f++)
    result->values[f] = S_fold_value(w, &a->folds[f], members);
}

static int S_by_order(const void *pa, const void *pb) {
  const S_fact *a = *(const S_fact *const *)pa, *b = *(const S_fact *const *)pb;
  return a->order < b->order ? -1 : a->order > b->order;
}

/* The results that there should be of an aggregate whose windows do not end, in w->found. */
static void S_results(S_world *w, int number) {
  const S_aggregate *a = &w->aggregates[number];
  const S_fact *all[HELD];
  int count = 0;
  w->found_count = 0;
  S_query(w, number, S_see);
  for (int i = 0; i < w->fact_count; i++)
    if (w->facts[i].here) all[count++] = &w->facts[i];
  qsort(all, (size_t)count, sizeof *all, S_by_order);
  for (int i = 0; i < count; i++) {
    fb_value keys[2];
    int64_t time;
    if (!S_keys(a, all[i], keys) || S_find(w->found, w->found_count, number, keys)) continue;
    S_members members = {.count = 0};
    for (int j = i; j < count; j++) {
      fb_value other[2];
      if (!S_keys(a, all[j], other) || !fb_value_equal(keys[0], other[0]) ||
          !fb_value_equal(keys[1], other[1]))
        continue;
      if (a->window == WITHIN &&
          (!S_timed(all[j], &time) || (w->now >= 0 && time + a->span <= w->now)))
        continue;
      members.items[members.count++] = all[j];
    }
    if (!members.count) continue;
    if (a->window == KEEP && members.count > a->span) {
      memmove(members.items, members.items + members.count - a->span,
              (size_t)a->span * sizeof *members.items);
      members.count = a->span;
    }
    S_result *result = &w->found[w->found_count++];
    *result = (S_result){.number = number, .keys = {keys[0], keys[1]}};
    S_fill(w, result, &members);
  }
}

/* ── The shadow's results as facts ── */

static void S_put(S_world *w, fb_map *map, const char *name, fb_value value) {
  fb_map_put(map, &w->arena, fb_string(fb_slice_of(name)), value, NULL);
}

static void S_assert_result(S_world *w, S_result *result) {
  const S_aggregate *a = &w->aggregates[result->number];
  char name[8];
  fb_map *map = fb_map_new(&w->arena, 4);
  if (a->related) S_put(w, map, "k0", result->keys[0]);
  if (a->by) S_put(w, map, "k1", result->keys[1]);
  static const char *const fields[] = {"f0", "f1"};
  for (int f = 0; f < a->fold_count; f++)
    if (result->values[f].kind != FB_ABSENT) S_put(w, map, fields[f], result->values[f]);
  snprintf(name, sizeof name, "g%d", result->number);
  assert_int_equal(fb_session_assert(w->twin, fb_slice_of(name), map, &result->id, NULL), FB_OK);
  /* What it points to goes with the step: from here on the fact has it. */
  assert_true(w->result_count < GROUPS);
  w->results[w->result_count++] = *result;
}

static void S_drop_result(S_world *w, int at) {
  assert_int_equal(fb_session_retract(w->twin, w->results[at].id, NULL), FB_OK);
  w->results[at] = w->results[--w->result_count];
}

static int S_larger(const void *a, const void *b) {
  return S_order_keys(b, a);
}

/* The result of a group as it is, or none any more: only what differs is a change. */
static void S_change_result(S_world *w, S_result *known, const S_result *found) {
  static const char *const fields[] = {"f0", "f1"};
  const S_aggregate *a = &w->aggregates[known->number];
  fb_map *map = fb_map_new(&w->arena, 4);
  for (int f = 0; f < a->fold_count; f++)
    S_put(w, map, fields[f], found->values[f].kind == FB_ABSENT ? fb_absent() : found->values[f]);
  assert_int_equal(fb_session_modify(w->twin, known->id, map, NULL), FB_OK);
}

static void S_follow(S_world *w) {
  S_look(w);
  for (int n = w->aggregate_count; n-- > 0;) {
    if (w->aggregates[n].window >= TUMBLING || !S_is_active(w, n)) continue;
    S_results(w, n);
    for (int i = 0; i < w->result_count; i++) {
      if (w->results[i].number != n || S_find(w->found, w->found_count, n, w->results[i].keys))
        continue;
      w->found[w->found_count] = w->results[i];
      w->found[w->found_count++].seen = true; /* it is to go */
    }
    qsort(w->found, (size_t)w->found_count, sizeof *w->found, S_larger);
    for (int i = 0; i < w->found_count; i++) {
      S_result *known = S_find(w->results, w->result_count, n, w->found[i].keys);
      if (w->found[i].seen)
        S_drop_result(w, (int)(known - w->results));
      else if (known)
        S_change_result(w, known, &w->found[i]);
      else
        S_assert_result(w, &w->found[i]);
    }
  }
  S_look(w);
}

/* Until what is withdrawn changes no result any more. */
static void S_flush(S_world *w) {
  for (int i = 0; i < 30; i++) {
    uint64_t before = fb_session_count(w->twin, FB_SLICE(""));
    S_follow(w);
    if (i && before == fb_session_count(w->twin, FB_SLICE(""))) return;
  }
}

/* ── The clock ── */

static int S_earlier(const void *pa, const void *pb) {
  const S_fact *a = *(const S_fact *const *)pa, *b = *(const S_fact *const *)pb;
  return a->at.as.i < b->at.as.i ? -1 : a->at.as.i > b->at.as.i;
}

static void S_close_run(S_world *w, int number, const fb_value *keys, const S_fact **run, int count,
                        int64_t end) {
  S_members members = {.count = count};
  memcpy(members.items, run, (size_t)count * sizeof *run);
  qsort(members.items, (size_t)count, sizeof *members.items, S_by_order);
  S_result *result = &w->found[w->found_count++];
  *result = (S_result){.number = number, .end = end, .keys = {keys[0], keys[1]}, .standing = true};
  S_fill(w, result, &members);
  for (int i = 0; i < count; i++) w->facts[run[i] - w->facts].held[number] = false;
}

/* The windows of a group that have ended; `run` has its facts by time. */
static void S_close_group(S_world *w, int number, const fb_value *keys, const S_fact **run,
                          int count) {
  const S_aggregate *a = &w->aggregates[number];
  for (int from = 0, to; from < count; from = to) {
    int64_t time = run[from]->at.as.i, end = time - time % a->span + a->span;
    for (to = from + 1; to < count; to++) {
      int64_t next = run[to]->at.as.i;
      if (a->window == TUMBLING ? next >= end : next - run[to - 1]->at.as.i >= a->span) break;
    }
    if (a->window == SESSION) end = run[to - 1]->at.as.i + a->span;
    if (end <= w->now) S_close_run(w, number, keys, run + from, to - from, end);
  }
}

static void S_close(S_world *w, int number) {
  const S_aggregate *a = &w->aggregates[number];
  bool done[HELD] = {false};
  for (int i = 0; i < w->fact_count; i++) {
    const S_fact *run[HELD];
    fb_value keys[2], other[2];
    int count = 0;
    if (!w->facts[i].held[number] || done[i] || !S_keys(a, &w->facts[i], keys)) continue;
    for (int j = i; j < w->fact_count; j++) {
      if (!w->facts[j].held[number] || !S_keys(a, &w->facts[j], other) ||
          !fb_value_equal(keys[0], other[0]) || !fb_value_equal(keys[1], other[1]))
        continue;
      done[j] = true;
      run[count++] = &w->facts[j];
    }
    qsort(run, (size_t)count, sizeof *run, S_earlier);
    S_close_group(w, number, keys, run, count);
  }
}

static int S_later(const void *pa, const void *pb) {
  const S_result *a = pa, *b = pb;
  if (a->end != b->end) return a->end > b->end ? -1 : 1;
  if (a->number != b->number) return a->number > b->number ? -1 : 1;
  return S_order_keys(b, a);
}

static void S_retire(S_world *w) {
  for (int n = 0; n < w->aggregate_count; n++) /* in the order in which they were asserted */
    for (;;) {
      int first = -1;
      for (int i = 0; i < w->result_count; i++)
        if (w->results[i].standing && w->results[i].number == n &&
            (first < 0 || w->results[i].start < w->results[first].start))
          first = i;
      if (first < 0) break;
      S_drop_result(w, first);
    }
}

static void S_expire(S_world *w) {
  static const int64_t after[] = {15, 20};
  for (;;) {
    int first = -1;
    int64_t least = 0;
    S_look(w);
    for (int t = 0; t < 2; t++) {
      for (int i = 0; i < w->fact_count; i++) w->facts[i].here = false;
      fb_session_query(w->twin, fb_slice_of(S_types[t]), FB_SLICE(""), S_see, w, NULL);
      for (int i = 0; i < w->fact_count; i++) {
        int64_t time;
        if (!w->facts[i].here || !S_timed(&w->facts[i], &time) || time + after[t] > w->now)
          continue;
        if (first < 0 || time + after[t] < least) {
          first = i;
          least = time + after[t];
        }
      }
    }
    if (first < 0) return;
    assert_int_equal(fb_session_retract(w->twin, w->facts[first].id, NULL), FB_OK);
  }
}

static void S_advance(S_world *w, int64_t now) {
  fb_error err;
  if (fb_session_advance(w->session, fb_timestamp(now, 0), &err) != FB_OK)
    fail_msg("advance: %s", err.text);
  S_look(w);
  w->now = now;
  if (w->told) S_retire(w);
  w->told = false;
  /* What was held stays held until it is closed: the clock is not asked again. */
  w->found_count = 0;
  for (int n = 0; n < w->aggregate_count; n++)
    if (w->aggregates[n].window >= TUMBLING && S_is_active(w, n)) {
      S_query(w, n, S_see);
      for (int i = 0; i < w->fact_count; i++) w->facts[i].held[n] &= w->facts[i].here;
      S_close(w, n);
    }
  qsort(w->found, (size_t)w->found_count, sizeof *w->found, S_later);
  for (int i = 0; i < w->found_count; i++) {
    w->found[i].start = ++w->order;
    S_assert_result(w, &w->found[i]);
  }
  if (w->expires) S_expire(w);
  S_look(w);
}

/* ── Both ── */

static fb_status S_decision(void *context, fb_session *session, const fb_decision *decision) {
  S_world *w = context;
  fb_buf *log = session == w->twin ? &w->shadow_log : &w->log;
  fb_buf_printf(log, "%.*s ", (int)decision->type.len, decision->type.ptr);
  fb_json_write(log, fb_map_value(decision->fields), 0);
  fb_buf_char(log, '\n');
  return FB_OK;
}

static void S_fire(S_world *w) {
  fb_status status = fb_session_fire(w->session, NULL, NULL);
  assert_true(status == FB_OK || status == FB_E_RULE_LIMIT);
  bool more = true;
  S_flush(w);
  for (int i = 0; more && i < MAX_FIRINGS; i++) {
    uint64_t fired;
    fb_session_fire(w->twin, &fired, NULL);
    more = fired != 0;
    S_flush(w);
  }
  w->told |= status == FB_OK;
  fb_buf_text(&w->log, "--\n");
  fb_buf_text(&w->shadow_log, "--\n");
}

static fb_value S_random_value(S_world *w) {
  static const char *const texts[] = {"p", "q"};
  switch (S_below(w, 12)) {
    case 0: return fb_double(S_below(w, 4) + 0.25);
    case 1: return fb_double(S_below(w, 3));
    case 2: return S_below(w, 4) ? fb_int(2) : fb_string(fb_slice_of(texts[S_below(w, 2)]));
    case 3: return w->full ? fb_int(0) : S_below(w, 2) ? fb_null() : fb_absent();
    default: return fb_int(S_below(w, 4));
  }
}

static void S_random_assert(S_world *w) {
  fb_map *map = fb_map_new(&w->arena, 8);
  S_put(w, map, "id", fb_int(w->id_count + 1));
  fb_value x = S_random_value(w), y = S_random_value(w);
  if (x.kind != FB_ABSENT) S_put(w, map, "x", x);
  if (y.kind != FB_ABSENT) S_put(w, map, "y", y);
  if (S_below(w, 10)) S_put(w, map, "s", fb_string(S_below(w, 2) ? FB_SLICE("p") : FB_SLICE("q")));
  int64_t time = (w->now < 0 ? 0 : w->now) + (int64_t)S_below(w, 16) - 9;
  /* Different times, so that none ties. */
  if (S_below(w, 8)) S_put(w, map, "at", fb_timestamp(time < 0 ? 0 : time, 0));
  fb_slice type = fb_slice_of(S_types[S_below(w, 3)]);
  assert_int_equal(fb_session_assert(w->session, type, map, &w->ids[w->id_count], NULL), FB_OK);
  assert_int_equal(fb_session_assert(w->twin, type, map, &w->twin_ids[w->id_count], NULL), FB_OK);
  w->id_count++;
  S_look(w);
}

static void S_random_change(S_world *w) {
  if (!w->id_count) return;
  uint32_t at = S_below(w, (uint32_t)w->id_count);
  fb_status status;
  if (S_below(w, 3) == 0) {
    status = fb_session_retract(w->session, w->ids[at], NULL);
    assert_int_equal(fb_session_retract(w->twin, w->twin_ids[at], NULL), status);
  } else {
    fb_map *map = fb_map_new(&w->arena, 2);
    fb_value value = S_random_value(w);
    S_put(w, map, S_field(w), value);
    status = fb_session_modify(w->session, w->ids[at], map, NULL);
    assert_int_equal(fb_session_modify(w->twin, w->twin_ids[at], map, NULL), status);
  }
  S_look(w);
}

static void S_reborn(S_world *w, const fb_session_options *options) {
  fb_session *again;
  fb_buf first, second;
  fb_error err;
  fb_buf_init(&first, NULL, 0);
  fb_buf_init(&second, NULL, 0);
  if (fb_session_save(w->session, &first, &err) != FB_OK) fail_msg("save: %s", err.text);
  if (fb_session_restore(fb_session_ruleset(w->session), options, NULL, fb_buf_slice(&first), false,
                         &again, &err) != FB_OK)
    fail_msg("restore: %s", err.text);
  assert_int_equal(fb_session_save(again, &second, NULL), FB_OK);
  assert_int_equal(first.len, second.len);
  assert_memory_equal(first.ptr, second.ptr, first.len);
  fb_buf_release(&first);
  fb_buf_release(&second);
  fb_session_free(w->session);
  w->session = again;
}

/* ── Another rulebook ── */

static fb_status S_load(const fb_buf *book, const char *name, fb_ruleset **ret) {
  fb_errors errors;
  fb_errors_init(&errors, NULL, 0);
  fb_status status = fb_ruleset_read(fb_buf_slice(book), name, NULL, ret, &errors, NULL);
  if (status != FB_OK && status != FB_E_RULE_NEVER) print_error("%s\n", errors.items[0].text);
  fb_errors_release(&errors);
  return status;
}

/* Results of aggregates that are gone, and what their windows held, go; what stands does until rules that are new have fired. */
static void S_swap(S_world *w, fb_ruleset *rules, fb_ruleset *shadow, bool news) {
  fb_error err;
  if (fb_session_swap(w->session, rules, &err) != FB_OK) fail_msg("swap: %s", err.text);
  if (fb_session_swap(w->twin, shadow, &err) != FB_OK) fail_msg("swap: %s", err.text);
  fb_ruleset_free(w->set);
  fb_ruleset_free(w->twin_set);
  w->set = rules;
  w->twin_set = shadow;
  if (w->show) {
    fprintf(stderr, "-- swap at %zu\n%s\n", w->log.len, w->book.ptr);
  }
  w->told &= !news;
  for (int i = w->result_count; i-- > 0;)
    if (!S_is_active(w, w->results[i].number)) S_drop_result(w, i);
  S_look(w);
}

static void S_random_swap(S_world *w) {
  S_rule before[RULES];
  bool expires = w->expires;
  memcpy(before, w->rules, sizeof before);
  for (int r = 0; r < w->rule_count; r++) {
    S_rule *rule = &w->rules[r];
    rule->active = S_below(w, 4) != 0;
    if (rule->aggregates < 2 && S_below(w, 4) == 0) rule->twisted = !rule->twisted;
  }
  if (S_below(w, 4) == 0) w->expires = !w->expires;
  S_write_books(w);
  fb_ruleset *rules = NULL, *shadow = NULL;
  if (S_load(&w->book, "book.yaml", &rules) == FB_OK &&
      S_load(&w->shadow, "shadow.yaml", &shadow) == FB_OK) {
    bool news = false;
    for (int r = 0; r < w->rule_count; r++)
      news |= w->rules[r].active && (!before[r].active || before[r].twisted != w->rules[r].twisted);
    S_swap(w, rules, shadow, news);
    return;
  }
  fb_ruleset_free(rules);
  memcpy(w->rules, before, sizeof before);
  w->expires = expires;
}

static void S_run(S_world *w) {
  fb_session_options options = {.max_firings = MAX_FIRINGS,
                                .output = {.decision = S_decision, .context = w}},
                     single = options;
  bool snapshots = S_below(w, 2), swaps = S_below(w, 3) == 0;
  single.max_firings = 1;
  assert_int_equal(fb_session_new(w->set, &options, NULL, &w->session), FB_OK);
  assert_int_equal(fb_session_new(w->twin_set, &single, NULL, &w->twin), FB_OK);
  w->now = -1;
  for (uint32_t step = 0, steps = 10 + S_below(w, 40); step < steps && w->fact_count < 100;
       step++) {
    uint32_t dice = S_below(w, 12);
    if (dice < 5)
      S_random_assert(w);
    else if (dice < 8)
      S_random_change(w);
    else if (dice < 10)
      S_advance(w, (w->now < 0 ? 0 : w->now) + (int64_t)S_below(w, S_below(w, 4) ? 5 : 30));
    else
      S_fire(w);
    if (swaps && S_below(w, 4) == 0) S_random_swap(w);
    if (snapshots) S_reborn(w, &options);
    if (S_below(w, 20) == 0) assert_int_equal(fb_session_compact(w->session, NULL), FB_OK);
    fb_arena_reset(&w->arena);
  }
  S_fire(w);
  fb_session_free(w->session);
  fb_session_free(w->twin);
}

static bool S_round(uint64_t seed, bool show, int *ran) {
  S_world *w = calloc(1, sizeof *w);
  fb_buf *bufs[] = {&w->book, &w->shadow, &w->log, &w->shadow_log};
  fb_random_seed(&w->random, seed);
  w->show = show;
  fb_arena_init(&w->arena, NULL, 0);
  fb_arena_init(&w->texts, NULL, 0);
  for (int i = 0; i < 4; i++) fb_buf_init(bufs[i], NULL, 0);
  S_make_books(w);
  fb_status first = S_load(&w->book, "book.yaml", &w->set);
  fb_status second = S_load(&w->shadow, "shadow.yaml", &w->twin_set);
  bool same = true;
  if (first == FB_OK && second == FB_OK) {
    S_run(w);
    same = fb_slice_equal(fb_buf_slice(&w->log), fb_buf_slice(&w->shadow_log));
    ++*ran;
  } else if ((first != FB_OK && first != FB_E_RULE_NEVER) ||
             (second != FB_OK && second != FB_E_RULE_NEVER)) {
    same = false;
  }
  if (!same || show)
    fprintf(stderr, "seed %llu:\n%s\n%s\n-- shadow\n%s\n-- engine\n%s\n", (unsigned long long)seed,
            w->book.ptr, w->shadow.ptr, w->shadow_log.ptr ? w->shadow_log.ptr : "",
            w->log.ptr ? w->log.ptr : "");
  fb_ruleset_free(w->set);
  fb_ruleset_free(w->twin_set);
  for (int i = 0; i < 4; i++) fb_buf_release(bufs[i]);
  fb_arena_release(&w->texts);
  fb_arena_release(&w->arena);
  free(w);
  return same;
}

static void test_random_rulebooks(void **state) {
  (void)state;
  const char *rounds = getenv("FB_ORACLE_ROUNDS"), *seed = getenv("FB_ORACLE_SEED");
  int ran = 0;
  if (seed) {
    assert_true(S_round(strtoull(seed, NULL, 10), true, &ran));
    return;
  }
  uint64_t count = rounds ? strtoull(rounds, NULL, 10) : 1000;
  for (uint64_t i = 1; i <= count; i++)
    if (!S_round(i, false, &ran))
      fail_msg("engine and shadow differ: FB_ORACLE_SEED=%llu", (unsigned long long)i);
  assert_true((uint64_t)ran > count / 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_rulebooks)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
