params.aligner = 'star'
process STAR { script: "x" }
process HISAT { script: "x" }
process QC { script: "x" }
workflow {
  if (params.aligner == 'star') {
    STAR()
  } else if (params.aligner == 'hisat') {
    HISAT()
  }
  if (params.qc || params.aligner in ['hisat', 'bwa']) { QC() }
}
