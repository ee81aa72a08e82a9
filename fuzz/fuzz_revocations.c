/* Any octets as revocations and questions, in a table so small that it widens.
 * What a plain list denies is not admitted, whatever came before; and what no
 * revocation is near to is. */
#include <stdlib.h>

#include "base/clock.h"
#include "revocation_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Four octets: what is done, the tenant and the user, the id, and what the
 * token has. An id is of one user, as those of sessions and tokens are. */
#define STEP 4

static model_token
token_of(const uint8_t *step, int64_t at)
{
    model_token t = {.tenant = (uint8_t)(1 + step[1] % 4),
                     .user = (uint8_t)(1 + step[1] / 4 % 8),
                     .actor = step[3] % 16 == 3 ? 2 : 0,
                     .began_ms = at - 5000,
                     .issued_at = floor((double)at / 1000) - 4};
    if (step[3] % 4 != 0) {
        model_session(t.began_ms, step[1] * 256u + step[2], t.session);
    }
    (void)snprintf(t.jti, sizeof t.jti, "%u %u %u", step[1], step[2], step[3]);
    return t;
}

static model_revocation
revocation_of(const uint8_t *step, int64_t at)
{
    model_token t = token_of(step, at);
    model_revocation r = {.kind = step[0] % 64 == 7
                                      ? FTA_REVOKED_EVERYTHING
                                      : (fta_revocation_kind)(step[0] % 4),
                          .at = at,
                          .ends_at = at + TOKEN_MAX_MS,
                          .tenant = t.tenant,
                          .user = t.user};
    bool is_token = r.kind == FTA_REVOKED_TOKEN;
    if (r.kind == FTA_REVOKED_SESSION && t.session[0] == '\0') {
        r.kind = FTA_REVOKED_USER;
    }
    if (r.kind == FTA_REVOKED_SESSION || is_token ||
        (r.kind == FTA_REVOKED_USER && step[3] % 4 == 1)) {
        (void)snprintf(r.text, sizeof r.text, "%s",
                       is_token ? t.jti : t.session);
    }
    return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fta_revocations *table = model_open(FTA_REVOCATIONS_SLOTS_MIN);
    int64_t at = fta_clock_realtime_us() / 1000;
    double now = (double)at / 1000 + 1;
    bool is_everything = false;
    model_count = 0;
    if (table == NULL ||
        fta_revocations_mark_filled(table, (fta_text){"1", 1}) != FTA_OK) {
        abort();
    }
    for (; size >= STEP; data += STEP, size -= STEP) {
        if (data[0] % 8 != 1) {
            model_revocation r = revocation_of(data, at);
            if (model_add(table, &r) != FTA_OK) {
                abort();
            }
        }
        model_token t = token_of(data, at);
        if (model_check(&t, at + 1000, false) != FTA_OK &&
            model_ask(table, &t, now) == FTA_OK) {
            abort();
        }
    }
    fta_revocations_usage usage;
    if (fta_revocations_usage_read(table, &usage) != FTA_OK) {
        abort();
    }
    /* A tenant and a user that nothing names: only what is of everything, or
     * has widened to it, denies their token. */
    for (size_t i = 0; i < model_count; i++) {
        is_everything |= model_list[i].kind == FTA_REVOKED_EVERYTHING;
    }
    const uint8_t far[STEP] = {0, 0, 0, 0};
    model_token stranger = token_of(far, at);
    stranger.tenant = 99;
    stranger.user = 99;
    stranger.jti[0] = '\0';
    if (!is_everything && usage.widened == 0 &&
        model_ask(table, &stranger, now) != FTA_OK) {
        abort();
    }
    fta_revocations_close(table);
    return 0;
}
