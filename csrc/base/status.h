/* How a call into the core went: one list of statuses a domain.
 *
 * Every function of the core that can fail returns one of these. A text is a
 * whole sentence without a full stop: the binding makes it the message of an
 * exception (binding/errors.c), and the log shows it as it is. */
#ifndef FTA_BASE_STATUS_H
#define FTA_BASE_STATUS_H

/* What can be wrong with a token. Stable names: in lower case they are what
 * the log and InvalidToken.reason say. */
#define FTA_INVALID_TOKEN_LIST(X)                                              \
    X(TOO_LONG, "the token is longer than this application takes")             \
    X(NOT_THREE_SEGMENTS, "the token is not three non-empty segments")         \
    X(BASE64URL_INVALID, "a segment is not canonical base64url")               \
    X(JSON_INVALID, "the JSON is malformed")                                   \
    X(JSON_NOT_OBJECT, "the JSON is not an object")                            \
    X(JSON_NOT_UTF8, "the JSON is not valid Unicode")                          \
    X(JSON_TOO_DEEP, "the JSON is nested too deeply")                          \
    X(JSON_NAME_REPEATED, "the JSON has a name twice in one object")           \
    X(JSON_NUMBER_TOO_LONG, "the JSON has a number of over 640 characters")    \
    X(ALGORITHM_MISSING, "the header has no algorithm that is a string")       \
    X(ALGORITHM_MISMATCH, "the algorithm is not the one of the key")           \
    X(CRIT_REFUSED, "the header has critical extensions")                      \
    X(B64_REFUSED, "the header has the b64 extension")                         \
    X(TYP_INVALID, "the header says this is another kind of token")            \
    X(KID_INVALID, "the key id is not a string")                               \
    X(KID_UNKNOWN, "the key id is none of this application's keys")            \
    X(SIGNATURE_MISMATCH, "the signature does not match")                      \
    X(EXP_MISSING, "the token never expires")                                  \
    X(EXP_INVALID, "exp is not a finite number")                               \
    X(NBF_INVALID, "nbf is not a finite number")                               \
    X(IAT_INVALID, "iat is not a finite number")                               \
    X(ISS_INVALID, "iss is not a string")                                      \
    X(SUB_INVALID, "sub is not a string")                                      \
    X(JTI_INVALID, "jti is not a string")                                      \
    X(AUD_INVALID, "aud is neither a string nor an array of strings")          \
    X(ISS_MISMATCH, "the token is from another issuer or names none")          \
    X(AUD_MISMATCH, "the token is for another audience or names none")         \
    X(AUD_UNEXPECTED, "the token is for an audience and none is configured")   \
    X(TENANT_ID_MISSING, "the token has no tenant_id")                         \
    X(TENANT_ID_INVALID, "tenant_id is not a UUID string")                     \
    X(USER_ID_MISSING, "the token has no user_id")                             \
    X(USER_ID_INVALID, "user_id is not a UUID string")                         \
    X(ROLE_MISSING, "the token has no role")                                   \
    X(ROLE_INVALID, "role is not a known role")                                \
    X(TENANT_FOREIGN, "the issuer of the token does not speak for its tenant") \
    X(IDENTITY_REFUSED, "JWT_IDENTITY names no identity for the token")        \
    X(ACT_INVALID, "act is not an object")                                     \
    X(ACT_SUB_INVALID, "the sub in act is not a string")                       \
    X(ACT_TENANT_ID_INVALID, "the tenant_id in act is not a UUID string")      \
    X(ACTOR_FOREIGN, "act names an actor of another tenant")                   \
    X(TOKEN_USE_REFUSED, "the token says that it is a refresh or ID token")    \
    X(REQUIRED_CLAIM, "a claim of JWT_REQUIRED_CLAIMS is absent or has "       \
                      "another value")                                         \
    X(TOKEN_REVOKED, "the token, its session, user or tenant was revoked")     \
    X(REFRESH_FIRST, "the token must be refreshed before it is used: the "     \
                     "table of revocations is full")                           \
    X(LIVES_TOO_LONG, "the token lives longer than AUTH_TOKEN_MAX_HOURS")      \
    X(ISSUED_AT_UNKNOWN, "there is a revocation of its user or tenant, and "   \
                         "the token has no iat or one in the future")          \
    X(REVOCATIONS_UNKNOWN, "it is not known what is revoked: the session "     \
                           "store has not been read for too long")             \
    X(NOT_YET_VALID, "the token is not valid yet")                             \
    X(EXPIRED, "the token has expired")

