process MULTIQC {
    label 'process_single'
    container 'quay.io/biocontainers/multiqc:1.25'
    output:
    path "*multiqc_report.html", emit: report
    script: "multiqc ."
}
