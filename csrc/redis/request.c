#include "redis/request.h"

#include <stdint.h>
#include <string.h>

#include <hiredis/hiredis.h>
#include <openssl/crypto.h>

#include "base/alloc.h"

fta_status
fta_redis_request_append(fta_redis_request *request,
                         const fta_redis_command *command)
{
    char *formatted = NULL;
    /* hiredis only reads the pointers; its prototype lacks the const. */
    long long length = redisFormatCommandArgv(
        &formatted, command->argc, (const char **)(uintptr_t)command->argv,
        command->lengths);
    if (length < 0) {
        return FTA_NO_MEMORY;
    }
    fta_status status = FTA_NO_MEMORY;
    char *grown = fta_malloc(request->length + (size_t)length);
    if (grown != NULL) {
        if (request->length > 0) {
            memcpy(grown, request->bytes, request->length);
        }
        memcpy(grown + request->length, formatted, (size_t)length);
        fta_free_secret(request->bytes, request->length);
        request->bytes = grown;
        request->length += (size_t)length;
        status = FTA_OK;
    }
    OPENSSL_cleanse(formatted, (size_t)length);
    redisFreeCommand(formatted);
    return status;
}

void
fta_redis_request_free(fta_redis_request *request)
{
    fta_free_secret(request->bytes, request->length);
    *request = (fta_redis_request){NULL, 0};
}