/* What can be wrong with a key that somebody has configured. */
#define FTA_KEY_LIST(X)                                                        \
    X(ALGORITHM_NOT_HMAC, "the algorithm is not for a secret: a secret "       \
                          "serves HS256, HS384 or HS512")                      \
    X(ALGORITHM_HMAC, "the algorithm is for a secret, not for a key pair")     \
    X(SECRET_TOO_SHORT, "the secret is shorter than the hash of its "          \
                        "algorithm: 32 bytes for HS256, 48 for HS384, 64 for " \
                        "HS512")                                               \
    X(SECRET_EMPTY, "the secret is empty")                                     \
    X(SECRET_TOO_LONG, "the secret is longer than 64 KiB")                     \
    X(SECRET_IS_KEY, "the secret is the text of a key pair, certificate or "   \
                     "JWK, in some encoding, not a secret")                    \
    X(KEY_EMPTY, "the key is empty")                                           \
    X(KEY_TOO_LONG, "the key is longer than 256 KiB, which no key is")         \
    X(KEY_NOT_FOUND, "this is neither PEM text nor DER, so it holds no key")   \
    X(KEY_DAMAGED, "this is PEM text or DER that is cut off, damaged or of a " \
                   "kind that is not known here")                              \
    X(KEY_IS_JSON, "this is JSON text, not a key; JWT_JWKS takes a JWK Set")   \
    X(KEY_IS_HTML, "this is an HTML page or XML document, not a key")          \
    X(KEY_IS_PKCS12, "this is a PKCS #12 store, not a key: `openssl pkcs12 "   \
                     "-nodes -nocerts -in FILE` writes the key that is in it") \
    X(KEY_IS_KEYSTORE, "this is a Java keystore, not a key")                   \
    X(KEY_IS_OPENSSH, "this is a key in the form of OpenSSH or PuTTY, not "    \
                      "PEM text: `ssh-keygen -p -m PKCS8 -f FILE` writes a "   \
                      "private key anew, `ssh-keygen -e -m PKCS8 -f FILE` a "  \
                      "public one")                                            \
    X(KEY_IS_REQUEST, "this is a certificate request, not a key or "           \
                      "certificate")                                           \
    X(KEY_IS_OTHER, "this is PEM text or DER of something else than a key or " \
                    "certificate")                                             \
    X(KEYS_MANY, "this holds more than one key or certificate: leave only "    \
                 "one of them")                                                \
    X(KEY_ENCRYPTED, "the key is an encrypted private key, and there is no "   \
                     "passphrase for it")                                      \
    X(KEY_PASSPHRASE, "the key is an encrypted private key that does not "     \
                      "open: the passphrase is wrong, or the cipher is not "   \
                      "known here")                                            \
    X(KEY_COSTLY, "the key is an encrypted private key whose key derivation "  \
                  "costs too much: encrypt it anew with `openssl pkcs8 "       \
                  "-topk8`")                                                   \
    X(KEY_KIND_MISMATCH, "the key is of another kind or curve than the "       \
                         "algorithm's")                                        \
    X(KEY_UNSOUND, "the key is not sound: its parts do not belong together")   \
    X(RSA_SIZE_INVALID, "the RSA key must have from 2,048 to 8,192 bits")      \
    X(RSA_EXPONENT, "the RSA key has a public exponent that is even, below "   \
                    "65,537 or above 64 bits")                                 \
    X(RSA_ROCA, "the RSA key was made by a generator whose keys can be "       \
                "factored (CVE-2017-15361)")                                   \
    X(ED25519_POINT, "the key is no Ed25519 key: its point is of small "       \
                     "order, off the curve or not in canonical form")          \
    X(KEY_IS_SECRET, "a secret has no public JWK")                             \
    X(JWK_MALFORMED, "the JWK lacks a member that its kty needs, or has one "  \
                     "that is not canonical base64url of the right size")      \
    X(JWK_ALGORITHM, "the JWK has no alg that is known here, and no curve "    \
                     "that has one algorithm only")                            \
    X(JWK_NOT_FOR_SIGNATURES, "the JWK is not for signatures")                 \
    X(KID_MALFORMED, "the kid must be 1 to 255 bytes of UTF-8 without "        \
                     "control characters")                                     \
    X(KEYRING_EMPTY, "a keyring needs at least one key")                       \
    X(KID_REPEATED, "the keyring has two keys with one kid and one algorithm")

