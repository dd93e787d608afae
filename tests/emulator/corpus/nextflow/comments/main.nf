#!/usr/bin/env nextflow
/* process NOT { cpus 9 } */
process A {
  // cpus 8
  cpus 2 // cpus 7
  /* memory '99 GB' */ memory '4 GB'
  script: "x"
}
// workflow { NOT() }
workflow { A() }
