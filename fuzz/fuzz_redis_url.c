/* Any bytes as a URL. One that is accepted has texts that end with a NUL, and
 * can be described. */
#include "redis/url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(int condition)
{
    if (!condition) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_redis_url *url;
    const char *problem;
    fta_status status =
        fta_redis_url_parse((const char *)data, size, &url, &problem);
    require((status == FTA_OK) == (url != NULL));
    require((status == FTA_BAD_ARGUMENT) == (problem != NULL));
    if (url != NULL) {
        char shown[300];
        fta_redis_url_describe(url, shown, sizeof(shown));
        require(strlen(shown) < sizeof(shown));
        require(url->used <= size + 1);
        require((url->kind == FTA_REDIS_UNIX) == (url->host_count == 0));
        require((url->kind == FTA_REDIS_UNIX) == (url->path != NULL));
        for (size_t i = 0; i < url->host_count; i++) {
            require(strlen(url->hosts[i].name) > 0 && url->hosts[i].port > 0);
        }
        fta_redis_url_free(url);
    }
    return 0;
}
