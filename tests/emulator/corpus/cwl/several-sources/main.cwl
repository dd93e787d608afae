cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string, b: string}
outputs: []
steps:
  one: {run: t.cwl, in: {a: a}, out: [o]}
  two: {run: t.cwl, in: {a: b}, out: [o]}
  both: {run: t.cwl, scatter: a, in: {a: {source: [one/o, two/o], linkMerge: merge_nested}}, out: [o]}
