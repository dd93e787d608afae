version 1.0
task T {
  input { Int? mem  Int? cpu }
  command {}
  runtime { docker: "u:1" cpu: select_first([cpu, 2]) memory: select_first([mem, 8]) + " GiB" }
}
workflow W {
  input { Int? mem  String? x }
  call T { input: mem = mem }
}
