/* What the model checker looks at, and the rules that it leaves out. Part of
 * model.c. */
#define WINDOWED                                                               \
    (CONSERVATION | TIMELINESS | NEWEST_WINDOW | OWN_PRIMARY | SHORT_WAIT)

/* Deaths, losses, returns, times, failures, steps: how many there may be. */
static const scenario scenarios[] = {
    {"windows", "fixed-window", WINDOWED, 400000, 3, 1, .requests = 5,
     .losses = 0, .returns = 1, .times = 1, .slow = 1000},
    {"losses", "fixed-window", WINDOWED, 400000, 2, 1, .requests = 4,
     .losses = 1, .returns = 1, .times = 1},
    {"deaths", "fixed-window", WINDOWED, 400000, 2, 1, .requests = 4,
     .deaths = 1, .returns = 1, .times = 1},
    {"one bit", "fixed-window", WINDOWED, 400000, 3, 1, .share_a_bit = true,
     .requests = 5, .returns = 1, .times = 1},
    {"costs", "fixed-window", WINDOWED, 400000, 4, 2, .requests = 4,
     .returns = 1, .times = 1, .slow = 1000},
    {"sliding", "sliding-window-counter", WINDOWED, 400000, 2, 1, .requests = 4,
     .returns = 1, .times = 2, .slow = 1000},
    {"pace", "gcra", PACE, 250000, 4, 1, .requests = 6, .returns = 1,
     .times = 2},
    {"failover", "fixed-window", OWN_PRIMARY | TIMELINESS, 400000, 3, 1,
     .requests = 4, .returns = 1, .failures = 1},
    {"back", "fixed-window", CONSERVATION, 400000, 3, 1, .requests = 5,
     .steps = 1, .step_us = -3600 * INT64_C(1000000)},
    {"back of sliding", "sliding-window-counter", CONSERVATION, 400000, 3, 1,
     .requests = 5, .steps = 1, .step_us = -3600 * INT64_C(1000000)},
    {"ahead", "fixed-window", NEWEST_WINDOW, 400000, 3, 1, .requests = 5,
     .steps = 1, .step_us = 2 * PERIOD_US},
};

/* A rule, and the scenario in which something breaks without it. */
typedef struct without {
    const char *rule;
    enum rule left_out;
    const char *scenario;
    unsigned breaks;  /* One of these, at least. */
    const char *from; /* Of the script. */
    const char *to;
    const char *from_2;
    const char *to_2;
} without;

#define NAMED                                                                  \
    "known\n        and known.nonce == tonumber(ARGV[asked + 1 + i])\n"        \
    "        and known.ends == tonumber(ARGV[asked + 1 + #KEYS + i])"

static const without withouts[] = {
    {"a lease's end is less what the clock may lose", RULE_LESS_DRIFT,
     "windows", TIMELINESS, .from = NULL},
    {"a lease's end is rounded down", RULE_ROUND_DOWN, "windows", TIMELINESS,
     .from = NULL},
    {"a lease's end counts from the question", RULE_FROM_ASKED, "windows",
     TIMELINESS, .from = NULL},
    {"an answer names its window", RULE_GRANT_NAMES_WINDOW, "windows",
     CONSERVATION | TIMELINESS, .from = NULL},
    {"asking in a new window drops the rest of the old", RULE_DROP_OLD_WINDOW,
     "ahead", NEWEST_WINDOW, .from = NULL},
    {"what goes back is taken out first", RULE_TAKEN_OUT_FIRST, "windows",
     CONSERVATION, .from = NULL},
    {"what goes back is sent once", RULE_SENT_ONCE, "windows", CONSERVATION,
     .from = NULL},
    {"what goes back goes to the primary that granted", RULE_SAME_EPOCH,
     "failover", OWN_PRIMARY, .from = NULL},
    {"a lease melts", RULE_MELT, "pace", PACE, .from = NULL},
    {"what has melted is not left", RULE_DROP_MELTED, "pace", PACE,
     .from = NULL},
    {"a lease that melts does not go back", RULE_MELTING_STAYS, "pace", PACE,
     .from = NULL},
    {"what is granted is used at once", RULE_NONE, "windows", CONSERVATION,
     .from = "    take(state, {cost = permits, period = hit.period, limit = "
             "hit.limit})\n",
     .to = ""},
    {"what goes back names its window", RULE_NONE, "windows", CONSERVATION,
     .from = NAMED, .to = "known"},
    {"what goes back opens no window", RULE_NONE, "windows", CONSERVATION,
     .from = NAMED "\n        and hit.cost <= known.out\n"
                   "        and (leaves or is_short(states[key], hit, "
                   "known))\n        and back",
     .to = "take(states[key], {cost = 0, period = hit.period}) or back",
     .from_2 = "      known.out, known.changed = known.out - hit.cost, true\n",
     .to_2 = "      states[key].moved = true\n"},
    {"leases of sliding windows end at the grid", RULE_NONE, "sliding",
     CONSERVATION | TIMELINESS, .from = "return last, last - state.now",
     .to = "return last, last + state.period * 1000 - state.now"},
    {"a refusal while others hold permits is short", RULE_NONE, "windows",
     SHORT_WAIT, .from = "    retry = min(retry, 250000)\n", .to = ""},
    {"a host is known by its number, not by its bit", RULE_NONE, "one bit",
     SHORT_WAIT, .from = "known and known.out > 0 and known.only ~= host",
     .to = "known and known.out > 0 and known.hosts ~= bit"},
    {"a clock that steps back keeps the count", RULE_NONE, "back", CONSERVATION,
     .from = "  if last - now > hit.period then\n"
             "      state.last, state.moved = now + hit.period, true",
     .to = "  if last - now > hit.period then\n"
           "      state.last, state.count = now, 0"},
};

static const scenario *
scenario_named(const char *name)
{
    const scenario *found = scenarios;
    while (strcmp(found->name, name) != 0) {
        found++;
    }
    return found;
}

static int
check_scenarios(int more)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        scenario deep = scenarios[i];
        deep.requests = (uint8_t)(deep.requests + more);
        unsigned found = run(&deep, fta_redis_script);
        printf("%-16s %8zu states", deep.name, states_seen);
        for (unsigned claim = 1; claim <= PACE; claim *= 2) {
            if ((found & claim) != 0) {
                printf(", broken: %s", claim_names[claim]);
                failed = 1;
            }
        }
        printf("\n");
    }
    return failed;
}

static int
check_rules(void)
{
    int failed = 0;
    stops_at_first = true;
    for (size_t i = 0; i < sizeof withouts / sizeof *withouts; i++) {
        const without *w = &withouts[i];
        char *once = script_with(fta_redis_script, w->from, w->to);
        char *script = script_with(once, w->from_2, w->to_2);
        left_out = w->left_out;
        scenario only = *scenario_named(w->scenario);
        only.claims = w->breaks;
        unsigned found = run(&only, script);
        left_out = RULE_NONE;
        bool is_needed = found != 0;
        printf("%-52s %s\n", w->rule,
               is_needed ? "needed" : "NOTHING BREAKS WITHOUT IT");
        failed |= !is_needed;
        free(script);
        free(once);
    }
    return failed;
}

int
main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    table = malloc(TABLE * sizeof *table);
    if (table == NULL) {
        return 1;
    }
    const char *what = argc > 1 ? argv[1] : "";
    int failed = strcmp(what, "--rules") == 0
                     ? check_rules()
                     : check_scenarios(strcmp(what, "--deep") == 0 ? 1 : -1);
    free(table);
    return failed;
}
