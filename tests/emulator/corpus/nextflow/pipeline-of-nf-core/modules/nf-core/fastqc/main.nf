process FASTQC {
    tag "$meta.id"
    label 'process_medium'
    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine == 'singularity' && !task.ext.singularity_pull_docker_container ?
        'https://depot.example/singularity/fastqc:0.12.1--0' :
        'quay.io/biocontainers/fastqc:0.12.1--0' }"
    input:
    tuple val(meta), path(reads)
    output:
    tuple val(meta), path("*.zip"), emit: zip
    path "versions.yml"           , emit: versions
    when:
    task.ext.when == null || task.ext.when
    script:
    def args = task.ext.args ?: ''
    """
    fastqc $args --threads $task.cpus *.fq  // not a comment
    """
}
