# SPDX-License-Identifier: Apache-2.0
doxorubicin_tumour_cord <- function() {
  description <- "Doxorubicin diffusing from a capillary into a tumour: plasma, and six layers of tissue by the method of lines"
  # The plasma is the shallow part of a paediatric analysis for a patient of 1.8 m^2 (its deep compartment is left out).
  # The tissue is a slab of 100 um fed at its face: dC/dt = D d2C/dx2 - k C with D of some 10 um^2/s, an illustrative
  # value of a drug that binds, uptake k = 2/h (illustrative) and no flux at the far end. The layer at the
  # vessel exchanges with plasma over its half width. The tissue is too small to change the plasma. The individual
  # diffusivity is encrypted like every random effect; 30 % between patients is an assumption.
  reference <- paste(
    "Eikenberry S. A tumor cord model for doxorubicin delivery and dose optimization in solid tumors.",
    "Theor Biol Med Model 2009;6:16. doi:10.1186/1742-4682-6-16 (the problem).",
    "Kunarajah K, Hennig S, Norris RLG, et al. Cancer Chemother Pharmacol 2017;79(6):1209-1217.",
    "doi:10.1007/s00280-017-3309-6 (plasma, Table 2)"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  products <- list(
    vial = list(
      description = "Doxorubicin, 2 mg/mL", route = "infusion", cmt = "central", step = 2, dose = c(20, 140), interval = 12, infusion = 0.5,
      source = "Common practice: 60 to 75 mg/m^2 every three weeks; the interval is chosen to see a course of hours"
    )
  )
  ini({
    lcl <- log(58.7);   label("log of the clearance (L/h)")
    lv <- log(32.2);    label("log of the central volume (L)")
    lq <- fixed(log(65.1)); label("log of the intercompartmental clearance (L/h)")
    lvp <- fixed(log(705)); label("log of the peripheral volume (L)")
    ld <- log(0.036);   label("log of the diffusivity (mm^2/h; 0.036 is 10 um^2/s)")
    uptake <- fixed(2); label("Rate of uptake by cells (1/h)")
    eta.cl ~ 0.0344
    eta.d ~ 0.09
    prop.sd <- 0.203; label("Proportional error (fraction)")
  })
  model({
    cl <- exp(lcl + eta.cl)
    v <- exp(lv)
    q <- exp(lq)
    vp <- exp(lvp)
    d <- exp(ld + eta.d)
    h <- 0.1 / 6 # mm: width of a layer
    k <- d / h^2
    d/dt(central) <- -(cl + q) / v * central + q / vp * peripheral
    d/dt(peripheral) <- q / v * central - q / vp * peripheral
    Cc <- central / v
    # Concentrations in the layers (mg/L)
    d/dt(layer1) <- 2 * k * (Cc - layer1) + k * (layer2 - layer1) - uptake * layer1
    d/dt(layer2) <- k * (layer1 - 2 * layer2 + layer3) - uptake * layer2
    d/dt(layer3) <- k * (layer2 - 2 * layer3 + layer4) - uptake * layer3
    d/dt(layer4) <- k * (layer3 - 2 * layer4 + layer5) - uptake * layer4
    d/dt(layer5) <- k * (layer4 - 2 * layer5 + layer6) - uptake * layer5
    d/dt(layer6) <- k * (layer5 - layer6) - uptake * layer6
    Cfar <- layer6
    Cc ~ prop(prop.sd)
    Cfar ~ prop(prop.sd)
  })
}
