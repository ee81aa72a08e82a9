/* May be included by csrc/token/signer_libjwt*.c alone. Which of its two
 * interfaces the installed libjwt has: it is decided here and nowhere else.
 *
 * 1: jwt_new and jwt_encode_str, from 1.10 to 2.x. Their headers have no number
 *    of the version.
 * 3: jwt_builder_new and jwt_builder_generate, 3.x. */
#ifndef FTA_TOKEN_LIBJWT_H
#define FTA_TOKEN_LIBJWT_H

#include <jwt.h>

#ifndef JWT_VERSION_MAJOR
#define FTA_LIBJWT 1
#elif JWT_VERSION_MAJOR == 3
#define FTA_LIBJWT 3
#else
#error "This libjwt is too new: 1.10 to 3.x are supported"
#endif

#endif
