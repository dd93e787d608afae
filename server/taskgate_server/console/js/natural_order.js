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
  /** @type {Map<string, number>} */
  #ranks = new Map();

  /**
   * Return the rank of each of these texts.
   *
   * @param {string[]} texts may have the same text several times
   * @returns {Map<string, number>}
   */
  of(texts) {
    if (texts.some((each) => !this.#ranks.has(each))) {
      const distinct = [...new Set(texts)].sort(compareNames);
      this.#ranks = new Map(distinct.map((text, rank) => [text, rank]));
    }
    return this.#ranks;
  }
}
