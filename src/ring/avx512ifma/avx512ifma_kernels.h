/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DDT_RING_AVX512IFMA_KERNELS_H
#define DDT_RING_AVX512IFMA_KERNELS_H
#include "../kernels.h"
size_t ddt_avx512ifma_table_words(unsigned log_n);
void ddt_avx512ifma_fill_tables(const ddt_modulus *modulus, const uint64_t *roots, uint64_t *tables);
void ddt_avx512ifma_ntt(const ddt_modulus *modulus, uint64_t *a);
void ddt_avx512ifma_intt(const ddt_modulus *modulus, uint64_t *a);
#endif
