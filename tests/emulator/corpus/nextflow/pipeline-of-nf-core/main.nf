#!/usr/bin/env nextflow
nextflow.enable.dsl = 2
include { DEMO } from './workflows/demo'
include { INIT } from './subworkflows/local/init'
include { getGenome } from './subworkflows/local/init'
include { paramsSummaryMap } from 'plugin/nf-schema'
params.fasta = getGenome('fasta')
workflow NFCORE_DEMO {
    take:
    samplesheet // channel: samples
    main:
    DEMO ( samplesheet )
    emit:
    report = DEMO.out.report
}
workflow {
    main:
    INIT ( params.version, args )
    NFCORE_DEMO ( INIT.out.samplesheet )
}
workflow.onComplete {
    log.info "done: ${workflow.success ? 'OK' : 'failed'}"
}
