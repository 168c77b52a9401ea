# SPDX-License-Identifier: Apache-2.0
gene_delivery_aav <- function() {
  description <- "Adeno-associated vector to the liver: uptake, transduced cells, transgene product, and T cells that the capsid raises"
  # Illustrative values throughout, chosen to give the course that the trial reports: the factor rises over weeks; with higher
  # doses transduced cells are lost from about the second month on, with the T cells, unless these are suppressed. The dose is in
  # units of 10^12 vector genomes per kg, cells as a fraction of the liver's, the factor in % of normal. STEROID is
  # the fraction of the T cells' action that treatment takes away.
  reference <- paste(
    "Nathwani AC, Reiss UM, Tuddenham EGD, et al. Long-term safety and efficacy of factor IX gene therapy in hemophilia B.",
    "N Engl J Med 2014;371(21):1994-2004. doi:10.1056/NEJMoa1407309 (the course that is described)"
  )
  units <- list(time = "day", dosing = "10*12{vg}/kg", concentration = "%{normal}")
  covariateData <- list(
    STEROID = list(description = "Suppression of the T cells' action", units = "(fraction)", range = c(0, 0.9))
  )
  ini({
    kclear <- fixed(2);    label("Loss of vector from blood (1/day)")
    luptake <- log(0.06);  label("log of the fraction of cells transduced per 10^12 vg/kg")
    kexpress <- fixed(0.1); label("Rate at which expression begins (1/day)")
    lproduct <- log(60);   label("log of the production by all cells (% of normal per day)")
    kproduct <- fixed(0.7); label("Loss of the factor (1/day; half-life about a day)")
    kantigen <- fixed(0.05); label("Loss of capsid antigen (1/day)")
    lprime <- log(0.05);   label("log of the rise of T cells per antigen (1/day)")
    kt <- fixed(0.04);     label("Loss of T cells (1/day)")
    lkill <- log(0.02);    label("log of the killing per T cell (1/day)")
    eta.uptake ~ 0.09
    eta.prime ~ 0.09
    prop.sd <- 0.2; label("Proportional error (fraction)")
  })
  model({
    uptake <- exp(luptake + eta.uptake)
    prime <- exp(lprime + eta.prime)
    kill <- exp(lkill) * (1 - STEROID)
    production <- exp(lproduct)
    d/dt(vector) <- -kclear * vector
    d/dt(entered) <- kclear * uptake * vector - kexpress * entered
    d/dt(cells) <- kexpress * entered - kill * tcells * cells
    d/dt(antigen) <- kclear * vector - kantigen * antigen
    d/dt(tcells) <- prime * antigen - kt * tcells
    d/dt(factor) <- production * cells - kproduct * factor
    FIX <- factor
    FIX ~ prop(prop.sd)
  })
}
