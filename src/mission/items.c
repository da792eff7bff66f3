/* SPDX-License-Identifier: Apache-2.0
 *
 * The items of a for_each.
 */
#include "mission/run.h"

void fb_run_set_item(fb_mission_run *run, const fb_step_run *state, uint32_t number) {
  fb_value item = fb_absent(), index = fb_absent();
  if (state->items) {
    fb_value over = state->items->over;
    item = over.kind == FB_LIST ? over.as.list->items[number] : state->items->pairs[number];
    index = fb_int(number);
  }
  run->slots[fb_slot_item(run->mission)] = item;
  run->slots[fb_slot_index(run->mission)] = index;
}

bool fb_items_may_start(const fb_mission_run *run, uint32_t number) {
  const fb_items *items = run->steps[number].items;
  uint32_t most = run->mission->steps[number].item_parallel;
  return !items->stop && items->next < items->count && (!most || items->running < most);
}

void fb_items_end(fb_mission_run *run, uint32_t number) {
  fb_step_run *state = &run->steps[number];
  const fb_items *items = state->items;
  bool held = items->held && run->ending == FB_MISSION_GOING;
  if (items->running || held || (items->next < items->count && !items->stop)) return;
  fb_step_status status = FB_STEP_OK;
  if (items->failed)
    status = FB_STEP_FAILED;
  else if (items->next < items->count || items->held || run->ending != FB_MISSION_GOING)
    status = FB_STEP_CANCELLED;
  fb_run_final_without_call(run, number, status, state->error);
}

/* What the call had in its own arena, which goes. */
static bool S_keep(fb_step_run *state, fb_value *value) {
  return value->kind == FB_ABSENT || fb_value_copy(&state->arena, *value, value) == FB_OK;
}

void fb_items_final(fb_mission_run *run, uint32_t number, uint32_t item, fb_outcome *result) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  fb_items *items = state->items;
  fb_error lost = {0};
  items->done++;
  if (items->statuses) items->statuses[item] = (uint8_t)result->status;
  if (step->referenced) {
    bool kept = S_keep(state, &result->output) && S_keep(state, &result->out) &&
                S_keep(state, &result->err) &&
                fb_result_value(result, &state->arena, &items->results[item]) == FB_OK;
    if (!kept) {
      fb_fail(&lost, FB_E_NOMEM, "out of memory");
      items->results[item] = result->output = result->out = result->err = fb_absent();
      result->error = fb_run_keep_error(run, &lost);
      result->status = FB_STEP_FAILED;
    }
  }
  fb_mission_event event = {.kind = FB_MISSION_EVENT_ITEM_FINISHED,
                            .step = number,
                            .item = item,
                            .status = result->status,
                            .duration = result->duration,
                            .exit_code = result->exit_code,
                            .signal = result->signal,
                            .error = result->error};
  fb_run_emit(run, &event);
  if (result->status == FB_STEP_FAILED || result->status == FB_STEP_TIMEOUT) {
    if (items->failed++ == 0 && result->error) {
      fb_error err = *result->error;
      err.code = FB_E_STEP_ITEM;
      fb_error_prefix(&err, "item %u", item);
      state->error = fb_run_keep_error(run, &err);
    }
    if (run->mission->limits.fail_fast && step->on_error == FB_ON_ERROR_STOP) items->stop = true;
  }
}

/* What the end of an item makes room for: the next one, or the end of the step. */
void fb_items_after(fb_mission_run *run, uint32_t number) {
  if (fb_items_may_start(run, number) && run->ending == FB_MISSION_GOING)
    fb_run_enqueue(run, number);
  else
    fb_items_end(run, number);
}

void fb_run_item_skipped(fb_mission_run *run, uint32_t step, uint32_t item) {
  fb_outcome result = {.status = FB_STEP_SKIPPED,
                       .output = fb_absent(),
                       .out = fb_absent(),
                       .err = fb_absent(),
                       .exit_code = -1};
  fb_items *items = run->steps[step].items;
  items->running--;
  fb_items_final(run, step, item, &result);
  fb_items_after(run, step);
}

