# SPDX-License-Identifier: Apache-2.0
tmdd_qss <- function() {
  description <- "Subcutaneous antibody with target-mediated disposition, quasi-steady-state approximation, two compartments"
  # A generic antibody: the values describe no particular drug, and the variances are those of a usual antibody (about 30 %
  # on clearance, 20 % on volume, 40 % on absorption and target).
  reference <- paste(
    "Gibiansky L, Gibiansky E, Kakkar T, Ma P.",
    "Approximations of the target-mediated drug disposition model and identifiability of model parameters.",
    "J Pharmacokinet Pharmacodyn 2008;35(5):573-591. doi:10.1007/s10928-008-9102-8"
  )
  units <- list(time = "day", dosing = "mg", concentration = "mg/L")
  ini({
    lka <- log(0.3);   label("log of the absorption rate (1/day)")
    lf <- log(0.7);    label("log of the bioavailability")
    lcl <- log(0.2);   label("log of the linear clearance (L/day)")
    lvc <- log(3);     label("log of the central volume (L)")
    lq <- log(0.5);    label("log of the intercompartmental clearance (L/day)")
    lvp <- log(3);     label("log of the peripheral volume (L)")
    lr0 <- log(0.1);   label("log of the baseline target concentration (mg/L)")
    lkdeg <- log(0.1); label("log of the degradation rate of the target (1/day)")
    lkint <- log(1);   label("log of the internalisation rate of the complex (1/day)")
    lkss <- log(1.1);  label("log of the steady-state constant (mg/L)")
    eta.ka ~ 0.15
    eta.cl ~ 0.09
    eta.vc ~ 0.04
    eta.r0 ~ 0.15
    prop.sd <- 0.15; label("Proportional error (fraction)")
  })
  model({
    ka <- exp(lka + eta.ka)
    cl <- exp(lcl + eta.cl)
    vc <- exp(lvc + eta.vc)
    q <- exp(lq)
    vp <- exp(lvp)
    r0 <- exp(lr0 + eta.r0)
    kdeg <- exp(lkdeg)
    kint <- exp(lkint)
    kss <- exp(lkss)
    ctot <- central / vc
    excess <- ctot - target - kss
    Cc <- 0.5 * (excess + sqrt(excess^2 + 4 * kss * ctot))
    bound <- target * Cc / (kss + Cc)
    d/dt(depot) <- -ka * depot
    d/dt(central) <- ka * depot - cl * Cc - kint * bound * vc - q * Cc + q / vp * peripheral
    d/dt(peripheral) <- q * Cc - q / vp * peripheral
    d/dt(target) <- kdeg * r0 - kdeg * (target - bound) - kint * bound
    target(0) <- r0
    f(depot) <- exp(lf)
    Cc ~ prop(prop.sd)
  })
}
