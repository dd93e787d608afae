process GET {
  container 'https://depot.example/singularity/x:1'
  cpus 4
  script:
  """
  curl https://example.com/a -o b   # it's { open
  """
}
workflow { GET() }
