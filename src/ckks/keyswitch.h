/* Key switching, for the operations built on it. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_CKKS_KEYSWITCH_H
#define DDT_CKKS_KEYSWITCH_H

#include "ckks_internal.h"

enum {
    PARTS = 2,
    /*
     * Terms of one inner product. Each adds three streams of memory, and beyond about sixteen the prefetchers lose
     * track: measured 7 GB/s of keys with eight terms at once, 21 GB/s with four.
     */
    KS_DOT_TERMS = 4,
    KS_KEYS_MAX = 16 /* of one ks_rotate */
};
_Static_assert((int)KS_DOT_TERMS <= (int)DDT_RING_DOT_LAZY, "one inner product of the ring, of lazy digits");

/*
 * One key switch at a level. "Targets" are the primes of the accumulators: 0..level are q_0..q_level, then the P
 * primes.
 */
typedef struct ks_work {
    const ddt_ckks_params *params;
    int threads;
    bool apart;          /* threads have caches of their own */
    ckks_caches *caches; /* where that is found out anew; NULL: not this time */
    unsigned level;
    unsigned digits;
    size_t targets;           /* level + 1 + p_count */
    uint64_t *scaled;         /* level + 1 limbs: digits in the coefficient domain, prepared for conversion */
    uint64_t *quotients;      /* one limb a digit */
    uint64_t *part_quotients; /* one limb a part: of the division */
    uint64_t *acc;            /* 2 * (targets - first) limbs, which ks_switch uses only in part */
    size_t first;             /* target whose accumulators are the first ones there */
    uint64_t *shared;         /* digits, and what is taken away, of targets that threads share */
    uint64_t *scratch;        /* threads * scratch_limbs */
    size_t scratch_limbs;
    size_t stride; /* words from one limb of the four to the next */
    size_t group;  /* target limbs converted together, so that the source limbs are read once for all of them */
} ks_work;

/* The limbs of arena that a switch at `level` takes, and taking them. */
size_t ks_work_limbs(const ddt_evaluator *ev, unsigned level);
void ks_work_take(ddt_evaluator *ev, unsigned level, ks_work *w);
/* This thread's scratch: at least two limbs. */
uint64_t *ks_thread_scratch(const ks_work *w);
/* The modulus index of target t. */
size_t ks_target_modulus(const ks_work *w, size_t t);
/* Finds a key that serves `level`, or fails with DDT_ERR_KEY_MISSING. */
ddt_status ks_find_key(ddt_evaluator *ev, const char *operation, uint64_t galois, unsigned level,
                       const ckks_key_entry **out);
/* First step: digits of source (level + 1 limbs in NTT domain, kept) in the coefficient domain. */
void ks_decompose(const ks_work *w, const uint64_t *source);
/* The same for source = a b, position by position: level + 1 limbs each, limb stride N; source is written, too. */
void ks_decompose_product(const ks_work *w, const uint64_t *a, const uint64_t *b, uint64_t *source);
/*
 * What a switch takes: digits of `source` times `key`. lift (both or none): two parts of level + 1 limbs, added to the
 * sum times P, so that they share the division. Or left and right: two ciphertexts of two parts, the first two parts of
 * whose product are lifted.
 */
typedef struct ks_input {
    const ddt_switch_key *key;
    const uint64_t *source;
    const uint64_t *lift[PARTS];
    const uint64_t *left[PARTS];
    const uint64_t *right[PARTS];
} ks_input;

/*
 * What is done with limbs modulo target t, in NTT domain, while they are in the cache: they are gone when it returns.
 * The threads call it, each for other targets.
 */
typedef void (*ks_visit)(void *work, size_t t, const uint64_t *const *limbs);
/* Hands over all digits of a target, for every target: second steps of their own that store no digits. */
void ks_each_target(const ks_work *w, const uint64_t *source, ks_visit visit, void *work);

typedef struct ks_result {
    unsigned first_part;         /* 1: only the second part is wanted */
    bool rescale;                /* divide by the top prime too */
    const uint64_t *add[PARTS];  /* added after the division, may be NULL */
    const uint32_t *permutation; /* applied to the sum, may be NULL */
    uint64_t *out[PARTS];        /* limb stride N */
} ks_result;

/*
 * Second step: the switched parts, divided by P (or P q_level) and rounded, + add, permuted. Each target is finished
 * while its accumulators are in the cache; only those of the divisors go through memory. The outputs may be the inputs:
 * limb t is read for target t alone.
 */
void ks_switch(const ks_work *w, const ks_input *in, const ks_result *r);
/* The second step in two, for sums of accumulators: the two sums over digits of digit * key, + lift times P; ... */
void ks_accumulate_each(const ks_work *w, const ks_input *in, ks_visit visit, void *work);
/* ... out = acc / P (or / (P q_level)), rounded, + add, permuted. acc of the divisors is overwritten. */
void ks_divide(const ks_work *w, const ks_result *r);

/* A switch of the same digits with a key of its own; the result has a permutation. */
typedef struct ks_rotation {
    const ddt_switch_key *key;
    ks_result result;
} ks_rotation;

/*
 * The second step for up to KS_KEYS_MAX rotations, prime by prime for all of them: the digits modulo a prime are made
 * and multiplied with all keys, and never stored. The outputs are no inputs. room: ks_rotations_limbs limbs.
 */
size_t ks_rotations_limbs(const ddt_evaluator *ev, size_t count);
void ks_rotate(const ks_work *w, const uint64_t *source, const ks_rotation *rotations, size_t count, uint64_t *room);

#endif
