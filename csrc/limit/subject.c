#include "limit/subject.h"

#include <string.h>

#include <openssl/evp.h>

#include "limit/address.h"

static bool
subject_from_text(fta_subject *out, fta_subject_kind kind, fta_text text)
{
    if (text.length <= FTA_SUBJECT_MAX) {
        out->kind = (uint8_t)kind;
        out->length = (uint8_t)text.length;
        if (text.length > 0) {
            memcpy(out->bytes, text.data, text.length);
        }
        return true;
    }
    unsigned length;
    if (EVP_Digest(text.data, text.length, out->bytes, &length, EVP_sha256(),
                   NULL) != 1) {
        return false;
    }
    out->kind = (uint8_t)(kind - 'a' + 'A');
    out->length = (uint8_t)length;
    return true;
}

/* An address is one client however it is written: see address.h. A client with
 * one address of IPv6 has the 2^64 of its network (RFC 4291, 2.5.1), and could
 * use another one each time: so the network counts. What is no address is
 * counted as it is written. */
static bool
subject_from_address(fta_subject *out, fta_text text)
{
    static const size_t half = FTA_ADDRESS_BYTES / 2;
    char ipv4[FTA_ADDRESS_TEXT];
    fta_address address;
    if (!fta_address_parse(text, &address)) {
        return subject_from_text(out, FTA_SUBJECT_ADDRESS, text);
    }
    if (address.family == FTA_ADDRESS_IPV6) {
        memcpy(out->bytes, address.bytes, half);
        out->kind = FTA_SUBJECT_NETWORK;
        out->length = (uint8_t)half;
        return true;
    }
    text = (fta_text){ipv4, fta_address_format(&address, ipv4)};
    return subject_from_text(out, FTA_SUBJECT_ADDRESS, text);
}

bool
fta_subject_find(const fta_limit *limit, const fta_requester *requester,
                 size_t *custom_at, fta_subject *out)
{
    if (limit->per == FTA_PER_CUSTOM) {
        size_t at = (*custom_at)++;
        if (at < requester->custom_count && requester->custom[at].length > 0) {
            return subject_from_text(out, FTA_SUBJECT_CUSTOM,
                                     requester->custom[at]);
        }
    } else if (limit->per == FTA_PER_USER && requester->api_key.length > 0) {
        return subject_from_text(out, FTA_SUBJECT_KEY, requester->api_key);
    } else if (limit->per != FTA_PER_ADDRESS && requester->tenant_id != NULL) {
        memcpy(out->bytes, requester->tenant_id->bytes, FTA_UUID_BYTES);
        out->kind = FTA_SUBJECT_TENANT;
        out->length = FTA_UUID_BYTES;
        if (limit->per != FTA_PER_TENANT) {
            memcpy(out->bytes + FTA_UUID_BYTES, requester->user_id->bytes,
                   FTA_UUID_BYTES);
            out->kind = FTA_SUBJECT_USER;
            out->length = 2 * FTA_UUID_BYTES;
        }
        return true;
    }
    return subject_from_address(out, requester->address);
}

static uint8_t *
put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
    return at + 4;
}

static uint8_t *
put_bytes(uint8_t *at, const void *bytes, size_t length)
{
    *at++ = (uint8_t)length;
    if (length > 0) {
        memcpy(at, bytes, length);
    }
    return at + length;
}

uint8_t *
fta_subject_put_names(const fta_subject *subject, fta_text scope, uint8_t *at)
{
    at = put_bytes(at, scope.data, scope.length);
    return put_bytes(at, subject->bytes, subject->length);
}

size_t
fta_subject_key(const fta_subject *subject, const fta_strategy *strategy,
                const fta_limit *limit, uint8_t out[FTA_KEY_MAX])
{
    uint8_t *at = out;
    *at++ = (uint8_t)strategy->letter;
    *at++ = (uint8_t)limit->per;
    *at++ = subject->kind;
    at = put_u32(at, limit->rate.limit);
    at = put_u32(at, limit->rate.period);
    at = fta_subject_put_names(subject, limit->scope, at);
    return (size_t)(at - out);
}
