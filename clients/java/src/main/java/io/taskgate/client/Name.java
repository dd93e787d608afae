package io.taskgate.client;

/** The name of a task, or of a parent of tasks, as its ids; {@code toString} formats it. */
public sealed interface Name {
  /**
   * A queue of an AWS Deadline Cloud farm.
   *
   * @param farm id of the farm
   * @param queue id of the queue
   */
  record DeadlineQueue(String farm, String queue) implements Name {
    /**
     * Creates a name from the ids of AWS.
     *
     * @param farm id of the farm
     * @param queue id of the queue
     * @throws IllegalArgumentException if one is empty or contains a slash
     */
    public DeadlineQueue {
      Names.check(Names.DEADLINE, farm, queue);
    }

    @Override
    public String toString() {
      return Names.join("deadline", Names.DEADLINE, farm, queue);
    }
  }

  /**
   * A render job.
   *
   * @param farm id of the farm
   * @param queue id of the queue
   * @param job id of the job
   */
  record DeadlineJob(String farm, String queue, String job) implements Name {
    /**
     * Creates a name from the ids of AWS.
     *
     * @param farm id of the farm
     * @param queue id of the queue
     * @param job id of the job
     * @throws IllegalArgumentException if one is empty or contains a slash
     */
    public DeadlineJob {
      Names.check(Names.DEADLINE, farm, queue, job);
    }

    @Override
    public String toString() {
      return Names.join("deadline", Names.DEADLINE, farm, queue, job);
    }
  }

  /**
   * A step of a render job.
   *
   * @param farm id of the farm
   * @param queue id of the queue
   * @param job id of the job
   * @param step id of the step
   */
  record DeadlineStep(String farm, String queue, String job, String step) implements Name {
    /**
     * Creates a name from the ids of AWS.
     *
     * @param farm id of the farm
     * @param queue id of the queue
     * @param job id of the job
     * @param step id of the step
     * @throws IllegalArgumentException if one is empty or contains a slash
     */
    public DeadlineStep {
      Names.check(Names.DEADLINE, farm, queue, job, step);
    }

    @Override
    public String toString() {
      return Names.join("deadline", Names.DEADLINE, farm, queue, job, step);
    }
  }

  /**
   * A task of a render job.
   *
   * @param farm id of the farm
   * @param queue id of the queue
   * @param job id of the job
   * @param step id of the step
   * @param task id of the task
   */
  record DeadlineTask(String farm, String queue, String job, String step, String task)
      implements Name {
    /**
     * Creates a name from the ids of AWS.
     *
     * @param farm id of the farm
     * @param queue id of the queue
     * @param job id of the job
     * @param step id of the step
     * @param task id of the task
     * @throws IllegalArgumentException if one is empty or contains a slash
     */
    public DeadlineTask {
      Names.check(Names.DEADLINE, farm, queue, job, step, task);
    }

    @Override
    public String toString() {
      return Names.join("deadline", Names.DEADLINE, farm, queue, job, step, task);
    }
  }

  /**
   * An AWS HealthOmics workflow run.
   *
   * @param run id of the run
   */
  record OmicsRun(String run) implements Name {
    /**
     * Creates a name from the ids of AWS.
     *
     * @param run id of the run
     * @throws IllegalArgumentException if one is empty or contains a slash
     */
    public OmicsRun {
      Names.check(Names.OMICS, run);
    }

    @Override
    public String toString() {
      return Names.join("omics", Names.OMICS, run);
    }
  }

  /**
   * A task of a workflow run.
   *
   * @param run id of the run
   * @param task id of the task
   */
  record OmicsTask(String run, String task) implements Name {
    /**
     * Creates a name from the ids of AWS.
     *
     * @param run id of the run
     * @param task id of the task
     * @throws IllegalArgumentException if one is empty or contains a slash
     */
    public OmicsTask {
      Names.check(Names.OMICS, run, task);
    }

    @Override
    public String toString() {
      return Names.join("omics", Names.OMICS, run, task);
    }
  }

  /**
   * Parses the name of a task.
   *
   * @param name such as {@code omics/runs/1234567/tasks/7654321}
   * @return a {@link DeadlineTask} or an {@link OmicsTask}
   * @throws IllegalArgumentException if it is malformed
   */
  static Name parseTask(String name) {
    return Names.parse(name, Names.TASKS);
  }

  /**
   * Parses the name of a queue, job, step or run.
   *
   * @param name such as {@code omics/runs/1234567}
   * @return one of the other kinds
   * @throws IllegalArgumentException if it is malformed
   */
  static Name parseParent(String name) {
    return Names.parse(name, Names.PARENTS);
  }
}
