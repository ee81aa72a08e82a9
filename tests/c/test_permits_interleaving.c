/* The code of permits, stopped between any two of its accesses to shared
 * memory. Each actor (actors.h) is a process with a number of its own. */
#define _XOPEN_SOURCE 700 /* ucontext on macOS */

#include <stdbool.h>

static void stop_here(void);

/* The code under test, compiled here so that the scheduler gets in. */
#define FTA_BETWEEN_ACCESSES() stop_here()
#include "concurrency/permits.c"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ACTOR_FIELDS                                                           \
    unsigned number;                                                           \
    unsigned most;                                                             \
    int rounds;                                                                \
    int denied;                                                                \
    bool inside;
#include "schedules.h"

/* -- Processes, in place of process_number.c ------------------------------- */

/* The scheduler is a process too. */
#define SCHEDULERS_NUMBER 9u

/* A number that a later process has taken over lives again. */
static unsigned taken_over;

struct fta_process_numbers {
    int unused;
};

unsigned
fta_process_number(const fta_process_numbers *numbers)
{
    (void)numbers;
    return running == NULL ? SCHEDULERS_NUMBER : running->number;
}

unsigned
fta_process_number_take(fta_process_numbers *numbers)
{
    return fta_process_number(numbers);
}

void
fta_process_look_begin(const fta_process_numbers *numbers,
                       fta_process_look *out)
{
    *out = (fta_process_look){.own = fta_process_number(numbers)};
}

bool
fta_process_lives(fta_process_look *look, unsigned number)
{
    stop_here();
    for (size_t i = 0; i < actor_count; i++) {
        if (actors[i].number == number && !actors[i].killed) {
            return number == look->own || actors[i].act != NULL;
        }
    }
    return number == SCHEDULERS_NUMBER || number == taken_over;
}

void
fta_process_look_end(fta_process_look *look)
{
    (void)look;
}

/* -- What they do ---------------------------------------------------------- */

static fta_permit_memory memory;
static fta_permits table = {.memory = &memory};
static const uint8_t key[] = "key";
static unsigned most_inside;

static size_t
inside_now(void)
{
    size_t count = 0;
    for (size_t i = 0; i < actor_count; i++) {
        count += actors[i].inside && !actors[i].killed;
    }
    return count;
}

static void
enter_view(actor *self)
{
    self->inside = true;
    size_t now = inside_now();
    if (now > most_inside) {
        most_inside = (unsigned)now;
    }
}

static bool
take(unsigned most, fta_permit *out)
{
    CHECK(fta_permits_take(&table, key, sizeof key, most, out) == FTA_OK);
    return out->word != 0;
}

/* Requests, one after the other. */
static void
act_requests(actor *self)
{
    for (int i = 0; i < self->rounds; i++) {
        fta_permit permit;
        if (!take(self->most, &permit)) {
            self->denied++;
            continue;
        }
        enter_view(self);
        stop_here();
        self->inside = false;
        fta_permits_release(&table, &permit);
    }
}

/* A request that does not end. */
static void
act_stay(actor *self)
{
    fta_permit permit;
    if (take(self->most, &permit)) {
        enter_view(self);
    } else {
        self->denied++;
    }
}

/* A new process gets the number of a killed one, sweeps, and serves requests.
 * Its number lives before it sweeps. */
static void
act_take_over(actor *self)
{
    for (size_t i = 0; i < actor_count; i++) {
        if (actors[i].killed) {
            self->number = actors[i].number;
            break;
        }
    }
    taken_over = self->number;
    fta_permits_sweep(&table, self->number);
    act_requests(self);
}

/* The control: counts and takes with nothing in between that puts takers in a
 * line. */
static void
act_without_a_line(actor *self)
{
    fta_permit_bucket *bucket = &memory.buckets[0];
    use_slot(bucket, self->number);
    if (count_taken(bucket, 7).taken < self->most) {
        uint64_t word = announcement(0, 7, self->number, self->number, 0);
        CHECK(swap(&bucket->slots[self->number], 0, word));
        enter_view(self);
    }
}

static void
start_over(void)
{
    memset((void *)&memory, 0, sizeof memory.secret);
    for (size_t k = 0; k < FTA_PERMIT_BUCKETS; k++) {
        fta_permit_bucket *bucket = &memory.buckets[k];
        size_t used = (size_t)atomic_load(&bucket->used);
        for (size_t i = 0; i < used; i++) {
            atomic_store(&bucket->slots[i], 0);
        }
        atomic_store(&bucket->used, 0);
        atomic_store(&bucket->latest, 0);
    }
    actor_count = 0;
    taken_over = 0;
    most_inside = 0;
}

static void
add(void (*act)(actor *self), unsigned most, int rounds)
{
    actor *a = add_actor(act);
    a->number = (unsigned)actor_count;
    a->most = most;
    a->rounds = rounds;
}

static size_t
killed_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < actor_count; i++) {
        count += actors[i].killed;
    }
    return count;
}

/* Of `most` permits, as many as live actors do not hold can be taken now, and
 * not one more. */
static void
check_the_rest(unsigned most)
{
    fta_permit permits[8];
    size_t held = inside_now(), got = 0;
    while (got < 8 && take(most, &permits[got])) {
        got++;
    }
    CHECK(got + held == most);
    while (got > 0) {
        fta_permits_release(&table, &permits[--got]);
    }
}

static int
denied(void)
{
    int sum = 0;
    for (size_t i = 0; i < actor_count; i++) {
        sum += actors[i].denied;
    }
    return sum;
}

/* -- Scenarios ------------------------------------------------------------- */

#define SEEDS SCHEDULES(10000)

static void
run(uint64_t seed)
{
    switch (seed % 3) {
    case 0:
        run_randomly(seed, false);
        break;
    case 1:
        run_by_priority(seed);
        break;
    default:
        run_randomly(seed, true);
    }
}

