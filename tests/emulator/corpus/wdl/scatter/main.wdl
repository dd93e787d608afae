version 1.0
task T { input { Int n } command {} output { Int o = 1 } runtime { cpu: n } }
workflow W {
  input { Array[Int] xs }
  scatter (x in xs) {
    Int twice = x * 2
    call T { input: n = twice }
  }
  call T as All { input: n = length(T.o) }
  scatter (o in T.o) { call T as Each { input: n = o } }
}
