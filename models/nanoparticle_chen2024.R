# SPDX-License-Identifier: Apache-2.0
nanoparticle_chen2024 <- function() {
  description <- "Polystyrene nanoparticles of 20 nm in the mouse: blood, tissue and phagocytic cells of seven organs, bile, urine and faeces"
  # Structure and values are those of the publication (its code for 20 nm), with one simplification: uptake into phagocytic
  # cells is linear there only far below their capacity (15 to 200 ug per g of tissue), where these doses stay, and always
  # here. As in the publication blood from gut and spleen enters the liver beside the liver's own flow, and all amounts
  # are conserved. Illustrative, not from the publication: the variances (20 % on uptake, permeability, absorption).
  reference <- paste(
    "Chen CY, Kamineni VN, Lin Z.",
    "A physiologically based toxicokinetic model for microplastics and nanoplastics in mice after oral exposure and its",
    "implications for human dietary exposure assessment.",
    "J Hazard Mater 2024:135922. doi:10.1016/j.jhazmat.2024.135922"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(BW = list(description = "Body weight", units = "kg", range = c(0.018, 0.032)))
  ini({
    lup <- log(1); label("log of the uptake by phagocytic cells relative to the publication's")
    lpa <- log(1); label("log of the permeability of tissues relative to the publication's")
    lka <- log(4.23e-5); label("log of the absorption rate from the gut (1/h)")
    qcc <- fixed(16.5); label("Cardiac output (L/h/kg^0.75)")
    kfeces <- fixed(0.548); label("Rate of excretion with the faeces (1/h)")
    kbilec <- fixed(0.0012); label("Biliary clearance (L/h/kg^0.75)")
    kurinec <- fixed(0.00012); label("Urinary clearance (L/h/kg^0.75)")
    kd <- fixed(558.04); label("Dissociation constant of the binding to albumin (mg/L)")
    bmax <- fixed(100.842); label("Capacity of albumin (mg/L): 0.035 x 191600 / 66500 x 1000")
    eta.up ~ 0.04
    eta.pa ~ 0.04
    eta.ka ~ 0.04
    prop.sd <- 0.2; label("Proportional error (fraction, illustrative)")
  })
  model({
    up <- exp(lup + eta.up)
    pa <- exp(lpa + eta.pa)
    ka <- exp(lka + eta.ka)
    fu <- kd / (bmax + kd) # unbound in blood

    # Blood flows (L/h)
    qc <- qcc * BW^0.75
    q_gut <- 0.141 * qc
    q_liver <- 0.161 * qc
    q_kidney <- 0.091 * qc
    q_brain <- 0.033 * qc
    q_spleen <- 0.011 * qc
    q_rest <- 0.563 * qc

    # Volumes (L): of the organs, and their parts that are blood
    v_blood <- 0.049 * BW
    v_lung <- 0.007 * BW
    v_gut <- 0.042 * BW
    v_liver <- 0.055 * BW
    v_kidney <- 0.017 * BW
    v_spleen <- 0.005 * BW
    v_brain <- 0.017 * BW
    v_rest <- 0.808 * BW

    # Concentrations (mg/L): unbound in blood, in tissue over the partition coefficient
    artery_c <- fu * artery / (0.2 * v_blood)
    vein_c <- fu * vein / (0.8 * v_blood)
    lung_c <- fu * lung_b / (0.5 * v_lung)
    gut_c <- fu * gut_b / (0.03 * v_gut)
    liver_c <- fu * liver_b / (0.31 * v_liver)
    kidney_c <- fu * kidney_b / (0.24 * v_kidney)
    spleen_c <- fu * spleen_b / (0.17 * v_spleen)
    brain_c <- fu * brain_b / (0.03 * v_brain)
    rest_c <- fu * rest_b / (0.04 * v_rest)

    # Through the wall of the vessels (mg/h)
    lung_wall <- 0.001 * pa * qc * (lung_c - lung_t / (0.5 * v_lung * 0.15))
    gut_wall <- 0.001 * pa * q_gut * (gut_c - gut_t / (0.97 * v_gut * 0.15))
    liver_wall <- 0.0001 * pa * q_liver * (liver_c - liver_t / (0.69 * v_liver * 0.0001))
    kidney_wall <- 0.001 * pa * q_kidney * (kidney_c - kidney_t / (0.76 * v_kidney * 0.374))
    spleen_wall <- 0.001 * pa * q_spleen * (spleen_c - spleen_t / (0.83 * v_spleen * 0.15))
    brain_wall <- 0.000001 * pa * q_brain * (brain_c - brain_t / (0.97 * v_brain * 0.15))
    rest_wall <- 0.00695 * pa * q_rest * (rest_c - rest_t / (0.96 * v_rest * 0.15))

    # Into phagocytic cells and out of them (mg/h); in the liver from its blood
    lung_taken <- 0.1 * up * lung_t - 0.53 * lung_p
    liver_taken <- 0.001 * up * liver_b - 0.0075 * liver_p
    kidney_taken <- 0.1 * up * kidney_t - 0.01 * kidney_p
    spleen_taken <- 0.905 * up * spleen_t - 0.003 * spleen_p

    bile <- kbilec * BW^0.75 * liver_t / (0.69 * v_liver)
    urine_rate <- kurinec * BW^0.75 * kidney_c

    d/dt(lumen) <- bile - (kfeces + ka) * lumen
    d/dt(artery) <- qc * lung_c - qc * artery_c
    d/dt(vein) <- q_liver * liver_c + q_kidney * kidney_c + q_brain * brain_c + q_rest * rest_c - qc * vein_c
    d/dt(lung_b) <- qc * (vein_c - lung_c) - lung_wall
    d/dt(lung_t) <- lung_wall - lung_taken
    d/dt(lung_p) <- lung_taken
    d/dt(gut_b) <- q_gut * (artery_c - gut_c) - gut_wall + ka * lumen
    d/dt(gut_t) <- gut_wall
    d/dt(liver_b) <- q_liver * (artery_c - liver_c) + q_spleen * spleen_c + q_gut * gut_c - liver_wall - liver_taken
    d/dt(liver_t) <- liver_wall - bile
    d/dt(liver_p) <- liver_taken
    d/dt(kidney_b) <- q_kidney * (artery_c - kidney_c) - kidney_wall - urine_rate
    d/dt(kidney_t) <- kidney_wall - kidney_taken
    d/dt(kidney_p) <- kidney_taken
    d/dt(spleen_b) <- q_spleen * (artery_c - spleen_c) - spleen_wall
    d/dt(spleen_t) <- spleen_wall - spleen_taken
    d/dt(spleen_p) <- spleen_taken
    d/dt(brain_b) <- q_brain * (artery_c - brain_c) - brain_wall
    d/dt(brain_t) <- brain_wall
    d/dt(rest_b) <- q_rest * (artery_c - rest_c) - rest_wall
    d/dt(rest_t) <- rest_wall

    # Excreted (mg), and areas under the curves (mg h/L)
    d/dt(urine) <- urine_rate
    d/dt(feces) <- kfeces * lumen
    d/dt(auc_blood) <- (artery + vein) / v_blood
    d/dt(auc_lung) <- (lung_b + lung_t + lung_p) / v_lung
    d/dt(auc_liver) <- (liver_b + liver_t + liver_p) / v_liver
    d/dt(auc_kidney) <- (kidney_b + kidney_t + kidney_p) / v_kidney
    d/dt(auc_spleen) <- (spleen_b + spleen_t + spleen_p) / v_spleen

    Cblood <- (artery + vein) / v_blood
    Clung <- (lung_b + lung_t + lung_p) / v_lung
    Cliver <- (liver_b + liver_t + liver_p) / v_liver
    Ckidney <- (kidney_b + kidney_t + kidney_p) / v_kidney
    Cspleen <- (spleen_b + spleen_t + spleen_p) / v_spleen
    Cbrain <- (brain_b + brain_t) / v_brain
    AUCblood <- auc_blood
    AUClung <- auc_lung
    AUCliver <- auc_liver
    AUCkidney <- auc_kidney
    AUCspleen <- auc_spleen
    Urine <- urine
    Feces <- feces
    Cblood ~ prop(prop.sd)
    Clung ~ prop(prop.sd)
    Cliver ~ prop(prop.sd)
    Ckidney ~ prop(prop.sd)
    Cspleen ~ prop(prop.sd)
    Cbrain ~ prop(prop.sd)
    AUCblood ~ prop(prop.sd)
    AUClung ~ prop(prop.sd)
    AUCliver ~ prop(prop.sd)
    AUCkidney ~ prop(prop.sd)
    AUCspleen ~ prop(prop.sd)
    Urine ~ prop(prop.sd)
    Feces ~ prop(prop.sd)
  })
}
