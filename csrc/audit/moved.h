/* May be included by csrc/audit alone. Finds a file that was moved. */
#ifndef FTA_AUDIT_MOVED_H
#define FTA_AUDIT_MOVED_H

#include <stdint.h>

#include "base/text.h"

/* Opens the regular file of this inode for writing, if it is in the directory
 * of the path, under a name that begins like the one of the path. -1: it is not
 * there. path has a NUL at its end. The descriptor is the caller's to close. */
int fta_audit_open_moved(fta_text path, uint64_t inode);

#endif
