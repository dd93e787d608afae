process A {
  accelerator 2, type: 'nvidia-tesla-t4'
  script: "x"
}
process B {
  accelerator request: 1, type: 'nvidia-tesla-a10g'
  script: "x"
}
process C {
  accelerator([limit: 4], type: 'nvidia-tesla-t4')
  cpus(params.threads)
  script: "x"
}
params.threads = 3
workflow {
  A()
  B()
  C()
}
