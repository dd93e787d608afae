cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string}
outputs: []
hints: {DockerRequirement: {dockerPull: "quay.io/workflow:1"}}
steps:
  tool: {run: t.cwl, requirements: {ResourceRequirement: {coresMin: 16}}, in: {a: a}, out: [o]}
  step: {run: hint.cwl, requirements: {ResourceRequirement: {coresMin: 16, ramMin: 2048}}, in: {a: a}, out: [o]}
  hint: {run: hint.cwl, in: {a: a}, out: [o]}
