#include "token/role.h"

static const fta_text texts[] = {
#define X(name, text) {text, sizeof(text) - 1},
    FTA_ROLE_LIST(X)
#undef X
};

const fta_words fta_role_words = FTA_WORDS(texts);

const char *
fta_role_text(fta_role role)
{
    size_t place = (size_t)role;
    return place < FTA_ROLE_COUNT ? texts[place].data : "";
}

bool
fta_role_parse(fta_text text, fta_role *out)
{
    size_t place;
    bool found = fta_words_find(&fta_role_words, text, &place);
    if (found) {
        *out = (fta_role)place;
    }
    return found;
}
