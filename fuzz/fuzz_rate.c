/* Any octets as a text of rates. Rates that are read are in range, and their
 * text reads as the same rates. An error has a position and a reason. */
#include "limit/rate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size: ASan sees a read beyond it. */
    char *text = malloc(size > 0 ? size : 1);
    fta_rate rates[FTA_HITS_MAX];
    size_t count, bad_at = size + 1;
    const char *reason = NULL;
    if (text == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    if (fta_rates_parse(text, size, rates, FTA_HITS_MAX, &count, &bad_at,
                        &reason) != FTA_OK) {
        if (bad_at > size || reason == NULL) {
            abort();
        }
        count = 0;
    } else if (count == 0 || count > FTA_HITS_MAX) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        char written[FTA_RATE_TEXT];
        fta_rate again;
        size_t one;
        if (rates[i].limit > FTA_RATE_LIMIT_MAX || rates[i].period < 1 ||
            rates[i].period > FTA_RATE_PERIOD_MAX) {
            abort();
        }
        fta_rate_format(&rates[i], written);
        if (fta_rates_parse(written, strlen(written), &again, 1, &one, &bad_at,
                            &reason) != FTA_OK ||
            again.limit != rates[i].limit || again.period != rates[i].period) {
            abort();
        }
    }
    free(text);
    return 0;
}
