/* What there is to know about a limiter and its stores, for people: names with
 * values, in an order. */
#ifndef FTA_LIMIT_FACTS_H
#define FTA_LIMIT_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fta_fact_kind {
    FTA_FACT_TEXT,
    FTA_FACT_NUMBER,
    FTA_FACT_BOOLEAN,
} fta_fact_kind;

typedef struct fta_fact {
    const char *name; /* Borrowed: a literal. */
    fta_fact_kind kind;
    const char *text; /* Borrowed from the facts; may be NULL. */
    uint64_t number;  /* Of a boolean: 0 or 1. */
} fta_fact;

#define FTA_FACTS_MAX 32

/* May be moved nowhere: it points into itself. */
typedef struct fta_facts {
    size_t count;
    fta_fact facts[FTA_FACTS_MAX];
    size_t text_used;
    char text[2048];
} fta_facts;

/* Each adds one fact; one too many is left out. A text is copied, and cut where
 * it is too long. */
void fta_facts_add_text(fta_facts *facts, const char *name, const char *text);
void fta_facts_add_number(fta_facts *facts, const char *name, uint64_t number);
void fta_facts_add_boolean(fta_facts *facts, const char *name, bool value);

#endif
