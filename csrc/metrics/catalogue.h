/* The metrics: one list, from which the memory, the exposition and the tables
 * of the documentation come.
 *
 * A metric has one value for each value of its label. The values of a label are
 * a list of words here. So nothing that a client sends makes another series. A
 * metric of a group has its values for each name of that group. Names come from
 * the configuration: a group has room for so many, and all further ones are
 * counted together, as "other". */
#ifndef FTA_METRICS_CATALOGUE_H
#define FTA_METRICS_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/text.h"

/* -- Labels: X(WORD), in lower case the value of the label ----------------- */

#define FTA_METRIC_NONE_LIST(X) X(NONE)

/* How a request ended for its client. FAILED: with a status of 500 or more, and
 * not because this package has denied it. */
#define FTA_METRIC_OUTCOME_LIST(X)                                             \
    X(ALLOWED)                                                                 \
    X(DENIED)                                                                  \
    X(LIMITED)                                                                 \
    X(FAILED)

/* Why requests are denied: each reason that the log and the audit log may say.
 * ANSWERED_BY_APP: a view has answered 401, 403 or 429 itself. OTHER: a reason
 * that the app has given to an AuthError of its own. */
#define FTA_METRIC_REASON_LIST(X)                                              \
    X(OTHER)                                                                   \
    X(ANSWERED_BY_APP)                                                         \
    FTA_METRIC_DENIAL_LIST(X)                                                  \
    FTA_INVALID_TOKEN_LIST(X)

#define FTA_METRIC_DENIAL_LIST(X)                                              \
    X(ACCOUNT_REPEATED)                                                        \
    X(API_KEY_ENDED)                                                           \
    X(API_KEY_EXPIRED)                                                         \
    X(API_KEY_MALFORMED)                                                       \
    X(API_KEY_MISMATCH)                                                        \
    X(API_KEY_NOT_ALLOWED)                                                     \
    X(API_KEY_ROLE_UNKNOWN)                                                    \
    X(API_KEY_UNKNOWN)                                                         \
    X(BEARER_WITHOUT_TOKEN)                                                    \
    X(CONCURRENCY_LIMIT_EXCEEDED)                                              \
    X(COOKIE_REPEATED)                                                         \
    X(DECORATOR_MISSING)                                                       \
    X(DENIED_BY_APP)                                                           \
    X(DENIED_BY_RECEIVER)                                                      \
    X(IDENTITY_HEADERS_NOT_TRUSTED)                                            \
    X(INTERNAL_ERROR)                                                          \
    X(KEYS_UNAVAILABLE)                                                        \
    X(LATE_PREDECESSOR)                                                        \
    X(METRICS_CLOSED)                                                          \
    X(NO_CREDENTIALS)                                                          \
    X(NO_REFRESH_TOKEN)                                                        \
    X(NO_SESSION)                                                              \
    X(NOT_GRANTED)                                                             \
    X(ORIGIN_NOT_ALLOWED)                                                      \
    X(OTHER_TENANT)                                                            \
    X(OTHER_USER)                                                              \
    X(PERMISSION_MISSING)                                                      \
    X(RATE_LIMIT_EXCEEDED)                                                     \
    X(REFRESH_TOKEN_INVALID)                                                   \
    X(REFRESH_TOKEN_MALFORMED)                                                 \
    X(REFRESH_TOKEN_MISMATCH)                                                  \
    X(RETRY)                                                                   \
    X(ROLE_INSUFFICIENT)                                                       \
    X(SESSION_ENDED)                                                           \
    X(SESSION_NOT_FOUND)                                                       \
    X(SESSION_REUSED)                                                          \
    X(SESSION_STORE_UNAVAILABLE)                                               \
    X(SESSION_UNKNOWN)                                                         \
    X(USER_UNKNOWN)

/* Whether a limit has allowed a request. */
#define FTA_METRIC_VERDICT_LIST(X)                                             \
    X(ALLOWED)                                                                 \
    X(LIMITED)

/* The store that has counted. NONE: none has. */
#define FTA_METRIC_STORE_LIST(X)                                               \
    X(REDIS)                                                                   \
    X(MEMORY)                                                                  \
    X(NONE)

/* ENDED: by itself. A revocation of a user or tenant ends sessions too; nobody
 * counts how many. REUSED: a refresh token was used again, so it ended. */
