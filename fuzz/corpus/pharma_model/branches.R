f <- function() {
  ini({ a <- 1; b <- 0.5 })
  model({
    if (SEX == 1 && WT >= 50) { k <- a } else if (WT < 20) { k <- b } else { k <- a * b }
    d/dt(x) <- -k * x^0.75 + expit(y) - tanh(t) / (1 + abs(x))
    d/dt(y) <- sqrt(x) - log(1 + y)
    x(0) <- 10; f(x) <- 0.9; alag(x) <- 0.25; rate(y) <- 2; dur(x) <- 3
  })
}
