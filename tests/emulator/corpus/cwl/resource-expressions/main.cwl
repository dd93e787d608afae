cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string, n: {type: int, default: 2}}
outputs: []
steps:
  s: {run: r.cwl, in: {a: a, n: n}, out: [o]}
  given: {run: r.cwl, in: {a: a, n: {valueFrom: "$(3)"}}, out: [o]}
  own: {run: r.cwl, in: {a: a}, out: [o]}
