# SPDX-License-Identifier: Apache-2.0
m3g_brain_xie2000 <- function() {
  description <- "Morphine-3-glucuronide across the blood-brain barrier of the rat: influx and efflux clearance, two brain spaces, probenecid"
  # Brain amounts are per gram of brain; they are too small to change those in blood. Model B of the publication; blood is
  # one compartment of the unbound clearance 3.8 mL/min and the half-life 22 min that the publication reports. The
  # transport of Table 3 is in uL/min per gram of brain, 0.11 in and 1.15 out.
  reference <- paste(
    "Xie R, Bouw MR, Hammarlund-Udenaes M.",
    "Modelling of the blood-brain barrier transport of morphine-3-glucuronide studied using microdialysis in the rat:",
    "involvement of probenecid-sensitive transport.",
    "Br J Pharmacol 2000;131(8):1784-1792. doi:10.1038/sj.bjp.0703759 (Table 3)"
  )
  units <- list(time = "min", dosing = "umol", concentration = "umol/L")
  covariateData <- list(
    PROBENECID = list(description = "1 with probenecid, 0 without", units = "(binary)", type = "binary", range = c(0, 1))
  )
  products <- list(
    infusion = list(
      description = "Infusion of 4 h", route = "infusion", cmt = "blood", step = 1, dose = c(10, 100), interval = 480, infusion = 240,
      source = "Xie et al. 2000: 4 h towards 65 umol/L; the interval is ours"
    )
  )
  ini({
    lcl <- log(3.8);     label("log of the unbound clearance (mL/min)")
    lv <- log(120.6);    label("log of the volume of blood (mL)")
    lclin <- log(0.11);  label("log of the influx clearance (uL/min/g)")
    in_probenecid <- 1.545; label("Factor on the influx clearance, probenecid (0.17 / 0.11)")
    lclout <- log(1.15); label("log of the efflux clearance (uL/min/g)")
    lqbr <- log(0.95);   label("log of the exchange between the brain spaces (uL/min/g)")
    vecf <- fixed(28);   label("Volume of the sampled space (uL/g)")
    vdeep <- fixed(205); label("Volume of the deep space (uL/g)")
    eta.clin ~ 0.2401 # 49 and 50 % between animals
    eta.clout ~ 0.25
    prop.sd <- 0.14; label("Proportional error (fraction)")
  })
  model({
    cl <- exp(lcl)
    v <- exp(lv)
    clin <- exp(lclin + eta.clin) * in_probenecid^PROBENECID
    clout <- exp(lclout + eta.clout)
    qbr <- exp(lqbr)
    Cb <- 1000 * blood / v
    d/dt(blood) <- -cl / v * blood
    d/dt(ecf) <- clin * Cb - (clout + qbr) / vecf * ecf + qbr / vdeep * deep
    d/dt(deep) <- qbr / vecf * ecf - qbr / vdeep * deep
    Cecf <- ecf / vecf
    Cecf ~ prop(prop.sd)
  })
}
