/* SPDX-License-Identifier: Apache-2.0
 * libcurl, loaded when it is first needed: with what it brings along (TLS, HTTP/2, name services) it would cost every
 * start of the program some milliseconds. */
#ifndef FB_NET_CURL_H
#define FB_NET_CURL_H

#include <flyball/net.h>

/* Its macros check types where the functions are called by name; here they are called through pointers. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define FB_CURL_FUNCTIONS(X)  \
  X(curl_global_init)         \
  X(curl_easy_init)           \
  X(curl_easy_cleanup)        \
  X(curl_easy_setopt)         \
  X(curl_easy_getinfo)        \
  X(curl_easy_strerror)       \
  X(curl_slist_append)        \
  X(curl_slist_free_all)      \
  X(curl_multi_init)          \
  X(curl_multi_cleanup)       \
  X(curl_multi_setopt)        \
  X(curl_multi_add_handle)    \
  X(curl_multi_remove_handle) \
  X(curl_multi_socket_action) \
  X(curl_multi_assign)        \
  X(curl_multi_info_read)     \
  X(curl_getdate)

typedef struct fb_curl {
#define FB_CURL_POINTER(name) __typeof__(&name) name;
  FB_CURL_FUNCTIONS(FB_CURL_POINTER)
#undef FB_CURL_POINTER
} fb_curl;

/* FB_E_NET: it is not installed. It stays loaded until the process ends. */
fb_status fb_curl_load(fb_curl *curl, fb_error *err);

#endif
