/* A lease: permits of one limit that the store of many hosts has counted as
 * used, and that one host hands out itself. This is its arithmetic alone. It
 * reads no clock and no memory but its arguments, so that a model checker and a
 * simulation run the same code (tests/lease).
 *
 * Two things hold for any number of hosts, whatever ends when:
 *
 *   Conservation. What is granted is counted as used by the store at once. From
 *   then on a permit is spent once, or goes back once, or is lost.
 *   Timeliness. A permit is spent before its window ends by the store's clock,
 *   as long as the clock of the host runs, at most 1 / FTA_LEASE_DRIFT slower.
 *
 * A lease of a strategy without windows melts: time pays for its permits, as it
 * does for hits. See fta_lease_valid. */
#ifndef FTA_LIMIT_LEASE_LEASE_H
#define FTA_LIMIT_LEASE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* What a host's clock may lose against the store's: a part of the time. Kernels
 * slew a clock by 1/2000 at most. */
#define FTA_LEASE_DRIFT 1000

/* An end is a multiple of this, rounded down. */
#define FTA_LEASE_TICK_US INT64_C(1000)

/* How many permits a host may ask for that has spent few of this limit. */
#define FTA_LEASE_LEAST_MOST 100u

/* The answer of the store to one hit that was asked for with a lease. */
typedef struct fta_grant {
    uint32_t permits; /* Beyond the cost of the hit; 0: none. */
    uint64_t nonce;   /* Of the window; 0: the window has no leases. */
    int64_t window;   /* The end that names it, by the store's clock. */
    int64_t lasts_us; /* From the moment at which the store counted. */
} fta_grant;

/* What a host holds of one key. */
typedef struct fta_lease {
    uint64_t nonce; /* These two name the window. */
    int64_t window;
    int64_t asked_us; /* When the host asked for the first of it. */
    int64_t end_us;   /* By the clock of this host; see fta_lease_valid. */
    uint32_t epoch;   /* Of the connections that it came by. */
    uint32_t left;
} fta_lease;

/* How the permits of a strategy end: all at once with their window (0), or one
 * after the other, in so many nanoseconds each. */
typedef int64_t fta_lease_melt;

/* When what was asked for at that time ends on this host, if it lasts so long
 * from a moment after it. */
int64_t fta_lease_end_us(int64_t asked_us, int64_t lasts_us);

/* How many permits may be spent now.
 *
 * Those that melt: the store's counter drains, and no more of it may be
 * outstanding than it still holds. The permits of this lease drain last before
 * end_us, so at most (end_us - now) / interval of them are still in it. */
uint32_t fta_lease_valid(const fta_lease *lease, fta_lease_melt melt,
                         int64_t now_us);

/* Takes permits for one hit: all of its cost or none. What has melted goes. */
bool fta_lease_take(fta_lease *lease, uint32_t cost, fta_lease_melt melt,
                    int64_t now_us);

/* Takes the store's answer in, to a question of that time and epoch. Permits
 * of the same window are added. A later window replaces the lease, also where
 * nothing was granted, and the rest of the old one is dropped. An earlier one
 * is ignored. */
void fta_lease_receive(fta_lease *lease, const fta_grant *grant,
                       int64_t asked_us, uint32_t epoch, fta_lease_melt melt,
                       int64_t now_us);

/* Takes out what may go back to the store, all of it, before it is sent: so it
 * is sent at most once. 0: nothing. Only what ends with a window goes back, and
 * only by connections of the epoch that it came by. */
uint32_t fta_lease_take_out(fta_lease *lease, uint32_t epoch,
                            fta_lease_melt melt, int64_t now_us);

/* What rests is offered after a pause, and when it was not taken again after a
 * longer one: the next, for a limit of that period. is_alone: no other host
 * asks. */
#define FTA_LEASE_PAUSE_US INT64_C(250000)
int64_t fta_lease_pause(int64_t pause_us, int64_t period_us, bool is_alone);

/* The most that a host asks for, beyond its part: what it has spent lately in
 * one second. Requests that were refused spent nothing. */
uint32_t fta_lease_most(uint32_t spent, int64_t in_us);

#endif
