/* The keys of a chain of audit lines, and what is computed with them.
 *
 * A key is 64 octets: the seed of an Ed25519 key, which signs control lines and
 * erasures, and the key of an HMAC, which proves the head. Who has the seed can
 * sign. The public key alone can verify the signatures and not make one. */
#ifndef FTA_AUDIT_CHAIN_KEY_H
#define FTA_AUDIT_CHAIN_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

#define FTA_AUDIT_DIGEST 32
#define FTA_AUDIT_SIGNATURE 64
#define FTA_AUDIT_PUBLIC 32
#define FTA_AUDIT_KEY 64 /* octets that a key is made of */
#define FTA_AUDIT_KEYS_MAX 16

typedef struct fta_audit_key fta_audit_key;

/* FTA_BAD_ARGUMENT for octets that are not FTA_AUDIT_KEY; FTA_NO_MEMORY,
 * FTA_CRYPTO. */
fta_status fta_audit_key_make(fta_text octets, fta_audit_key **out);

/* A key that verifies only. FTA_BAD_ARGUMENT for octets that are not
 * FTA_AUDIT_PUBLIC or no key. */
fta_status fta_audit_key_public(fta_text octets, fta_audit_key **out);
void fta_audit_key_free(fta_audit_key *key);

const uint8_t *fta_audit_key_public_octets(const fta_audit_key *key);

/* Ed25519 (RFC 8032). */
fta_status fta_audit_key_sign(const fta_audit_key *key, fta_text message,
                              uint8_t out[FTA_AUDIT_SIGNATURE]);
bool fta_audit_key_verifies(const fta_audit_key *key, fta_text message,
                            const uint8_t signature[FTA_AUDIT_SIGNATURE]);

/* HMAC with SHA-256 (RFC 2104). false: OpenSSL has failed. */
bool fta_audit_key_mac(const fta_audit_key *key, fta_text message,
                       uint8_t out[FTA_AUDIT_DIGEST]);

/* SHA-256 of texts, one after the other. It is not of the key, which holds what
 * OpenSSL would look for each time. false: OpenSSL has failed. */
bool fta_audit_digest(const fta_audit_key *key, const fta_text *parts,
                      size_t count, uint8_t out[FTA_AUDIT_DIGEST]);

#endif
