/* Hexadecimal digits. */
#ifndef FTA_BASE_HEX_H
#define FTA_BASE_HEX_H

/* The value of a hexadecimal digit of either case; -1 for any other octet. */
static inline int
fta_hex_value(unsigned char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    int lower = digit | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

#endif
