# SPDX-License-Identifier: Apache-2.0
vancomycin_thomson2009 <- function() {
  description <- "Vancomycin infusions in adults: two compartments, clearance from creatinine clearance, volumes from weight"
  reference <- paste(
    "Thomson AH, Staatz CE, Tobin CM, Gall M, Lovering AM.",
    "Development and evaluation of vancomycin dosage guidelines designed to achieve new target concentrations.",
    "J Antimicrob Chemother 2009;63(5):1050-1057. doi:10.1093/jac/dkp085"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    WT = list(description = "Body weight", units = "kg", range = c(40, 140)),
    CRCL = list(description = "Creatinine clearance (Cockcroft-Gault)", units = "mL/min", range = c(12, 180))
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
    cl_typical <- 2.99; label("Clearance at a creatinine clearance of 66 mL/min (L/h)")
    cl_crcl <- 0.0154;  label("Change of clearance per mL/min of creatinine clearance (fraction)")
    v1_per_kg <- 0.675; label("Central volume (L/kg)")
    q_typical <- 2.28;  label("Intercompartmental clearance (L/h)")
    v2_per_kg <- 0.732; label("Peripheral volume (L/kg)")
    eta_cl + eta_v1 ~ c(0.0729,
                        0.01, 0.0225)
    eta_q ~ 0.2401
    eta_v2 ~ 1.69
    prop.sd <- 0.15; label("Proportional error (fraction)")
    add.sd <- 1.6;   label("Additive error (mg/L)")
  })
  model({
    cl <- cl_typical * (1 + cl_crcl * (CRCL - 66)) * exp(eta_cl)
    v1 <- v1_per_kg * WT * exp(eta_v1)
    q <- q_typical * exp(eta_q)
    v2 <- v2_per_kg * WT * exp(eta_v2)
    d/dt(central) <- -(cl + q) / v1 * central + q / v2 * peripheral
    d/dt(peripheral) <- q / v1 * central - q / v2 * peripheral
    Cc <- central / v1
    Cc ~ prop(prop.sd) + add(add.sd)
  })
}
