#include "limit/lease/lease.h"

#include "limit/rate.h"

/* A test leaves out one rule at a time, to see that it is needed. */
#ifndef FTA_LEASE_RULE
#define FTA_LEASE_RULE(name) true
#endif

#define US_PER_SECOND 1000000
#define NS_PER_US 1000

int64_t
fta_lease_end_us(int64_t asked_us, int64_t lasts_us)
{
    int64_t drift_us = lasts_us / FTA_LEASE_DRIFT + 1;
    if (!FTA_LEASE_RULE(LESS_DRIFT)) {
        drift_us = 0;
    }
    int64_t end_us = asked_us + lasts_us - drift_us;
    if (!FTA_LEASE_RULE(ROUND_DOWN)) {
        end_us += FTA_LEASE_TICK_US - 1;
    }
    return end_us / FTA_LEASE_TICK_US * FTA_LEASE_TICK_US;
}

uint32_t
fta_lease_valid(const fta_lease *lease, fta_lease_melt melt, int64_t now_us)
{
    int64_t lasts_us = lease->end_us - now_us;
    if (lasts_us <= 0) {
        return 0;
    }
    if (melt == 0 || !FTA_LEASE_RULE(MELT)) {
        return lease->left;
    }
    int64_t unmelted = lasts_us * NS_PER_US / melt;
    return unmelted < lease->left ? (uint32_t)unmelted : lease->left;
}

bool
fta_lease_take(fta_lease *lease, uint32_t cost, fta_lease_melt melt,
               int64_t now_us)
{
    uint32_t valid = fta_lease_valid(lease, melt, now_us);
    if (valid < cost) {
        return false;
    }
    lease->left = (FTA_LEASE_RULE(DROP_MELTED) ? valid : lease->left) - cost;
    return true;
}

static uint32_t
sum(uint32_t a, uint32_t b)
{
    return a < FTA_RATE_LIMIT_MAX - b ? a + b : FTA_RATE_LIMIT_MAX;
}

/* Permits that melt are put behind those that are left, as if no other host had
 * come between: then they end too early, if at all, and never too late. */
static void
receive_melting(fta_lease *lease, const fta_grant *grant, int64_t asked_us,
                uint32_t epoch, fta_lease_melt melt, int64_t now_us)
{
    int64_t end_us = fta_lease_end_us(asked_us, grant->lasts_us);
    uint32_t valid = fta_lease_valid(lease, melt, now_us);
    if (valid > 0) {
        int64_t behind_us =
            lease->end_us + (int64_t)grant->permits * melt / NS_PER_US;
        end_us = behind_us < end_us ? behind_us : end_us;
    }
    lease->left = sum(valid, grant->permits);
    lease->end_us = end_us;
    lease->epoch = epoch;
}

/* Whether an answer is from a later window than the lease. Answers may come in
 * another order than they were given. Where the store's clock was set back, a
 * later window may have the earlier end: then its permits are lost until the
 * lease has ended. */
static bool
replaces(const fta_lease *lease, const fta_grant *grant, int64_t asked_us,
         int64_t now_us)
{
    if (lease->end_us <= now_us || grant->window > lease->window) {
        return true;
    }
    return grant->window == lease->window && asked_us >= lease->asked_us;
}

void
fta_lease_receive(fta_lease *lease, const fta_grant *grant, int64_t asked_us,
                  uint32_t epoch, fta_lease_melt melt, int64_t now_us)
{
    bool same = lease->nonce == grant->nonce && lease->window == grant->window;
    if (melt != 0) {
        if (grant->permits > 0) {
            receive_melting(lease, grant, asked_us, epoch, melt, now_us);
        }
        return;
    }
    if (!FTA_LEASE_RULE(GRANT_NAMES_WINDOW)) {
        same = lease->end_us > now_us;
    }
    if (same) {
        if (lease->epoch != epoch) {
            /* Permits of two epochs stay here. */
            lease->epoch = lease->left == 0 ? epoch : 0;
        }
        lease->left = sum(lease->left, grant->permits);
        return;
    }
    if (!replaces(lease, grant, asked_us, now_us) ||
        (grant->permits == 0 && !FTA_LEASE_RULE(DROP_OLD_WINDOW))) {
        return;
    }
    *lease = (fta_lease){
        .nonce = grant->nonce,
        .window = grant->window,
        .asked_us = asked_us,
        .end_us = fta_lease_end_us(
            FTA_LEASE_RULE(FROM_ASKED) ? asked_us : now_us, grant->lasts_us),
        .epoch = epoch,
        .left = grant->permits,
    };
}

uint32_t
fta_lease_take_out(fta_lease *lease, uint32_t epoch, fta_lease_melt melt,
                   int64_t now_us)
{
    bool came_by = lease->epoch != 0 && lease->epoch == epoch;
    if ((melt != 0 && FTA_LEASE_RULE(MELTING_STAYS)) ||
        (!came_by && FTA_LEASE_RULE(SAME_EPOCH))) {
        return 0;
    }
    uint32_t permits = fta_lease_valid(lease, melt, now_us);
    if (FTA_LEASE_RULE(TAKEN_OUT_FIRST)) {
        lease->left = 0;
    }
    return permits;
}

int64_t
fta_lease_pause(int64_t pause_us, int64_t period_us, bool is_alone)
{
    int64_t longest_us = period_us / (is_alone ? 8 : 64);
    if (longest_us < FTA_LEASE_PAUSE_US) {
        longest_us = FTA_LEASE_PAUSE_US;
    }
    return 2 * pause_us < longest_us ? 2 * pause_us : longest_us;
}

uint32_t
fta_lease_most(uint32_t spent, int64_t in_us)
{
    int64_t a_second =
        in_us > 0 ? (int64_t)spent * US_PER_SECOND / in_us : (int64_t)spent;
    if (a_second < FTA_LEASE_LEAST_MOST) {
        return FTA_LEASE_LEAST_MOST;
    }
    return a_second < FTA_RATE_LIMIT_MAX ? (uint32_t)a_second
                                         : FTA_RATE_LIMIT_MAX;
}
