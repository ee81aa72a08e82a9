#include "binding/type_keyring.h"

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/type_identity.h"
#include "binding/type_roles.h"

#include "base/alloc.h"
#include "token/payload.h"
#include "token/sign.h"

/* The str of a token that the core has made. Frees the token. */
static PyObject *
token_or_error(fta_status status, char *token, size_t length)
{
    if (status != FTA_OK) {
        return fta_raise(status);
    }
    PyObject *result = PyUnicode_DecodeASCII(token, (Py_ssize_t)length, NULL);
    fta_free(token);
    return result;
}

/* The octets of a bytes argument, which live as long as it. */
static bool
read_json(PyObject *value, const char *argument, fta_text *out)
{
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be bytes, not %.100s", argument,
                     Py_TYPE(value)->tp_name);
        return false;
    }
    *out =
        (fta_text){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
    return true;
}

const char fta_keyring_sign_doc[] = PyDoc_STR(
    "sign($self, payload, /)\n--\n\n"
    "A token of the payload, the UTF-8 text of a JSON object, signed\n"
    "by the first key through libjwt. ValueError says what is wrong\n"
    "with the payload or why the key cannot sign.");

PyObject *
fta_keyring_sign(PyObject *self, PyObject *value)
{
    fta_text payload;
    if (!read_json(value, "payload", &payload)) {
        return NULL;
    }
    char *token = NULL;
    size_t length = 0;
    fta_status status;
    Py_INCREF(self);
    Py_INCREF(value);
    Py_BEGIN_ALLOW_THREADS
    status = fta_token_sign(((fta_keyring_object *)self)->keyring, payload,
                            &token, &length);
    Py_END_ALLOW_THREADS
    Py_DECREF(value);
    Py_DECREF(self);
    return token_or_error(status, token, length);
}

const char fta_keyring_issue_doc[] = PyDoc_STR(
    "issue($self, identity, issued_at, expires_at, further, /)\n--\n\n"
    "A token that says the claims of core_claims: those of the Identity,\n"
    "the issuer and the audiences of this Keyring, and the two times in\n"
    "seconds since 1970. An actor of the Identity is of its tenant. further\n"
    "is the UTF-8 text of a JSON object with all other claims. ValueError\n"
    "as sign(), or says why this Keyring would not take the token.");

/* The claims of a token for an Identity. actor lives as long as it. */
static bool
claims_of_identity(const fta_keyring_object *self, PyObject *value,
                   fta_claims *claims)
{
    const fta_identity *identity =
        fta_identity_of(PyType_GetModuleState(Py_TYPE(self)), value);
    if (identity == NULL) {
        PyErr_Format(PyExc_TypeError, "identity must be Identity, not %.100s",
                     Py_TYPE(value)->tp_name);
        return false;
    }
    *claims = (fta_claims){
        .tenant_id = identity->claims.tenant_id,
        .user_id = identity->claims.user_id,
        .actor_tenant = identity->claims.tenant_id,
        .present = 1u << FTA_CLAIM_TENANT_ID | 1u << FTA_CLAIM_USER_ID |
                   1u << FTA_CLAIM_ROLE | 1u << FTA_CLAIM_IAT |
                   1u << FTA_CLAIM_EXP,
    };
    if (identity->actor != NULL) {
        if (!fta_utf8_from_str(identity->actor, "actor", &claims->actor)) {
            return false;
        }
        claims->present |=
            1u << FTA_CLAIM_ACT_SUB | 1u << FTA_CLAIM_ACT_TENANT_ID;
    }
    return fta_read_role(self->roles, identity->role, "role", &claims->role);
}

PyObject *
fta_keyring_issue(PyObject *object, PyObject *args)
{
    fta_keyring_object *self = (fta_keyring_object *)object;
    PyObject *identity, *value;
    long long issued_at, expires_at;
    fta_text further;
    fta_claims claims;
    if (!PyArg_ParseTuple(args, "OLLO:issue", &identity, &issued_at,
                          &expires_at, &value) ||
        !read_json(value, "further", &further) ||
        !claims_of_identity(self, identity, &claims)) {
        return NULL;
    }
    claims.issued_at = (double)issued_at;
    claims.expires_at = (double)expires_at;
    char *token = NULL, *payload = NULL;
    size_t length = 0, size = 0;
    fta_status status =
        fta_payload_make(self->keyring, &claims, further, &payload, &size);
    if (status == FTA_OK) {
        Py_INCREF(object);
        Py_BEGIN_ALLOW_THREADS
        status = fta_token_sign(self->keyring, (fta_text){payload, size},
                                &token, &length);
        Py_END_ALLOW_THREADS
        Py_DECREF(object);
        fta_free(payload);
    }
    return token_or_error(status, token, length);
}
