process A {
  cpus 32
  memory 128.GB
  script: "x"
}
workflow { A() }
