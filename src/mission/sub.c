/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs within runs.
 */
#include "mission/record.h"

/* "fix.3/" within the scope of the run around it. */
static const char *S_scope(const fb_mission_run *run, fb_call *call) {
  return fb_arena_printf(call->arena, "%s%s/", run->options.scope ? run->options.scope : "",
                         call->own_label);
}

fb_status fb_sub_run_new(fb_call *call, const fb_mission *mission, const fb_map *inputs,
                         void (*finished)(void *user), void *user, fb_sub_run *sub,
                         fb_errors *errors) {
  fb_active *active = fb_active_of(call);
  fb_mission_run *run = active->run;
  const fb_mission_run_options *above = &run->options;
  fb_mission_run_options options = {.id = above->id,
                                    .dir = above->dir,
                                    .env = run->env,
                                    .inputs = inputs,
                                    .parallel_default = run->parallel,
                                    .grace = above->grace,
                                    .zone = above->zone,
                                    .zone_context = above->zone_context,
                                    .hash_seed = above->hash_seed,
                                    .cache_dir = above->cache_dir,
                                    .cache_fresh = above->cache_fresh,
                                    .journal = above->journal,
                                    .parent = run,
                                    .scope = S_scope(run, call),
                                    .on_event = above->on_event,
                                    .context = above->context,
                                    .on_finished = finished,
                                    .finished_user = user};
  if (!options.scope) return FB_E_NOMEM;
  fb_status status =
      fb_mission_run_new(mission, run->world, &options, run->allocator, &sub->run, errors);
  if (status) return status;
  fb_record_within(sub->run, run, active->step);
  sub->step = active->step;
  sub->item = active->item;
  sub->next = run->subs;
  if (run->subs) run->subs->prev = sub;
  run->subs = sub;
  return FB_OK;
}

void fb_sub_run_remove(fb_call *call, fb_sub_run *sub) {
  fb_mission_run *run = fb_active_of(call)->run;
  if (sub->prev)
    sub->prev->next = sub->next;
  else
    run->subs = sub->next;
  if (sub->next) sub->next->prev = sub->prev;
}

void fb_mission_run_subs(const fb_mission_run *run, uint32_t step,
                         void (*each)(void *user, uint32_t item, const fb_mission_run *sub),
                         void *user) {
  for (const fb_sub_run *sub = run->subs; sub; sub = sub->next)
    if (sub->step == step) each(user, sub->item, sub->run);
}
