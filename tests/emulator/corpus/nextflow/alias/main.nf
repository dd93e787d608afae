include { SORT as SORT_A; SORT as SORT_B } from './modules/sort'
workflow {
  SORT_A(1)
  SORT_B(SORT_A.out)
}
