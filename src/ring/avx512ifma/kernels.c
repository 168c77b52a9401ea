/* The avx512ifma kernel set; entries without a kernel of their own yet run the scalar one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "avx512ifma_kernels.h"

#include "../scalar/scalar_kernels.h"

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
    .add = ddt_scalar_add,
    .sub = ddt_scalar_sub,
    .neg = ddt_scalar_neg,
    .mul = ddt_scalar_mul,
    .mul_add = ddt_scalar_mul_add,
    .add_scalar = ddt_scalar_add_scalar,
    .mul_scalar = ddt_scalar_mul_scalar,
    .mul_scalar_add = ddt_scalar_mul_scalar_add,
    .sub_mul_scalar = ddt_scalar_sub_mul_scalar,
    .tensor = ddt_scalar_tensor,
    .dot2 = ddt_scalar_dot2,
    .change_modulus = ddt_scalar_change_modulus,
    .from_signed = ddt_scalar_from_signed,
    .permute = ddt_scalar_permute,
    .baseconv_prepare = ddt_scalar_baseconv_prepare,
    .baseconv_limb = ddt_scalar_baseconv_limb,
};
