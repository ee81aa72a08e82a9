/* The leases of one host: a table in memory that all its processes share. How
 * it works, and why it is right, is at the top of table.c. */
#ifndef FTA_LIMIT_LEASE_TABLE_H
#define FTA_LIMIT_LEASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "limit/hit.h"
#include "limit/lease/lease.h"

typedef struct fta_lease_table fta_lease_table;

typedef struct fta_lease_table_options {
    size_t bytes; /* 0: what suits. */
    bool shared;  /* With processes that are not children, too. */
    fta_text app; /* Those that give the same app and prefix meet. */
    fta_text prefix;
    const char *directory; /* Where they meet; NULL: the usual place. */
} fta_lease_table_options;

/* Where shared memory cannot be had, the table belongs to this process and its
 * children. FTA_SEGMENT_FOREIGN: see fta_segment_shared. */
fta_status fta_lease_table_open(const fta_lease_table_options *options,
                                fta_lease_table **out);

/* Makes this process one that uses leases. Cheap. */
void fta_lease_table_enter(fta_lease_table *table);

/* This process uses leases no longer. Whether no other one that does lives. */
bool fta_lease_table_is_last(fta_lease_table *table);

/* See fta_segment_leave. Leases that have not ended stay, and whoever opens the
 * table next uses them. */
void fta_lease_table_leave(fta_lease_table *table);

/* Leaves, then frees. NULL is allowed. No other thread may be inside. */
void fta_lease_table_close(fta_lease_table *table);

/* A new nonce, of 48 bits; 0 where there are no random numbers. */
uint64_t fta_lease_nonce(void);

/* The number by which the store knows this host: a nonce. Never 0. */
uint64_t fta_lease_table_host(const fta_lease_table *table);

/* -- One hit --------------------------------------------------------------- */

/* What was taken, to be put back. */
typedef struct fta_lease_taken {
    size_t slot;
    uint32_t tag; /* 0: nothing was taken. */
} fta_lease_taken;

/* Takes the permits of a hit: all of its cost or none. Writes the verdict where
 * it returns true. */
bool fta_lease_table_take(fta_lease_table *table, const fta_hit *hit,
                          fta_lease_melt melt, fta_lease_taken *taken,
                          fta_verdict *verdict);

/* Whether there are permits for the hit; takes none. */
bool fta_lease_table_look(fta_lease_table *table, const fta_hit *hit,
                          fta_lease_melt melt, fta_verdict *verdict);

/* Gives permits back to the lease that they are from, if it is still there. */
void fta_lease_table_put_back(fta_lease_table *table, fta_lease_taken taken,
                              uint32_t cost);

/* What to ask the store for: the most, see fta_lease_most (0: there is no room
 * for more), and how many permits were spent that it has not been told of. Of
 * several that ask at once one tells of each permit. Where no answer comes, the
 * store may not know of them: then it takes them for permits that are out. */
typedef struct fta_lease_demand {
    uint32_t most;
    uint32_t spent;
} fta_lease_demand;

fta_lease_demand fta_lease_table_demand(fta_lease_table *table,
                                        const fta_hit *hit);

/* What the store has answered to a hit, and when and in which epoch it was
 * asked. verdict: of this hit alone; what this host holds is added to what
 * remains. */
typedef struct fta_lease_answer {
    fta_grant grant;
    int64_t asked_us; /* fta_clock_boottime_us */
    uint32_t epoch;
} fta_lease_answer;

void fta_lease_table_receive(fta_lease_table *table, const fta_hit *hit,
                             fta_lease_melt melt,
                             const fta_lease_answer *answer,
                             fta_verdict *verdict);

/* Drops what is held of a key. */
void fta_lease_table_forget(fta_lease_table *table, const fta_hit *hit);

/* -- Epochs ---------------------------------------------------------------- */

/* From one epoch to the next a process of this host has opened a connection to
 * the store, or has lost one. Never 0. */
uint32_t fta_lease_table_epoch(const fta_lease_table *table);

/* Begins the next epoch, and returns it. */
uint32_t fta_lease_table_new_epoch(fta_lease_table *table);

/* How often a process of this host has lost its connections: those of before
 * may lead to what is no longer the primary. */
uint32_t fta_lease_table_losses(const fta_lease_table *table);

/* Adds one, and returns the sum. */
uint32_t fta_lease_table_add_loss(fta_lease_table *table);

/* -- Offers to the store --------------------------------------------------- */

#define FTA_LEASE_KEY_MAX 128u
#define FTA_LEASE_OFFERS_MAX 64u

typedef enum fta_lease_fate {
    FTA_LEASE_LOST,  /* There was no answer. */
    FTA_LEASE_GONE,  /* The store has taken them. */
    FTA_LEASE_KEPT,  /* It has not. */
    FTA_LEASE_ALONE, /* Nor will it: no other host asks. */
} fta_lease_fate;

/* Permits that were taken out of a lease, to be offered once. */
typedef struct fta_lease_offer {
    uint8_t key[FTA_LEASE_KEY_MAX];
    size_t key_length;
    uint32_t limit;
    int64_t period_us;
    uint64_t nonce; /* These two name the window. */
    int64_t window;
    uint32_t permits;
    fta_lease_taken from;
    size_t entry; /* Of the list. */
    fta_lease_fate fate;
} fta_lease_offer;

/* Whether leases rest, of which some may be offered one day. */
bool fta_lease_table_rests(const fta_lease_table *table);

/* Takes out what was not used for its pause; returns how many offers there are.
 * One process of the host has a turn every FTA_LEASE_PAUSE_US: the others get
 * nothing. */
size_t fta_lease_table_take_turn(fta_lease_table *table,
                                 fta_lease_offer out[FTA_LEASE_OFFERS_MAX]);

/* Puts back what the store did not take. What is lost stays lost. */
void fta_lease_table_settle(fta_lease_table *table,
                            const fta_lease_offer *offers, size_t count);

/* Takes out what is left of all leases, from a slot on; moves it on. 0: that
 * was all. */
size_t fta_lease_table_take_all(fta_lease_table *table, size_t *slot,
                                fta_lease_offer out[FTA_LEASE_OFFERS_MAX]);

/* -- For people ------------------------------------------------------------ */

typedef struct fta_lease_table_usage {
    size_t slots;
    size_t leases;
    uint64_t permits; /* That they have left. */
} fta_lease_table_usage;

void fta_lease_table_usage_read(fta_lease_table *table,
                                fta_lease_table_usage *out);

#endif
