#include "limit/redis/script_call.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "limit/redis/script.h"

fta_status
fta_script_hash(char out[FTA_SCRIPT_HASH_TEXT + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(fta_redis_script, fta_redis_script_length, digest, &length,
                   EVP_sha1(), NULL) != 1 ||
        length * 2 != FTA_SCRIPT_HASH_TEXT) {
        return FTA_CRYPTO;
    }
    for (unsigned i = 0; i < length; i++) {
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
    }
    return FTA_OK;
}

void
fta_script_call_begin(fta_script_call *call, const char *hash)
{
    call->count = 0;
    call->resend = FTA_REDIS_RESEND_CLOSED;
    fta_script_call_add(call, "EVALSHA", 7);
    fta_script_call_add(call, hash, FTA_SCRIPT_HASH_TEXT);
}

void
fta_script_call_add(fta_script_call *call, const char *text, size_t length)
{
    call->words[call->count] = text;
    call->lengths[call->count++] = length;
}

void
fta_script_call_add_number(fta_script_call *call, int64_t value)
{
    char *text = call->numbers[call->count];
    int length =
        snprintf(text, sizeof *call->numbers, "%lld", (long long)value);
    fta_script_call_add(call, text, (size_t)length);
}

void
fta_script_call_add_part(fta_script_call *call, double part)
{
    char *text = call->numbers[call->count];
    int length = snprintf(text, sizeof *call->numbers, "%.9f", part);
    fta_script_call_add(call, text, (size_t)length);
}

fta_status
fta_script_call_send(fta_script_call *call, fta_redis_client *client,
                     unsigned slot, int64_t deadline, fta_redis_reply **out,
                     fta_redis_problem *problem)
{
    const fta_redis_command command = {call->count, call->words, call->lengths};
    const fta_redis_sending sending = {slot, deadline, call->resend};
    fta_status status =
        fta_redis_client_call(client, &command, &sending, out, problem);
    if (status == FTA_REDIS_NO_SCRIPT &&
        call->resend != FTA_REDIS_RESEND_NEVER) {
        /* A Redis that was restarted, flushed or just became the primary;
         * EVAL also makes it known again. */
        call->words[0] = "EVAL";
        call->lengths[0] = 4;
        call->words[1] = fta_redis_script;
        call->lengths[1] = fta_redis_script_length;
        status =
            fta_redis_client_call(client, &command, &sending, out, problem);
    }
    return status;
}
