#include "token/key_search.h"

#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>

#include "base/alloc.h"
#include "base/crypto_error.h"
#include "base/hex.h"
#include "token/pair_reader.h"

#define TEXT(literal) {literal, sizeof(literal) - 1}

/* --- what a key contains ------------------------------------------------ */

/* Each is so long that no random secret has it. */
static const fta_text marks[] = {
    /* Text */
    TEXT("-----BEGIN "),
    TEXT("---- BEGIN SSH2"),
    TEXT("PuTTY-User-Key-File"),
    TEXT("openssh-key-v1"),
    TEXT("ssh-rsa"),
    TEXT("ssh-dss"),
    TEXT("ssh-ed25519"),
    TEXT("ecdsa-sha2-"),
    TEXT("\"kty\""),
    TEXT("\"crv\""),
    TEXT("'crv'"),
    TEXT("\"AQAB\""),
    TEXT("'AQAB'"),
    TEXT("<RSAKeyValue"),
    TEXT("<ECKeyValue"),
    TEXT("<Modulus>"),
    TEXT("Modulus="),
    TEXT("Modulus:"),
    TEXT("Public-Key:"),
    TEXT("Private-Key:"),
    /* Object identifiers in DER: of RSA and of every PKCS, of DSA, of EC and
     * its curves, of X25519 to Ed448, of NIST's signatures. */
    TEXT("\x2A\x86\x48\x86\xF7\x0D\x01"),
    TEXT("\x06\x07\x2A\x86\x48\xCE\x38"),
    TEXT("\x06\x07\x2A\x86\x48\xCE\x3D"),
    TEXT("\x06\x08\x2A\x86\x48\xCE\x3D"),
    TEXT("\x06\x05\x2B\x81\x04\x00"),
    TEXT("\x06\x03\x2B\x65\x6E"),
    TEXT("\x06\x03\x2B\x65\x6F"),
    TEXT("\x06\x03\x2B\x65\x70"),
    TEXT("\x06\x03\x2B\x65\x71"),
    TEXT("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03"),
    /* SEC 1: version 1 and the octets of a private key. */
    TEXT("\x02\x01\x01\x04\x20"),
    TEXT("\x02\x01\x01\x04\x30"),
    TEXT("\x02\x01\x01\x04\x42"),
};

static bool
has_mark(const uint8_t *octets, size_t size)
{
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (memmem(octets, size, marks[i].data, marks[i].length) != NULL) {
            return true;
        }
    }
    return false;
}

static bool
is_one_of(uint8_t octet, const char *characters)
{
    return octet != 0 && strchr(characters, octet) != NULL;
}

