#include "token/bearer.h"

fta_text
fta_bearer_token(fta_text authorization)
{
    static const char scheme[] = "bearer";
    const size_t length = sizeof scheme - 1;
    const fta_text none = {NULL, 0};
    const char *in = authorization.data;
    const char *end = in + authorization.length;
    if (authorization.length <= length || in[length] != ' ') {
        return none;
    }
    for (size_t i = 0; i < length; i++) {
        if ((in[i] | 0x20) != scheme[i]) {
            return none;
        }
    }
    in += length;
    while (in < end && *in == ' ') {
        in++;
    }
    while (end > in && end[-1] == ' ') {
        end--;
    }
    return in == end ? none : (fta_text){in, (size_t)(end - in)};
}
