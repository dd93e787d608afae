process ALSO_NEVER { script: "x" }
