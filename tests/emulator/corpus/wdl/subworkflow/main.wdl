version 1.0
import "lib/part.wdl" as part
workflow W {
  call part.Inner { input: n = 4 }
  call part.T as Last { input: n = Inner.size }
}
