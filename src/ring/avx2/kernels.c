/* The AVX2 kernel set. SPDX-License-Identifier: Apache-2.0 */
#include "avx2_kernels.h"

static bool supported(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

const ddt_kernels ddt_kernels_avx2 = {
    .name = "avx2",
    .supported = supported,
    .table_words = ddt_avx2_table_words,
    .fill_tables = ddt_avx2_fill_tables,
    .ntt = ddt_avx2_ntt,
    .intt = ddt_avx2_intt,
    .add = ddt_avx2_add,
    .sub = ddt_avx2_sub,
    .neg = ddt_avx2_neg,
    .mul = ddt_avx2_mul,
    .mul_add = ddt_avx2_mul_add,
    .add_scalar = ddt_avx2_add_scalar,
    .mul_scalar = ddt_avx2_mul_scalar,
    .mul_scalar_add = ddt_avx2_mul_scalar_add,
    .sub_mul_scalar = ddt_avx2_sub_mul_scalar,
    .sub_mul_scalar_add = ddt_avx2_sub_mul_scalar_add,
    .tensor = ddt_avx2_tensor,
    .dot2 = ddt_avx2_dot2,
    .change_modulus = ddt_avx2_change_modulus,
    .from_signed = ddt_avx2_from_signed,
    .permute = ddt_avx2_permute,
    .publish = ddt_avx2_publish,
    .baseconv_prepare = ddt_avx2_baseconv_prepare,
    .baseconv_factor = ddt_avx2_baseconv_factor,
    .baseconv_limbs = ddt_avx2_baseconv_limbs,
};
