version 1.0
import "modules/a/main.wdl" as a
workflow W { call a.A }
