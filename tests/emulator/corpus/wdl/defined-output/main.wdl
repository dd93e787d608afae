version 1.1
task T { command {} output { Int? maybe = read_int("x")  Int n = 1 } }
workflow W {
  call T as First
  if (defined(First.maybe)) { call T as Present }
  if (!defined(First.maybe)) { call T as Absent }
  if (First.n > 3) { call T as More }
  if (First.n <= 3) { call T as Less }
}
