process A { script: "x" }
process B { script: "x" }
process C { script: "x" }
workflow {
  Channel.of(1, 2) | A | map { it } | (B & C)
  Channel.of(1) | view
}
