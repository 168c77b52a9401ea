/* The scalar kernel set: runs everywhere. SPDX-License-Identifier: Apache-2.0 */
#include "scalar_kernels.h"

static bool supported(void) { return true; }

const ddt_kernels ddt_kernels_scalar = {
    .name = "scalar",
    .supported = supported,
    .table_words = ddt_scalar_table_words,
    .fill_tables = ddt_scalar_fill_tables,
    .ntt = ddt_scalar_ntt,
    .intt = ddt_scalar_intt,
    .add = ddt_scalar_add,
    .sub = ddt_scalar_sub,
    .neg = ddt_scalar_neg,
    .mul = ddt_scalar_mul,
    .mul_add = ddt_scalar_mul_add,
    .add_scalar = ddt_scalar_add_scalar,
    .mul_scalar = ddt_scalar_mul_scalar,
    .mul_scalar_add = ddt_scalar_mul_scalar_add,
    .sub_mul_scalar = ddt_scalar_sub_mul_scalar,
    .sub_mul_scalar_add = ddt_scalar_sub_mul_scalar_add,
    .tensor = ddt_scalar_tensor,
    .dot2 = ddt_scalar_dot2,
    .change_modulus = ddt_scalar_change_modulus,
    .from_signed = ddt_scalar_from_signed,
    .permute = ddt_scalar_permute,
    .baseconv_prepare = ddt_scalar_baseconv_prepare,
    .baseconv_factor = ddt_scalar_baseconv_factor,
    .baseconv_limbs = ddt_scalar_baseconv_limbs,
};
