# SPDX-License-Identifier: Apache-2.0
doxorubicin_liposome <- function() {
  description <- "Pegylated liposomal doxorubicin: encapsulated drug in plasma releases free drug with three compartments"
  # Assembled from two sources. Liposomes stay in plasma with a half-life of about 55 h; their volume (4 L) and clearance
  # are chosen so that clearance is below 0.1 L/h and free drug is about 1 % of the total, as the review reports (0.25 to 1.25 %).
  # Half of the liposomes release their drug in blood, the other half is taken up whole: illustrative. The free drug is
  # that of a patient of 1.8 m^2 in the second source. Variances: 30 % on release, 20 % on volume, both
  # illustrative; that of the free drug's clearance is the second source's.
  reference <- paste(
    "Gabizon A, Shmeeda H, Barenholz Y. Pharmacokinetics of pegylated liposomal doxorubicin: review of animal and human studies.",
    "Clin Pharmacokinet 2003;42(5):419-436. doi:10.2165/00003088-200342050-00002 (liposomes).",
    "Kunarajah K, Hennig S, Norris RLG, et al. Population pharmacokinetic modelling of doxorubicin and doxorubicinol in children",
    "with cancer: is there a relationship with cardiac troponin profiles?",
    "Cancer Chemother Pharmacol 2017;79(6):1209-1217. doi:10.1007/s00280-017-3309-6 (free drug, Table 2)"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(BSA = list(description = "Body surface area", units = "m^2", range = c(1.3, 2.4)))
  products <- list(
    vial = list(
      description = "Pegylated liposomal doxorubicin, 2 mg/mL", route = "infusion", cmt = "liposomes", step = 2, dose = c(20, 100),
      interval = c(504, 672), infusion = 1, source = "Doxil prescribing information (50 mg/m^2 every four weeks)"
    )
  )
  ini({
    lvlip <- log(4);      label("log of the volume of the liposomes at 1.8 m^2 (L)")
    lkrel <- log(0.0063); label("log of the release rate (1/h)")
    lkup <- log(0.0063);  label("log of the rate of uptake of whole liposomes (1/h)")
    lcl <- log(58.7);     label("log of the clearance of free doxorubicin at 1.8 m^2 (L/h)")
    lv <- log(32.2);      label("log of its central volume at 1.8 m^2 (L)")
    lq2 <- fixed(log(35.8)); label("log of its clearance to the deep compartment at 1.8 m^2 (L/h)")
    lv2 <- fixed(log(3810)); label("log of the deep volume at 1.8 m^2 (L)")
    lq3 <- fixed(log(65.1)); label("log of its clearance to the shallow compartment at 1.8 m^2 (L/h)")
    lv3 <- fixed(log(705));  label("log of the shallow volume at 1.8 m^2 (L)")
    bsa <- fixed(0.465);  label("Change of volumes and clearances per m^2 (fraction)")
    eta.krel ~ 0.09
    eta.vlip ~ 0.04
    eta.cl ~ 0.0344
    prop.sd <- 0.2; label("Proportional error of the encapsulated drug (fraction)")
    free.prop.sd <- 0.203; label("Proportional error of the free drug (fraction)")
  })
  model({
    size <- 1 + bsa * (BSA - 1.8)
    vlip <- exp(lvlip + eta.vlip) * size
    krel <- exp(lkrel + eta.krel)
    kup <- exp(lkup)
    cl <- exp(lcl + eta.cl) * size
    v <- exp(lv) * size
    # Clearances between compartments and their volumes scale alike: the rates out of the periphery do not change.
    d/dt(liposomes) <- -(krel + kup) * liposomes
    d/dt(central) <- krel * liposomes - (cl + exp(lq2) * size + exp(lq3) * size) / v * central +
      exp(lq2 - lv2) * deep + exp(lq3 - lv3) * shallow
    d/dt(deep) <- exp(lq2 - lv) * central - exp(lq2 - lv2) * deep
    d/dt(shallow) <- exp(lq3 - lv) * central - exp(lq3 - lv3) * shallow
    Clip <- liposomes / vlip
    Cfree <- central / v
    Clip ~ prop(prop.sd)
    Cfree ~ prop(free.prop.sd)
  })
}
