"""What callers do from a shell: `taskgate get`, `list`, `watch` and so on."""
