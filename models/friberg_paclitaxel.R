# SPDX-License-Identifier: Apache-2.0
friberg_paclitaxel <- function() {
  description <- "Paclitaxel infusions and leukocytes: semi-mechanistic myelosuppression with feedback"
  # Leukocytes after paclitaxel, as in the DDMoRe repository's encoding (DDMODEL00000186). The pharmacokinetics are the typical
  # values of its data set (the publication takes each patient's own from an earlier analysis), Q is the analysis's.
  reference <- paste(
    "Friberg LE, Henningsson A, Maas H, Nguyen L, Karlsson MO.",
    "Model of chemotherapy-induced myelosuppression with parameter consistency across drugs.",
    "J Clin Oncol 2002;20(24):4713-4721. doi:10.1200/JCO.2002.02.140"
  )
  units <- list(time = "h", dosing = "umol", concentration = "umol/L")
  products <- list(
    vial = list(
      description = "Paclitaxel; 1 umol is 0.854 mg",
      route = "infusion", cmt = "central", step = 10, dose = c(100, 500), interval = c(168, 504), infusion = 3,
      source = "Friberg et al. 2002: infusions of 3 h; 175 mg/m^2 are about 370 umol at 1.8 m^2"
    )
  )
  targets <- list(
    nadir = list(
      range = c(1, 2), output = "wbc", units = "10^9/L", description = "Lowest leukocyte count of a cycle: grade 3, not 4",
      source = "Common Terminology Criteria for Adverse Events 5.0, US National Cancer Institute, 2017 (leukocytes: grade 3 is 1 to 2)"
    )
  )
  ini({
    cl <- fixed(285); label("Clearance (L/h)")
    v1 <- fixed(290); label("Central volume (L)")
    q <- fixed(204);  label("Intercompartmental clearance (L/h)")
    v2 <- fixed(995); label("Peripheral volume (L)")
    lcirc0 <- log(7.21); label("log of the baseline leukocyte count (10^9/L)")
    lmtt <- log(124);    label("log of the mean transit time (h)")
    lslope <- log(28.9); label("log of the drug effect on proliferation (L/umol)")
    gamma <- 0.239;      label("Feedback exponent")
    eta.circ0 ~ 0.107
    eta.mtt ~ 0.0296
    eta.slope ~ 0.176
    prop.sd <- 0.286; label("Proportional error (fraction)")
  })
  model({
    circ0 <- exp(lcirc0 + eta.circ0)
    mtt <- exp(lmtt + eta.mtt)
    slope <- exp(lslope + eta.slope)
    ktr <- 4 / mtt
    Cc <- central / v1
    d/dt(central) <- -(cl + q) / v1 * central + q / v2 * peripheral
    d/dt(peripheral) <- q / v1 * central - q / v2 * peripheral
    d/dt(circ) <- ktr * transit3 - ktr * circ
    d/dt(prol) <- ktr * prol * (1 - slope * Cc) * (circ0 / circ)^gamma - ktr * prol
    d/dt(transit1) <- ktr * prol - ktr * transit1
    d/dt(transit2) <- ktr * transit1 - ktr * transit2
    d/dt(transit3) <- ktr * transit2 - ktr * transit3
    circ(0) <- circ0
    prol(0) <- circ0
    transit1(0) <- circ0
    transit2(0) <- circ0
    transit3(0) <- circ0
    wbc <- circ
    wbc ~ prop(prop.sd)
  })
}
