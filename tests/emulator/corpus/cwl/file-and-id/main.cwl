cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string}
outputs: []
steps:
  s: {run: "tools/packed.cwl#t", in: {a: a}, out: [o]}
