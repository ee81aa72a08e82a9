#include "http/response.h"

int
fta_status_code(fta_text status)
{
    int code = 0;
    if (status.length < 3) {
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        char c = status.data[i];
        if (c < '0' || c > '9') {
            return 0;
        }
        code = code * 10 + (c - '0');
    }
    return code;
}

bool
fta_response_is_failure(int status_code, fta_response_progress progress)
{
    return status_code == 401 && !progress.sent && !progress.replaced;
}
