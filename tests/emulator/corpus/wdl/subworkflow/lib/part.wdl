version 1.0
task T { input { Int n } command {} runtime { cpu: n } output { Int o = 1 } }
workflow Inner {
  input { Int n  Int? more }
  call T as Second { input: n = First.o + 1 }
  call T as First { input: n = n }
  output { Int size = n + 2 }
}