/* kty and its value, written as JSON, Python, YAML or a query. */
static bool
has_jwk_type(const uint8_t *octets, size_t size)
{
    static const char *const types[] = {"RSA", "EC", "OKP", "oct"};
    const uint8_t *at = octets, *end = octets + size;
    while ((at = memmem(at, (size_t)(end - at), "kty", 3)) != NULL) {
        at += 3;
        const uint8_t *value = at;
        while (value < end && value - at < 16 &&
               is_one_of(*value, "\"'\\:=> \t\r\n")) {
            value++;
        }
        for (size_t i = 0; value > at && i < sizeof types / sizeof *types;
             i++) {
            size_t length = strlen(types[i]);
            if ((size_t)(end - value) >= length &&
                memcmp(value, types[i], length) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The length of a DER element whose length takes two or more octets; 0 for
 * anything else. */
static size_t
read_length(const uint8_t **at, const uint8_t *end, uint8_t tag)
{
    size_t left = (size_t)(end - *at), length;
    if (left < 4 || (*at)[0] != tag) {
        return 0;
    }
    if ((*at)[1] == 0x81) {
        length = (*at)[2];
        *at += 3;
    } else if ((*at)[1] == 0x82) {
        length = (size_t)(*at)[2] << 8 | (*at)[3];
        *at += 4;
    } else {
        length = 0;
    }
    return length;
}

/* PKCS #1 has no object identifier: a SEQUENCE of large INTEGERs, for a private
 * key with a 0 before. */
static bool
has_rsa_numbers(const uint8_t *octets, size_t size)
{
    static const uint8_t version[] = {0x02, 0x01, 0x00};
    const uint8_t *end = octets + size, *start = octets;
    for (; (start = memchr(start, 0x30, (size_t)(end - start))) != NULL;
         start++) {
        const uint8_t *at = start;
        size_t whole = read_length(&at, end, 0x30);
        if (whole == 0) {
            continue;
        }
        if ((size_t)(end - at) > sizeof version &&
            memcmp(at, version, sizeof version) == 0) {
            at += sizeof version;
        }
        size_t modulus = read_length(&at, end, 0x02);
        if (modulus > 64 && modulus < whole && at < end && *at == 0) {
            return true;
        }
    }
    return false;
}

/* Whether octets are a point of a curve, without the octet that says that it
 * is not compressed (SEC 1, section 2.3.3). */
static fta_status
check_coordinates(int curve, const uint8_t *octets, size_t size, bool *found)
{
    uint8_t encoded[1 + 132] = {0x04};
    fta_status status = FTA_OK;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(curve);
    EC_POINT *point = group != NULL ? EC_POINT_new(group) : NULL;
    memcpy(encoded + 1, octets, size);
    if (point == NULL) {
        status = fta_crypto_error(FTA_CRYPTO);
    } else if (EC_POINT_oct2point(group, point, encoded, 1 + size, NULL) == 1) {
        *found = true;
    }
    EC_POINT_free(point);
    EC_GROUP_free(group);
    ERR_clear_error();
    return status;
}

/* A point of one of our curves at the end, whatever stands before it. */
static fta_status
check_point(const uint8_t *octets, size_t size, bool *found)
{
    static const struct {
        size_t size;
        int curve;
    } curves[] = {
        {64, NID_X9_62_prime256v1}, {96, NID_secp384r1}, {132, NID_secp521r1}};
    fta_status status = FTA_OK;
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        if (status == FTA_OK && !*found && size >= curves[i].size) {
            status = check_coordinates(curves[i].curve,
                                       octets + size - curves[i].size,
                                       curves[i].size, found);
        }
    }
    return status;
}

/* What the reader of key pairs reads, or would read with a passphrase, is no
 * secret. */
static fta_status
check_pair(const uint8_t *octets, size_t size, bool *found)
{
    fta_pair_found found_pair;
    fta_status status = fta_pair_read((fta_text){(const char *)octets, size},
                                      (fta_text){NULL, 0}, &found_pair);
    EVP_PKEY_free(found_pair.pair);
    switch (status) {
    case FTA_NO_MEMORY:
        return status;
    case FTA_OK:
    case FTA_KEYS_MANY:
    case FTA_KEY_ENCRYPTED:
    case FTA_KEY_IS_PKCS12:
    case FTA_KEY_IS_REQUEST:
        *found = true;
        break;
    default:
        break;
    }
    return FTA_OK;
}

/* --- what octets are the encoding of ------------------------------------ */

typedef struct codec {
    const char *alphabet; /* in the order of the values */
    const char *also;     /* the same values in other characters */
    unsigned bits;        /* that a character holds */
    unsigned offsets;     /* how many characters make whole octets */
    const char *between;  /* what stands between characters, beside spaces */
} codec;

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
/* What lists, literals and people put between parts of a text. */
#define PUNCTUATION "\"'`\\,.:;|*~#()[]{}<>"

static const codec codecs[] = {
    {DIGITS "ABCDEF", DIGITS "abcdef", 4, 2, PUNCTUATION "-_"},
    {UPPER "234567", LOWER "234567", 5, 8, PUNCTUATION "-_"},
    {DIGITS "ABCDEFGHIJKLMNOPQRSTUV", DIGITS "abcdefghijklmnopqrstuv", 5, 8,
     PUNCTUATION "-_"},
    {UPPER LOWER DIGITS "+/", UPPER LOWER DIGITS "-_", 6, 4, PUNCTUATION},
};

#define BETWEEN (-1)
#define FOREIGN (-2)

static void
fill_table(const codec *each, int8_t table[256])
{
    memset(table, FOREIGN, 256);
    for (const char *c = " \t\r\n\v\f"; *c != '\0'; c++) {
        table[(uint8_t)*c] = BETWEEN;
    }
    for (const char *c = each->between; *c != '\0'; c++) {
        table[(uint8_t)*c] = BETWEEN;
    }
    for (int8_t i = 0; each->alphabet[i] != '\0'; i++) {
        table[(uint8_t)each->alphabet[i]] = i;
        table[(uint8_t)each->also[i]] = i;
    }
}

/* Decodes from *at to the first foreign octet, without the first `skip`
 * characters. Leaves *at at the foreign octet. */
static size_t
decode_run(const codec *each, const int8_t table[256], unsigned skip,
           const uint8_t **at, const uint8_t *end, uint8_t *out)
{
    size_t length = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (; *at < end && table[**at] != FOREIGN; (*at)++) {
        int8_t value = table[**at];
        if (value == BETWEEN) {
            continue;
        }
        if (skip > 0) {
            skip--;
            continue;
        }
        bits = bits << each->bits | (uint8_t)value;
        count += each->bits;
        if (count >= 8) {
            count -= 8;
            out[length++] = (uint8_t)(bits >> count);
        }
    }
    return length;
}

/* Shorter octets hold no key: an Ed25519 key has 44 in DER. */
#define SIZE_MIN 18

/* Undoes UTF-16: copies the octets without the NUL that it has beside each of
 * them. One that belongs to a character stays: it has another beside it. Text
 * before it may be of any length. Octets that are no UTF-16 stay as they are:
 * work would be lost on them. */
static size_t
drop_nuls(const uint8_t *in, size_t size, uint8_t *out)
{
    size_t length = 0, run = 0;
    bool is_utf16 = false;
    for (size_t i = size > 0 && in[0] == 0; i < size; i++) {
        out[length++] = in[i];
        bool has_nul = i + 1 < size && in[i + 1] == 0;
        run = has_nul ? run + 1 : 0;
        is_utf16 = is_utf16 || run >= SIZE_MIN;
        i += has_nul;
    }
    return is_utf16 ? length : size;
}

/* Undoes UTF-8 of octets that somebody took for Latin-1. */
static size_t
narrow(const uint8_t *in, size_t size, uint8_t *out)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        if (i + 1 < size && (in[i] & 0xFE) == 0xC2 &&
            (in[i + 1] & 0xC0) == 0x80) {
            i++;
            out[length++] = (uint8_t)((in[i - 1] & 1) << 6 | in[i]);
        } else {
            out[length++] = in[i];
        }
    }
    return length;
}

/* Undoes what a literal or a URL adds: escapes such as backslash-n, %41, \x41
 * and \u0041, 0x before a number. */
static size_t
unescape(const uint8_t *in, size_t size, uint8_t *out)
{
    static const char letters[] = "nrtvf", spaces[] = "\n\r\t\v\f";
    const uint8_t *end = in + size;
    size_t length = 0;
    while (in < end) {
        size_t left = (size_t)(end - in);
        if (left >= 2 && in[0] == '0' && (in[1] == 'x' || in[1] == 'X')) {
            in += 2;
            continue;
        }
        if (*in != '\\' && *in != '%') {
            out[length++] = *in++;
            continue;
        }
        size_t digits = *in == '%' ? 1 : 2;
        if (*in == '\\' && left >= 6 && in[1] == 'u' && in[2] == '0' &&
            in[3] == '0') {
            digits = 4;
        } else if (*in == '\\' && (left < 2 || in[1] != 'x')) {
            digits = left; /* no such escape */
        }
        if (left >= digits + 2 && fta_hex_value(in[digits]) >= 0 &&
            fta_hex_value(in[digits + 1]) >= 0) {
            out[length++] = (uint8_t)(fta_hex_value(in[digits]) << 4 |
                                      fta_hex_value(in[digits + 1]));
            in += digits + 2;
        } else if (*in == '%' || left < 2) {
            out[length++] = *in++;
        } else {
            const char *letter = in[1] != 0 ? strchr(letters, in[1]) : NULL;
            out[length++] =
                letter != NULL ? (uint8_t)spaces[letter - letters] : in[1];
            in += 2;
        }
    }
    return length;
}

/* --- the search --------------------------------------------------------- */

/* Usual secrets take a thousandth of the work. The depth bounds the stack. */
#define WORK_PER_OCTET 256
#define WORK_MIN ((size_t)1 << 20)
#define DEPTH_MAX 32

/* One search: what is left of its work, and what has come of it. */
typedef struct key_search {
    size_t work; /* octets that may still be looked at */
    bool found;
} key_search;

static fta_status search_octets(key_search *search, const uint8_t *octets,
                                size_t size, unsigned depth);

/* Searches what the runs of one encoding decode to, from each character that
 * an octet can begin with. out has room for size octets. */
static fta_status
search_encoded(key_search *search, const codec *each, const uint8_t *octets,
               size_t size, uint8_t *out, unsigned depth)
{
    int8_t table[256];
    fta_status status = FTA_OK;
    const uint8_t *end = octets + size;
    fill_table(each, table);
    for (const uint8_t *start = octets; start < end && !search->found;
         start++) {
        const uint8_t *next = start;
        for (unsigned skip = 0; skip < each->offsets && !search->found;
             skip++) {
            next = start;
            size_t length = decode_run(each, table, skip, &next, end, out);
            if (length < SIZE_MIN) {
                break; /* with fewer characters it is even less */
            }
            status = search_octets(search, out, length, depth + 1);
            if (status != FTA_OK) {
                return status;
            }
        }
        start = next;
    }
    return status;
}

/* Searches everything that the octets may be an encoding of. */
static fta_status
search_decoded(key_search *search, const uint8_t *octets, size_t size,
               uint8_t *out, unsigned depth)
{
    /* One at a time: in UTF-16 of DER a backslash is no escape, and to drop it
     * would take the octets behind it out of step. */
    static size_t (*const plainer[])(const uint8_t *, size_t,
                                     uint8_t *) = {narrow, drop_nuls, unescape};
    fta_status status = FTA_OK;
    for (size_t i = 0; i < sizeof plainer / sizeof *plainer; i++) {
        size_t length = plainer[i](octets, size, out);
        if (status == FTA_OK && !search->found && length < size) {
            status = search_octets(search, out, length, depth + 1);
        }
    }
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        if (status == FTA_OK && !search->found) {
            status =
                search_encoded(search, &codecs[i], octets, size, out, depth);
        }
    }
    return status;
}

static fta_status
search_octets(key_search *search, const uint8_t *octets, size_t size,
              unsigned depth)
{
    if (size < SIZE_MIN) {
        return FTA_OK;
    }
    if (search->work < size || depth > DEPTH_MAX) {
        search->found = true;
        return FTA_OK;
    }
    search->work -= size;
    if (has_mark(octets, size) || has_jwk_type(octets, size) ||
        has_rsa_numbers(octets, size)) {
        search->found = true;
        return FTA_OK;
    }
    fta_status status = check_point(octets, size, &search->found);
    if (status == FTA_OK && !search->found &&
        (depth == 0 || octets[0] == 0x30)) {
        status = check_pair(octets, size, &search->found);
    }
    if (status != FTA_OK || search->found) {
        return status;
    }
    uint8_t *out = fta_malloc(size);
    if (out == NULL) {
        return FTA_NO_MEMORY;
    }
    status = search_decoded(search, octets, size, out, depth);
    fta_free_secret(out, size);
    return status;
}

fta_status
fta_key_search(const uint8_t *octets, size_t size, bool *found)
{
    key_search search = {.work = WORK_MIN + size * WORK_PER_OCTET};
    fta_status status = search_octets(&search, octets, size, 0);
    *found = search.found;
    return status;
}
