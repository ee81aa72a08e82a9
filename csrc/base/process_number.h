/* Numbers for the processes that use one segment. No two processes that live
 * have the same number, and anybody can ask whether the process with a number
 * still lives.
 *
 * The kernel answers that. A process holds a lock on one byte of the file, the
 * byte of its number. The lock belongs to an open file description
 * (F_OFD_SETLK) that only one mapping refers to:
 *
 *   - The process closes the descriptor at once, so no code can close it later.
 *   - The mapping is not inherited by a child (MADV_DONTFORK), and exec drops
 *     it. So the lock lives exactly as long as the memory of this process.
 *   - The kernel drops the mapping, and so the lock, however the process ends.
 *
 * No process id is compared, so none can be mistaken for another one. A child
 * takes a number of its own: the word that holds its parent's is zero in the
 * child (MADV_WIPEONFORK).
 *
 * A system without such locks gives numbers within one process only. */
#ifndef FTA_BASE_PROCESS_NUMBER_H
#define FTA_BASE_PROCESS_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/segment.h"
#include "base/status.h"

#define FTA_PROCESS_NUMBER_MAX 1023u

typedef struct fta_process_numbers fta_process_numbers;

/* Removes what an earlier process with this number has left. */
typedef void fta_process_number_sweep(void *context, unsigned number);

/* Borrows segment; NULL: the memory belongs to one process. A child is then
 * another process with a copy of it. Takes no number yet. FTA_SYSTEM: this
 * system has no such locks. */
fta_status fta_process_numbers_open(const fta_segment *segment,
                                    fta_process_number_sweep *sweep,
                                    void *context, fta_process_numbers **out);

/* Gives the number of this process up. NULL is allowed. No other thread may be
 * inside. */
void fta_process_numbers_close(fta_process_numbers *numbers);

/* The number of this process, from 1. The first call in a process takes one,
 * and sweeps before any call returns it. 0: none can be had now. */
unsigned fta_process_number_take(fta_process_numbers *numbers);

/* The number that this process has taken; 0: none. */
unsigned fta_process_number(const fta_process_numbers *numbers);

/* One look at which processes live. */
typedef struct fta_process_look {
    unsigned own;
    int fd;             /* Owned; -1: nothing can be found out. */
    uint64_t alive[16]; /* A bit a number that was seen to live. */
} fta_process_look;

void fta_process_look_begin(const fta_process_numbers *numbers,
                            fta_process_look *out);

/* False only if no process has the number at a time after the call began. So
 * what was read before the call is of a process that has ended. */
bool fta_process_lives(fta_process_look *look, unsigned number);

void fta_process_look_end(fta_process_look *look);

#endif
