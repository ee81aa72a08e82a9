/* Finds lines of an audit log that may be what somebody looks for. It skips
 * what cannot be, at the speed of memory. What it finds is read as JSON
 * afterwards, so it may find too much, and never too little. */
#ifndef FTA_AUDIT_SEARCH_H
#define FTA_AUDIT_SEARCH_H

#include <stdbool.h>

#include "base/text.h"

#define FTA_AUDIT_WORDS_MAX 16

typedef struct fta_audit_search {
    const fta_text *words; /* each must be in the line. Borrowed */
    size_t count;          /* 0 to FTA_AUDIT_WORDS_MAX */
    /* The first moment, and the one after the last; absent: no matter. A line
     * that does not begin with its time is at any time. */
    fta_text since;
    fta_text until;
} fta_audit_search;

/* The next such line from *from on, without its line feed, and where to go on.
 * false: there is none. A last line may have no line feed. */
bool fta_audit_search_next(const fta_audit_search *search, fta_text text,
                           size_t *from, fta_text *line);

#endif
