/* Whether 32 octets are the point of an Ed25519 public key. */
#ifndef FTA_TOKEN_ED25519_POINT_H
#define FTA_TOKEN_ED25519_POINT_H

#include <stdint.h>

#include "base/status.h"

#define FTA_ED25519_SIZE 32

/* FTA_OK for the canonical encoding (RFC 8032, section 5.1.3) of a point of
 * the curve that is not of small order; FTA_ED25519_POINT for any other. With
 * a key of small order, signatures exist that verify for every message. */
fta_status fta_ed25519_check(const uint8_t point[FTA_ED25519_SIZE]);

#endif
