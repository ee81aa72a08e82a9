/* Any octets as a status and as the names of two fields. */
#include "http/response.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* A byte too far is found by ASan. */
    if (copy == NULL) {
        return 0;
    }
    char *text = copy + 1;
    if (size > 0) {
        memcpy(text, data, size);
    }
    int code = fta_status_code((fta_text){text, size});
    if (code < 0 || code > 999 ||
        (code == 401 && (memcmp(text, "401", 3) != 0 ||
                         fta_response_is_ordinary(code, (fta_text){"", 0})))) {
        abort();
    }
    fta_text a = {text, size / 2}, b = {text + size / 2, size - size / 2};
    if (fta_field_names_equal(a, b) != fta_field_names_equal(b, a) ||
        !fta_field_names_equal(a, a) ||
        (a.length == b.length && fta_text_equal(a, b) &&
         !fta_field_names_equal(a, b))) {
        abort();
    }
    free(copy);
    return 0;
}
