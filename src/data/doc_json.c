/* SPDX-License-Identifier: Apache-2.0
 * JSON documents: the pull reader's events → the builder. */
#include "data/doc.h"
#include "data/json_scan.h"

static fb_status S_on_event(fb_doc_builder *builder, const fb_json_event *event) {
  switch (event->kind) {
    case FB_JSON_BEGIN_LIST: return fb_doc_open(builder, FB_LIST, (uint32_t)event->offset, 0);
    case FB_JSON_BEGIN_MAP: return fb_doc_open(builder, FB_MAP, (uint32_t)event->offset, 0);
    case FB_JSON_END_LIST:
    case FB_JSON_END_MAP: return fb_doc_close(builder, (uint32_t)(event->offset + 1));
    default:
      return fb_doc_add(builder, (fb_node){.kind = event->value.kind,
                                           .style = FB_NODE_JSON,
                                           .offset = (uint32_t)event->offset,
                                           .length = (uint32_t)event->length,
                                           .as = {.scalar = event->value}});
  }
}

static fb_status S_pump(fb_doc_builder *builder) {
  fb_doc *doc = builder->doc;
  fb_json_events events;
  fb_json_events_init(&events, (fb_slice){doc->text, doc->length}, doc->name, builder->max_depth,
                      &doc->arena);
  for (;;) {
    fb_json_event event;
    fb_error err;
    fb_status status = fb_json_events_next(&events, &event, &err);
    if (status == FB_DONE) return FB_OK;
    if (status) {
      if (!builder->status) builder->status = status;
      return fb_errors_add(builder->errors, &err);
    }
    status = S_on_event(builder, &event);
    if (status) return status;
  }
}

fb_status fb_doc_read_json(fb_slice text, const char *name, const fb_doc_options *options,
                           fb_doc **ret_doc, fb_errors *errors) {
  fb_doc_builder builder;
  fb_status status = fb_doc_builder_init(&builder, text, name, options, errors);
  if (!status) status = S_pump(&builder);
  return fb_doc_builder_finish(&builder, status, ret_doc);
}
