version 1.0
task A { command {} runtime { memory: "2048 MiB" } }
task B { command {} runtime { memory: "7.5 GiB" } }
task C { input { Float g = 1.2 } command {} runtime { memory: "~{ceil(g * 3)} GiB" } }
task D { command {} runtime { memory: 3221225472 } }
workflow W {
  call A
  call B
  call C
  call D
}
