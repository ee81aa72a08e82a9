/* One cookie in the value of a Cookie header (RFC 6265, section 4.2.1). */
#ifndef FTA_HTTP_COOKIE_H
#define FTA_HTTP_COOKIE_H

#include <stddef.h>

#include "base/text.h"

/* How many cookies have exactly this name. *value is that of the first one; it
 * is absent if there is none. Only spaces and tabs around a name and a value
 * are left out. Software that left out more, or folded the case of a name,
 * would take a cookie that any page may set for one with a prefix (RFC 6265bis,
 * section 4.1.3). */
size_t fta_cookie_find(fta_text header, fta_text name, fta_text *value);

#endif
