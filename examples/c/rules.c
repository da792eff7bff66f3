/* SPDX-License-Identifier: Apache-2.0
 * libflyball's rules from C: load a rulebook, assert facts, fire, print the decisions and why they were made.
 *   cc rules.c $(pkg-config --cflags --libs flyball) -o rules && ./rules */
#include <flyball/rules.h>

#include <stdio.h>

static const char book[] =
    "rules:\n"
    "  - name: large order from a new customer\n"
    "    when:\n"
    "      - order as o: o.amount > 1000.0\n"
    "      - customer as c: c.id == o.customer && c.orders < 3\n"
    "    then:\n"
    "      - emit: review\n"
    "        with: {order: \"${{ o.id }}\", customer: \"${{ c.id }}\"}\n";

/* Called for each `emit`; what it is given is good until it returns. */
static fb_status on_decision(void *context, fb_session *session, const fb_decision *decision) {
  fb_arena arena;
  fb_buf line;
  fb_value why;
  fb_arena_init(&arena, NULL, 0);
  fb_buf_init(&line, NULL, 0);
  fb_status status = fb_session_why(session, decision, &arena, &why);
  fb_json_write(&line, fb_map_value(decision->fields), FB_JSON_COMPACT);
  fb_buf_text(&line, "\nwhy: ");
  if (status == FB_OK) fb_json_write(&line, why, FB_JSON_COMPACT);
  if (!line.failed)
    printf("%.*s: %.*s\n", (int)decision->type.len, decision->type.ptr, (int)line.len, line.ptr);
  ++*(int *)context;
  fb_buf_release(&line);
  fb_arena_release(&arena);
  return status;
}

static fb_status add(fb_session *session, const char *type, const char *json, fb_error *err) {
  fb_arena arena;
  fb_value fact;
  fb_arena_init(&arena, NULL, 0);
  fb_status status = fb_json_read(fb_slice_of(json), type, NULL, &arena, &fact, err);
  if (status == FB_OK)
    status = fb_session_assert(session, fb_slice_of(type), fact.as.map, NULL, err);
  fb_arena_release(&arena); /* the session has its own copy */
  return status;
}

int main(void) {
  fb_ruleset *rules;
  fb_session *session = NULL;
  fb_error err = {0};
  int decisions = 0; /* how many came */
  if (fb_ruleset_read(FB_SLICE(book), "book.yaml", NULL, &rules, NULL, NULL) != FB_OK) return 3;
  fb_session_options options = {.output = {.decision = on_decision, .context = &decisions}};
  fb_status status = fb_session_new(rules, &options, NULL, &session);
  if (status == FB_OK) status = add(session, "customer", "{\"id\": \"ada\", \"orders\": 1}", &err);
  if (status == FB_OK)
    status = add(session, "order", "{\"id\": 7, \"customer\": \"ada\", \"amount\": 2500.0}", &err);
  if (status == FB_OK)
    status = add(session, "order", "{\"id\": 8, \"customer\": \"ada\", \"amount\": 12.5}", &err);
  if (status == FB_OK) status = fb_session_fire(session, NULL, &err);
  if (status != FB_OK) fprintf(stderr, "%s\n", err.text);
  printf("%d decision%s\n", decisions, decisions == 1 ? "" : "s");
  fb_session_free(session);
  fb_ruleset_free(rules);
  return status != FB_OK;
}
