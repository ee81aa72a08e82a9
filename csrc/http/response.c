#include "http/response.h"

int
fta_status_code(fta_text status)
{
    int code = 0;
    if (status.length < 3) {
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        char c = status.data[i];
        if (c < '0' || c > '9') {
            return 0;
        }
        code = code * 10 + (c - '0');
    }
    return code;
}

bool
fta_response_is_ordinary(int status_code, fta_text method)
{
    return status_code != 401 && !fta_text_is(method, "OPTIONS");
}

static unsigned char
lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool
fta_field_names_equal(fta_text a, fta_text b)
{
    if (a.length != b.length) {
        return false;
    }
    for (size_t i = 0; i < a.length; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}
