version 1.0
task T {
  input { Int? n }
  command {}
  output { Int o = 1 }
  runtime { cpu: select_first([n, 3]) }
}
workflow W {
  input { Boolean runs = false }
  if (runs) { call T as Skipped }
  call T as After { input: n = Skipped.o }
}
