workflow INIT {
    take:
    version
    args
    main:
    ch_samplesheet = Channel.fromPath(params.input)
    emit:
    samplesheet = ch_samplesheet
}
def getGenome(attribute) {
    return params.genomes[params.genome][attribute]
}
