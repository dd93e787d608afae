process FIRST {
  input: path("in/*")
  script: "x"
}
process SECOND {
  input: path x
  output: path("*/*.txt")
  script: "x"
}
workflow {
  FIRST(Channel.fromPath('s3://bucket/*/*.fq'))
  SECOND(FIRST.out)
}
