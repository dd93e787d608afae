version 1.0
task T { input { Int n } command {} runtime { cpu: n } }
workflow W {
  scatter (x in range(3)) { Int twice = (x + 1) * 2 }
  scatter (each in twice) { call T { input: n = each } }
}
