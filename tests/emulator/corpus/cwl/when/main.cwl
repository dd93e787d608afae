cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {a: string, runs: boolean, n: {type: int, default: 2}}
outputs: []
steps:
  reference: {run: t.cwl, when: $(inputs.runs), in: {a: a, runs: runs}, out: [o]}
  never: {run: t.cwl, when: $(inputs.n > 5), in: {a: a, n: n}, out: [o]}
  sometimes: {run: t.cwl, when: $(inputs.n !== 5 && inputs.n < 3), in: {a: a, n: n}, out: [o]}
