version 1.0
task T { input { Int n } command {} runtime { cpu: n } }
workflow W {
  scatter (x in [1, 2]) {
    scatter (y in [2, 3]) { call T { input: n = x * y } }
  }
}
