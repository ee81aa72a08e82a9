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
    fta_rates found;
    fta_rate_error error = {.at = size + 1};
    if (text == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    if (fta_rates_parse((fta_text){text, size}, &found, &error) != FTA_OK) {
        if (error.at > size || error.reason == NULL) {
            abort();
        }
        found.count = 0;
    } else if (found.count == 0 || found.count > FTA_HITS_MAX) {
        abort();
    }
    for (size_t i = 0; i < found.count; i++) {
        const fta_rate *rate = &found.rates[i];
        char written[FTA_RATE_TEXT];
        fta_rates again;
        if (rate->limit > FTA_RATE_LIMIT_MAX || rate->period < 1 ||
            rate->period > FTA_RATE_PERIOD_MAX) {
            abort();
        }
        fta_rate_format(rate, written);
        if (fta_rates_parse((fta_text){written, strlen(written)}, &again,
                            &error) != FTA_OK ||
            again.count != 1 || again.rates[0].limit != rate->limit ||
            again.rates[0].period != rate->period) {
            abort();
        }
    }
    free(text);
    return 0;
}
