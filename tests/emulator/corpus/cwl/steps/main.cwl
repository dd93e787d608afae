cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string}
outputs: []
steps:
  two: {run: t.cwl, in: {a: one/o}, out: [o]}
  one: {run: t.cwl, in: {a: a}, out: [o]}
