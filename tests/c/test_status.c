#include "base/status.h"

#include <string.h>

#include "check.h"

int
main(void)
{
    CHECK(FTA_OK == 0);
    CHECK(strcmp(fta_status_text(FTA_OK), "ok") == 0);
    CHECK(strcmp(fta_status_name(FTA_NO_MEMORY), "NO_MEMORY") == 0);
    for (int status = 0; status < FTA_STATUS_COUNT; status++) {
        CHECK(fta_status_text((fta_status)status)[0] != '\0');
        for (int other = 0; other < status; other++) {
            CHECK(strcmp(fta_status_name((fta_status)status),
                         fta_status_name((fta_status)other)) != 0);
        }
    }
    CHECK(fta_status_text(FTA_STATUS_COUNT) != NULL);
    CHECK(fta_status_name((fta_status)-1) != NULL);
    return check_report("test_status");
}
