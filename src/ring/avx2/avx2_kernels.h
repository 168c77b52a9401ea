/* The entries of the AVX2 kernel set; contracts in ddt/ring.h and kernels.h. SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_RING_AVX2_KERNELS_H
#define DDT_RING_AVX2_KERNELS_H

#include "../kernels.h"

size_t ddt_avx2_table_words(unsigned log_n);
void ddt_avx2_fill_tables(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *tables);
void ddt_avx2_ntt(const ddt_modulus *modulus, uint64_t *a);
void ddt_avx2_intt(const ddt_modulus *modulus, uint64_t *a);

void ddt_avx2_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b);
void ddt_avx2_sub(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b);
void ddt_avx2_neg(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a);
void ddt_avx2_mul(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b);
void ddt_avx2_mul_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                      const uint64_t *b);
void ddt_avx2_add_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s);
void ddt_avx2_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, uint64_t s);
void ddt_avx2_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *acc, const uint64_t *a,
                             uint64_t s);
void ddt_avx2_sub_mul_scalar(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                             uint64_t s);
void ddt_avx2_sub_mul_scalar_add(const ddt_modulus *modulus, uint64_t *out, const uint64_t *a, const uint64_t *b,
                                 uint64_t s, const uint64_t *acc);
void ddt_avx2_tensor(const ddt_modulus *modulus, uint64_t *const d[3], const uint64_t *const a[2],
                     const uint64_t *const b[2], bool accumulate);
void ddt_avx2_dot2(const ddt_modulus *modulus, uint64_t *out0, uint64_t *out1, const uint64_t *const *a,
                   const uint64_t *const *b0, const uint64_t *const *b1, size_t count);
void ddt_avx2_change_modulus(const ddt_modulus *from, const ddt_modulus *to, uint64_t *out, const uint64_t *in);
void ddt_avx2_from_signed(const ddt_modulus *modulus, uint64_t *out, const int64_t *values);
void ddt_avx2_permute(size_t n, uint64_t *out, const uint64_t *in, const uint32_t *permutation);
void ddt_avx2_publish(uint64_t *out, const uint64_t *in, size_t count);

void ddt_avx2_baseconv_prepare(const ddt_baseconv_source *sources, size_t count, const uint64_t *const *in,
                               uint64_t *const *y, uint64_t *quotient, size_t begin, size_t end);
uint64_t ddt_avx2_baseconv_factor(const ddt_modulus *to, uint64_t factor);
void ddt_avx2_baseconv_limbs(const ddt_baseconv_target *targets, size_t target_count, size_t count,
                             uint64_t *const *out, const uint64_t *const *y, const uint64_t *quotient, size_t begin,
                             size_t end);

#endif
