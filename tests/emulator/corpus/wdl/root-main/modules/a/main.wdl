version 1.0
task A { command {} runtime { cpu: 2 } }
