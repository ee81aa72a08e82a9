#include "base/status.h"

#include <string.h>

#include "check.h"

/* Whether a text begins with a verb, so that it lacks a subject. */
static int
lacks_subject(const char *text)
{
    static const char *const verbs[] = {"is ",   "are ",  "has ",    "must ",
                                        "was ",  "does ", "cannot ", "lacks ",
                                        "hold ", "would "};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strncmp(text, verbs[i], strlen(verbs[i])) == 0) {
            return 1;
        }
    }
    return 0;
}

int
main(void)
{
    CHECK(FTA_OK == 0);
    CHECK(strcmp(fta_status_name(FTA_NO_MEMORY), "NO_MEMORY") == 0);
    for (int status = 0; status < FTA_STATUS_COUNT; status++) {
        const char *text = fta_status_text((fta_status)status);
        CHECK(strchr(text, ' ') != NULL && !lacks_subject(text));
        CHECK(text[strlen(text) - 1] != '.');
        for (int other = 0; other < status; other++) {
            CHECK(strcmp(fta_status_name((fta_status)status),
                         fta_status_name((fta_status)other)) != 0);
        }
    }
    CHECK(fta_status_text(FTA_STATUS_COUNT) != NULL);
    CHECK(fta_status_name((fta_status)-1) != NULL);
    return check_report("test_status");
}
