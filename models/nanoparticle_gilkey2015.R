# SPDX-License-Identifier: Apache-2.0
nanoparticle_gilkey2015 <- function() {
  description <- "Block copolymer nanoparticles in the mouse: plasma, liver, spleen, kidneys and the rest; size and surface charge of the particle"
  # Structure and values are those of the publication (equations 6 to 10, Table 1); plasma begins empty here and takes doses.
  # Illustrative, not from the publication: how size and charge act. Larger and more charged particles are taken up more
  # by macrophages (He et al. 2010), so both raise the distribution ratios of liver and spleen; small particles leave
  # by the kidneys. At 150 nm and 0 mV the published values hold. The variances (30 % on uptake, 20 % on renal
  # clearance) are assumptions, too: the source gives typical values.
  reference <- paste(
    "Gilkey MJ, Krishnan V, Scheetz L, Jia X, Rajasekaran AK, Dhurjati PS.",
    "Physiologically based pharmacokinetic modeling of fluorescently labeled block copolymer nanoparticles",
    "for controlled drug delivery in leukemia therapy.",
    "CPT Pharmacometrics Syst Pharmacol 2015;4(3):e13. doi:10.1002/psp4.13.",
    "Directions of size and charge: He C, Hu Y, Yin L, Tang C, Yin C. Effects of particle size and surface charge on cellular",
    "uptake and biodistribution of polymeric nanoparticles. Biomaterials 2010;31(13):3657-3666.",
    "doi:10.1016/j.biomaterials.2010.01.065"
  )
  units <- list(time = "min", dosing = "ug", concentration = "ug/mL")
  covariateData <- list(
    SIZE = list(description = "Hydrodynamic diameter of the particle", units = "nm", range = c(50, 300)),
    ZETA = list(description = "Magnitude of the zeta potential", units = "mV", range = c(0, 40))
  )
  products <- list(
    suspension = list(
      description = "Suspension of 5 ug/mL, 0.1 mL into a vein", route = "bolus", cmt = "plasma", step = 0.5, dose = c(0.5, 0.5),
      interval = 60, source = "Gilkey et al. 2015 (one injection; the interval is ours)"
    )
  )
  ini({
    lrl <- log(7.87);  label("log of the distribution ratio of the liver at 150 nm, uncharged")
    lrs <- log(1.17);  label("log of the distribution ratio of the spleen at 150 nm, uncharged")
    lkk <- log(2.74);  label("log of the renal clearance at 150 nm (mL/min)")
    ql <- fixed(0.75); label("Plasma flow of the liver (mL/min)")
    rk <- fixed(1.85); label("Distribution ratio of the kidneys")
    ro <- fixed(10.13); label("Distribution ratio of the rest")
    rlo <- fixed(14.90); label("Distribution ratio from the rest to the liver")
    rso <- fixed(8.43); label("Distribution ratio from the rest to the spleen")
    rko <- fixed(2.50); label("Distribution ratio from the rest to the kidneys")
    vo <- fixed(1.01); label("Volume of the rest (mL)")
    uptake_size <- fixed(0.5);  label("Exponent of size on the ratios of liver and spleen (illustrative)")
    uptake_zeta <- fixed(0.01); label("Increase of their logarithm per mV (illustrative)")
    kk_size <- fixed(-1); label("Exponent of size on the renal clearance (illustrative)")
    eta.uptake ~ 0.09
    eta.kk ~ 0.04
    prop.sd <- 0.2; label("Proportional error (fraction, illustrative)")
  })
  model({
    macrophages <- (SIZE / 150)^uptake_size * exp(uptake_zeta * ZETA + eta.uptake)
    rl <- exp(lrl) * macrophages
    rs <- exp(lrs) * macrophages
    kk <- exp(lkk + eta.kk) * (SIZE / 150)^kk_size

    # Volumes (mL) and plasma flows (mL/min) of the mouse
    v_plasma <- 1.7
    v_liver <- 1.3
    v_spleen <- 0.1
    v_kidney <- 0.34
    qs <- 0.09
    qk <- 1.3
    qo <- 0.78

    c_plasma <- plasma / v_plasma
    c_rest <- rest / vo
    from_liver <- liver / (v_liver * rl)
    from_spleen <- spleen / (v_spleen * rs)
    from_kidney <- kidney / (v_kidney * rk)
    d/dt(plasma) <- ql * from_liver + qs * from_spleen + qk * from_kidney + qo / ro * c_rest - (ql + qs + qk + qo) * c_plasma
    d/dt(liver) <- (ql - qs) * c_plasma + qs * from_spleen + qo / rlo * c_rest - (ql + qo) * from_liver
    d/dt(spleen) <- qs * c_plasma + qo / rso * c_rest - (qs + qo) * from_spleen
    d/dt(kidney) <- qk * c_plasma + qo / rko * c_rest - (qk + qo + kk) * from_kidney
    d/dt(rest) <- qo * (c_plasma - c_rest / ro)
    Cc <- c_plasma
    Cliver <- liver / v_liver
    Cc ~ prop(prop.sd)
    Cliver ~ prop(prop.sd)
  })
}
