process A {
  output:
  path "x", emit: x
  path "y", emit: y
  script: "x"
}
process B { script: "x" }
process C { script: "x" }
process D { script: "x" }
workflow {
  versions = Channel.empty()
  A()
  versions = versions.mix(A.out.y)
  made = B(Channel.of(1))
  A.out.x
    .map { x -> [x, 1] }
    .set { mapped }
  C(mapped, 2)
  versions = versions.mix(C.out.versions.first())
  D(versions.collect(), made)
}
