# SPDX-License-Identifier: Apache-2.0
ddi_midazolam <- function() {
  description <- "Intravenous midazolam and 1'-hydroxymidazolam with a competitive CYP3A inhibitor such as itraconazole"
  # Midazolam and its metabolite: Table 1 of the publication, placebo, variances log(1 + CV^2). For a shallow
  # circuit the metabolite's clearance varies by 30 % (published: 42.0 %) and its volume (39.9 %) does not. Its perpetrators (voriconazole and
  # others, as changes of clearance by intervals of time) are replaced by a mechanism: the inhibitor is one compartment that
  # holds its unbound concentration (nmol/L): dose that concentration into it. Half-life 24 h (illustrative); Ki 1.3
  # nmol/L is itraconazole's in the Open Systems Pharmacology library.
  reference <- paste(
    "Nassar YM, Hohmann N, Michelet R, Gottwalt K, Meid AD, Burhenne J, Huisinga W, Haefeli WE, Mikus G, Kloft C.",
    "Quantification of the time course of CYP3A inhibition, activation, and induction using a population pharmacokinetic",
    "model of microdosed midazolam continuous infusion.",
    "Clin Pharmacokinet 2022;61(11):1595-1607. doi:10.1007/s40262-022-01175-6 (Table 1)"
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
    eta.cl ~ 0.0469 # coefficients of variation 21.9, 29.9 and 30 %
    eta.v ~ 0.0856
    eta.clm ~ 0.0862
    prop.sd <- 0.126; label("Proportional error of midazolam (fraction)")
    ohm.prop.sd <- 0.226; label("Proportional error of 1'-hydroxymidazolam (fraction)")
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
    Cohm ~ prop(ohm.prop.sd)
  })
}
