/* Any bytes as a reply of Redis. The first byte is the size of the pieces in
 * which they arrive. Each reply goes through all functions that read one. */
#include "redis/nodes.h"

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

static void
check_texts(const fta_redis_reply *reply)
{
    require(reply != NULL);
    if (reply->type == FTA_REDIS_ARRAY) {
        for (size_t i = 0; i < reply->length; i++) {
            check_texts(reply->elements[i]);
        }
    } else if (reply->type == FTA_REDIS_TEXT ||
               reply->type == FTA_REDIS_ERROR) {
        require(reply->text[reply->length] == '\0');
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const fta_redis_host asked = {"asked", 1};
    fta_redis_reader *reader;
    if (size == 0 || fta_redis_reader_new(&reader) != FTA_OK) {
        return 0;
    }
    size_t piece = (size_t)data[0] + 1;
    fta_status status = FTA_OK;
    for (size_t at = 1; status == FTA_OK && at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        fta_redis_reply *reply = NULL;
        status = fta_redis_reader_feed(reader, (const char *)data + at, n);
        while (status == FTA_OK &&
               (status = fta_redis_reader_next(reader, &reply)) == FTA_OK &&
               reply != NULL) {
            check_texts(reply);
            fta_redis_host to;
            fta_redis_slots *slots;
            unsigned slot;
            (void)fta_redis_reply_status(reply);
            if (fta_redis_redirect_parse(reply, &asked, &slot, &to)) {
                require(slot < FTA_REDIS_SLOTS && to.port > 0);
            }
            (void)fta_redis_address_parse(reply, &to);
            if (fta_redis_slots_parse(reply, &asked, &slots) == FTA_OK) {
                for (size_t i = 0; i < FTA_REDIS_SLOTS; i++) {
                    require(slots->owner[i] < slots->count ||
                            slots->owner[i] == FTA_REDIS_NO_OWNER);
                }
                fta_redis_slots_free(slots);
            }
            fta_redis_reply_free(reply);
        }
    }
    fta_redis_reader_free(reader);
    return 0;
}
