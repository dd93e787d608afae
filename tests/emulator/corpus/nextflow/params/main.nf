params.threads = 3
params.image = 'quay.io/a:1'
params.size = '2 GB'
process A {
  cpus params.threads
  memory "${params.size}"
  container params.image
  script: "x"
}
workflow { A() }
