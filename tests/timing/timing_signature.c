/* Tests that the time to verify an invalid signature does not depend on the
 * octet that is wrong. Welch's t-test compares two classes of signatures: the
 * first octet is wrong, or the last one is. The method is that of "dude, is my
 * code constant time?" (Reparaz, Balasch, Verbauwhede 2017). As a control, the
 * same test has to find a difference for a comparison that stops at the first
 * wrong octet. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "token/hmac.h"
#include "token/key.h"

#define SIZE 64 /* of a signature of HS512 */
#define SAMPLES 400000
/* A larger |t| means that the times of the classes differ. */
#define LIMIT 4.5

typedef struct subject {
    const char *name;
    bool (*equal)(const uint8_t *signature);
} subject;

static const char message[] = "header.payload";
static uint8_t right[SIZE];
static fta_key *key;

static bool
equal_by_key(const uint8_t *signature)
{
    return fta_key_verify(key, message, sizeof message, signature, SIZE) ==
           FTA_OK;
}

static bool
equal_by_early_exit(const uint8_t *signature)
{
    for (volatile size_t i = 0; i < SIZE; i++) {
        if (signature[i] != right[i]) {
            return false;
        }
    }
    return true;
}

static double
nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int
compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, other = *(const double *)b;
    return (left > other) - (left < other);
}

/* Welch's t of the two classes. Times above the ceiling are left out, because
 * an interrupt says nothing about the comparison. */
static double
welch(const double *times, const uint8_t *classes, double ceiling)
{
    double count[2] = {0, 0}, mean[2] = {0, 0}, squares[2] = {0, 0};
    for (size_t i = 0; i < SAMPLES; i++) {
        if (times[i] <= ceiling) {
            int class = classes[i];
            double delta = times[i] - mean[class];
            count[class]++;
            mean[class] += delta / count[class];
            squares[class] += delta * (times[i] - mean[class]);
        }
    }
    double variance = 0;
    for (int class = 0; class < 2; class ++) {
        variance += squares[class] / (count[class] - 1) / count[class];
    }
    return variance == 0 ? 0 : (mean[0] - mean[1]) / sqrt(variance);
}

/* The largest |t| of several ceilings. */
static double
largest_t(const subject *what)
{
    static double times[SAMPLES], sorted[SAMPLES];
    static uint8_t classes[SAMPLES];
    uint8_t wrong[2][SIZE];
    memcpy(wrong[0], right, SIZE);
    memcpy(wrong[1], right, SIZE);
    wrong[0][0] ^= 1;
    wrong[1][SIZE - 1] ^= 1;
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < SAMPLES; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        classes[i] = random >> 40 & 1;
        /* Both classes are read from the same address. */
        uint8_t signature[SIZE];
        memcpy(signature, wrong[classes[i]], SIZE);
        double start = nanoseconds();
        if (what->equal(signature)) {
            abort();
        }
        times[i] = nanoseconds() - start;
    }
    memcpy(sorted, times, sizeof times);
    qsort(sorted, SAMPLES, sizeof *sorted, compare_doubles);
    double largest = 0;
    static const double shares[] = {0.5, 0.8, 0.9, 0.95, 0.99};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double ceiling = sorted[(size_t)(shares[i] * (SAMPLES - 1))];
        double t = fabs(welch(times, classes, ceiling));
        largest = t > largest ? t : largest;
    }
    printf("timing_signature: %s: largest |t| %.2f of %d measurements\n",
           what->name, largest, SAMPLES);
    return largest;
}

int
main(void)
{
    static const subject subjects[] = {
        {"fta_key_verify", equal_by_key},
        {"control that stops early", equal_by_early_exit}};
    uint8_t secret[SIZE];
    fta_hmac *hmac;
    memset(secret, 's', sizeof secret);
    if (fta_hmac_new("SHA512", secret, SIZE, &hmac) != FTA_OK ||
        fta_hmac_compute(hmac, message, sizeof message, right) != FTA_OK ||
        fta_key_from_secret(fta_algorithm_find((fta_text){"HS512", 5}),
                            (fta_text){NULL, 0}, secret, SIZE, false,
                            &key) != FTA_OK) {
        return 1;
    }
    double ours = largest_t(&subjects[0]);
    double control = largest_t(&subjects[1]);
    fta_hmac_free(hmac);
    fta_key_free(key);
    return ours < LIMIT && control > LIMIT ? 0 : 1;
}
