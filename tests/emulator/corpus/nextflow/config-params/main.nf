process A {
  cpus params.threads
  script: "x"
}
process B { script: "x" }
workflow {
  A()
  if (!params.skip.b) {
    B()
  }
}
