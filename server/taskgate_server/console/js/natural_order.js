/** The order of names that contain numbers: "frame 9" comes before "frame 10". It has no DOM. */

const COLLATOR = new Intl.Collator(undefined, { numeric: true });

/**
 * Compare two names, as `Array.sort` needs it.
 *
 * @param {string} one
 * @param {string} other
 */
export function compareNames(one, other) {
  return one === other ? 0 : COLLATOR.compare(one, other);
}

/** The ranks of texts in that order. To compare texts is slow, so they are ranked only when there are new ones. */
export class TextRanks {
  /** In order. @type {Map<string, number>} */
  #ranks = new Map();

  /**
   * Return the rank of each of these texts.
   *
   * @param {string[]} texts may have the same text several times
   * @returns {Map<string, number>}
   */
  of(texts) {
    const added = new Set(texts.filter((each) => !this.#ranks.has(each)));
    if (added.size > 0) {
      const needed = new Set(texts);
      const known = [...this.#ranks.keys()].filter((each) => needed.has(each));
      // Two parts that are in order take few comparisons, which counts while the tasks are loaded.
      const sorted = [...known, ...[...added].sort(compareNames)].sort(compareNames);
      this.#ranks = new Map(sorted.map((text, rank) => [text, rank]));
    }
    return this.#ranks;
  }
}
