process A { script: "x" }
workflow { A() }
