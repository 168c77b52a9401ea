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
    KS_DOT_TERMS = 4
};
_Static_assert((int)KS_DOT_TERMS <= (int)DDT_RING_DOT_MAX, "one inner product of the ring");

/*
 * One key switch at a level. "Targets" are the primes of the accumulators: 0..level are q_0..q_level, then the P
 * primes.
 */
typedef struct ks_work {
    const ddt_ckks_params *params;
    int threads;
    unsigned level;
    unsigned digits;
    size_t targets;      /* level + 1 + p_count */
    uint64_t *scaled;    /* level + 1 limbs: digits in the coefficient domain, prepared for conversion */
    uint64_t *quotients; /* one limb a digit, at least two */
    uint64_t *acc;       /* 2 * targets limbs */
    uint64_t *scratch;   /* threads * scratch_limbs */
    size_t scratch_limbs;
    size_t group; /* target limbs converted together, so that the source limbs are read once for all of them */
} ks_work;

/* The limbs of arena that a switch at `level` takes, and taking them. */
size_t ks_work_limbs(const ddt_evaluator *ev, unsigned level);
void ks_work_take(ddt_evaluator *ev, unsigned level, ks_work *w);
/* This thread's scratch: at least one limb a digit. */
uint64_t *ks_thread_scratch(const ks_work *w);
/* The modulus index of target t. */
size_t ks_target_modulus(const ks_work *w, size_t t);
/* Finds a key that serves `level`, or fails with DDT_ERR_KEY_MISSING. */
ddt_status ks_find_key(ddt_evaluator *ev, const char *operation, uint64_t galois, unsigned level,
                       const ckks_key_entry **out);
/* First step: digits of source (level + 1 limbs in NTT domain, kept) in the coefficient domain. */
void ks_decompose(const ks_work *w, const uint64_t *source);
/*
 * Second step: acc = sum over digits of digit * key. lift (may be NULL): two parts of level + 1 limbs, added to acc
 * times P, so that they share the division.
 */
void ks_accumulate(const ks_work *w, const ddt_switch_key *key, const uint64_t *source, const uint64_t *const *lift);
/* The second step in two, for several keys: extended[(d * targets + t) * N] gets digit d modulo target t, except where
 * t is the digit's own. */
void ks_extend_all(const ks_work *w, const uint64_t *source, uint64_t *extended);
void ks_accumulate_extended(const ks_work *w, const ddt_switch_key *key, const uint64_t *source,
                            const uint64_t *extended);

/* Pointers to all digits modulo target t, and their inner product with a key into one limb each. partial: scratch
 * behind the group's. */
void ks_extended_digits(const ks_work *w, const uint64_t *source, const uint64_t *extended, size_t t,
                        const uint64_t **digits);
void ks_inner_product(const ks_work *w, const ddt_switch_key *key, size_t t, const uint64_t *const *digits,
                      uint64_t *out0, uint64_t *out1, uint64_t *partial);

typedef struct ks_result {
    unsigned first_part;         /* 1: only the second part is wanted */
    bool rescale;                /* divide by the top prime too */
    const uint64_t *add[PARTS];  /* added after the division, may be NULL */
    const uint32_t *permutation; /* applied to the sum, may be NULL */
    uint64_t *out[PARTS];        /* limb stride N */
} ks_result;

/* Third step: out = acc / P (or / (P q_level)), rounded, + add, permuted. acc is overwritten. */
void ks_divide(const ks_work *w, const ks_result *r);

#endif
