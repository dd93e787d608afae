process BIG {
  label 'process_high'
  cpus 1
  script: "x"
}
process MEDIUM {
  label 'process_high'
  script: "x"
}
process SMALL { script: "x" }
workflow {
  BIG()
  MEDIUM()
  SMALL()
}
