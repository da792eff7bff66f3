/* SPDX-License-Identifier: Apache-2.0
 * Where to listen. */
#include "server/server.h"

#include <arpa/inet.h>
#include <stdlib.h>

static bool S_port(const char *text, uint16_t *ret_port) {
  char *end;
  unsigned long port = strtoul(text, &end, 10);
  if (*text < '0' || *text > '9' || *end || port > 65535) return false;
  *ret_port = htons((uint16_t)port);
  return true;
}

bool fb_address_parse(const char *text, fb_address *address, socklen_t *ret_size) {
  char host[64];
  uint16_t port;
  memset(address, 0, sizeof *address);
  if (!strncmp(text, "unix:", 5)) {
    if (!text[5] || strlen(text + 5) >= sizeof address->local.sun_path) return false;
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, text + 5, strlen(text + 5));
    *ret_size = sizeof address->local;
    return true;
  }
  const char *colon = strrchr(text, ':');
  bool bracket = text[0] == '[';
  size_t length = colon ? (size_t)(colon - text) : 0;
  if (!colon || length >= sizeof host || !S_port(colon + 1, &port)) return false;
  if (bracket && text[length - 1] != ']') return false;
  memcpy(host, text + bracket, length);
  host[length - 2 * bracket] = 0;
  if (bracket) {
    address->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    *ret_size = sizeof address->v6;
    return inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1;
  }
  address->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
  *ret_size = sizeof address->v4;
  return inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1",
                   &address->v4.sin_addr) == 1;
}

bool fb_address_is_local(const fb_address *address) {
  if (address->any.sa_family == AF_UNIX) return true;
  if (address->any.sa_family == AF_INET6)
    return !memcmp(&address->v6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback);
  return (ntohl(address->v4.sin_addr.s_addr) >> 24) == 127;
}
