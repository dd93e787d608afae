version 1.0
task hello {
  input { String who = "x"  Int n }
  command { echo ~{who} }
  runtime { docker: "ubuntu:24.04" cpu: n memory: "4 GiB" }
}
