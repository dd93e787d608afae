version 1.0
task T { input { Int n = 2 } command {} runtime { cpu: n memory: "2 GB" } }
workflow W {
  input { File sizes }
  Int n = length(read_lines(sizes))
  call T { input: n = n }
  call T as Defaults
}
