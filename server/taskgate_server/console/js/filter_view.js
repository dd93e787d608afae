/** The field for a filter expression, with the server's error below the place that it is about. */

import { h } from "./dom.js";
import { errorNotice } from "./errors.js";
import * as format from "./quantities.js";
import { faultRange, filterFault, matchTasks } from "./task_filter.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */

const EXAMPLE = "state = FAILED AND retry_count > 0";

/** A form that filters a model by an expression, which the server evaluates. */
export class FilterView {
  element;
  /** The expression that the page is filtered by. */
  filter = "";
  #model;
  #target;
  #signal;
  #onChange;
  #now;
  #input = h("input", {
    type: "search",
    id: "filter",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: EXAMPLE,
    "aria-describedby": "filter-result",
  });
  #result = h("div", { id: "filter-result", class: "small", role: "status" });
  #running = new AbortController();

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {AbortSignal} options.signal
   * @param {string} [options.target]
   * @param {() => void} options.onChange
   * @param {() => number} [options.now]
   */
  constructor(model, { signal, target, onChange, now = () => Date.now() }) {
    this.#model = model;
    this.#signal = signal;
    this.#target = target;
    this.#onChange = onChange;
    this.#now = now;
    this.element = h(
      "form",
      {
        class: "filter",
        role: "search",
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          void this.apply(this.#input.value.trim());
        },
      },
      h("label", { for: "filter", class: "visually-hidden" }, "Filter, in the grammar of ListTasks"),
      h("div", { class: "find" }, this.#input, h("button", { type: "submit" }, "Filter")),
      this.#result,
    );
    // Clearing the field with its own button submits nothing.
    this.#input.addEventListener("search", () => {
      if (this.#input.value === "" && this.filter !== "") {
        void this.apply("");
      }
    });
  }

  /** @param {string} filter */
  async apply(filter) {
    this.#running.abort();
    this.#running = new AbortController();
    const signal = AbortSignal.any([this.#signal, this.#running.signal]);
    this.#input.value = filter;
    this.#input.removeAttribute("aria-invalid");
    this.filter = filter;
    this.#onChange();
    if (filter === "") {
      this.#result.replaceChildren();
      this.#model.setMatches(null);
      return;
    }
    const { matches: earlier, filter: earlierFilter } = this.#model;
    this.#model.setMatches(earlier, { filter: earlierFilter, isComplete: false });
    this.#result.replaceChildren(h("span", { class: "quiet" }, "Filtering …"));
    try {
      const { parent } = this.#model;
      const matches = await matchTasks(parent, filter, {
        signal,
        target: this.#target,
        onPage: ({ names }) => {
          if (!signal.aborted) {
            this.#model.setMatches(new Set(names), { filter, isComplete: false });
          }
        },
      });
      if (signal.aborted) {
        return;
      }
      this.#model.setMatches(matches.names, { filter });
      this.#showResult(matches);
    } catch (error) {
      if (!signal.aborted) {
        this.#showError(filter, error);
      }
    }
  }

  /** @param {import("./task_filter.js").Matches} matches */
  #showResult({ names, incompleteReason }) {
    const now = this.#now();
    const verb = names.size === 1 ? "matches" : "match";
    this.#result.replaceChildren(
      `${format.counted(names.size, "task")} ${verb}, as of ${format.time(now, now)}. `,
      h(
        "button",
        { type: "button", class: "plain", onclick: () => void this.apply(this.filter) },
        "Filter again",
      ),
      incompleteReason ? h("p", null, incompleteReason) : "",
    );
  }

  /**
   * @param {string} filter
   * @param {unknown} error
   */
  #showError(filter, error) {
    const fault = filterFault(error);
    this.#model.setMatches(null);
    if (fault === null) {
      this.#result.replaceChildren(errorNotice(error, { onRetry: () => void this.apply(filter) }));
      return;
    }
    const { start, end } = faultRange(filter, fault.column);
    this.#input.setAttribute("aria-invalid", "true");
    this.#input.focus();
    this.#input.setSelectionRange(start, Math.max(end, start));
    this.#result.replaceChildren(
      h(
        "div",
        { class: "filter-fault" },
        h(
          "code",
          null,
          filter.slice(0, start),
          h("mark", null, filter.slice(start, end) || "\u00a0"),
          filter.slice(end),
        ),
        h("p", null, `Column ${fault.column}: ${fault.message}`),
      ),
    );
  }
}
