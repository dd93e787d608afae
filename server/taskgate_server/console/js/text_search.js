/** A field that searches the rows of a list by text. */

import { h } from "./dom.js";

let count = 0;

/**
 * Return whether a text has all words of a search, in any order and whatever their case.
 *
 * @param {string} text
 * @param {string} search
 * @returns {boolean} true for an empty search
 */
export function hasWords(text, search) {
  const folded = fold(text);
  return fold(search)
    .split(/\s+/)
    .every((word) => folded.includes(word));
}

/** @param {string} text */
function fold(text) {
  return text.normalize("NFKC").toLowerCase().trim();
}

/** The field, with the number of rows that match. */
export class TextSearch {
  element;
  #input;
  #result;
  #nouns;

  /**
   * @param {string} nouns what the list contains, such as "runs"
   * @param {() => void} onChange
   */
  constructor(nouns, onChange) {
    const id = `search-${++count}`;
    this.#nouns = nouns;
    this.#result = h("p", { id, class: "small quiet", role: "status" });
    this.#input = h("input", {
      type: "search",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      placeholder: `Search the ${nouns} below`,
      "aria-label": `Search the ${nouns} below`,
      "aria-describedby": id,
      oninput: onChange,
    });
    this.element = h("div", { class: "text-search" }, this.#input, this.#result);
  }

  get text() {
    return this.#input.value;
  }

  /**
   * Show how many rows match.
   *
   * @param {number} found
   * @param {number} total number of rows that are loaded
   * @param {boolean} hasMore whether there are rows that are not loaded
   */
  showResult(found, total, hasMore) {
    const rest = hasMore ? "; more are not loaded yet" : "";
    this.#result.textContent = this.text.trim() ? `${found} of ${total} ${this.#nouns} match${rest}` : "";
  }
}
