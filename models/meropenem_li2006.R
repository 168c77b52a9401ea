# SPDX-License-Identifier: Apache-2.0
meropenem_li2006 <- function() {
  description <- "Meropenem infusions in adults: two compartments, clearance from age and creatinine clearance, central volume from weight"
  # Values as in the DDMoRe repository's encoding of the publication (DDMODEL00000213).
  reference <- paste(
    "Li C, Kuti JL, Nightingale CH, Nicolau DP.",
    "Population pharmacokinetic analysis and dosing regimen optimization of meropenem in adult patients.",
    "J Clin Pharmacol 2006;46(10):1171-1178. doi:10.1177/0091270006291035"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    AGE = list(description = "Age", units = "a", range = c(18, 90)),
    WT = list(description = "Body weight", units = "kg", range = c(40, 130)),
    CRCL = list(description = "Creatinine clearance, not per surface", units = "mL/min", range = c(10, 150))
  )
  products <- list(
    vial = list(
      description = "Meropenem vials of 500 mg", route = "infusion", cmt = "central", step = 500, dose = c(500, 2000),
      daily = 6000, interval = c(6, 8, 12), infusion = c(0.5, 3), source = "Li et al. 2006 (regimens studied)"
    )
  )
  targets <- list(
    "fT>mic" = list(
      range = c(0.4, 1), threshold = 2, output = "Cc", units = "1",
      description = "Fraction of the interval above an MIC of 2 mg/L; 2 % protein binding is neglected",
      source = "Li et al. 2006 (bactericidal exposure: 40 % of the interval)"
    )
  )
  ini({
    lcl <- log(14.6); label("log of the clearance at 35 years and a creatinine clearance of 83 mL/min (L/h)")
    lv1 <- log(10.8); label("log of the central volume at 70 kg (L)")
    lq <- log(18.6);  label("log of the intercompartmental clearance (L/h)")
    lv2 <- log(12.6); label("log of the peripheral volume (L)")
    cl_age <- -0.34;  label("Exponent of age on clearance")
    cl_crcl <- fixed(0.62); label("Exponent of creatinine clearance on clearance")
    v1_wt <- 0.99;    label("Exponent of weight on the central volume")
    eta.cl ~ 0.118
    eta.v1 ~ 0.143
    eta.q ~ 0.290
    eta.v2 ~ 0.102
    prop.sd <- 0.19; label("Proportional error (fraction)")
    add.sd <- 0.47;  label("Additive error (mg/L)")
  })
  model({
    cl <- exp(lcl + eta.cl) * (AGE / 35)^cl_age * (CRCL / 83)^cl_crcl
    v1 <- exp(lv1 + eta.v1) * (WT / 70)^v1_wt
    q <- exp(lq + eta.q)
    v2 <- exp(lv2 + eta.v2)
    d/dt(central) <- -(cl + q) / v1 * central + q / v2 * peripheral
    d/dt(peripheral) <- q / v1 * central - q / v2 * peripheral
    Cc <- central / v1
    Cc ~ prop(prop.sd) + add(add.sd)
  })
}
