/** A scrolling list that has elements only for the rows that show. */

import { h } from "./dom.js";

const SPARE_ROWS = 4;

/**
 * @typedef {object} RowParts
 * @property {HTMLElement} element
 * @property {(index: number) => void} fill shows a row; called again when its content may have changed
 */

/** Rows of equal height in a scrolling element. `paint` belongs in a frame loop. */
export class VirtualRows {
  count = 0;
  /** @type {HTMLElement} */
  body;
  #scroller;
  #rowHeight;
  #createRow;
  /** @type {Map<number, RowParts>} */
  #shown = new Map();
  /** @type {RowParts[]} */
  #spare = [];
  #isStale = true;
  /** Rows that show and have changed. @type {Set<number>} */
  #stale = new Set();
  #visible = { top: 0, height: 0 };

  /**
   * @param {HTMLElement} scroller
   * @param {object} options
   * @param {number} options.rowHeight in pixels
   * @param {() => RowParts} options.createRow
   * @param {() => void} options.onScroll requests a frame
   */
  constructor(scroller, { rowHeight, createRow, onScroll }) {
    this.#scroller = scroller;
    this.#rowHeight = rowHeight;
    this.#createRow = createRow;
    this.body = h("div", { class: "rows", role: "rowgroup" });
    scroller.append(this.body);
    scroller.addEventListener("scroll", onScroll, { passive: true });
  }

  /** @param {number} count */
  setCount(count) {
    if (count !== this.count) {
      this.count = count;
      this.body.style.height = `${count * this.#rowHeight}px`;
    }
    this.#isStale = true;
  }

  /** Fill all rows that show in the next `paint`. */
  invalidate() {
    this.#isStale = true;
  }

  /**
   * Fill the rows for which a condition holds in the next `paint`. Return whether there are any.
   *
   * @param {(index: number) => boolean} condition
   */
  invalidateIf(condition) {
    for (const index of this.#shown.keys()) {
      if (condition(index)) {
        this.#stale.add(index);
      }
    }
    return this.#stale.size > 0;
  }

  /** Return the number of rows that fit. */
  get pageSize() {
    return Math.max(1, Math.floor(this.#scroller.clientHeight / this.#rowHeight) - 2);
  }

  /**
   * Scroll a row into view.
   *
   * @param {number} index
   */
  reveal(index) {
    const header = this.body.offsetTop;
    const top = index * this.#rowHeight;
    const { scrollTop, clientHeight } = this.#scroller;
    if (top < scrollTop) {
      this.#scroller.scrollTop = top;
    } else if (top + this.#rowHeight + header > scrollTop + clientHeight) {
      this.#scroller.scrollTop = top + this.#rowHeight + header - clientHeight;
    }
  }

  paint() {
    const { scrollTop: top, clientHeight: height } = this.#scroller;
    const moved = top !== this.#visible.top || height !== this.#visible.height;
    if (!moved && !this.#isStale && this.#stale.size === 0) {
      return;
    }
    this.#visible = { top, height };
    const first = Math.max(0, Math.floor(top / this.#rowHeight) - SPARE_ROWS);
    const last = Math.min(this.count, Math.ceil((top + height) / this.#rowHeight) + SPARE_ROWS);
    for (const [index, row] of this.#shown) {
      if (index < first || index >= last) {
        this.#shown.delete(index);
        this.#spare.push(row);
      }
    }
    for (let index = first; index < last; index += 1) {
      const shown = this.#shown.get(index);
      if (shown === undefined) {
        this.#show(index);
      } else if (this.#isStale || this.#stale.has(index)) {
        shown.fill(index);
      }
    }
    for (const row of this.#spare) {
      row.element.hidden = true;
    }
    this.#isStale = false;
    this.#stale.clear();
  }

  /** @param {number} index */
  #show(index) {
    let row = this.#spare.pop();
    if (row === undefined) {
      row = this.#createRow();
      this.body.append(row.element);
    }
    row.element.hidden = false;
    row.element.style.transform = `translateY(${index * this.#rowHeight}px)`;
    row.fill(index);
    this.#shown.set(index, row);
  }
}

/**
 * Mark for assistive technology which of the rows that show has the focus of the list.
 *
 * @param {HTMLElement} scroller
 */
export function markActive(scroller) {
  const id = scroller.querySelector(".focused:not([hidden])")?.id;
  if (id) {
    scroller.setAttribute("aria-activedescendant", id);
  } else {
    scroller.removeAttribute("aria-activedescendant");
  }
}
