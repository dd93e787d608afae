version 1.0
task T { command {} }
workflow W {
  input { String? x }
  if (defined(x)) { call T as Given }
  if (!defined(x)) { call T as Omitted }
}
