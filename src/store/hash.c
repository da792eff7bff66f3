/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 and Ed25519, of libsodium. Its init is not called: these functions choose nothing at run time and take no
 * random numbers.
 */
#include <flyball/store.h>

#include <sodium.h>

void fb_digest(fb_slice bytes, uint8_t ret_digest[FB_DIGEST_SIZE]) {
  crypto_hash_sha256(ret_digest, (const uint8_t *)bytes.ptr, bytes.len);
}

_Static_assert(sizeof(fb_digester) >= sizeof(crypto_hash_sha256_state), "room for SHA-256");

void fb_digest_begin(fb_digester *digester) {
  crypto_hash_sha256_init((crypto_hash_sha256_state *)(void *)digester);
}

void fb_digest_add(fb_digester *digester, fb_slice bytes) {
  if (bytes.len)
    crypto_hash_sha256_update((crypto_hash_sha256_state *)(void *)digester,
                              (const uint8_t *)bytes.ptr, bytes.len);
}

void fb_digest_end(fb_digester *digester, uint8_t ret_digest[FB_DIGEST_SIZE]) {
  crypto_hash_sha256_final((crypto_hash_sha256_state *)(void *)digester, ret_digest);
}

void fb_hex(const uint8_t *bytes, size_t count, char *ret_text) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < count; i++) {
    ret_text[2 * i] = digits[bytes[i] >> 4];
    ret_text[2 * i + 1] = digits[bytes[i] & 15];
  }
  ret_text[2 * count] = 0;
}

/* 16: it is none. */
static unsigned S_digit(char c) {
  if (c >= '0' && c <= '9') return (unsigned)(c - '0');
  if (c >= 'a' && c <= 'f') return (unsigned)(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return (unsigned)(c - 'A') + 10;
  return 16;
}

bool fb_unhex(fb_slice text, uint8_t *ret_bytes, size_t count) {
  if (text.len != 2 * count) return false;
  for (size_t i = 0; i < text.len; i++)
    if (S_digit(text.ptr[i]) > 15) return false;
  for (size_t i = 0; i < count; i++)
    ret_bytes[i] = (uint8_t)(S_digit(text.ptr[2 * i]) << 4 | S_digit(text.ptr[2 * i + 1]));
  return true;
}

static void S_secret(const uint8_t seed[FB_SEED_SIZE], uint8_t key[FB_PUBLIC_KEY_SIZE],
                     uint8_t secret[crypto_sign_SECRETKEYBYTES]) {
  crypto_sign_seed_keypair(key, secret, seed);
}

void fb_sign(const uint8_t seed[FB_SEED_SIZE], fb_slice message,
             uint8_t ret_signature[FB_SIGNATURE_SIZE]) {
  uint8_t key[FB_PUBLIC_KEY_SIZE], secret[crypto_sign_SECRETKEYBYTES];
  S_secret(seed, key, secret);
  crypto_sign_detached(ret_signature, NULL, (const uint8_t *)message.ptr, message.len, secret);
  sodium_memzero(secret, sizeof secret);
}

void fb_public_key(const uint8_t seed[FB_SEED_SIZE], uint8_t ret_key[FB_PUBLIC_KEY_SIZE]) {
  uint8_t secret[crypto_sign_SECRETKEYBYTES];
  S_secret(seed, ret_key, secret);
  sodium_memzero(secret, sizeof secret);
}

bool fb_signature_holds(const uint8_t key[FB_PUBLIC_KEY_SIZE], fb_slice message,
                        const uint8_t signature[FB_SIGNATURE_SIZE]) {
  return crypto_sign_verify_detached(signature, (const uint8_t *)message.ptr, message.len, key) ==
         0;
}
