cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string}
outputs: []
steps:
  s: {run: ../tools/t.cwl, in: {a: a}, out: [o]}
  s2: {run: ./x/../t2.cwl, in: {a: s/o}, out: [o]}
