#include "base/hex.h"

#include <stdbool.h>
#include <string.h>

#include "check.h"

static void
test_each_digit_of_either_case_has_its_value(void)
{
    static const char lower[] = "0123456789abcdef",
                      upper[] = "0123456789ABCDEF";
    for (int value = 0; value < 16; value++) {
        CHECK(fta_hex_value((unsigned char)lower[value]) == value);
        CHECK(fta_hex_value((unsigned char)upper[value]) == value);
    }
}

static void
test_any_other_octet_has_no_value(void)
{
    for (int octet = 0; octet < 256; octet++) {
        bool is_digit =
            octet != 0 && strchr("0123456789abcdefABCDEF", octet) != NULL;
        CHECK((fta_hex_value((unsigned char)octet) >= 0) == is_digit);
    }
}

int
main(void)
{
    test_each_digit_of_either_case_has_its_value();
    test_any_other_octet_has_no_value();
    return check_report("test_hex");
}
