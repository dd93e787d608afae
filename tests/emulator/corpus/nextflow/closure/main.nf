process A {
  cpus { 4 }
  memory { 16.GB }
  container { 'quay.io/a:1' }
  script: "x"
}
workflow { A() }
