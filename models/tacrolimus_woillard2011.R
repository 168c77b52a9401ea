# SPDX-License-Identifier: Apache-2.0
tacrolimus_woillard2011 <- function() {
  description <- "Oral tacrolimus (Prograf, Advagraf) in kidney transplant recipients: Erlang absorption, two compartments, whole blood"
  reference <- paste(
    "Woillard JB, de Winter BCM, Kamar N, Marquet P, Rostaing L, Rousseau A.",
    "Population pharmacokinetic model and Bayesian estimator for two tacrolimus formulations - twice daily Prograf and once daily Advagraf.",
    "Br J Clin Pharmacol 2011;71(3):391-402. doi:10.1111/j.1365-2125.2010.03837.x (Table 4, whole data set)"
  )
  units <- list(time = "h", dosing = "mg", concentration = "ng/mL")
  covariateData <- list(
    HCT = list(description = "Haematocrit", units = "%", range = c(20, 50)),
    CYP3A5 = list(description = "CYP3A5 expresser: 1 with at least one *1 allele, 0 for *3/*3", units = "(binary)",
                  type = "binary", range = c(0, 1)),
    FORMULATION = list(description = "1 Prograf (twice daily), 0 Advagraf (once daily)", units = "(binary)",
                       type = "binary", range = c(0, 1))
  )
  products <- list(
    prograf = list(
      description = "Tacrolimus capsules of 0.5, 1 and 5 mg, immediate release; FORMULATION 1",
      route = "oral", cmt = "depot", step = 0.5, dose = c(0.5, 15), interval = 12, source = "Prograf prescribing information"
    ),
    advagraf = list(
      description = "Tacrolimus capsules of 0.5, 1, 3 and 5 mg, prolonged release; FORMULATION 0",
      route = "oral", cmt = "depot", step = 0.5, dose = c(0.5, 30), interval = 24, source = "Advagraf prescribing information"
    )
  )
  targets <- list(
    trough = list(
      range = c(5, 10), output = "Cc", units = "ng/mL", description = "Whole blood, kidney transplant; protocols differ with time and comedication",
      source = paste(
        "Woillard et al. 2011 (10 to 15 ng/mL in the first six weeks, then 5 to 10 ng/mL); methods and limits:",
        "Brunet M, van Gelder T, Asberg A, et al. Therapeutic drug monitoring of tacrolimus-personalized therapy: second",
        "consensus report. Ther Drug Monit 2019;41(3):261-307. doi:10.1097/FTD.0000000000000640"
      )
    )
  )
  ini({
    lktr <- log(3.34);  label("log of the transfer rate of the absorption chain, Advagraf (1/h)")
    ktr_prograf <- 1.53; label("Factor on the transfer rate, Prograf")
    lcl <- log(21.2);   label("log of CL/F at a haematocrit of 35 %, not an expresser (L/h)")
    cl_hct <- -1.14;    label("Exponent of the haematocrit on CL/F")
    cl_cyp3a5 <- 2.00;  label("Factor on CL/F, expressers")
    lvc <- log(486);    label("log of the central volume V/F, Advagraf (L)")
    vc_prograf <- 0.29; label("Factor on the central volume, Prograf")
    lq <- log(79);      label("log of Q/F (L/h)")
    lvp <- log(271);    label("log of the peripheral volume V/F (L)")
    # Reported coefficients of variation 24, 28, 31, 54 and 60 %, as log(1 + CV^2); variability between occasions is left out.
    eta.ktr ~ 0.0560
    eta.cl ~ 0.0755
    eta.vc ~ 0.0916
    eta.q ~ 0.2559
    eta.vp ~ 0.3075
    prop.sd <- 0.113; label("Proportional error (fraction)")
    add.sd <- 0.71;   label("Additive error (ng/mL)")
  })
  model({
    ktr <- exp(lktr + eta.ktr) * ktr_prograf^FORMULATION
    cl <- exp(lcl + eta.cl) * (HCT / 35)^cl_hct * cl_cyp3a5^CYP3A5
    vc <- exp(lvc + eta.vc) * vc_prograf^FORMULATION
    q <- exp(lq + eta.q)
    vp <- exp(lvp + eta.vp)
    d/dt(depot) <- -ktr * depot
    d/dt(transit1) <- ktr * depot - ktr * transit1
    d/dt(transit2) <- ktr * transit1 - ktr * transit2
    d/dt(central) <- ktr * transit2 - (cl + q) / vc * central + q / vp * peripheral
    d/dt(peripheral) <- q / vc * central - q / vp * peripheral
    Cc <- 1000 * central / vc
    Cc ~ prop(prop.sd) + add(add.sd)
  })
}
