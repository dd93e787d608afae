process A {
  accelerator 2, type: 'nvidia-tesla-t4'
  script: "x"
}
process B {
  accelerator request: 1, type: 'nvidia-tesla-a10g'
  script: "x"
}
workflow {
  A()
  B()
}
