/* SPDX-License-Identifier: Apache-2.0
 * The ceiling: libmicrohttpd alone, which takes a body and answers as many bytes as it is told. bench-server-bare THREADS BYTES;
 * prints its port, and ends with its standard input. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *S_text;
static size_t S_size;

static enum MHD_Result S_answer(void *context, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *bytes,
                                size_t *size, void **state) {
  static int begun;
  (void)context, (void)url, (void)method, (void)version, (void)bytes;
  if (!*state) {
    *state = &begun;
    return MHD_YES;
  }
  if (*size) {
    *size = 0;
    return MHD_YES;
  }
  struct MHD_Response *response =
      MHD_create_response_from_buffer(S_size, S_text, MHD_RESPMEM_PERSISTENT);
  MHD_add_response_header(response, "Content-Type", "application/json");
  enum MHD_Result sent = MHD_queue_response(connection, 200, response);
  MHD_destroy_response(response);
  return sent;
}

int main(int argc, char **argv) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  char rest[64];
  if (argc != 3) return 2;
  S_size = strtoul(argv[2], NULL, 10);
  S_text = malloc(S_size);
  if (!S_text) return 1;
  memset(S_text, ' ', S_size);
  struct MHD_Daemon *daemon = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, S_answer, NULL, MHD_OPTION_SOCK_ADDR, &address,
      MHD_OPTION_THREAD_POOL_SIZE, (unsigned)strtoul(argv[1], NULL, 10), MHD_OPTION_END);
  if (!daemon) return 1;
  printf("%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
  fflush(stdout);
  while (read(0, rest, sizeof rest) > 0) {
  }
  MHD_stop_daemon(daemon);
  free(S_text);
  return 0;
}