/* What can be wrong with roles, permissions and the places of claims. */
#define FTA_ACCESS_LIST(X)                                                     \
    X(ROLE_MALFORMED, "a role must be 1 to 64 bytes of UTF-8 without spaces "  \
                      "at its ends, control characters, commas, semicolons "   \
                      "and equals signs")                                      \
    X(ROLE_REPEATED, "a role or a word for a role is listed twice")            \
    X(ROLES_TOO_MANY, "there must be from 1 to 64 roles")                      \
    X(PERMISSION_MALFORMED, "a permission must be 1 to 255 ASCII characters "  \
                            "without spaces, quotes and backslashes")          \
    X(PERMISSIONS_FULL, "the process knows 512 permissions already")           \
    X(PATTERN_MALFORMED, "a granted permission must be a permission, '*' or "  \
                         "one that ends with ':*'")                            \
    X(CLAIM_PATH_MALFORMED, "the place of a claim must be its name, or a "     \
                            "JSON Pointer (RFC 6901) of at most eight parts")  \
    X(CLAIM_PATHS_TOO_MANY, "there are too many places of claims: one claim "  \
                            "may have 16, and 32 may be required")

/* What keeps a payload from being signed. */
#define FTA_SIGNING_LIST(X)                                                    \
    X(KEY_IS_PUBLIC, "the first key is a public key, which cannot sign")       \
    X(CANNOT_SIGN, "the core was built with libjwt 1 or 2, which do not sign " \
                   "with the algorithm of the first key; libjwt 3 does")       \
    X(CLAIMS_CONFLICT, "the places of the claims, or the words for roles, "    \
                       "cannot say this identity")                             \
    X(SIGNED_OTHERWISE,                                                        \
      "the payload cannot be signed unchanged: libjwt "                        \
      "carries no \\u0000, no integer beyond 64 bits and no "                  \
      "number beyond a double")

/* What can be wrong with a password or with the string that is stored of it. */
#define FTA_PASSWORD_LIST(X)                                                   \
    X(PASSWORD_TOO_LONG, "the password is longer than 64 KiB")                 \
    X(ITERATIONS_INVALID, "iterations must be from 1,000 to 2,100,000")        \
    X(STORED_MALFORMED, "stored is not a string made by hash_password")        \
    X(STORED_COSTLY, "stored asks for more than ten times the iterations of "  \
                     "a password that is hashed today")

/* What can be wrong with a limit, and with the memory of one host's counters.
 */
#define FTA_LIMIT_LIST(X)                                                      \
    X(BAD_RATE, "the text is not a rate")                                      \
    X(TOO_MANY_LIMITS, "one request has more than 16 limits")                  \
    X(SHM_BYTES_INVALID, "shm_bytes must be from 16 KiB to 4 GiB")
#define FTA_SEGMENT_LIST(X)                                                    \
    X(SEGMENT_FOREIGN, "the shared memory's name is taken by a file that is "  \
                       "not this user's alone")

/* What can be wrong with the table of requests that run at once. */
#define FTA_CONCURRENCY_LIST(X)                                                \
    X(PERMITS_FULL, "the table of concurrent requests is full")                \
    X(PROCESS_NUMBER, "this process gets no number in the table of "           \
                      "concurrent requests")

/* What can be wrong with the table of revocations. */
#define FTA_SESSION_LIST(X)                                                    \
    X(TABLE_LOCKED, "another process was stopped while it wrote to the table " \
                    "of revocations")

