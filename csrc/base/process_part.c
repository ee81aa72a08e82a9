#include "base/process_part.h"

#include <stddef.h>
#include <unistd.h>

fta_process_part *
fta_process_part_known(fta_process_parts *parts)
{
    fta_process_part *known = atomic_load(parts);
    return known != NULL && known->pid == getpid() ? known : NULL;
}

fta_process_part *
fta_process_part_get(fta_process_parts *parts,
                     const fta_process_part_kind *kind, void *object)
{
    fta_process_part *known = atomic_load(parts);
    pid_t pid = getpid();
    if (known != NULL && known->pid == pid) {
        return known;
    }
    fta_process_part *fresh = kind->make(object);
    if (fresh == NULL) {
        return NULL;
    }
    fta_process_part *parents = known;
    fresh->pid = pid;
    fresh->inherited = parents;
    if (!atomic_compare_exchange_strong(parts, &known, fresh)) {
        /* Another thread of this process was first. */
        kind->free(fresh);
        return known;
    }
    if (parents != NULL && kind->leave != NULL) {
        kind->leave(parents);
    }
    return fresh;
}
