# SPDX-License-Identifier: Apache-2.0
wbpbpk_jones2013 <- function() {
  description <- "Whole-body physiologically based model of oral caffeine: thirteen perfused organs, arterial and venous blood"
  # Organ volumes and blood flows are fractions of body weight and cardiac output. The variances (about 30 % on intrinsic
  # clearance and absorption, 15 % on the affinity of all tissues) are an assumption: the source gives typical values.
  reference <- paste(
    "Jones HM, Rowland-Yeo K.",
    "Basic concepts in physiologically based pharmacokinetic modeling in drug discovery and development.",
    "CPT Pharmacometrics Syst Pharmacol 2013;2(8):e63. doi:10.1038/psp.2013.41"
  )
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  covariateData <- list(WT = list(description = "Body weight", units = "kg", range = c(50, 100)))
  ini({
    lka <- log(2.18);  label("log of the absorption rate (1/h)")
    lclint <- log(8);  label("log of the intrinsic clearance of liver microsomes (uL/min/mg)")
    mppgl <- fixed(45); label("Microsomal protein (mg per g of liver)")
    fup <- fixed(0.681); label("Unbound fraction in plasma")
    bp <- fixed(0.98); label("Ratio of blood to plasma concentration")
    co <- fixed(108.33); label("Cardiac output (mL/s)")
    eta.ka ~ 0.09
    eta.clint ~ 0.09
    eta.kp ~ 0.0225
    prop.sd <- 0.15; label("Proportional error (fraction)")
  })
  model({
    ka <- exp(lka + eta.ka)
    qco <- co / 1000 * 3600 # L/h
    kp <- exp(eta.kp)

    # Volumes (L)
    v_adipose <- 0.213 * WT
    v_bone <- 0.085629 * WT
    v_brain <- 0.02 * WT
    v_gut <- 0.0171 * WT
    v_heart <- 0.0047 * WT
    v_kidney <- 0.0044 * WT
    v_liver <- 0.021 * WT
    v_lung <- 0.0076 * WT
    v_muscle <- 0.4 * WT
    v_skin <- 0.0371 * WT
    v_spleen <- 0.0026 * WT
    v_testes <- 0.01 * WT
    v_rest <- 0.099771 * WT
    v_venous <- 0.0514 * WT
    v_arterial <- 0.0257 * WT

    # Blood flows (L/h); the liver's own artery carries what gut and spleen leave.
    q_adipose <- 0.05 * qco
    q_bone <- 0.05 * qco
    q_brain <- 0.12 * qco
    q_gut <- 0.146462 * qco
    q_heart <- 0.04 * qco
    q_kidney <- 0.19 * qco
    q_liver <- 0.215385 * qco
    q_muscle <- 0.17 * qco
    q_skin <- 0.05 * qco
    q_spleen <- 0.017231 * qco
    q_testes <- 0.01076 * qco
    q_rest <- 0.103855 * qco
    q_artery <- q_liver - q_gut - q_spleen

    # Blood leaving an organ, per amount in it: flow times ratio of blood to tissue over volume (1/h)
    k_adipose <- q_adipose * bp / (0.191 * kp * v_adipose)
    k_bone <- q_bone * bp / (0.374 * kp * v_bone)
    k_brain <- q_brain * bp / (0.606 * kp * v_brain)
    k_gut <- q_gut * bp / (0.578 * kp * v_gut)
    k_heart <- q_heart * bp / (0.583 * kp * v_heart)
    k_kidney <- q_kidney * bp / (0.597 * kp * v_kidney)
    k_liver <- q_liver * bp / (0.57 * kp * v_liver)
    k_lung <- qco * bp / (0.62 * kp * v_lung)
    k_muscle <- q_muscle * bp / (0.622 * kp * v_muscle)
    k_skin <- q_skin * bp / (0.6 * kp * v_skin)
    k_spleen <- q_spleen * bp / (0.591 * kp * v_spleen)
    k_testes <- q_testes * bp / (0.6 * kp * v_testes)
    k_rest <- q_rest * bp / (0.6 * kp * v_rest)

    # Metabolism: uL/min/mg x mg/g x 1000 g/kg (1 kg/L) to L/h, on the unbound drug in the liver
    cl_met <- exp(lclint + eta.clint) * mppgl * v_liver * 60 / 1000

    arterial_c <- arterial / v_arterial
    venous_c <- venous / v_venous
    d/dt(depot) <- -ka * depot
    d/dt(adipose) <- q_adipose * arterial_c - k_adipose * adipose
    d/dt(bone) <- q_bone * arterial_c - k_bone * bone
    d/dt(brain) <- q_brain * arterial_c - k_brain * brain
    d/dt(gut) <- ka * depot + q_gut * arterial_c - k_gut * gut
    d/dt(heart) <- q_heart * arterial_c - k_heart * heart
    d/dt(kidney) <- q_kidney * arterial_c - k_kidney * kidney
    d/dt(liver) <- q_artery * arterial_c + k_gut * gut + k_spleen * spleen - k_liver * liver - cl_met * fup / v_liver * liver
    d/dt(lung) <- qco * venous_c - k_lung * lung
    d/dt(muscle) <- q_muscle * arterial_c - k_muscle * muscle
    d/dt(skin) <- q_skin * arterial_c - k_skin * skin
    d/dt(spleen) <- q_spleen * arterial_c - k_spleen * spleen
    d/dt(testes) <- q_testes * arterial_c - k_testes * testes
    d/dt(rest) <- q_rest * arterial_c - k_rest * rest
    d/dt(venous) <- k_adipose * adipose + k_bone * bone + k_brain * brain + k_heart * heart + k_kidney * kidney +
      k_liver * liver + k_muscle * muscle + k_skin * skin + k_testes * testes + k_rest * rest - qco * venous_c
    d/dt(arterial) <- k_lung * lung - qco * arterial_c
    Cp <- venous_c / bp
    Cp ~ prop(prop.sd)
  })
}
