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
