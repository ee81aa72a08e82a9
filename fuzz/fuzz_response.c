/* Any octets as a status, as the names of two fields, and as the application's
 * two Vary fields, which become one with each name once. */
#include "http/fields.h"
#include "http/response.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void
check_status(fta_text status)
{
    const fta_response_progress begun = {false, false}, sent = {true, false};
    int code = fta_status_code(status);
    require(code >= 0 && code <= 999);
    require(code == 0 || memcmp(status.data, "000", 3) > 0);
    require(fta_response_is_failure(code, begun) ==
            (status.length >= 3 && memcmp(status.data, "401", 3) == 0));
    require(!fta_response_is_failure(code, sent));
}

static void
check_names(fta_text a, fta_text b)
{
    require(fta_field_names_equal(a, b) == fta_field_names_equal(b, a));
    require(fta_field_names_equal(a, a));
    require(!fta_text_equal(a, b) || fta_field_names_equal(a, b));
    fta_field_name name = fta_field_name_of(a);
    require(name == FTA_FIELD_COUNT ||
            (fta_field_names_equal(a, fta_field_name_text(name)) &&
             fta_is_http_token(a)));
}

/* Whether a comma list has an item, and if so, that it has it once. */
static bool
has_once(fta_text list, fta_text item)
{
    size_t found = 0;
    fta_comma_list left = {list, false};
    fta_text each;
    while (fta_comma_list_next(&left, &each)) {
        found += fta_field_names_equal(each, item);
    }
    require(found <= 1);
    return found == 1;
}

static void
check_vary(fta_text a, fta_text b)
{
    const fta_text values[] = {a, b};
    fta_fields fields;
    fta_fields_init(&fields);
    fta_fields_add(&fields, FTA_FIELD_VARY, (fta_text){"Origin", 6});
    require(fta_fields_join_vary(&fields, (fta_text_list){values, 2}) ==
            FTA_OK);
    fta_text joined = fields.items[0].value;
    bool is_any = fta_text_is(joined, "*");
    require(is_any || has_once(joined, (fta_text){"Origin", 6}));
    for (size_t i = 0; i < 2; i++) {
        fta_comma_list left = {values[i], false};
        fta_text item;
        while (fta_comma_list_next(&left, &item)) {
            require(item.length == 0 || is_any || has_once(joined, item));
            require(is_any || !fta_text_is(item, "*"));
        }
    }
    fta_fields_clear(&fields);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* A byte too far is found by ASan. */
    require(copy != NULL);
    char *text = copy + 1;
    if (size > 0) {
        memcpy(text, data, size);
    }
    fta_text a = {text, size / 2}, b = {text + size / 2, size - size / 2};
    check_status((fta_text){text, size});
    check_names(a, b);
    check_names((fta_text){text, size}, a);
    check_vary(a, b);
    free(copy);
    return 0;
}
