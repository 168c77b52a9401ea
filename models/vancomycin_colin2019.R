# SPDX-License-Identifier: Apache-2.0
vancomycin_colin2019 <- function() {
  description <- "Vancomycin infusions from the preterm newborn to the aged: maturation and decline of the clearance, creatinine, weight"
  reference <- paste(
    "Colin PJ, Allegaert K, Thomson AH, Touw DJ, Dolton M, de Hoog M, et al. Vancomycin pharmacokinetics throughout life: results from a",
    "pooled population analysis and evaluation of current dosing recommendations.",
    "Clin Pharmacokinet 2019;58(6):767-780. doi:10.1007/s40262-018-0727-5"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    WT = list(description = "Body weight", units = "kg", range = c(1, 130)),
    PMA = list(description = "Age since the mother's last period: age plus 40 weeks at term", units = "year", range = c(0.55, 95)),
    SCR = list(description = "Creatinine in serum", units = "mg/dL", range = c(0.2, 3))
  )
  products <- list(
    vial = list(
      description = "Vancomycin vials of 500 mg, doses in steps of 250 mg",
      route = "infusion", cmt = "central", step = 250, dose = c(250, 2500), daily = 4500, rate = 1000, loading = c(500, 3000),
      interval = c(6, 8, 12, 24, 36, 48), infusion = c(1, 1.5, 2, 2.5, 3),
      source = "Rybak et al. 2020: loading doses up to 3000 mg, empiric daily doses up to 4500 mg, at most about 1000 mg per hour"
    ),
    newborn = list(
      description = "Vancomycin diluted to 5 mg/mL, doses in steps of 5 mg",
      route = "infusion", cmt = "central", step = 5, dose = c(10, 100), daily = 300, rate = 100,
      interval = c(6, 8, 12, 18, 24), infusion = 1,
      source = "Usual practice in newborns: 10 to 20 mg/kg over one hour every 6 to 24 h by age and creatinine"
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
    )
  )
  ini({
    lcl <- 1.67;    label("log of the clearance at 70 kg, mature, not declined, at the standard creatinine (L/h)")
    lv1 <- 3.75;    label("log of the central volume at 70 kg (L)")
    lv2 <- 3.73;    label("log of the peripheral volume at 70 kg (L)")
    lq <- 1.17;     label("log of the intercompartmental clearance at 70 kg (L/h)")
    lpma50 <- -0.113; label("log of the postmenstrual age at half of the mature clearance (years; 46.4 weeks)")
    lhill_mature <- 1.06; label("log of the exponent of maturation")
    lage50 <- 4.12; label("log of the age at half of the clearance (years)")
    lhill_decline <- 0.806; label("log of the exponent of decline")
    lscr <- -0.436; label("log of the effect of creatinine on the log clearance (per mg/dL)")
    eta_cl ~ 0.0749
    eta_v1 ~ 0.0721
    eta_v2 ~ 0.672
    prop.sd <- 0.2145; label("Proportional error (fraction)")
    add.sd <- 1.109;   label("Additive error (mg/L)")
  })
  model({
    size <- WT / 70
    mature <- PMA^exp(lhill_mature) / (PMA^exp(lhill_mature) + exp(lpma50)^exp(lhill_mature))
    declined <- 1 / (1 + (PMA / exp(lage50))^exp(lhill_decline))
    scr_standard <- exp(-1.22839 + 0.67190 * log10(PMA) + 6.27017 * exp(-3.10940 * PMA))
    cl <- exp(lcl + eta_cl) * size^0.75 * mature * declined * exp(-exp(lscr) * (SCR - scr_standard))
    v1 <- exp(lv1 + eta_v1) * size
    v2 <- exp(lv2 + eta_v2) * size
    q <- exp(lq) * size^0.75
    d/dt(central) <- -(cl + q) / v1 * central + q / v2 * peripheral
    d/dt(peripheral) <- q / v1 * central - q / v2 * peripheral
    Cc <- central / v1
    Cc ~ prop(prop.sd) + add(add.sd)
  })
}
