process A { memory 2048.MB
  script: "x" }
process B { memory '1.5 GB'
  script: "x" }
process C { memory "16GB"
  script: "x" }
process D { memory 4.g
  cpus(6)
  script: "x" }
workflow { A(); B(); C(); D() }
