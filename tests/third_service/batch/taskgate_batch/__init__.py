"""AWS Batch for Taskgate: the jobs of a queue, and the children of an array job, as tasks."""
