def help = """
  process FAKE {
    does nothing
  }
"""
def pattern = ~/.*\/(\w+)'s\.fq$/
def dollars = $/ a "quoted' /path/ /$
process 'A' {
  cpus 2
  script:
  '''
  echo '}' "${HOME}" \'
  '''
}
process B
{
  memory '3 GB'
  script:
  template 'b.sh'
}
workflow {
  half = 10 / 2
  A(); B()
}
