include { SUB } from './subworkflows/sub'
include { MERGE } from './modules/merge/main.nf'
workflow {
  SUB(Channel.of(1))
  MERGE(SUB.out.sorted)
}
