"""Job and environment templates, valid and invalid."""

from __future__ import annotations

TYPED = """
specificationVersion: jobtemplate-2023-09
extensions: [EXPR]
name: "{{Param.Title.upper()}}"
parameterDefinitions:
- {name: Title, type: STRING, default: shot}
- {name: Flag, type: BOOL, default: true}
- {name: Range, type: RANGE_EXPR, default: "1-3"}
- {name: Texts, type: "LIST[STRING]", default: [a, b]}
- {name: Paths, type: "LIST[PATH]", default: [/a]}
- {name: Ints, type: "LIST[INT]", default: [1, 2]}
- {name: Floats, type: "LIST[FLOAT]", default: [1.5]}
- {name: Bools, type: "LIST[BOOL]", default: [true]}
- {name: Nested, type: "LIST[LIST[INT]]", default: [[1, 2], [3]]}
steps:
- name: s
  parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: "{{Param.Range}}"}]}
  script: {actions: {onRun: {command: echo, args: ["{{Task.Param.F + 1}}"]}}}
"""
ENVIRONMENT = """
specificationVersion: environment-2023-09
parameterDefinitions:
- {name: CondaPackages, type: STRING%s}
- {name: Frames, type: %s, default: "1"}
environment:
  name: Conda
  script: {actions: {onEnter: {command: echo, args: ["{{Param.CondaPackages}}"]}}}
"""
OPTIONAL = ENVIRONMENT % (', default: ""', "STRING")
DEEP = {"JSON": "[" * 3_000, "YAML": "{a: " * 3_000}
DOCUMENTS = {
    "integer key": ("1: 2\n", "YAML"),
    "list as a key": ("? [a]\n: b\n", "YAML"),
    "deep JSON": (DEEP["JSON"], "JSON"),
    "deep YAML": (DEEP["YAML"], "YAML"),
    "no mapping": ("[1, 2]", "YAML"),
    "null": ("null", "JSON"),
    "invalid date": ("name: 2020-99-99", "YAML"),
    "Python object": ("!!python/object/apply:os.system ['true']", "YAML"),
}
"""Documents that are invalid whatever they are templates of."""
