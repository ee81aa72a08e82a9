#include "limit/strategy.h"

#include <string.h>

const fta_strategy *const fta_strategies[FTA_STRATEGY_COUNT] = {
#define X(name) &fta_strategy_##name,
    FTA_STRATEGY_LIST(X)
#undef X
};

void
fta_strategy_names(fta_text out[FTA_STRATEGY_COUNT])
{
    for (size_t i = 0; i < FTA_STRATEGY_COUNT; i++) {
        const char *name = fta_strategies[i]->name;
        out[i] = (fta_text){name, strlen(name)};
    }
}
