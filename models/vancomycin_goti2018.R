# SPDX-License-Identifier: Apache-2.0
vancomycin_goti2018 <- function() {
  description <- "Vancomycin infusions in hospitalised adults with and without haemodialysis: two compartments"
  # Published encodings of this model differ. Here: the typical values of Table 2 with both volumes scaled by weight,
  # variances log(1 + CV^2) of the reported coefficients of variation (39.8, 81.6 and 57.1 %), and the standard deviations
  # of Table 2 for the error.
  reference <- paste(
    "Goti V, Chaturvedula A, Fossler MJ, Mok S, Jacob JT.",
    "Hospitalized patients with and without hemodialysis have markedly different vancomycin pharmacokinetics:",
    "a population pharmacokinetic model-based analysis.",
    "Ther Drug Monit 2018;40(2):212-221. doi:10.1097/FTD.0000000000000490"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    WT = list(description = "Body weight", units = "kg", range = c(40, 140)),
    CRCL = list(description = "Creatinine clearance (Cockcroft-Gault)", units = "mL/min", range = c(10, 150)),
    DIAL = list(description = "1 on haemodialysis, 0 otherwise", units = "(binary)", type = "binary", range = c(0, 1))
  )
  products <- list(
    vial = list(
      description = "Vancomycin vials of 500 mg, doses in steps of 250 mg",
      route = "infusion", cmt = "central", step = 250, dose = c(250, 2500), daily = 4500, rate = 1000, loading = c(500, 3000),
      interval = c(6, 8, 12, 24, 36, 48), infusion = c(1, 1.5, 2, 2.5, 3),
      source = "Rybak et al. 2020: loading doses up to 3000 mg, empiric daily doses up to 4500 mg, at most about 1000 mg per hour"
    )
  )
  targets <- list(
    auc24 = list(
      range = c(400, 600), output = "Cc", units = "mg*h/L", description = "AUC over 24 h by MIC, for an MIC of 1 mg/L",
      source = paste(
        "Rybak MJ, Le J, Lodise TP, et al. Therapeutic monitoring of vancomycin for serious methicillin-resistant",
        "Staphylococcus aureus infections: a revised consensus guideline and review.",
        "Am J Health Syst Pharm 2020;77(11):835-864. doi:10.1093/ajhp/zxaa036"
      )
    ),
    trough = list(
      range = c(10, 15), output = "Cc", units = "mg/L", description = "Where the AUC is not used; the revised guideline prefers the AUC",
      source = paste(
        "Rybak M, Lomaestro B, Rotschafer JC, et al. Therapeutic monitoring of vancomycin in adult patients: a consensus review.",
        "Am J Health Syst Pharm 2009;66(1):82-98. doi:10.2146/ajhp080434 (at least 10 mg/L)"
      )
    )
  )
  ini({
    lcl <- log(4.5);  label("log of the clearance at a creatinine clearance of 120 mL/min, no dialysis (L/h)")
    cl_crcl <- 0.8;   label("Exponent of creatinine clearance on clearance")
    cl_dial <- 0.7;   label("Factor on clearance, dialysis")
    lv1 <- log(58.4); label("log of the central volume at 70 kg, no dialysis (L)")
    v1_dial <- 0.5;   label("Factor on the central volume, dialysis")
    lq <- log(6.5);   label("log of the intercompartmental clearance (L/h)")
    lv2 <- log(38.4); label("log of the peripheral volume at 70 kg (L)")
    eta.cl ~ 0.147
    eta.v1 ~ 0.510
    eta.v2 ~ 0.282
    prop.sd <- 0.227; label("Proportional error (fraction)")
    add.sd <- 3.4;    label("Additive error (mg/L)")
  })
  model({
    cl <- exp(lcl + eta.cl) * (CRCL / 120)^cl_crcl * cl_dial^DIAL
    v1 <- exp(lv1 + eta.v1) * (WT / 70) * v1_dial^DIAL
    q <- exp(lq)
    v2 <- exp(lv2 + eta.v2) * (WT / 70)
    d/dt(central) <- -(cl + q) / v1 * central + q / v2 * peripheral
    d/dt(peripheral) <- q / v1 * central - q / v2 * peripheral
    Cc <- central / v1
    Cc ~ prop(prop.sd) + add(add.sd)
  })
}
