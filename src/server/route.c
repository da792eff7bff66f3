/* SPDX-License-Identifier: Apache-2.0
 * Which route a method and a path ask for. */
#include "server/server.h"

#include <stdio.h>

/* The parameters of the path go into the request. */
static bool S_fits(const char *pattern, const char *path, fb_request *request) {
  uint32_t count = 0;
  for (;;) {
    if (*pattern == '{') {
      size_t length = strcspn(path, "/");
      if (!length) return false;
      request->parameters[count++] = (fb_slice){path, length};
      path += length;
      pattern += strcspn(pattern, "}") + 1;
      continue;
    }
    if (*pattern != *path) return false;
    if (!*pattern) return true;
    pattern++;
    path++;
  }
}

static void S_allow(char allowed[64], const char *method) {
  size_t length = strlen(allowed);
  if (!strstr(allowed, method))
    snprintf(allowed + length, 64 - length, "%s%s", length ? ", " : "", method);
}

const fb_route *fb_route_find(const char *method, const char *path, fb_request *request,
                              char ret_allowed[64]) {
  ret_allowed[0] = 0;
  if (!strcmp(method, "HEAD")) method = "GET";
  for (size_t i = 0; i < fb_route_count; i++) {
    const fb_route *route = &fb_routes[i];
    if (!S_fits(route->path, path, request)) continue;
    if (!strcmp(route->method, method)) return route;
    S_allow(ret_allowed, route->method);
  }
  return NULL;
}
