/** One after the other, for iterators that are asked again before they have answered. */

/** Lets each act begin when the one before has ended, as an asynchronous generator does. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  /** Does something when it is its turn, and gives what became of it. */
  take<T>(act: () => Promise<T>): Promise<T> {
    const result = this.last.then(act);
    this.last = result.catch(() => undefined); // told to who asked; the next one begins anew
    return result;
  }
}
