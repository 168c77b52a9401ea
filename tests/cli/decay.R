# SPDX-License-Identifier: Apache-2.0
decay <- function() {
  description <- "One compartment, bolus: the smallest model with everything, for the tests"
  reference <- "Made for the tests"
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  ini({
    lke <- -1
    lv <- 2
    eta.ke ~ 0.04
    sd <- 0.1
  })
  model({
    ke <- exp(lke + eta.ke)
    v <- exp(lv)
    d/dt(central) <- -ke * central
    cp <- central / v
    cp ~ add(sd)
  })
}
