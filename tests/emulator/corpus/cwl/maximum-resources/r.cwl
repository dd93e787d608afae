cwlVersion: v1.2
class: CommandLineTool
$namespaces: {cwltool: "http://commonwl.org/cwltool#"}
baseCommand: echo
requirements: {ResourceRequirement: {coresMax: 2, ramMax: 4000}}
hints: {"cwltool:CUDARequirement": {cudaDeviceCountMin: 1, cudaComputeCapability: "7.0", cudaVersionMin: "11.4"}}
inputs: {}
outputs: {o: stdout}
