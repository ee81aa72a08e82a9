/* The IP address of a client, as servers and proxies write it. */
#ifndef FTA_LIMIT_ADDRESS_H
#define FTA_LIMIT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define FTA_ADDRESS_BYTES 16

typedef enum fta_address_family {
    FTA_ADDRESS_IPV4, /* The first 4 bytes. */
    FTA_ADDRESS_IPV6, /* All 16 bytes. */
} fta_address_family;

typedef struct fta_address {
    fta_address_family family;
    uint8_t bytes[FTA_ADDRESS_BYTES]; /* In network order; 0 after the end. */
} fta_address;

/* Reads one address and nothing else. A port, a zone (RFC 4007, section 11) and
 * brackets (RFC 3986, section 3.2.2) around the address are not part of it, nor
 * is white space at either end:
 *
 *     192.0.2.1      192.0.2.1:443      [192.0.2.1]     [192.0.2.1]:443
 *     2001:db8::1    2001:db8::1%eth0   [2001:db8::1]   [2001:db8::1%eth0]:443
 *
 * An address of IPv6 without brackets has a port only where the text would
 * otherwise be no address: 1:2:3:4:5:6:7:8:443. An IPv4 address that is mapped
 * into IPv6 is the IPv4 address (RFC 4291, section 2.5.5.2).
 *
 * False for everything else; out is written only on success. */
bool fta_address_parse(fta_text text, fta_address *out);

/* The longest text of an address, with a NUL. */
#define FTA_ADDRESS_TEXT 46

/* Writes an address in its usual form (RFC 5952), with a NUL. Returns the
 * length. */
size_t fta_address_format(const fta_address *address,
                          char out[FTA_ADDRESS_TEXT]);

#endif
