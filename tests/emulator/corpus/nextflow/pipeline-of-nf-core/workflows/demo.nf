include { FASTQC } from '../modules/nf-core/fastqc/main'
include { MULTIQC } from '../modules/nf-core/multiqc/main'
workflow DEMO {
    take:
    ch_samplesheet
    main:
    ch_versions = Channel.empty()
    ch_multiqc_files = Channel.empty()
    if (!params.skip_fastqc) {
        FASTQC (
            ch_samplesheet
        )
        ch_multiqc_files = ch_multiqc_files.mix(FASTQC.out.zip.collect{ it[1] })
        ch_versions = ch_versions.mix(FASTQC.out.versions.first())
    }
    MULTIQC ( ch_multiqc_files.collect(), [] )
    emit:
    report = MULTIQC.out.report.toList()
    versions = ch_versions
}
