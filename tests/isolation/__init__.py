"""One operation's, task's, caller's or target's failure is noticed by nothing else."""
