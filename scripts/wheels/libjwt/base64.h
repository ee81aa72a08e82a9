/*
 * Takes the place of libjwt's own base64.h and base64.c, which Debian leaves out of the archive of
 * libjwt's sources. The functions are those that libjwt calls, on OpenSSL's.
 */
#ifndef BASE64_H
#define BASE64_H

#include <openssl/evp.h>
#include <string.h>

/* Writes the encoding and a NUL. Returns the octets written, with the NUL. */
static inline int jwt_Base64encode(char *encoded, const char *octets, int count)
{
    return EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)octets, count) + 1;
}

/* Writes the octets. Returns their number, or -1 if the text, which is padded, is no base64. */
static inline int jwt_Base64decode(char *octets, const char *encoded)
{
    const size_t length = strlen(encoded);
    int count = EVP_DecodeBlock((unsigned char *)octets, (const unsigned char *)encoded, (int)length);
    for (size_t i = length; count > 0 && i > 0 && encoded[i - 1] == '='; i--) {
        count--;
    }
    return count;
}

#endif
