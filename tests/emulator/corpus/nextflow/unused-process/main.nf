process A { script: "x" }
process NEVER { script: "x" }
workflow OTHER { NEVER() }
workflow { A() }
