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
