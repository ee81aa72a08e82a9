#include "base/siphash.h"

typedef struct sip {
    uint64_t v0, v1, v2, v3;
} sip;

static inline uint64_t
rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static inline void
rounds(sip *s, int count)
{
    for (int i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

/* Little endian on any host. Compilers make it one load. */
static inline uint64_t
load(const uint8_t *p, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
    return value;
}

/* SipHash-c-d. domain changes the start, so that equal inputs of two domains
 * have different hashes. */
static inline uint64_t
siphash(const fta_siphash_key *key, uint64_t domain, const uint8_t *data,
        size_t length, int c, int d)
{
    /* The constants are "somepseudorandomlygeneratedbytes". */
    sip s = {
        key->k0 ^ UINT64_C(0x736f6d6570736575),
        key->k1 ^ UINT64_C(0x646f72616e646f6d) ^ domain,
        key->k0 ^ UINT64_C(0x6c7967656e657261),
        key->k1 ^ UINT64_C(0x7465646279746573),
    };
    size_t whole = length - length % 8;
    for (size_t at = 0; at < whole; at += 8) {
        uint64_t m = load(data + at, 8);
        s.v3 ^= m;
        rounds(&s, c);
        s.v0 ^= m;
    }
    uint64_t last =
        ((uint64_t)length << 56) | load(data + whole, length - whole);
    s.v3 ^= last;
    rounds(&s, c);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    rounds(&s, d);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t
fta_siphash(const fta_siphash_key *key, const uint8_t *data, size_t length)
{
    return siphash(key, 0, data, length, 2, 4);
}

uint64_t
fta_siphash_1_3(const fta_siphash_key *key, uint64_t domain,
                const uint8_t *data, size_t length)
{
    return siphash(key, domain, data, length, 1, 3);
}
