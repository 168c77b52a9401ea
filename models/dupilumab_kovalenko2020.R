# SPDX-License-Identifier: Apache-2.0
dupilumab_kovalenko2020 <- function() {
  description <- "Subcutaneous dupilumab: transit absorption, linear and target-mediated (Michaelis-Menten) elimination"
  # Km and the bioavailability are fixed as in the publication. Its random effect on the mean transit time is additive; here it
  # acts on the logarithm, as the others. Weight is divided by 75 kg, the reference of the authors' earlier analysis.
  reference <- paste(
    "Kovalenko P, Davis JD, Li M, Rippley R, Ardeleanu M, Shumel B, Graham NMH, Pirozzi G, Kamal MA, DiCioccio AT.",
    "Base and covariate population pharmacokinetic analyses of dupilumab using phase 3 data.",
    "Clin Pharmacol Drug Dev 2020;9(6):756-767. doi:10.1002/cpdd.780 (model 1)"
  )
  units <- list(time = "day", dosing = "mg", concentration = "mg/L")
  covariateData <- list(WT = list(description = "Body weight", units = "kg", range = c(40, 130)))
  products <- list(
    syringe = list(
      description = "Prefilled syringes of 300 mg", route = "subcutaneous", cmt = "depot", step = 300, dose = c(300, 300),
      loading = c(600, 600), interval = 14, source = "Dupixent prescribing information, adults with atopic dermatitis"
    )
  )
  ini({
    lvc <- log(2.48);  label("log of the central volume at 75 kg (L)")
    vc_wt <- 0.711;    label("Exponent of weight on the central volume")
    lke <- log(0.0534); label("log of the linear elimination rate (1/day)")
    lkcp <- log(0.213); label("log of the rate from central to peripheral (1/day)")
    mpc <- 0.686;      label("Ratio of the rates from central to peripheral and back")
    lka <- log(0.256); label("log of the absorption rate (1/day)")
    lmtt <- log(0.105); label("log of the mean transit time (day)")
    lvm <- log(1.07);  label("log of the capacity of the saturable elimination (mg/L/day)")
    km <- fixed(0.01); label("Michaelis constant (mg/L)")
    lf <- log(0.643);  label("log of the bioavailability")
    eta.vc ~ 0.0369 # standard deviations 0.192, 0.285, 0.474, 0.236 and 0.525
    eta.ke ~ 0.0812
    eta.ka ~ 0.2247
    eta.vm ~ 0.0557
    eta.mtt ~ 0.2756
    prop.sd <- 0.15; label("Proportional error (fraction)")
    add.sd <- fixed(0.03); label("Additive error (mg/L)")
  })
  model({
    vc <- exp(lvc + eta.vc) * (WT / 75)^vc_wt
    ke <- exp(lke + eta.ke)
    kcp <- exp(lkcp)
    kpc <- kcp / mpc
    ka <- exp(lka + eta.ka)
    ktr <- 4 / exp(lmtt + eta.mtt)
    vm <- exp(lvm + eta.vm)
    Cc <- central / vc
    d/dt(depot) <- -ktr * depot
    d/dt(transit1) <- ktr * depot - ktr * transit1
    d/dt(transit2) <- ktr * transit1 - ktr * transit2
    d/dt(transit3) <- ktr * transit2 - ka * transit3
    d/dt(central) <- ka * transit3 - (ke + kcp) * central + kpc * peripheral - vm * vc * Cc / (km + Cc)
    d/dt(peripheral) <- kcp * central - kpc * peripheral
    f(depot) <- exp(lf)
    Cc ~ prop(prop.sd) + add(add.sd)
  })
}
