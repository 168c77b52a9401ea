/*
 * Wide discrete Gaussians. A narrow one is drawn by inversion with a precision of 127 bits; a wide one is a sum of
 * narrow ones times powers of two. With x of standard deviation 4 and y a discrete Gaussian at least as wide, x + 2 y
 * is a discrete Gaussian within a relative 2^-89 (convolution theorem: Peikert 2010): the smoothing parameter of 2Z at
 * that error is 3.56 (as a standard deviation), below 4 * 2 / sqrt(5) = 3.58. SPDX-License-Identifier: Apache-2.0
 */
#include "release_internal.h"

#include <math.h>

enum { BASE_STD = 4 };

const custody_tail custody_tails[CUSTODY_TAILS] = {
    {UINT64_C(0x733bdd6615e4d7b9), UINT64_C(0x781a61d7fa2a38e8)},
    {UINT64_C(0x5a7cb1c511260b47), UINT64_C(0x459c4e8e15446895)},
    {UINT64_C(0x43f474c2f09f5f1d), UINT64_C(0xfa12f3fb02163e0f)},
    {UINT64_C(0x30ae9ed3436b4a90), UINT64_C(0x48b8c3e6617e73fa)},
    {UINT64_C(0x21322c0c29dfaed7), UINT64_C(0xe6f24abea8c30002)},
    {UINT64_C(0x1581a64210e74b04), UINT64_C(0x2ff1824e80223c1b)},
    {UINT64_C(0x0d37a216a7d808ce), UINT64_C(0xb467a53cdba22951)},
    {UINT64_C(0x07b210c8f8127ddd), UINT64_C(0x6d9c799b5d976108)},
    {UINT64_C(0x043d7a421b0b234f), UINT64_C(0xa14d7e0a2303aa81)},
    {UINT64_C(0x023574827352ef19), UINT64_C(0x7255c976d52bcb52)},
    {UINT64_C(0x0116457d1b5dc9b7), UINT64_C(0x2903fa4f343d54a4)},
    {UINT64_C(0x00814852b843ba97), UINT64_C(0xbaad4ab532a7939e)},
    {UINT64_C(0x0038abcdb8e5e075), UINT64_C(0x59dff875b4f87c33)},
    {UINT64_C(0x00176d5bf5d19034), UINT64_C(0xd2afa0ab10601bab)},
    {UINT64_C(0x000921100d2d9d25), UINT64_C(0x3afa707b7ad18422)},
    {UINT64_C(0x00035a2b5202f341), UINT64_C(0x0e4d67e427d17739)},
    {UINT64_C(0x000128d835aadcaa), UINT64_C(0x81089bceddd245c3)},
    {UINT64_C(0x000060b2b6bb9645), UINT64_C(0x68819ac9682fb54f)},
    {UINT64_C(0x00001da84d6ea216), UINT64_C(0x54b73d3896cbcb85)},
    {UINT64_C(0x0000088fe8fee709), UINT64_C(0xe8c3be7b1dcbbb6a)},
    {UINT64_C(0x000002538ea5b4ca), UINT64_C(0x98faac5643c6a1e9)},
    {UINT64_C(0x000000984419d263), UINT64_C(0xcaab26402ba4e677)},
    {UINT64_C(0x00000024a068edcf), UINT64_C(0xa4d64b8d72eed35d)},
    {UINT64_C(0x0000000849b6a17c), UINT64_C(0x48e0e4cdd328a5fa)},
    {UINT64_C(0x00000001c3966288), UINT64_C(0x26e1d340bd812094)},
    {UINT64_C(0x000000005a65ba23), UINT64_C(0x2c9a1ce567705017)},
    {UINT64_C(0x0000000011046477), UINT64_C(0x9aa038e87449ac06)},
    {UINT64_C(0x000000000303260a), UINT64_C(0x1bc4421470ace924)},
    {UINT64_C(0x000000000080598b), UINT64_C(0xb80e18ba5abd1d6a)},
    {UINT64_C(0x00000000001415b5), UINT64_C(0xc37778a62cfde615)},
    {UINT64_C(0x000000000002f46d), UINT64_C(0x911f8d05bc66539b)},
    {UINT64_C(0x000000000000689d), UINT64_C(0x300541554186ed65)},
    {UINT64_C(0x0000000000000d99), UINT64_C(0xb31d1c346fc7e664)},
    {UINT64_C(0x00000000000001a9), UINT64_C(0x78d19801ec260c62)},
    {UINT64_C(0x0000000000000030), UINT64_C(0xdeecd554b1c80bda)},
    {UINT64_C(0x0000000000000005), UINT64_C(0x46ab7e65c9f4c775)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x890c66c7236680df)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x0d11b784ba41e085)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x012bd908ebaca783)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x0019411e3215fbd9)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x0001ffb5eb6125ff)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x0000260f7a580948)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x000002a9034c6781)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x0000002cba5c58b4)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x00000002c2abb543)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x0000000028fb1ab5)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x00000000023bab21)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x00000000001d4510)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x000000000001687b)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x000000000000104b)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x00000000000000b1)},
    {UINT64_C(0x0000000000000000), UINT64_C(0x0000000000000007)},
};

double custody_gaussian_std(unsigned digits) { return BASE_STD * sqrt((ldexp(1.0, 2 * (int)digits) - 1.0) / 3.0); }

/* 127 bits decide the size, one the sign. All of the table is read; a comparison is a subtraction with borrow. */
static int64_t narrow(uint64_t high, uint64_t low) {
    const int64_t sign = -(int64_t)(high & 1U);
    const uint64_t top = high >> 1;
    uint64_t size = 0;
    for (size_t v = 0; v < CUSTODY_TAILS; v++) {
        const unsigned __int128 bound = ((unsigned __int128)custody_tails[v].high << 64) | custody_tails[v].low;
        const unsigned __int128 drawn = ((unsigned __int128)top << 64) | low;
        size += (uint64_t)((drawn - bound) >> 127); /* both are below 2^127: the top bit is the borrow */
    }
    return ((int64_t)size ^ sign) - sign;
}

void custody_sample_gaussian(custody_random *random, unsigned digits, size_t n, uint64_t *words, int64_t *out) {
    for (size_t j = 0; j < n; j++) {
        out[j] = 0;
    }
    for (unsigned i = 0; i < digits; i++) {
        custody_random_words(random, 2 * n, (int64_t *)words);
        for (size_t j = 0; j < n; j++) {
            out[j] = 2 * out[j] + narrow(words[2 * j], words[2 * j + 1]);
        }
    }
}
