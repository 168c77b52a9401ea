# SPDX-License-Identifier: Apache-2.0
quinidine_fattinger1991 <- function() {
  description <- "Oral quinidine (sulphate, immediate release) in arrhythmias: zero-order absorption, two compartments, renal and other clearance"
  # Doses in mg of quinidine base. Table 1 without its slow-release arm (6.0 h, bioavailability 1.36); absorption takes the
  # typical time, its variability (49.4 %) is left out. Variances log(1 + CV^2) of 40.2 and 75.6 %. Doses need RATE = -2.
  reference <- paste(
    "Fattinger K, Vozeh S, Ha HR, Borner M, Follath F. Population pharmacokinetics of quinidine.",
    "Br J Clin Pharmacol 1991;31(3):279-286. doi:10.1111/j.1365-2125.1991.tb05531.x (Table 1)"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    CRCL = list(description = "Creatinine clearance (Cockcroft-Gault, not per surface)", units = "mL/min", range = c(17, 120)),
    SEVERE = list(description = "1 severe heart or liver failure, 0 neither", units = "(binary)", type = "binary", range = c(0, 1))
  )
  products <- list(
    sulphate = list(
      description = "Quinidine sulphate tablets of 200 mg (166 mg of base)",
      route = "oral", cmt = "central", step = 166, dose = c(166, 664), interval = c(6, 8, 12),
      source = "Fattinger et al. 1991: 0.829 mg of base per mg of sulphate; first doses of 400 or 600 mg"
    )
  )
  targets <- list(
    trough = list(
      range = c(2, 5), output = "Cc", units = "mg/L", description = "Serum, at steady state",
      source = paste(
        "Laboratory reference range of quinidine in serum, methods differ; Montamat SC, Cusack BJ, Vestal RE. Management of drug",
        "therapy in the elderly. N Engl J Med 1989;321(5):303-309"
      )
    )
  )
  ini({
    cl_renal <- 0.0566; label("Renal clearance per creatinine clearance (L/h per mL/min)")
    cl_other <- 12.6;   label("Other clearance (L/h)")
    cl_severe <- 0.54;  label("Factor on the other clearance, severe heart or liver failure (6.8 / 12.6)")
    lv1 <- log(161);    label("log of the central volume (L)")
    lq <- log(12.6);    label("log of the intercompartmental clearance (L/h)")
    lv2 <- log(66.7);   label("log of the peripheral volume (L)")
    d1 <- fixed(1.37);  label("Duration of absorption (h)")
    eta.cl ~ 0.1498
    eta.v1 ~ 0.4522
    prop.sd <- 0.22; label("Proportional error (fraction)")
  })
  model({
    cl <- (cl_renal * CRCL + cl_other * cl_severe^SEVERE) * exp(eta.cl)
    v1 <- exp(lv1 + eta.v1)
    q <- exp(lq)
    v2 <- exp(lv2)
    d/dt(central) <- -(cl + q) / v1 * central + q / v2 * peripheral
    d/dt(peripheral) <- q / v1 * central - q / v2 * peripheral
    dur(central) <- d1
    Cc <- central / v1
    Cc ~ prop(prop.sd)
  })
}
