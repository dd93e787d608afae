/** Tabs that switch between the views of the tasks. */

import { h } from "./dom.js";
import { VIEWS } from "./page_query.js";

/** @typedef {import("./page_query.js").View} View */

/**
 * @typedef {object} TabbedView
 * @property {HTMLElement} element
 * @property {() => void} show
 * @property {() => void} tick
 */

/** @type {Record<View, string>} */
const LABELS = { grid: "Grid", timeline: "Timeline", table: "Table" };

/** The views with their tabs. Only the view that shows draws and updates. */
export class ViewTabs {
  list = h("div", { class: "tabs", role: "tablist", "aria-label": "View" });
  /** @type {HTMLElement[]} */
  panels;
  #views;
  #onShow;
  /** @type {View} */
  #shown;
  /** @type {Map<View, HTMLElement>} */
  #tabs = new Map();
  /** @type {Map<View, HTMLElement>} */
  #panels = new Map();

  /**
   * @param {Record<View, TabbedView>} views
   * @param {object} options
   * @param {View} options.shown
   * @param {(view: View) => void} options.onShow
   */
  constructor(views, { shown, onShow }) {
    this.#views = views;
    this.#onShow = onShow;
    this.#shown = shown;
    for (const view of VIEWS) {
      const attributes = { id: `panel-${view}`, role: "tabpanel", "aria-labelledby": `tab-${view}` };
      this.#panels.set(view, h("div", attributes, views[view].element));
      const tab = h(
        "button",
        {
          id: `tab-${view}`,
          type: "button",
          role: "tab",
          "aria-controls": `panel-${view}`,
          onclick: () => this.#show(view),
        },
        LABELS[view],
      );
      this.#tabs.set(view, tab);
      this.list.append(tab);
    }
    this.panels = [...this.#panels.values()];
    this.list.addEventListener("keydown", (event) => this.#pressed(event));
    this.#update();
  }

  tick() {
    this.#views[this.#shown].tick();
  }

  /** Move the focus to the tab of the view that shows. */
  focus() {
    this.#tabs.get(this.#shown)?.focus();
  }

  /** @param {View} view */
  #show(view) {
    if (view !== this.#shown) {
      this.#shown = view;
      this.#update();
      this.#onShow(view);
    }
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const view = step && VIEWS[(VIEWS.indexOf(this.#shown) + step + VIEWS.length) % VIEWS.length];
    if (view) {
      event.preventDefault();
      this.#show(view);
      this.focus();
    }
  }

  #update() {
    for (const view of VIEWS) {
      const isShown = view === this.#shown;
      this.#tabs.get(view)?.setAttribute("aria-selected", String(isShown));
      this.#tabs.get(view)?.setAttribute("tabindex", isShown ? "0" : "-1");
      this.#views[view].element.hidden = !isShown;
      /** @type {HTMLElement} */ (this.#panels.get(view)).hidden = !isShown;
    }
    this.#views[this.#shown].show();
  }
}
