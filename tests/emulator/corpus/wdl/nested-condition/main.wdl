version 1.0
task T { command {} output { Int o = 1 } }
workflow W {
  input { Boolean a = true  Boolean b = false }
  if (a) {
    call T as A
    if (a && !b) { call T as AB }
    if (b) { call T as B }
  }
  call T as Last { input: }
  Int n = select_first([A.o, 2])
}
