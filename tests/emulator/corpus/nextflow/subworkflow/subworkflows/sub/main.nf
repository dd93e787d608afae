include { SORT } from '../../modules/sort'
include { CHECK } from '../../modules/sort'
workflow SUB {
  take:
  reads

  main:
  SORT(reads)
  CHECK(reads)

  emit:
  sorted = SORT.out.bam
  checked = CHECK.out
}
