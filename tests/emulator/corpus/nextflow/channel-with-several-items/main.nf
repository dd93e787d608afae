process A {
  input: val x
  script: "x"
}
workflow { A(Channel.of(1, 2, 3)) }
