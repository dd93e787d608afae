cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {$import: in.yml}
outputs: []
steps:
  s: {run: {$import: t.cwl}, in: {a: a}, out: [o]}
