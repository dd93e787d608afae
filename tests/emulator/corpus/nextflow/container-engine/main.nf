process A {
  container "${ workflow.containerEngine == 'singularity' && !task.ext.singularity_pull_docker_container ?
      'https://depot.example/singularity/x:1' :
      'quay.io/biocontainers/x:1' }"
  when:
  task.ext.when == null || task.ext.when
  script:
  def args = task.ext.args ?: ''
  """
  x $args ${task.cpus}
  """
}
process SKIPPED {
  when: task.ext.when == null || task.ext.when
  script: "x"
}
workflow {
  A()
  SKIPPED()
}
