/**
 * The list of what a container contains, loaded page by page, with a field to search it.
 */

import { levelOf } from "./browse.js";
import { unary } from "./connect.js";
import { fill, h } from "./dom.js";
import { errorNotice } from "./errors.js";
import { hrefOf } from "./find.js";
import { parseName } from "./names.js";
import { compareNames } from "./natural_order.js";
import { TextSearch, hasWords } from "./text_search.js";

/** @typedef {import("./browse.js").Level} Level */
/** @typedef {import("./browse.js").Item} Item */
/** @typedef {{element: HTMLElement, label: string, text: string}} Row `text` is what a search finds */

/**
 * Show what a container contains.
 *
 * @param {HTMLElement} root
 * @param {string} container see `levelOf`
 * @param {string} grpcService with AWS's operations
 * @param {AbortSignal} signal
 */
export function showContents(root, container, grpcService, signal) {
  const level = levelOf(container);
  if (level) new ContainerList(root, level, { container, grpcService, signal }).load();
}

/** The rows of a list and what is around them. */
class ContainerList {
  #level;
  #source;
  #nouns;
  /** @type {Row[]} */
  #rows = [];
  /** @type {string | number | undefined} */
  #next;
  #search;
  #body = h("tbody");
  #table;
  #foot = h("div", { class: "row" });

  /**
   * @param {HTMLElement} root
   * @param {Level} level
   * @param {{container: string, grpcService: string, signal: AbortSignal}} source
   */
  constructor(root, level, source) {
    this.#level = level;
    this.#source = source;
    this.#nouns = level.items.toLowerCase();
    this.#search = new TextSearch(this.#nouns, () => this.#showRows());
    this.#search.element.hidden = true;
    this.#table = h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": level.items, hidden: true },
      h("table", { class: "data" }, head(level), this.#body),
    );
    fill(root, this.#search.element, this.#table, this.#foot);
  }

  /** Load the next page. */
  async load() {
    const { container, grpcService, signal } = this.#source;
    const { items, operation, request, list, page, next } = this.#level;
    const isFirst = this.#rows.length === 0;
    const hadFocus = this.#foot.contains(document.activeElement);
    fill(this.#foot, h("p", { class: "loading", role: "status" }, `Loading ${this.#nouns}`));
    try {
      const parameters = request(parseName(container)?.ids ?? []);
      const response = await unary(
        `${grpcService}/${operation}`,
        this.#next === undefined ? parameters : { ...parameters, [page]: this.#next },
        { signal },
      );
      const added = /** @type {Item[]} */ (response[list] ?? []).map((item) => this.#row(item));
      this.#rows.push(...added);
      this.#next = response[next];
      if (this.#level.sortsByName) this.#rows.sort((one, other) => compareNames(one.label, other.label));
      this.#showRows();
      this.#showFoot();
      if (hadFocus && !isFirst) this.#focus(added);
    } catch (error) {
      if (signal.aborted) return;
      const title = `${items} cannot be listed`;
      fill(this.#foot, errorNotice(error, { title, onRetry: () => this.load() }));
    }
  }

  /** Show the rows that match the search. */
  #showRows() {
    const found = this.#rows.filter(({ text }) => hasWords(text, this.#search.text));
    this.#search.element.hidden = this.#rows.length < 2;
    this.#search.showResult(found.length, this.#rows.length, Boolean(this.#next));
    this.#table.hidden = found.length === 0;
    fill(this.#body, found.map(({ element }) => element));
  }

  #showFoot() {
    const hasMore = Boolean(this.#next);
    const isEmpty = this.#rows.length === 0 && !hasMore;
    fill(
      this.#foot,
      isEmpty && h("p", { class: "quiet small" }, `There are no ${this.#nouns} here.`),
      hasMore && h("button", { type: "button", onclick: () => this.load() }, "Show more"),
    );
  }

  /**
   * Give the focus back that the button to load more had.
   *
   * @param {Row[]} added
   */
  #focus(added) {
    const shown = added.find(({ element }) => element.isConnected)?.element;
    (shown ?? this.#foot).querySelector(shown ? "a" : "button")?.focus();
  }

  /**
   * @param {Item} item
   * @returns {Row}
   */
  #row(item) {
    const { name: nameOf, label: labelOf, columns } = this.#level;
    const name = nameOf(item, this.#source.container);
    const label = String(labelOf(item));
    const kind = parseName(name)?.kind ?? "";
    const element = h(
      "tr",
      null,
      h("th", { scope: "row" }, h("a", { href: hrefOf({ kind, name }) }, label)),
      columns.map(({ cell, number }) => h("td", { class: number ? "number" : null }, cell(item))),
    );
    const text = [...element.cells].map((each) => each.textContent).join(" ");
    return { element, label, text };
  }
}

/** @param {Level} level */
function head({ columns }) {
  return h(
    "thead",
    null,
    h(
      "tr",
      null,
      h("th", { scope: "col" }, "Name"),
      columns.map(({ title, number }) => h("th", { scope: "col", class: number ? "number" : null }, title)),
    ),
  );
}
