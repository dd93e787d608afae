process A { script: "x" }
process B {
  cpus 8
  script: "x"
}
workflow {
  A()
  B()
}
