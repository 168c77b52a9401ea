# SPDX-License-Identifier: Apache-2.0
theophylline <- function() {
  description <- "Theophylline in adults after one oral dose: one compartment, first-order absorption, per kilogram of body weight"
  reference <- paste(
    "Boeckmann AJ, Sheiner LB, Beal SL. NONMEM Users Guide, Part V. University of California, San Francisco, 1994 (data).",
    "Pinheiro JC, Bates DM. Mixed-Effects Models in S and S-PLUS. Springer, 2000 (model); population values: nlme fit of R's Theoph data."
  )
  units <- list(time = "h", dosing = "mg/kg", concentration = "mg/L")
  products <- list(
    solution = list(
      description = "Theophylline by mouth, immediate release, per kg of body weight",
      route = "oral", cmt = "depot", step = 0.5, dose = c(0.5, 6), loading = c(0.5, 6), interval = c(6, 8, 12),
      source = "Theophylline prescribing information (United States): loading dose about 5 mg/kg"
    )
  )
  targets <- list(
    peak = list(
      range = c(10, 15), output = "conc", units = "mg/L", description = "Peak at steady state",
      source = "Theophylline prescribing information (United States): doses are titrated to a peak of 10 to 15 mg/L"
    )
  )
  ini({
    lke <- -2.4546; label("log of the elimination rate constant (1/h)")
    lka <- 0.4655;  label("log of the absorption rate constant (1/h)")
    lcl <- -3.2272; label("log of the clearance per kilogram (L/h/kg)")
    # Variances: those of the twelve individual estimates about the population values, rounded up. nlme finds none for ke.
    eta.ke ~ 1e-6
    eta.ka ~ 0.42
    eta.cl ~ 0.03
    add.sd <- c(0, 0.709); label("standard deviation of a measurement (mg/L)")
  })
  model({
    ke <- exp(lke + eta.ke)
    ka <- exp(lka + eta.ka)
    cl <- exp(lcl + eta.cl)
    v <- cl / ke
    d/dt(depot) <- -ka * depot
    d/dt(central) <- ka * depot - ke * central
    conc <- central / v
    conc ~ add(add.sd)
  })
}
