/* SPDX-License-Identifier: Apache-2.0
 * What the server parses itself: addresses, files of tokens, paths. The first byte chooses. An address that is taken has a port or
 * a path, a token that is taken is found again by nobody who does not know it, a route that fits has its parameters within the path. */
#include "server/server.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void S_expect(bool holds) {
  if (!holds) abort();
}

static void S_address(const char *text) {
  fb_address address;
  socklen_t size = 0;
  if (!fb_address_parse(text, &address, &size)) return;
  S_expect(size > 0 && size <= sizeof address);
  if (address.any.sa_family == AF_UNIX)
    S_expect(address.local.sun_path[0] && fb_address_is_local(&address));
}

static void S_tokens(fb_slice text) {
  fb_tokens tokens;
  fb_error err = {0};
  fb_slice name = {0};
  fb_status status = fb_tokens_read(text, &tokens, &err);
  S_expect(status == FB_OK || (err.code == status && err.text[0]));
  if (status != FB_OK) return;
  if (tokens.count) {
    S_expect(fb_tokens_role(&tokens, NULL, &name) == FB_ROLE_NONE);
    S_expect(fb_tokens_role(&tokens, "Bearer nobody knows this one", &name) == FB_ROLE_NONE);
  }
  fb_tokens_release(&tokens);
}

static void S_route(const char *path, size_t size) {
  static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "X"};
  char allowed[64];
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    fb_request request = {0};
    const fb_route *route = fb_route_find(methods[i], path, &request, allowed);
    if (!route) continue;
    for (int p = 0; p < FB_ROUTE_PARAMETERS; p++) {
      fb_slice value = request.parameters[p];
      S_expect(!value.ptr ||
               (value.len && value.ptr >= path && value.ptr + value.len <= path + size));
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  char *text = malloc(size);
  if (!text) return 0;
  memcpy(text, data + 1, size - 1);
  text[size - 1] = 0;
  switch (data[0] % 3) {
    case 0: S_address(text); break;
    case 1: S_tokens((fb_slice){text, size - 1}); break;
    default: S_route(text, size - 1);
  }
  free(text);
  return 0;
}
