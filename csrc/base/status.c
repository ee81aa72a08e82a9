#include "base/status.h"

#include <stddef.h>

typedef struct description {
    const char *name;
    const char *text;
} description;

static const description descriptions[] = {
#define X(name, text) {#name, text},
    FTA_STATUS_LIST(X)
#undef X
};

static const description unknown = {"UNKNOWN", "unknown status"};

static const description *
describe(fta_status status)
{
    /* Unsigned, so that a negative value is out of range as well. */
    size_t index = (size_t)status;
    return index < (size_t)FTA_STATUS_COUNT ? &descriptions[index] : &unknown;
}

const char *
fta_status_text(fta_status status)
{
    return describe(status)->text;
}

const char *
fta_status_name(fta_status status)
{
    return describe(status)->name;
}
