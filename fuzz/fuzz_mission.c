/* SPDX-License-Identifier: Apache-2.0
 * Missions: the bytes are loaded as a mission without files. One that is refused must say why; one that
 * loads is planned and run to its end in a world in memory, where every program ends at once. */
#include "mission/world_script.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void S_check(bool holds) {
  if (!holds) abort();
}

static void S_reply(void *context, const fb_process_spec *spec, fb_script_reply *ret_reply) {
  size_t length = strlen(spec->label);
  (void)context;
  ret_reply->duration = (int64_t)length * 1000000;
  ret_reply->code = length % 5 == 0;
  ret_reply->out = fb_slice_of(spec->argv[0]);
}

static void S_run(const fb_mission *mission) {
  fb_script_world *world;
  fb_mission_run *run;
  fb_buf plan;
  fb_mission_run_options options = {.secrets = FB_SECRETS_IMITATED, .cache_dir = "cache"};
  fb_arena arena;
  S_check(fb_script_world_new(NULL, S_reply, NULL, &world) == FB_OK);
  fb_buf_init(&plan, NULL, 1 << 20);
  fb_arena_init(&arena, NULL, 0);
  if (fb_mission_run_new(mission, fb_script_world_face(world), &options, NULL, &run, NULL) ==
      FB_OK) {
    fb_run_group group;
    fb_mission_run_plan(run, &plan);
    S_check(!plan.ptr || !memmem(plan.ptr, plan.len, "imitated-", 9)); /* no secret is shown */
    fb_mission_run_group(run, &arena, &group, NULL);
    S_check(fb_mission_run_wait(run) != FB_MISSION_GOING);
    S_check(fb_script_world_counts(world).running == 0);
    fb_mission_run_free(run);
  }
  fb_arena_release(&arena);
  fb_buf_release(&plan);
  fb_script_world_free(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fb_doc *doc = NULL;
  fb_mission *mission = NULL;
  fb_errors errors, warnings;
  fb_mission_options options = {.warnings = &warnings};
  fb_errors_init(&errors, NULL, 0);
  fb_errors_init(&warnings, NULL, 0);
  fb_status status =
      fb_doc_read_yaml((fb_slice){(const char *)data, size}, "m.yaml", NULL, &doc, &errors);
  if (!status) status = fb_mission_load(doc, &options, NULL, &mission, &errors);
  S_check((status == FB_OK) == (fb_errors_total(&errors) == 0));
  if (!status) S_run(mission);
  fb_mission_free(mission);
  fb_doc_free(doc);
  fb_errors_release(&errors);
  fb_errors_release(&warnings);
  return 0;
}
