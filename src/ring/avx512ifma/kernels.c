/* The AVX-512 IFMA kernel set. SPDX-License-Identifier: Apache-2.0 */
#include "avx512ifma_kernels.h"

static bool supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512ifma");
}

const ddt_kernels ddt_kernels_avx512ifma = {
    .name = "avx512ifma",
    .supported = supported,
    .table_words = ddt_avx512ifma_table_words,
    .fill_tables = ddt_avx512ifma_fill_tables,
    .ntt = ddt_avx512ifma_ntt,
    .intt = ddt_avx512ifma_intt,
    .ntt_many = ddt_avx512ifma_ntt_many,
    .intt_many = ddt_avx512ifma_intt_many,
    .intt_scaled = ddt_avx512ifma_intt_scaled,
    .ntt_begin = ddt_avx512ifma_ntt_begin,
    .ntt_pieces = ddt_avx512ifma_ntt_pieces,
    .ntt_finish = ddt_avx512ifma_ntt_finish,
    .add = ddt_avx512ifma_add,
    .sub = ddt_avx512ifma_sub,
    .neg = ddt_avx512ifma_neg,
    .mul = ddt_avx512ifma_mul,
    .mul_add = ddt_avx512ifma_mul_add,
    .add_scalar = ddt_avx512ifma_add_scalar,
    .mul_scalar = ddt_avx512ifma_mul_scalar,
    .mul_scalar_add = ddt_avx512ifma_mul_scalar_add,
    .sub_mul_scalar = ddt_avx512ifma_sub_mul_scalar,
    .sub_mul_scalar_add = ddt_avx512ifma_sub_mul_scalar_add,
    .tensor = ddt_avx512ifma_tensor,
    .dot2 = ddt_avx512ifma_dot2,
    .dot2_end = ddt_avx512ifma_dot2_end,
    .change_modulus = ddt_avx512ifma_change_modulus,
    .change_begin = ddt_avx512ifma_change_begin,
    .from_signed = ddt_avx512ifma_from_signed,
    .from_signed_mul = ddt_avx512ifma_from_signed_mul,
    .permute = ddt_avx512ifma_permute,
    .publish = ddt_avx512ifma_publish,
    .baseconv_prepare = ddt_avx512ifma_baseconv_prepare,
    .baseconv_quotients = ddt_avx512ifma_baseconv_quotients,
    .baseconv_factor = ddt_avx512ifma_baseconv_factor,
    .baseconv_limbs = ddt_avx512ifma_baseconv_limbs,
    .baseconv_begin = ddt_avx512ifma_baseconv_begin,
};
