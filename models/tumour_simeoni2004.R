# SPDX-License-Identifier: Apache-2.0
tumour_simeoni2004 <- function() {
  description <- "Paclitaxel and a xenograft's growth in mice: exponential, then linear growth, damaged cells die in three steps"
  # Rates and potency of the first paclitaxel experiment (Table 2). Two departures: growth turns from exponential to
  # linear by 2 a b w / (b + 2 a w) (Koch et al.) instead of the sharp power of 20, and the mouse's pharmacokinetics
  # are one compartment of a typical volume and half-life (illustrative). Variances (20 %) and error are illustrative.
  reference <- paste(
    "Simeoni M, Magni P, Cammia C, et al. Predictive pharmacokinetic-pharmacodynamic modeling of tumor growth kinetics",
    "in xenograft models after administration of anticancer agents.",
    "Cancer Res 2004;64(3):1094-1101. doi:10.1158/0008-5472.CAN-03-2524 (Table 2).",
    "Koch G, Walz A, Lahu G, Schropp J. Modeling of tumor growth and anticancer effects of combination therapy.",
    "J Pharmacokinet Pharmacodyn 2009;36(2):179-197. doi:10.1007/s10928-009-9117-9 (growth)"
  )
  units <- list(time = "day", dosing = "mg/kg", concentration = "ng/mL")
  ini({
    v <- fixed(0.81);     label("Volume of paclitaxel (L/kg, illustrative)")
    k10 <- fixed(20.8);   label("Elimination rate of paclitaxel (1/day, illustrative)")
    lw0 <- log(0.1);      label("log of the tumour's weight at the start (g, illustrative)")
    lgrow <- log(0.273);  label("log of the exponential growth rate (1/day)")
    llinear <- log(0.814); label("log of the linear growth rate (g/day)")
    lpotency <- log(0.000629); label("log of the potency (mL/ng/day)")
    lk1 <- log(0.968);    label("log of the rate of cell death (1/day)")
    eta.grow ~ 0.04
    eta.potency ~ 0.04
    prop.sd <- 0.2; label("Proportional error (fraction)")
  })
  model({
    grow <- exp(lgrow + eta.grow)
    linear <- exp(llinear)
    potency <- exp(lpotency + eta.potency)
    k1 <- exp(lk1)
    Cc <- 1000 * drug / v
    w <- cycling + damaged1 + damaged2 + damaged3
    d/dt(drug) <- -k10 * drug
    d/dt(cycling) <- 2 * grow * linear / (linear + 2 * grow * w) * cycling - potency * Cc * cycling
    d/dt(damaged1) <- potency * Cc * cycling - k1 * damaged1
    d/dt(damaged2) <- k1 * (damaged1 - damaged2)
    d/dt(damaged3) <- k1 * (damaged2 - damaged3)
    cycling(0) <- exp(lw0)
    w ~ prop(prop.sd)
  })
}
