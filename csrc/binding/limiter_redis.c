#include "binding/limiter_redis.h"

#include <limits.h>

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/limiter_request.h"
#include "binding/redis_values.h"
#include "limit/redis/store.h"

/* The Redis of a limiter, borrowed; NULL with an exception. */
static fta_store *
redis_of(const fta_limiter *limiter, int timeout_ms)
{
    fta_store *redis = fta_limiter_store(limiter, &fta_store_redis);
    if (redis == NULL) {
        PyErr_SetString(PyExc_ValueError, "this limiter has no redis_url");
    } else if (timeout_ms < 1) {
        PyErr_SetString(PyExc_ValueError, "timeout_ms must be at least 1");
        redis = NULL;
    }
    return redis;
}

PyObject *
fta_limiter_check_redis(const fta_limiter *limiter, PyObject *value)
{
    long timeout_ms = PyLong_AsLong(value);
    if (timeout_ms == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (timeout_ms > INT_MAX) {
        timeout_ms = INT_MAX;
    }
    fta_store *redis = redis_of(limiter, timeout_ms < 1 ? 0 : (int)timeout_ms);
    if (redis == NULL) {
        return NULL;
    }
    fta_redis_problem problem = {""};
    fta_status status;
    Py_BEGIN_ALLOW_THREADS
    status = fta_redis_store_check(redis, (int)timeout_ms, &problem);
    Py_END_ALLOW_THREADS
    if (status != FTA_OK) {
        return fta_raise_redis(status, &problem);
    }
    Py_RETURN_NONE;
}

#define WORDS_MAX 8

PyObject *
fta_limiter_ask_redis(const fta_limiter *limiter, PyObject *args)
{
    PyObject *value, *result = NULL;
    int timeout_ms;
    if (!PyArg_ParseTuple(args, "Oi:ask_redis", &value, &timeout_ms)) {
        return NULL;
    }
    fta_store *redis = redis_of(limiter, timeout_ms);
    PyObject *words = redis == NULL ? NULL : fta_tuple_of(value, "words");
    if (words == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(words);
    const char *texts[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    if (count < 1 || count > WORDS_MAX) {
        PyErr_Format(PyExc_ValueError, "words must be 1 to %d", WORDS_MAX);
        goto done;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        fta_text text;
        if (!fta_utf8_from_str(PyTuple_GET_ITEM(words, i), "an item of words",
                               &text)) {
            goto done;
        }
        texts[i] = text.data;
        lengths[i] = text.length;
    }
    fta_redis_problem problem = {""};
    fta_redis_reply *reply = NULL;
    fta_status status;
    Py_BEGIN_ALLOW_THREADS /* The tuple holds the texts. */
    status = fta_redis_store_call(
        redis, &(fta_redis_command){(int)count, texts, lengths}, timeout_ms,
        &reply, &problem);
    Py_END_ALLOW_THREADS
    if (status != FTA_OK) {
        fta_raise_redis(status, &problem);
    } else {
        result = fta_str_of_reply(reply);
    }
    fta_redis_reply_free(reply);
done:
    Py_DECREF(words);
    return result;
}
