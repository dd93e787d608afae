process SORT {
  cpus 2
  input: val x
  output: path "x"
  script: "sort"
}
process UNUSED { script: "x" }
