# every construct once
m <- function() {
  description <- paste("a", 'b', sep = " ")
  units <- list(time = "day", dosing = "mg", concentration = "mg/L")
  covariateData <- list(WT = list(description = "w", units = "kg", range = c(40, 1e2)), S = list(type = "binary"), occ = list(range = c(1, 3)))
  ini({
    a <- c(0, log(2), Inf); label("a")
    b = fixed(3); c1 <- c(-1, fix(0.5)); d1 <- log(c(1, 2, 3)); g <- c(0, 1, 2, fixed)
    e1 ~ 0.1; e2 + e3 ~ c(0.2, 0.01, 0.3); e4 ~ c(0.01, 0.5); e5 + e6 ~ sd(cor(0.2, 0.5, 0.3)); e7 ~ fix(1) | id; e8 + e9 ~ c(1, 0, 1) | occ
    s <- 0.1
  })
  model({
    cmt(z); mtime(stop) <- 2 * a; td <- tad() + podo(z)
    x <- a * exp(e1) + (WT / 70)^0.75 - -b %% 2 %/% 3 ** 2
    if (S == 1 && WT > 50 || !(t < stop)) { x <- x + 1; w <- 1 } else if (S %in% c(2, 3)) x <- 2 else { w <- ifelse(x >= 1, 1, 0) }
    d/dt(z) <- transit(2, 3, 0.5) - td - x * z / (1 + z) + min(a, b, z) - max(z, 0)
    d/dt(u) = tanh(z) - expit(u, 0, 1) + logit(0.5) * lgamma(1 + x)
    z(0) <- 1; f(z) <- expit(c1 + e2); alag(u) <- abs(d1); rate(u) <- 3; dur(u) <- g
    y <- log10(1 + z) + d/dt(z) + pi + e3 + e4 + e5 + e6 + e7 + e8 * e9 + w
    y ~ prop(s) + add(2 * s)
    u ~ lnorm(s) | end
  })
}
