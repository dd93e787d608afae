version 1.1
struct Size { Int cpu  String memory }
task T {
  input { Size size }
  command {}
  runtime { cpu: size.cpu memory: size.memory container: "a:1" }
}
workflow W {
  Map[String, Size] sizes = { "big": Size { cpu: 16, memory: "32 GiB" } }
  call T { input: size = sizes["big"] }
}
