/* SPDX-License-Identifier: Apache-2.0
 * Which addresses are public: the special-purpose registries of RFC 6890 and its updates. */
#include <flyball/net.h>

#include <arpa/inet.h>

typedef struct S_block {
  uint32_t prefix;
  uint8_t bits;
} S_block;

static bool S_is_public_v4(uint32_t address) {
  static const S_block special[] = {
      {0x00000000, 8},  /* this network */
      {0x0a000000, 8},  /* private */
      {0x64400000, 10}, /* carriers' NAT */
      {0x7f000000, 8},  /* loopback */
      {0xa9fe0000, 16}, /* link-local: metadata of clouds */
      {0xac100000, 12}, /* private */
      {0xc0000000, 24}, /* protocol assignments */
      {0xc0000200, 24}, /* documentation */
      {0xc0586300, 24}, /* 6to4 relays, retired */
      {0xc0a80000, 16}, /* private */
      {0xc6120000, 15}, /* benchmarks */
      {0xc6336400, 24}, /* documentation */
      {0xcb007100, 24}, /* documentation */
      {0xe0000000, 4},  /* multicast */
      {0xf0000000, 4},  /* reserved, broadcast */
  };
  for (size_t i = 0; i < sizeof special / sizeof *special; i++)
    if ((address ^ special[i].prefix) >> (32 - special[i].bits) == 0) return false;
  return true;
}

static uint32_t S_word(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool S_is_public_v6(const uint8_t *a) {
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, nat64[12] = {0, 0x64, 0xff, 0x9b};
  if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
    return S_is_public_v4(S_word(a + 12));
  if (a[0] == 0x20 && a[1] == 0x02) return S_is_public_v4(S_word(a + 2)); /* 6to4 */
  if ((a[0] & 0xe0) != 0x20) return false;            /* all that is public is in 2000::/3 */
  if (S_word(a) == 0x20010db8) return false;          /* documentation */
  if (S_word(a) >> 12 == 0x3fff0) return false;       /* documentation */
  return !(a[0] == 0x20 && a[1] == 0x01 && a[2] < 2); /* protocol assignments, Teredo */
}

bool fb_net_is_public(const char *address) {
  uint8_t bytes[16];
  if (inet_pton(AF_INET, address, bytes) == 1) return S_is_public_v4(S_word(bytes));
  return inet_pton(AF_INET6, address, bytes) == 1 && S_is_public_v6(bytes);
}
