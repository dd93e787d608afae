/** What is selected, and what can be done with it. */

import { h } from "./dom.js";
import * as format from "./quantities.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */

/** A line above the views while tasks are selected. */
export class SelectionView {
  element;
  #model;
  #text = h("strong", { class: "small numeric", role: "status" });

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {AbortSignal} options.signal
   * @param {HTMLElement} options.actions
   */
  constructor(model, { signal, actions }) {
    this.#model = model;
    /** @type {(text: string, onclick: () => void) => HTMLElement} */
    const button = (text, onclick) => h("button", { type: "button", class: "plain", onclick }, text);
    this.element = h(
      "div",
      { class: "row selection", hidden: true },
      this.#text,
      actions,
      button("Select all that match", () => model.select(model.visibleNames())),
      button("Clear", () => model.clearSelection()),
    );
    model.addEventListener("selection", () => this.#update(), { signal });
    this.#update();
  }

  #update() {
    const { size } = this.#model.selected;
    this.element.hidden = size === 0;
    this.#text.textContent = `${format.counted(size, "task")} selected`;
  }
}