#define FTA_METRIC_SESSION_LIST(X)                                             \
    X(CREATED)                                                                 \
    X(REFRESHED)                                                               \
    X(ENDED)                                                                   \
    X(REUSED)

/* What was revoked. TOKEN: an API key too. */
#define FTA_METRIC_REVOKED_LIST(X)                                             \
    X(SESSION)                                                                 \
    X(USER)                                                                    \
    X(TENANT)                                                                  \
    X(TOKEN)                                                                   \
    X(EVERYTHING)

#define FTA_METRIC_FETCH_LIST(X)                                               \
    X(FETCHED)                                                                 \
    X(FAILED)

/* X(SET, "name of the label"); the name of NONE is empty. */
#define FTA_METRIC_LABEL_LIST(X)                                               \
    X(NONE, "")                                                                \
    X(OUTCOME, "outcome")                                                      \
    X(REASON, "reason")                                                        \
    X(VERDICT, "decision")                                                     \
    X(STORE, "store")                                                          \
    X(SESSION, "event")                                                        \
    X(REVOKED, "kind")                                                         \
    X(FETCH, "result")

/* -- Groups ---------------------------------------------------------------- */

/* X(GROUP, how many names, labels): a name is one text for each label. */
#define FTA_METRIC_GROUP_LIST(X)                                               \
    X(LIMIT, 256, "rate", "per", "scope")                                      \
    X(TENANT, 128, "tenant", NULL, NULL)                                       \
    X(SOURCE, 32, "source", NULL, NULL)

/* -- The metrics ----------------------------------------------------------- */

/* X(METRIC, KIND, "name", LABEL, GROUP, "help"). ALONE: of no group.
 *
 *   COUNTER    grows
 *   HISTOGRAM  of durations
 *   TIME       how long ago something happened last
 *   PROCESSES  how many processes that live say so
 *   GAUGE      is known elsewhere, and read when somebody asks
 *   TOTAL      a counter that is kept elsewhere, likewise */
#define FTA_METRIC_LIST(X)                                                     \
    X(REQUESTS, COUNTER, "tenant_auth_requests", OUTCOME, ALONE,               \
      "Requests that were answered")                                           \
    X(DENIALS, COUNTER, "tenant_auth_denials", REASON, ALONE,                  \
      "Requests that were denied or limited, by the reason in the log")        \
    X(TENANT_REQUESTS, COUNTER, "tenant_auth_tenant_requests", OUTCOME,        \
      TENANT, "Requests with an identity, by its tenant")                      \
    X(VERIFICATION, HISTOGRAM, "tenant_auth_verification_seconds", NONE,       \
      ALONE, "How long the verification of a token took, valid or not")        \
    X(DECISIONS, COUNTER, "tenant_auth_limit_decisions", VERDICT, LIMIT,       \
      "Requests by what a limit says")                                         \
    X(CHECKS, COUNTER, "tenant_auth_limit_checks", STORE, ALONE,               \
      "Requests held against limits, by what counted")                         \
    X(ROUND_TRIP, HISTOGRAM, "tenant_auth_redis_round_trip_seconds", NONE,     \
      ALONE, "How long requests waited for limits in Redis")                   \
    X(REDIS_AWAY, PROCESSES, "tenant_auth_redis_away_processes", NONE, ALONE,  \
      "Processes that leave Redis alone now, because it failed")               \
    X(PROCESSES, PROCESSES, "tenant_auth_processes", NONE, ALONE,              \
      "Processes of this host that have answered requests")                    \
    X(SLOTS, GAUGE, "tenant_auth_limit_table_slots", NONE, ALONE,              \
      "Counters of limits that the memory of this host has room for")          \
    X(SLOTS_USED, GAUGE, "tenant_auth_limit_table_slots_used", NONE, ALONE,    \
      "Counters of limits that are in the memory of this host")                \
    X(EVICTIONS, TOTAL, "tenant_auth_limit_table_evictions", NONE, ALONE,      \
      "Live counters given up in a full memory of limits")                     \
    X(KEY_FETCHES, COUNTER, "tenant_auth_jwks_fetches", FETCH, SOURCE,         \
      "Fetches of the keys of a provider")                                     \
    X(KEY_AGE, TIME, "tenant_auth_jwks_age_seconds", NONE, SOURCE,             \
      "Since a process of this host has fetched the keys of a provider")       \
    X(SESSIONS, COUNTER, "tenant_auth_session_events", SESSION, ALONE,         \
      "Sessions that were created, refreshed or ended")                        \
    X(REVOCATIONS, COUNTER, "tenant_auth_revocations", REVOKED, ALONE,         \
      "Revocations that this host has added to the store")                     \
    X(REVOCATIONS_AGE, GAUGE, "tenant_auth_revocations_age_seconds", NONE,     \
      ALONE, "Since this host has read from the store what is revoked")        \
    X(AUDIT_LOST, COUNTER, "tenant_auth_audit_lines_lost", NONE, ALONE,        \
      "Lines of AUDIT_LOG that could not be written")

