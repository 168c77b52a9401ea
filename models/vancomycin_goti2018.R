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
