/* SPDX-License-Identifier: Apache-2.0
 * The dashboard: the files of web/, which are part of the program. */
#ifndef FB_PAGES_H
#define FB_PAGES_H

#include "server/server.h"

/* A file of web/, plain and compressed at build time. */
typedef struct fb_web_file {
  const char *name, *type;
  const char *etag, *gzip_etag; /* quoted digests; two, since a strong one tells bytes apart */
  const char *plain, *gzip;
  size_t size, gzip_size;
} fb_web_file;

/* Made by tools/embed; the first is index.html. */
extern const fb_web_file fb_web_files[];
extern const size_t fb_web_count;
extern const char fb_web_version[]; /* of all files together; part of the assets' paths */

fb_answered fb_web_index(fb_request *request);
fb_answered fb_web_asset(fb_request *request);
fb_answered fb_web_me(fb_request *request);

#endif
