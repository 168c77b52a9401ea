# SPDX-License-Identifier: Apache-2.0
phenobarbital_grasela1985 <- function() {
  description <- "Intravenous phenobarbital in newborns: one compartment, per kilogram, larger volume after asphyxia"
  reference <- paste(
    "Grasela TH, Donn SM. Neonatal population pharmacokinetics of phenobarbital derived from routine clinical data.",
    "Dev Pharmacol Ther 1985;8(6):374-383. doi:10.1159/000457062.",
    "Additive error, which the abstract does not give: fit of R's Phenobarb data in Pinheiro JC, Bates DM. Mixed-Effects Models in S and S-PLUS. Springer, 2000"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    WT = list(description = "Birth weight", units = "kg", range = c(0.6, 4)),
    APGR = list(description = "Apgar score at 5 minutes", units = "(score)", type = "categorical", range = c(1, 10))
  )
  products <- list(
    ampoule = list(
      description = "Phenobarbital for injection",
      route = "infusion", cmt = "central", step = 0.5, dose = c(1, 40), loading = c(5, 100), interval = c(12, 24), infusion = 0.5,
      source = "Usual practice: 15 to 20 mg/kg at first, then 2.5 to 5 mg/kg a day"
    )
  )
  targets <- list(
    trough = list(
      range = c(15, 40), output = "Cc", units = "mg/L", description = "Newborns with seizures",
      source = paste(
        "Patsalos PN, Berry DJ, Bourgeois BFD, et al. Antiepileptic drugs - best practice guidelines for therapeutic drug",
        "monitoring. Epilepsia 2008;49(7):1239-1276. doi:10.1111/j.1528-1167.2008.01561.x",
        "(10 to 40 mg/L; in newborns the lower end is usually set at 15)"
      )
    )
  )
  ini({
    lcl <- log(0.0047); label("log of the clearance (L/h/kg)")
    lv <- log(0.96);    label("log of the volume (L/kg)")
    v_asphyxia <- 0.13; label("Increase of the volume for an Apgar score below 5 (fraction)")
    eta.cl ~ 0.0355 # log(1 + CV^2) of 19 and 16 %
    eta.v ~ 0.0253
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
