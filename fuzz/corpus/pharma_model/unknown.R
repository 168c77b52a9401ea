q <- function() {
  ini({ a <- 1 })
  model({ d/dt(x) <- unknown_function(x) })
}
