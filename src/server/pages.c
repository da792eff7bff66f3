/* SPDX-License-Identifier: Apache-2.0
 *
 * GET / and GET /assets/VERSION/NAME: the dashboard. It needs no token: there is nothing in it; what it shows it asks
 * for with the token of who looks at it.
 *
 * The version in the path is that of all files together. So a browser may keep an asset for ever, and never runs the
 * script of one build with the page of another: a path of another build is unknown.
 */
#include "server/pages.h"

/* Whether the client takes gzip: named, and not with a weight of zero. "*" is not looked at: whoever means gzip says so. */
static bool S_takes_gzip(const fb_request *request) {
  const char *header = fb_request_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING);
  const char *at = header ? strstr(header, "gzip") : NULL;
  if (!at) return false;
  at += strlen("gzip");
  at += strspn(at, " \t");
  if (*at != ';') return true;
  at++;
  at += strspn(at, " \t");
  if (strncasecmp(at, "q=0", 3) != 0) return true;
  at += strlen("q=0");
  if (*at == '.') at += 1 + strspn(at + 1, "0");
  return *at >= '0' && *at <= '9';
}

static fb_answered S_send(fb_request *request, const fb_web_file *page, const char *cache) {
  bool gzip = S_takes_gzip(request);
  const char *etag = gzip ? page->gzip_etag : page->etag;
  const char *have = fb_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
  fb_buf out;
  fb_reply_header(request, MHD_HTTP_HEADER_ETAG, etag);
  fb_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, cache);
  fb_reply_header(request, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
  if (have && (strstr(have, etag) || !strcmp(have, "*"))) return fb_reply_empty(request, 304);
  fb_reply_header(request, "X-Content-Type-Options", "nosniff");
  if (gzip) fb_reply_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
  fb_buf_init(&out, NULL, 0);
  fb_buf_add(&out, gzip ? page->gzip : page->plain, gzip ? page->gzip_size : page->size);
  fb_reply_json(request, 200, &out);
  if (request->reply.code == 200) request->reply.type = page->type;
  return FB_ANSWERED;
}

/* All that a page may do is told here: scripts, styles and requests of this server only, nothing inline, no frame
 * around it, no HTML made of text. */
fb_answered fb_web_index(fb_request *request) {
  fb_reply_header(
      request, "Content-Security-Policy",
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src "
      "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
      "require-trusted-types-for 'script'");
  return S_send(request, &fb_web_files[0], "no-cache");
}

fb_answered fb_web_asset(fb_request *request) {
  fb_slice version = request->parameters[0], name = request->parameters[1];
  for (size_t i = 1; i < fb_web_count && fb_slice_equal(version, fb_slice_of(fb_web_version)); i++)
    if (fb_slice_equal(name, fb_slice_of(fb_web_files[i].name)))
      return S_send(request, &fb_web_files[i], "public, max-age=31536000, immutable");
  return fb_reply_fail(request, 0, FB_E_SERVER_UNKNOWN, "the dashboard has no such file");
}

/* ── Whose token it is, so that the dashboard offers only what it admits ── */

fb_answered fb_web_me(fb_request *request) {
  static const char *const names[] = {"none", "viewer", "operator", "admin"};
  bool open = request->server->tokens.count == 0;
  fb_buf out;
  fb_buf_init(&out, NULL, 0);
  fb_buf_text(&out, "{\"type\":\"flyball.me.v1\",\"name\":");
  fb_json_write_text(&out, request->role && !open ? request->who : fb_slice_of(""),
                     FB_JSON_COMPACT);
  fb_buf_printf(&out, ",\"role\":\"%s\",\"open\":%s}\n", names[request->role],
                open ? "true" : "false");
  return fb_reply_json(request, 200, &out);
}
