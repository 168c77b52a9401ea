# SPDX-License-Identifier: Apache-2.0
phenytoin_yukawa1990 <- function() {
  description <- "Oral phenytoin in epilepsy: Michaelis-Menten elimination, capacity scaled by weight"
  # The published model is one of steady states: it gives capacity and Km. Volume (0.6 L/kg at 60 kg) and absorption rate
  # (1.5 1/h) are literature values, needed for the course in time only. Encoded for adults on phenytoin alone, as tablets: the
  # factors for age below 15 years, comedication and powder are left out. Variances are the squares of the reported
  # coefficients of variation, 19.3 and 63.1 %. The publication's error of 10.3 % is that of the dose.
  reference <- paste(
    "Yukawa E, Higuchi S, Aoyama T.",
    "Population pharmacokinetics of phenytoin from routine clinical data in Japan: an update.",
    "Chem Pharm Bull 1990;38(7):1973-1976. doi:10.1248/cpb.38.1973 (Table III, model 2)"
  )
  units <- list(time = "day", dosing = "mg", concentration = "mg/L")
  covariateData <- list(WT = list(description = "Body weight", units = "kg", range = c(40, 90)))
  products <- list(
    tablet = list(
      description = "Phenytoin tablets of 25 and 100 mg",
      route = "oral", cmt = "depot", step = 25, dose = c(25, 300), daily = 600, interval = c(0.5, 1),
      source = "Yukawa et al. 1990 (two to three doses a day, 226 mg a day on average)"
    )
  )
  targets <- list(
    average = list(
      range = c(10, 20), output = "Cc", units = "mg/L", description = "Total phenytoin in serum, at steady state",
      source = paste(
        "Patsalos PN, Berry DJ, Bourgeois BFD, et al. Antiepileptic drugs - best practice guidelines for therapeutic drug",
        "monitoring. Epilepsia 2008;49(7):1239-1276. doi:10.1111/j.1528-1167.2008.01561.x"
      )
    )
  )
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
