process MERGE {
  cpus 2
  script: "x"
}
