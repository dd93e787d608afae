cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string}
outputs: []
steps:
  first: {run: t.cwl, in: {a: a}, out: [o]}
  compute: {run: e.cwl, in: {a: first/o}, out: [o]}
  last: {run: t.cwl, in: {a: compute/o}, out: [o]}