/* Items of a map are {key, value}; they stand behind the results. */
static fb_status S_map_items(fb_step_run *state, const fb_map *map) {
  fb_items *items = state->items;
  for (uint32_t i = 0; i < map->len; i++) {
    fb_map *pair = fb_map_new(&state->arena, 2);
    if (!pair ||
        !fb_map_put(pair, &state->arena, fb_string(FB_SLICE("key")), map->entries[i].key, NULL) ||
        !fb_map_put(pair, &state->arena, fb_string(FB_SLICE("value")), map->entries[i].value, NULL))
      return FB_E_NOMEM;
    items->pairs[i] = fb_map_value(pair);
  }
  return FB_OK;
}

/* A value an item, if they are wanted. */
static bool S_room(fb_step_run *state, bool wanted, fb_value **ret_values) {
  uint32_t count = state->items->count;
  if (!wanted) return true;
  *ret_values = fb_arena_alloc(&state->arena, (count + 1) * sizeof **ret_values);
  for (uint32_t i = 0; *ret_values && i < count; i++) (*ret_values)[i] = fb_absent();
  return *ret_values != NULL;
}

const fb_items *fb_items_undo(fb_mission_run *run, uint32_t number, fb_error *err) {
  const fb_items *done = run->steps[run->mission->steps[number].undoes - 1].items;
  fb_step_run *state = &run->steps[number];
  fb_run_step_arena(run, state);
  fb_items *items = fb_arena_zero(&state->arena, sizeof *items);
  uint32_t *order = fb_arena_alloc(&state->arena, (done->count + 1) * sizeof *order);
  if (!items || !order) {
    fb_fail(err, FB_E_NOMEM, "out of memory");
    return NULL;
  }
  *items = (fb_items){.over = done->over, .pairs = done->pairs, .order = order};
  for (uint32_t i = done->count; i-- > 0;)
    if (done->statuses[i] == FB_STEP_OK) order[items->count++] = i;
  state->items = items;
  return items;
}

/* NULL: *err tells why. */
const fb_items *fb_items_expand(fb_mission_run *run, uint32_t number, fb_error *err) {
  const fb_step *step = &run->mission->steps[number];
  fb_step_run *state = &run->steps[number];
  fb_value over;
  fb_run_step_arena(run, state);
  fb_step_scope scope = fb_run_scope(run, &state->arena);
  if (fb_scope_value(&scope, step->for_each, &over, err)) return NULL;
  if (step->matrix && fb_matrix_expand(over, &state->arena, &over, err)) {
    if (err && !err->line)
      fb_error_locate(err, fb_doc_name(run->mission->doc), fb_doc_text(run->mission->doc),
                      fb_text_node(step->for_each)->offset, fb_text_node(step->for_each)->length);
    return NULL;
  }
  if (over.kind != FB_LIST && over.kind != FB_MAP) {
    fb_mission_fail(run->mission, fb_text_node(step->for_each), err, FB_E_STEP_VALUE,
                    "`for_each` takes a list or a map, not %s", fb_kind_name((fb_kind)over.kind));
    return NULL;
  }
  fb_fail(err, FB_E_NOMEM, "out of memory"); /* the only thing that may still go wrong */
  fb_items *items = fb_arena_zero(&state->arena, sizeof *items);
  if (!items) return NULL;
  items->over = over;
  items->count = over.kind == FB_LIST ? over.as.list->len : over.as.map->len;
  state->items = items;
  if (!S_room(state, step->referenced, &items->results) ||
      !S_room(state, over.kind == FB_MAP, &items->pairs))
    return NULL;
  if (step->undo) items->statuses = fb_arena_zero(&state->arena, items->count + 1);
  if (step->undo && !items->statuses) return NULL;
  if (over.kind == FB_MAP && S_map_items(state, over.as.map)) return NULL;
  return items;
}

void fb_items_start(fb_mission_run *run, uint32_t number) {
  fb_items *items = run->steps[number].items;
  uint32_t item = items->order ? items->order[items->next++] : items->next++;
  items->running++;
  if (fb_items_may_start(run, number)) fb_run_enqueue(run, number);
  fb_run_call(run, number, item);
}
