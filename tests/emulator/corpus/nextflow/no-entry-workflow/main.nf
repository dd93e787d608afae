process A { script: "x" }
process B { script: "x" }
