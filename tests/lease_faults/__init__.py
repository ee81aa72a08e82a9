"""Random schedules of faults between hosts and Redis: no window hands out more than its limit."""
