pk <- function() {
  ini({ lcl <- log(5); lv <- log(50); lka <- 0; prop.sd <- 0.1; add.sd <- c(0, 1, 2)
    eta.cl + eta.v ~ c(0.1, 0.01, 0.2) })
  model({
    ka <- exp(lka); cl <- exp(lcl + eta.cl); v <- exp(lv + eta.v)
    cp <- linCmt()
    cp ~ add(add.sd) + prop(prop.sd)
  })
}
