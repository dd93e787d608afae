version 1.1
task A { command {} runtime { acceleratorType: "nvidia-tesla-a10g" acceleratorCount: 2 } }
task B { command {} runtime { acceleratorType: "nvidia-tesla-t4" } }
workflow W {
  call A
  call B after A
}
