process SORT {
  output: path "x", emit: bam
  script: "x"
}
process CHECK { script: "x" }