/* -- What comes from the lists --------------------------------------------- */

/* The list of invalid tokens gives more than a word. */
#define FTA_METRIC_WORD_NONE(word, ...) FTA_NONE_##word,
#define FTA_METRIC_WORD_OUTCOME(word, ...) FTA_OUTCOME_##word,
#define FTA_METRIC_WORD_REASON(word, ...) FTA_REASON_##word,
#define FTA_METRIC_WORD_VERDICT(word, ...) FTA_VERDICT_##word,
#define FTA_METRIC_WORD_STORE(word, ...) FTA_STORE_##word,
#define FTA_METRIC_WORD_SESSION(word, ...) FTA_SESSION_##word,
#define FTA_METRIC_WORD_REVOKED(word, ...) FTA_REVOKED_##word,
#define FTA_METRIC_WORD_FETCH(word, ...) FTA_FETCH_##word,

/* FTA_OUTCOME_ALLOWED and so on; FTA_OUTCOME_COUNT. */
#define X(set, name)                                                           \
    enum { FTA_METRIC_##set##_LIST(FTA_METRIC_WORD_##set) FTA_##set##_COUNT };
FTA_METRIC_LABEL_LIST(X)
#undef X

/* The bounds of all histograms, in nanoseconds. */
#define FTA_METRIC_BOUNDS                                                      \
    {1000,     2500,      5000,      10000,     25000,     50000,    100000,   \
     250000,   500000,    1000000,   2500000,   5000000,   10000000, 25000000, \
     50000000, 100000000, 250000000, 500000000, 1000000000}
enum { FTA_BUCKETS = 20 }; /* The last one has no bound. */

typedef enum fta_metric_kind {
    FTA_METRIC_COUNTER,
    FTA_METRIC_HISTOGRAM,
    FTA_METRIC_TIME,
    FTA_METRIC_PROCESSES,
    FTA_METRIC_GAUGE,
    FTA_METRIC_TOTAL,
} fta_metric_kind;

typedef enum fta_metric_group {
#define X(group, ...) FTA_GROUP_##group,
    FTA_METRIC_GROUP_LIST(X)
#undef X
        FTA_GROUP_ALONE,
    FTA_GROUP_COUNT = FTA_GROUP_ALONE,
} fta_metric_group;

typedef enum fta_metric {
#define X(metric, ...) FTA_METRIC_OF_##metric,
    FTA_METRIC_LIST(X)
#undef X
        FTA_METRIC_COUNT
} fta_metric;

#define FTA_GROUP_LABELS 3

/* What a metric is. */
typedef struct fta_metric_about {
    const char *name;
    const char *help;
    fta_metric_kind kind;
    fta_metric_group group;
    const char *label;     /* Empty: it has none. */
    const fta_text *words; /* In capitals. */
    size_t word_count;     /* 1 where it has no label. */
} fta_metric_about;

fta_metric_about fta_metric_read_about(fta_metric metric);

/* What a group is. */
typedef struct fta_group_about {
    size_t names;                         /* How many it has room for. */
    const char *labels[FTA_GROUP_LABELS]; /* NULL: it has fewer. */
} fta_group_about;

fta_group_about fta_metric_group_about(fta_metric_group group);

/* The place of a word, given in lower case, among those of a metric's label.
 * False if it is none. */
bool fta_metric_find_word(fta_metric metric, fta_text word, size_t *place);

extern const unsigned long fta_metric_bounds[FTA_BUCKETS - 1];

#endif