static void
test_as_many_as_there_are_permits_get_one(void)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add(act_stay, 2, 0);
        }
        run(seed);
        CHECK(most_inside <= 2);
        if (killed_count() == 0) {
            CHECK(inside_now() == 2 && denied() == 2);
        }
        check_the_rest(2);
    }
}

static void
test_permits_that_are_given_back_are_taken_again(void)
{
    unsigned reached = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add(act_requests, 2, 3);
        }
        run(seed);
        CHECK(most_inside <= 2);
        reached += most_inside == 2;
        check_the_rest(2);
    }
    CHECK(reached > 0);
}

/* Two at once always find room for two, whatever is given back meanwhile. */
static void
test_nobody_is_denied_for_less_than_all(void)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        add(act_requests, 2, 3);
        add(act_requests, 2, 3);
        run(seed);
        CHECK(denied() == 0);
    }
}

static uint8_t other_key[] = "other 0";

/* Another key in the bucket of the key. */
static void
find_other_key(void)
{
    uint64_t of_key = fta_siphash(&memory.secret, key, sizeof key);
    for (other_key[6] = 0; other_key[6] < 255; other_key[6]++) {
        uint64_t hash =
            fta_siphash(&memory.secret, other_key, sizeof other_key);
        if ((hash >> 32) % FTA_PERMIT_BUCKETS ==
            (of_key >> 32) % FTA_PERMIT_BUCKETS) {
            return;
        }
    }
    CHECK(false);
}

/* Holds one permit of the key at a time, first in one slot and then, while
 * another key has that, in the next one. */
static void
act_move_to_another_slot(actor *self)
{
    fta_permit first, second, others;
    self->denied += !take(3, &first);
    fta_permits_release(&table, &first);
    CHECK(fta_permits_take(&table, other_key, sizeof other_key, 3, &others) ==
          FTA_OK);
    self->denied += !take(3, &second);
    fta_permits_release(&table, &second);
    fta_permits_release(&table, &others);
}

/* A walk over the slots may meet the same holder in two of them. For that, both
 * have to sleep at the right moments, so all moments are tried. */
static void
test_who_changes_its_slot_is_not_counted_twice(void)
{
    enum { MOVER = 40, REQUEST = 20 };
    const int all = MOVER * REQUEST * MOVER;
    for (int i = 0; i < all; i += all / SCHEDULES(all)) {
        start_over();
        fta_permit kept[3];
        for (int k = 0; k < 3; k++) {
            CHECK(take(3, &kept[k]));
        }
        fta_permits_release(&table, &kept[0]);
        fta_permits_release(&table, &kept[1]);
        add(act_move_to_another_slot, 3, 0);
        add(act_requests, 3, 1);
        run_steps(&actors[0], i % MOVER);
        run_steps(&actors[1], i / MOVER % REQUEST);
        run_steps(&actors[0], i / MOVER / REQUEST);
        finish(&actors[1]);
        finish(&actors[0]);
        CHECK(denied() == 0);
    }
}

static void
test_a_new_owner_of_a_number_keeps_its_permits(void)
{
    unsigned killed = 0, reached = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        start_over();
        add(act_stay, 2, 0);
        run_steps(&actors[0], (int)(seed % 12));
        actors[0].killed = true;
        add(act_take_over, 2, 3);
        add(act_requests, 2, 3);
        add(act_requests, 2, 3);
        run(seed / 12);
        CHECK(most_inside <= 2);
        killed += actors[0].inside;
        reached += most_inside == 2;
        if (killed_count() == 1) {
            check_the_rest(2);
        }
    }
    CHECK(killed > 0 && reached > 0);
}

/* The scheduler finds more than two where nothing puts takers in a line. */
static void
test_control_the_schedules_find_a_race(void)
{
    bool found = false;
    for (uint64_t seed = 0; seed < SEEDS && !found; seed++) {
        start_over();
        for (int i = 0; i < 4; i++) {
            add(act_without_a_line, 2, 0);
        }
        run_randomly(seed, false);
        found = most_inside > 2;
    }
    CHECK(found);
}

/* The next announcement would be the very word that the slot has had before. */
static void
test_an_announcement_differs_from_the_word_in_its_slot(void)
{
    fta_permit first, second, third;
    start_over();
    CHECK(take(2, &first));
    fta_permits_release(&table, &first);
    uint64_t before = first.word & ~FTA_PERMIT_SEQUENCE_MASK;
    fta_permit_bucket *bucket = &memory.buckets[first.bucket];
    uint64_t sequence = first.word & FTA_PERMIT_SEQUENCE_MASK;
    uint64_t last = (sequence - 1) & FTA_PERMIT_SEQUENCE_MASK;
    atomic_store(&bucket->slots[1], 0);
    atomic_store(&bucket->latest, (before | last) & ~FTA_PERMIT_TAKEN);
    CHECK(take(2, &second));
    CHECK(second.word != first.word);
    CHECK(take(2, &third));
    fta_permit none;
    CHECK(!take(2, &none));
    fta_permits_release(&table, &second);
    CHECK(take(2, &none));
}

int
main(void)
{
    alarm(300); /* Whoever spins outside of an actor is ended. */
    actors_begin();
    test_as_many_as_there_are_permits_get_one();
    test_permits_that_are_given_back_are_taken_again();
    test_nobody_is_denied_for_less_than_all();
    find_other_key();
    test_who_changes_its_slot_is_not_counted_twice();
    test_a_new_owner_of_a_number_keeps_its_permits();
    test_control_the_schedules_find_a_race();
    test_an_announcement_differs_from_the_word_in_its_slot();
    actors_end();
    return check_report("test_permits_interleaving");
}
