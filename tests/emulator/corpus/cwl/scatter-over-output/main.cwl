cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string}
outputs: []
steps:
  split: {run: split.cwl, in: {a: a}, out: [parts]}
  each: {run: t.cwl, scatter: a, in: {a: split/parts}, out: [o]}
