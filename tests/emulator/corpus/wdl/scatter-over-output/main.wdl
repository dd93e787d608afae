version 1.0
task Split { command {} output { Array[File] parts = glob("*") } }
task Use { input { File part } command {} }
workflow W {
  call Split
  scatter (part in Split.parts) { call Use { input: part = part } }
}
