#include "limit/limit.h"

static const struct {
    fta_text word;
    fta_per per;
} pers[] = {
    {{"user", 4}, FTA_PER_USER},     {{"member", 6}, FTA_PER_MEMBER},
    {{"tenant", 6}, FTA_PER_TENANT}, {{"address", 7}, FTA_PER_ADDRESS},
    {{"custom", 6}, FTA_PER_CUSTOM},
};

const fta_words fta_per_words = FTA_WORDS(pers);

fta_per
fta_per_at(size_t place)
{
    return pers[place].per;
}

fta_text
fta_per_text(fta_per per)
{
    size_t i = 0;
    while (pers[i].per != per) {
        i++;
    }
    return pers[i].word;
}

fta_limit
fta_limit_share(const fta_limit *limit, double fraction)
{
    fta_limit share = *limit;
    /* 0.29 of 100 is 28.999999999999996, and meant as 29. */
    uint32_t whole = (uint32_t)(fraction * limit->rate.limit + 1e-6);
    share.per = FTA_PER_MEMBER;
    if (limit->rate.limit > 0) {
        share.rate.limit = whole > limit->cost ? whole : limit->cost;
    }
    return share;
}
