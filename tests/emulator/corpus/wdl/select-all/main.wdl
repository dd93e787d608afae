version 1.0
task T { input { Int n } command {} runtime { cpu: n } }
workflow W {
  input { Int? a  Int? b  Int? c }
  call T { input: n = length(select_all([a, b, c])) }
}
