version 1.0
task T { input { Int n = 1 } command {} runtime { cpu: n } }
workflow W {
  call T
  call T as Other
}
