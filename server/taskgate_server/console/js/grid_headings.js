/** The headings of the grid's steps: names and numbers as text over the canvas. */

import { h, setText } from "./dom.js";
import { number } from "./quantities.js";
import { href } from "./router.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */
/** @typedef {import("./grouping.js").Group} Group */
/** @typedef {import("./grid_layout.js").Layout} Layout */

/** One heading for each group of a model. */
export class GridHeadings {
  element = h("div", { class: "grid-headings" });
  #model;
  /** @type {{element: HTMLElement, name: HTMLElement, numbers: HTMLElement}[]} */
  #headings = [];
  #keys = "";

  /** @param {ParentModel} model */
  constructor(model) {
    this.#model = model;
  }

  /** @param {Layout} layout */
  place(layout) {
    const { groups } = this.#model.order;
    const keys = groups.map(({ key }) => key).join("\n");
    if (keys !== this.#keys) {
      this.#keys = keys;
      this.#headings = groups.map((group) => this.#create(group));
      this.element.replaceChildren(...this.#headings.map(({ element }) => element));
    }
    for (const [index, { headingTop }] of layout.blocks.entries()) {
      const heading = this.#headings[index];
      if (heading) {
        heading.element.style.transform = `translateY(${headingTop}px)`;
      }
    }
    this.update();
  }

  /** Update names and numbers. */
  update() {
    const { order, store } = this.#model;
    for (const [index, heading] of this.#headings.entries()) {
      const group = order.groups[index];
      if (group === undefined) {
        continue;
      }
      let succeeded = 0;
      let failed = 0;
      for (const name of group.names) {
        const state = store.tasks.get(name)?.state;
        succeeded += Number(state === "TASK_STATE_SUCCEEDED");
        failed += Number(state === "TASK_STATE_FAILED");
      }
      setText(heading.name, this.#model.labelOf(group) || "Tasks");
      const failures = failed > 0 ? `, ${number(failed)} failed` : "";
      setText(heading.numbers, `${number(succeeded)} of ${number(group.names.length)} succeeded${failures}`);
    }
  }

  /** @param {Group} group */
  #create(group) {
    const isLink = group.resource !== "" && group.resource !== this.#model.parent;
    const name = isLink
      ? h("a", { class: "grid-step", href: href("parent", group.resource) })
      : h("span", { class: "grid-step" });
    const numbers = h("span", { class: "quiet small numeric" });
    return { element: h("div", { class: "grid-heading" }, name, numbers), name, numbers };
  }
}
