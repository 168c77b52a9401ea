# SPDX-License-Identifier: Apache-2.0
busulfan_choe2012 <- function() {
  description <- "Intravenous busulfan in adults before stem cell transplantation: one compartment, scaled by the root of body weight"
  # Table 2 at 65 kg; variances log(1 + CV^2) of the reported coefficients of variation (16 and 9 %).
  reference <- paste(
    "Choe S, Kim G, Lim HS, et al.",
    "A simple dosing scheme for intravenous busulfan based on retrospective population pharmacokinetic analysis in Korean patients.",
    "Korean J Physiol Pharmacol 2012;16(4):273-280. doi:10.4196/kjpp.2012.16.4.273 (Tables 2 and 3)"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(
    WT = list(description = "Body weight", units = "kg", range = c(45, 120)),
    SEXF = list(description = "1 female, 0 male", units = "(binary)", type = "binary", range = c(0, 1))
  )
  products <- list(
    vial = list(
      description = "Busulfan 6 mg/mL, diluted",
      route = "infusion", cmt = "central", step = 6, dose = c(24, 480), interval = c(6, 24), infusion = c(2, 3),
      source = "Busulfex prescribing information: 0.8 mg/kg over 2 h every 6 h; once-daily dosing over 3 h as in Choe et al. 2012"
    )
  )
  targets <- list(
    auc_cumulative = list(
      range = c(78, 101), output = "Cc", units = "mg*h/L",
      description = "All doses of a conditioning regimen together",
      source = paste(
        "Bartelink IH, Lalmohamed A, van Reij EML, et al. Association of busulfan exposure with survival and toxicity after",
        "haemopoietic cell transplantation in children and young adults. Lancet Haematol 2016;3(11):e526-e536.",
        "doi:10.1016/S2352-3026(16)30114-4"
      )
    )
  )
  ini({
    lcl <- log(7.6);  label("log of the clearance at 65 kg (L/h)")
    lv <- log(29.1);  label("log of the volume at 65 kg, women (L)")
    cl_wt <- fixed(0.5); label("Exponent of weight on clearance")
    v_wt <- fixed(0.5);  label("Exponent of weight on the volume")
    v_male <- 0.105;  label("Increase of the volume in men (fraction)")
    eta.cl ~ 0.0253
    eta.v ~ 0.0081
    prop.sd <- 0.063; label("Proportional error (fraction)")
  })
  model({
    cl <- exp(lcl + eta.cl) * (WT / 65)^cl_wt
    v <- exp(lv + eta.v) * (WT / 65)^v_wt * (1 + v_male * (1 - SEXF))
    d/dt(central) <- -cl / v * central
    Cc <- central / v
    Cc ~ prop(prop.sd)
  })
}
