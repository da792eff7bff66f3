/* SPDX-License-Identifier: Apache-2.0
 * The readers that are measured beside ours. Each reads all lines and proves it: how many records there
 * were and what their field `amount` sums up to. */
#ifndef FB_BENCH_DATA_PEERS_H
#define FB_BENCH_DATA_PEERS_H

#include <flyball/base.h>

typedef struct data_proof {
  uint64_t rows;
  double sum;
} data_proof;

typedef struct data_peer {
  const char *name;
  bool (*read)(fb_slice text, data_proof *ret_proof); /* NULL: not installed */
} data_peer;

enum { DATA_PEERS = 3 };
extern const data_peer data_peers[DATA_PEERS];

#endif
