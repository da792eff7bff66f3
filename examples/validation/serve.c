/* SPDX-License-Identifier: Apache-2.0
 * The other side of the load: one thread, epoll, kept connections, a short answer to whatever ends in an empty line. */
#include "harness.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int S_listener;

static void S_answer(int fd) {
  static const char answer[] =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
      "Content-Length: 15\r\n\r\n{\"status\":\"ok\"}";
  char bytes[8192];
  ssize_t n = read(fd, bytes, sizeof bytes);
  if (n <= 0) {
    close(fd);
    return;
  }
  for (ssize_t i = 3; i < n; i++)
    if (!memcmp(bytes + i - 3, "\r\n\r\n", 4) && write(fd, answer, sizeof answer - 1) < 0) return;
}

static void *S_serve(void *context) {
  int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = S_listener}, events[64];
  epoll_ctl(poll, EPOLL_CTL_ADD, S_listener, &event);
  for (;;) {
    int count = epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != S_listener) {
        S_answer(events[i].data.fd);
        continue;
      }
      event.data.fd = accept(S_listener, NULL, NULL);
      if (event.data.fd >= 0) epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
    }
  }
  return context;
}

int serve_start(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  pthread_t thread;
  S_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (S_listener < 0 || bind(S_listener, (struct sockaddr *)&address, sizeof address) ||
      listen(S_listener, 512) || getsockname(S_listener, (struct sockaddr *)&address, &len) ||
      pthread_create(&thread, NULL, S_serve, NULL))
    return -1;
  pthread_detach(thread);
  return ntohs(address.sin_port);
}
