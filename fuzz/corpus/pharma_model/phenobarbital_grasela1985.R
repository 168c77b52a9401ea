# SPDX-License-Identifier: Apache-2.0
phenobarbital_grasela1985 <- function() {
  description <- "Intravenous phenobarbital in newborns: one compartment, per kilogram, larger volume after asphyxia"
  reference <- paste(
    "Grasela TH, Donn SM. Neonatal population pharmacokinetics of phenobarbital derived from routine clinical data.",
    "Dev Pharmacol Ther 1985;8(6):374-383. doi:10.1159/000457062.",
    "Error: nlme fit in Pinheiro JC, Bates DM. Mixed-Effects Models in S and S-PLUS. Springer, 2000"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    WT = list(description = "Birth weight", units = "kg", range = c(0.6, 4)),
    APGR = list(description = "Apgar score at 5 minutes", units = "(score)", type = "categorical", range = c(1, 10))
  )
  ini({
    lcl <- log(0.0047); label("log of the clearance (L/h/kg)")
    lv <- log(0.96);    label("log of the volume (L/kg)")
    v_asphyxia <- 0.13; label("Increase of the volume for an Apgar score below 5 (fraction)")
    eta.cl ~ 0.0361 # coefficients of variation 19 and 16 %
    eta.v ~ 0.0256
    add.sd <- 2.8; label("Additive error (mg/L)")
  })
  model({
    cl <- exp(lcl + eta.cl) * WT
    v <- exp(lv + eta.v) * WT
    if (APGR < 5) {
      v <- v * (1 + v_asphyxia)
    }
    Cc <- linCmt()
    Cc ~ add(add.sd)
  })
}
