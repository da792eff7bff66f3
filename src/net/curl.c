/* SPDX-License-Identifier: Apache-2.0 */
#include "net/curl.h"

#include <dlfcn.h>

/* A pointer to a function out of one to an object: POSIX says that they are alike, C does not. */
static bool S_find(void *library, const char *name, void *ret_function) {
  void *symbol = dlsym(library, name);
  memcpy(ret_function, &symbol, sizeof symbol);
  return symbol != NULL;
}

fb_status fb_curl_load(fb_curl *curl, fb_error *err) {
  static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
  void *library = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++)
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  bool found = library != NULL;
#define FB_CURL_FIND(name) found = found && S_find(library, #name, &curl->name);
  FB_CURL_FUNCTIONS(FB_CURL_FIND)
#undef FB_CURL_FIND
  if (!found) {
    fb_fail(err, FB_E_NET, "HTTP needs libcurl, which cannot be loaded: %s", dlerror());
    fb_error_hint(err, "on Debian: apt-get install libcurl4");
    return FB_E_NET;
  }
  if (curl->curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return fb_fail(err, FB_E_NET, "libcurl cannot be set up");
  return FB_OK;
}
