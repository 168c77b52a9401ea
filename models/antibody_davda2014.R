# SPDX-License-Identifier: Apache-2.0
antibody_davda2014 <- function() {
  description <- "The average monoclonal antibody with linear clearance: subcutaneous absorption, two compartments, allometric in weight"
  reference <- paste(
    "Davda JP, Dodds MG, Gibbs MA, Wisdom W, Gibbs JP.",
    "A model-based meta-analysis of monoclonal antibody pharmacokinetics to guide optimal first-in-human study design.",
    "MAbs 2014;6(4):1094-1102. doi:10.4161/mabs.29095"
  )
  units <- list(time = "day", dosing = "mg", concentration = "mg/L")
  covariateData <- list(WT = list(description = "Body weight", units = "kg", range = c(45, 130)))
  ini({
    lf <- log(0.744);  label("log of the bioavailability")
    lka <- log(0.282); label("log of the absorption rate (1/day)")
    lcl <- log(0.2);   label("log of the clearance at 70 kg (L/day)")
    lv <- log(3.61);   label("log of the central volume at 70 kg (L)")
    lvp <- log(2.75);  label("log of the peripheral volume at 70 kg (L)")
    lq <- log(0.747);  label("log of the intercompartmental clearance at 70 kg (L/day)")
    cl_wt <- 0.865;    label("Exponent of weight on clearances")
    v_wt <- 0.957;     label("Exponent of weight on volumes")
    eta.ka ~ 0.416
    eta.cl + eta.v + eta.vp ~ c(0.0987,
                                0.0786, 0.116,
                                0.0377, 0.0619, 0.0789)
    eta.q ~ 0.699
    prop.sd <- 0.144; label("Proportional error (fraction)")
  })
  model({
    ka <- exp(lka + eta.ka)
    cl <- exp(lcl + eta.cl) * (WT / 70)^cl_wt
    v <- exp(lv + eta.v) * (WT / 70)^v_wt
    vp <- exp(lvp + eta.vp) * (WT / 70)^v_wt
    q <- exp(lq + eta.q) * (WT / 70)^cl_wt
    f(depot) <- exp(lf)
    Cc <- linCmt()
    Cc ~ prop(prop.sd)
  })
}
