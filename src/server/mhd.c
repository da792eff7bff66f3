/* SPDX-License-Identifier: Apache-2.0 */
#include "server/mhd.h"

#include <dlfcn.h>
#include <pthread.h>

fb_mhd_table fb_mhd;

static pthread_once_t S_once = PTHREAD_ONCE_INIT;
static bool S_found;

/* A pointer to a function out of one to an object: POSIX says that they are alike, C does not. */
static bool S_find(void *library, const char *name, void *ret_function) {
  void *symbol = dlsym(library, name);
  memcpy(ret_function, &symbol, sizeof symbol);
  return symbol != NULL;
}

static void S_load(void) {
  void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
  S_found = library != NULL;
#define FB_MHD_FIND(name) S_found = S_found && S_find(library, "MHD_" #name, &fb_mhd.name);
  FB_MHD_FUNCTIONS(FB_MHD_FIND)
#undef FB_MHD_FIND
}

fb_status fb_mhd_load(fb_error *err) {
  pthread_once(&S_once, S_load);
  if (S_found) return FB_OK;
  fb_fail(err, FB_E_SERVER_BIND, "a server needs libmicrohttpd, which cannot be loaded");
  fb_error_hint(err, "on Debian: apt-get install libmicrohttpd12");
  return FB_E_SERVER_BIND;
}
