# SPDX-License-Identifier: Apache-2.0
ddi_midazolam <- function() {
  description <- "Intravenous midazolam and 1'-hydroxymidazolam with a competitive CYP3A inhibitor such as itraconazole"
  # The inhibitor is one compartment that holds its unbound concentration (nmol/L): dose that concentration into it. Its
  # half-life is 24 h and its Ki 1.3 nmol/L (Open Systems Pharmacology, itraconazole). Typical values only: the variances
  # (30 % on each clearance and volume) are an assumption.
  reference <- paste(
    "Nassar YM, Hohmann N, Michelet R, et al.",
    "Quantification of the time course of CYP3A inhibition, activation, and induction using a population pharmacokinetic",
    "model of microdosed midazolam continuous infusion.",
    "Clin Pharmacokinet 2022;61(11):1595-1607. doi:10.1007/s40262-022-01175-6"
  )
  units <- list(time = "h", dosing = "ug", concentration = "ug/L")
  ini({
    lcl <- log(43.9);  label("log of the midazolam clearance (L/h)")
    lv <- log(56.7);   label("log of the midazolam volume (L)")
    fm <- 0.92;        label("Fraction of the clearance by CYP3A")
    lclm <- log(264);  label("log of the clearance of 1'-hydroxymidazolam (L/h)")
    lvm <- log(300);   label("log of the volume of 1'-hydroxymidazolam (L)")
    ki <- fixed(1.3);  label("Inhibition constant, unbound (nmol/L)")
    thalf <- fixed(24); label("Half-life of the inhibitor (h)")
    eta.cl ~ 0.09
    eta.v ~ 0.09
    eta.clm ~ 0.09
    prop.sd <- 0.15; label("Proportional error (fraction)")
  })
  model({
    cl <- exp(lcl + eta.cl)
    v <- exp(lv + eta.v)
    clm <- exp(lclm + eta.clm)
    vm <- exp(lvm)
    inhibition <- 1 + inhibitor / ki
    formation <- fm * cl / inhibition
    other <- (1 - fm) * cl
    d/dt(midazolam) <- -(formation + other) / v * midazolam
    d/dt(hydroxy) <- formation / v * midazolam * 341.77 / 325.78 - clm / vm * hydroxy # masses per mole
    d/dt(inhibitor) <- -log(2) / thalf * inhibitor
    Cmdz <- midazolam / v
    Cohm <- hydroxy / vm
    Cmdz ~ prop(prop.sd)
    Cohm ~ prop(prop.sd)
  })
}
