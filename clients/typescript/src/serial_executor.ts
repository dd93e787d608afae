/** For iterators whose `next` may be called again before it has resolved. */

/** Starts each function when the one before has ended, as an asynchronous generator does. */
export class SerialExecutor {
  private last: Promise<unknown> = Promise.resolve();

  /** Runs a function after those before it, and returns its result. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.last.then(task);
    this.last = result.catch(() => undefined); // its caller handles the error; the next function starts regardless
    return result;
  }
}
