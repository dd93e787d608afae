process A {
  cpus 4 * task.attempt
  memory { 8.GB * task.attempt }
  script: "x"
}
process B {
  cpus { task.attempt > 1 ? 16 : 2 }
  memory { task.attempt == 1 ? '6 GB' : '60 GB' }
  script: "x"
}
workflow {
  A()
  B()
}