/* Of Redis: on the way there, and what it answered. */
#define FTA_REDIS_LIST(X)                                                      \
    X(REDIS_UNREACHABLE, "Redis cannot be reached")                            \
    X(REDIS_TIMEOUT, "Redis did not answer in time")                           \
    X(REDIS_CLOSED, "Redis closed the connection")                             \
    X(REDIS_MALFORMED, "Redis sent a malformed or oversized reply")            \
    X(REDIS_TLS, "TLS with Redis failed")                                      \
    X(REDIS_NO_PRIMARY, "no sentinel knows the primary")                       \
    X(REDIS_POOL_EMPTY, "every connection to Redis is in use")                 \
    X(REDIS_NO_SCRIPT, "Redis does not know the script")                       \
    X(REDIS_MOVED, "the slot has moved to another node")                       \
    X(REDIS_ASK, "the slot is moving to another node")                         \
    X(REDIS_TRY_AGAIN, "the slot's keys are on two nodes")                     \
    X(REDIS_CLUSTER_DOWN, "the cluster is down")                               \
    X(REDIS_LOADING, "Redis is loading its data")                              \
    X(REDIS_BUSY, "Redis is busy with a script")                               \
    X(REDIS_READ_ONLY, "this Redis is a replica")                              \
    X(REDIS_FULL, "Redis takes no writes")                                     \
    X(REDIS_DENIED, "Redis refused the user, password or command")             \
    X(REDIS_FAILED, "Redis answered with an error")                            \
    X(REDIS_REFUSED, "Redis refused this one request")

/* What can be wrong with the file at the path of an audit log. */
#define FTA_AUDIT_LIST(X)                                                      \
    X(AUDIT_SYMLINK, "the file is a symbolic link, which is not followed: "    \
                     "name the file itself")                                   \
    X(AUDIT_HARD_LINK, "the file has a second name (a hard link), so that it " \
                       "may be another file than the log: remove one of them") \
    X(AUDIT_OWNER, "the file belongs to another user: it must belong to the "  \
                   "user of this process or to root")                          \
    X(AUDIT_NO_FILE, "the path leads to neither a regular file nor the pipe "  \
                     "or character device that was there at the start")        \
    X(AUDIT_DESTINATION,                                                       \
      "the destination is none of syslog:, syslog:/socket, "                   \
      "syslog://host:port, journal: and journal:/socket; "                     \
      "a path that begins like one is written with ./")                        \
    X(AUDIT_STREAM, "syslog over TCP or TLS could make a request wait: write " \
                    "to syslog: and let the syslog of this host forward")      \
    X(AUDIT_HOST, "the host of the syslog server is not known")                \
    X(AUDIT_CHAIN_NO_FILE, "only a regular file can have a chain of lines")    \
    X(AUDIT_HEAD, "the head of the chain, the file .head beside the log, was " \
                  "made with none of the keys: give the earlier key too, or "  \
                  "move the head and the log away")

/* What every domain can meet. */
#define FTA_COMMON_LIST(X)                                                     \
    X(NO_MEMORY, "the system is out of memory")                                \
    X(BAD_ARGUMENT, "an argument cannot be used")                              \
    X(CLOSED, "it is closed")                                                  \
    X(CRYPTO, "the crypto library refused an operation")                       \
    X(SYSTEM, "the operating system refused an operation")                     \
    X(STOPPED, "the caller stopped the operation")

/* FTA_OK is the only one that is no failure. FTA_INVALID_TOKEN_LIST stays one
 * run of values: type_invalid_token.c counts on it. */
#define FTA_STATUS_LIST(X)                                                     \
    X(OK, "the operation has succeeded")                                       \
    FTA_COMMON_LIST(X)                                                         \
    FTA_INVALID_TOKEN_LIST(X)                                                  \
    FTA_KEY_LIST(X)                                                            \
    FTA_ACCESS_LIST(X)                                                         \
    FTA_SIGNING_LIST(X)                                                        \
    FTA_PASSWORD_LIST(X)                                                       \
    FTA_LIMIT_LIST(X)                                                          \
    FTA_SEGMENT_LIST(X)                                                        \
    FTA_CONCURRENCY_LIST(X)                                                    \
    FTA_SESSION_LIST(X)                                                        \
    FTA_REDIS_LIST(X)                                                          \
    FTA_AUDIT_LIST(X)

typedef enum fta_status {
#define X(name, text) FTA_##name,
    FTA_STATUS_LIST(X)
#undef X
        FTA_STATUS_COUNT
} fta_status;

/* The text of a status, never NULL. */
const char *fta_status_text(fta_status status);

/* The name of a status as it stands in the list ("NO_MEMORY"). */
const char *fta_status_name(fta_status status);

#endif
