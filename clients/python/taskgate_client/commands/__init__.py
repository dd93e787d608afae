"""The `taskgate` command: `get`, `list`, `watch` and so on."""
