# SPDX-License-Identifier: Apache-2.0
warfarin <- function() {
  description <- "Oral warfarin and prothrombin complex activity: one compartment with a transit step, inhibited turnover"
  reference <- paste(
    "O'Reilly RA, Aggeler PM. Studies on coumarin anticoagulant drugs: initiation of warfarin therapy without a loading dose.",
    "Circulation 1968;38:169-177 (data); Holford NHG. Clinical pharmacokinetics and pharmacodynamics of warfarin.",
    "Clin Pharmacokinet 1986;11:483-504 (model). Estimates: the fit published with nlmixr's example of several endpoints."
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  ini({
    lktr <- 0.106;   label("log of the transit rate (1/h)")
    lka <- -0.087;   label("log of the absorption rate (1/h)")
    lcl <- -2.03;    label("log of the clearance (L/h)")
    lv <- 2.07;      label("log of the volume (L)")
    lemax <- 3.4;    label("logit of the greatest inhibition")
    lec50 <- 0.00724; label("log of the concentration of half the greatest inhibition (mg/L)")
    lkout <- -2.9;   label("log of the rate of loss of activity (1/h)")
    le0 <- 4.57;     label("log of the baseline activity (%)")
    # Standard deviations 1.05, 0.906, 0.281, 0.229, 0.509, 0.519, 0.127 and 0.0708.
    eta.ktr ~ 1.1025
    eta.ka ~ 0.8208
    eta.cl ~ 0.0790
    eta.v ~ 0.0524
    eta.emax ~ 0.2591
    eta.ec50 ~ 0.2694
    eta.kout ~ 0.0161
    eta.e0 ~ 0.00501
    cp.prop.sd <- 0.15; label("Proportional error of the concentration (fraction)")
    cp.add.sd <- 0.144; label("Additive error of the concentration (mg/L)")
    pca.add.sd <- 3.91; label("Additive error of the activity (%)")
  })
  model({
    ktr <- exp(lktr + eta.ktr)
    ka <- exp(lka + eta.ka)
    cl <- exp(lcl + eta.cl)
    v <- exp(lv + eta.v)
    emax <- expit(lemax + eta.emax)
    ec50 <- exp(lec50 + eta.ec50)
    kout <- exp(lkout + eta.kout)
    e0 <- exp(le0 + eta.e0)
    cp <- center / v
    effect(0) <- e0
    d/dt(depot) <- -ktr * depot
    d/dt(gut) <- ktr * depot - ka * gut
    d/dt(center) <- ka * gut - cl / v * center
    d/dt(effect) <- kout * e0 * (1 - emax * cp / (ec50 + cp)) - kout * effect
    pca <- effect
    cp ~ prop(cp.prop.sd) + add(cp.add.sd)
    pca ~ add(pca.add.sd)
  })
}
