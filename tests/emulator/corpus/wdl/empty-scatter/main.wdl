version 1.0
task T { input { Int n } command {} output { Int o = 1 } runtime { cpu: n } }
workflow W {
  Array[Int] xs = []
  scatter (x in xs) { call T { input: n = x } }
  call T as All { input: n = length(T.o) + 1 }
}
