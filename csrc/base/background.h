/* Work that a thread of its own does in the background while there is some.
 *
 * Each process has its own thread. A child has none until it asks for one, and
 * touches nothing that a thread of its parent may have been in the middle of.
 */
#ifndef FTA_BASE_BACKGROUND_H
#define FTA_BASE_BACKGROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct fta_background fta_background;

/* What is done. Each is called by the thread of this process. */
typedef struct fta_background_work {
    void (*step)(void *context);
    bool (*is_left)(void *context);     /* Else the thread ends. */
    int64_t (*pause_us)(void *context); /* Before each step. */
    void *context;                      /* Borrowed. */
} fta_background_work;

fta_status fta_background_new(const fta_background_work *work,
                              fta_background **out);

/* Stops first. NULL is allowed. No call may be under way. */
void fta_background_free(fta_background *background);

/* Sees to it that this process' thread runs. Call it after work was added.
 * Where no thread can be made, the next call tries again. */
void fta_background_start(fta_background *background);

/* Ends this process' thread, which may take as long as one step, and starts no
 * other. */
void fta_background_stop(fta_background *background);

#endif
