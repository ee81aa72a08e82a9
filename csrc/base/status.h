/* How a call into the core went.
 *
 * Every function of the core that can fail returns one of these; the binding
 * maps them to Python exceptions by table, the log names them by their text.
 * One list, so that the enum and the texts cannot drift apart. */
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
    X(ROLE_INVALID, "role is not a known role")                                \
    X(NOT_YET_VALID, "the token is not valid yet")                             \
    X(EXPIRED, "the token has expired")

/* What can be wrong with a key, a payload to sign or a stored password. */
#define FTA_TOKEN_ERROR_LIST(X)                                                \
    X(ALGORITHM_UNKNOWN, "must be one of HS256, HS384, HS512, RS256, RS384, "  \
                         "RS512, PS256, PS384, PS512, ES256, ES384, ES512, "   \
                         "EdDSA")                                              \
    X(ALGORITHM_NOT_HMAC, "is not for a secret: a secret serves HS256, "       \
                          "HS384 or HS512")                                    \
    X(ALGORITHM_HMAC, "is for a secret, not for a key pair")                   \
    X(SECRET_TOO_SHORT, "is shorter than the hash of its algorithm: 32 bytes " \
                        "for HS256, 48 for HS384, 64 for HS512")               \
    X(SECRET_EMPTY, "is empty")                                                \
    X(SECRET_TOO_LONG, "is longer than 64 KiB")                                \
    X(SECRET_IS_KEY, "is the text of a key pair, certificate or JWK, in some " \
                     "encoding, not a secret")                                 \
    X(KEY_EMPTY, "is empty: it holds no key")                                  \
    X(KEY_TOO_LONG, "is longer than 256 KiB, which no key is")                 \
    X(KEY_NOT_FOUND, "is neither PEM text nor DER: it holds no key")           \
    X(KEY_DAMAGED, "is PEM text or DER that is cut off, damaged or of a kind " \
                   "that is not known here")                                   \
    X(KEY_IS_JSON, "is JSON text, not a key; JWT_JWKS takes a JWK Set")        \
    X(KEY_IS_HTML, "is an HTML page or XML document, not a key")               \
    X(KEY_IS_PKCS12, "is a PKCS #12 store, not a key: `openssl pkcs12 -nodes " \
                     "-nocerts -in FILE` writes the key that is in it")        \
    X(KEY_IS_KEYSTORE, "is a Java keystore, not a key")                        \
    X(KEY_IS_OPENSSH, "is a key in the form of OpenSSH or PuTTY, not PEM "     \
                      "text: `ssh-keygen -p -m PKCS8 -f FILE` writes a "       \
                      "private key anew, `ssh-keygen -e -m PKCS8 -f FILE` a "  \
                      "public one")                                            \
    X(KEY_IS_REQUEST, "is a certificate request, not a key or certificate")    \
    X(KEY_IS_OTHER, "is PEM text or DER of something else than a key or "      \
                    "certificate")                                             \
    X(KEYS_MANY, "holds more than one key or certificate: leave the one that " \
                 "is meant")                                                   \
    X(KEY_ENCRYPTED, "is an encrypted private key, and there is no "           \
                     "passphrase for it")                                      \
    X(KEY_PASSPHRASE, "is an encrypted private key that does not open: the "   \
                      "passphrase is wrong, or the cipher is not known here")  \
    X(KEY_COSTLY, "is an encrypted private key whose key derivation costs "    \
                  "too much: encrypt it anew with `openssl pkcs8 -topk8`")     \
    X(KEY_KIND_MISMATCH, "is of another kind or curve than the algorithm's")   \
    X(KEY_UNSOUND, "is not a sound key: its parts do not belong together")     \
    X(RSA_SIZE_REFUSED, "must have from 2,048 to 8,192 bits")                  \
    X(RSA_EXPONENT, "has a public exponent that is even, below 65,537 or "     \
                    "above 64 bits")                                           \
    X(ED25519_POINT, "is no Ed25519 key: its point is of small order, off "    \
                     "the curve or not in canonical form")                     \
    X(RSA_ROCA, "was made by a generator whose keys can be factored "          \
                "(CVE-2017-15361)")                                            \
    X(KEY_IS_SECRET, "a secret has no public JWK")                             \
    X(JWK_MALFORMED, "lacks a member that its kty needs, or has one that is "  \
                     "not canonical base64url of the right size")              \
    X(JWK_ALGORITHM, "has no alg that is one of HS256, HS384, HS512, RS256, "  \
                     "RS384, RS512, PS256, PS384, PS512, ES256, ES384, "       \
                     "ES512, EdDSA, and no curve that tells it")               \
    X(JWK_NOT_FOR_SIGNATURES, "is not for signatures")                         \
    X(KID_MALFORMED, "must be 1 to 255 bytes of UTF-8 without control "        \
                     "characters")                                             \
    X(KEYRING_EMPTY, "must hold at least one key")                             \
    X(KID_REPEATED, "hold two keys with one kid and one algorithm")            \
    X(KEY_IS_PUBLIC, "is a public key, which cannot sign")                     \
    X(CANNOT_SIGN, "cannot be signed with: the libjwt that is loaded does "    \
                   "not know it")                                              \
    X(SIGNED_OTHERWISE, "cannot be signed unchanged: libjwt carries no "       \
                        "\\u0000, no integer beyond 64 bits and no number "    \
                        "beyond a double")                                     \
    X(PASSWORD_TOO_LONG, "is longer than 64 KiB")                              \
    X(ITERATIONS_INVALID, "must be from 1,000 to 2,100,000")                   \
    X(STORED_MALFORMED, "is not a string made by hash_password")               \
    X(STORED_COSTLY, "would take more than ten times the iterations of a "     \
                     "password that is hashed today")

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

/* Of what stands at the path of an audit log. */
#define FTA_AUDIT_LIST(X)                                                      \
    X(AUDIT_SYMLINK, "is a symbolic link, which is not followed: name the "    \
                     "file itself")                                            \
    X(AUDIT_HARD_LINK, "has a second name (a hard link), so that it may be "   \
                       "another file than the log: remove one of them")        \
    X(AUDIT_OWNER, "belongs to another user: it must belong to the user of "   \
                   "this process or to root")                                  \
    X(AUDIT_NO_FILE, "is neither a regular file nor the pipe or character "    \
                     "device that was there at the start")

#define FTA_STATUS_LIST(X)                                                     \
    X(OK, "ok")                                                                \
    X(NO_MEMORY, "out of memory")                                              \
    X(BAD_ARGUMENT, "bad argument")                                            \
    X(CRYPTO, "the crypto library refused an operation")                       \
    X(SYSTEM, "the operating system refused an operation")                     \
    X(STOPPED, "the caller stopped the operation")                             \
    FTA_INVALID_TOKEN_LIST(X)                                                  \
    FTA_TOKEN_ERROR_LIST(X)                                                    \
    /* Counting */                                                             \
    X(BAD_RATE, "is not a rate")                                               \
    X(SHM_BYTES_INVALID, "must be from 16 KiB to 4 GiB")                       \
    X(SEGMENT_FOREIGN, "the shared memory's name is taken by a file that is "  \
                       "not this user's alone")                                \
    X(TOO_MANY_LIMITS, "are more than 16 limits for one request")              \
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
