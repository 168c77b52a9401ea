# SPDX-License-Identifier: Apache-2.0
phenytoin_yukawa1990 <- function() {
  description <- "Oral phenytoin in epilepsy: Michaelis-Menten elimination, capacity scaled by weight"
  # The published model is one of steady states: it gives capacity and Km. Volume (0.6 L/kg at 60 kg) and absorption rate
  # (1.5 1/h) are literature values, needed for the course in time only.
  reference <- paste(
    "Yukawa E, Higuchi S, Aoyama T.",
    "Population pharmacokinetics of phenytoin from routine clinical data in Japan: an update.",
    "Chem Pharm Bull 1990;38(7):1973-1976"
  )
  units <- list(time = "day", dosing = "mg", concentration = "mg/L")
  covariateData <- list(WT = list(description = "Body weight", units = "kg", range = c(40, 90)))
  ini({
    lvmax <- log(325); label("log of the capacity at 60 kg (mg/day)")
    vmax_wt <- 0.737;  label("Exponent of weight on the capacity")
    lkm <- log(2.41);  label("log of the Michaelis constant (mg/L)")
    lv <- fixed(log(36)); label("log of the volume (L)")
    lka <- fixed(log(36)); label("log of the absorption rate (1/day)")
    eta.vmax ~ 0.0372
    eta.km ~ 0.398
    prop.sd <- 0.103; label("Proportional error (fraction)")
  })
  model({
    vmax <- exp(lvmax + eta.vmax) * (WT / 60)^vmax_wt
    km <- exp(lkm + eta.km)
    v <- exp(lv)
    ka <- exp(lka)
    Cc <- central / v
    d/dt(depot) <- -ka * depot
    d/dt(central) <- ka * depot - vmax * Cc / (km + Cc)
    Cc ~ prop(prop.sd)
  })
}
