/** The tasks as a table with sorting, for keyboard and screen readers, too. */

import { endOf, runTime, stateText, titleOf } from "./describe.js";
import { h, setText } from "./dom.js";
import * as format from "./quantities.js";
import { ListKeys } from "./list_keys.js";
import { TaskSorter } from "./sorting.js";
import { stateInfo, stateMark } from "./states.js";
import { VirtualRows, markActive } from "./virtual_rows.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */
/** @typedef {import("./task_record.js").Task} Task */
/** @typedef {import("./sorting.js").Sort} Sort */

export const ROW_HEIGHT = 34;

/**
 * @typedef {object} Column
 * @property {string} key
 * @property {string} label
 * @property {(model: ParentModel, task: Task, now: number) => string} text
 */

/** @type {Column[]} */
const COLUMNS = [
  { key: "state", label: "State", text: (_, task) => stateText(task) },
  { key: "name", label: "Task", text: (_, task) => titleOf(task) },
  {
    key: "step",
    label: "Step",
    text: (model, task) => model.labelOf(model.order.groupOf(task.name)),
  },
  { key: "start", label: "Started", text: (_, task, now) => format.time(task.startTime, now) },
  {
    key: "end",
    label: "Ended",
    text: (_, task, now) => (endOf(task, now) === now ? "" : format.time(task.endTime, now)),
  },
  { key: "time", label: "Run time", text: (_, task, now) => format.duration(runTime(task, now)) },
  {
    key: "retries",
    label: "Retries",
    text: (_, task) => (task.retryCount > 0 ? format.number(task.retryCount) : ""),
  },
  { key: "instance", label: "Instance", text: (_, task) => task.instance },
  { key: "message", label: "Message", text: (_, task) => task.message },
];

/** A table of the tasks of a model that pass the filter. */
export class TaskTable {
  element;
  #model;
  #loop;
  #rows;
  #keys;
  #open;
  #onSort;
  #head = h("div", { class: "table-head", role: "row", "aria-rowindex": 1 });
  #scroller = h("div", {
    class: "table",
    role: "grid",
    tabindex: 0,
    "aria-label": "Tasks",
    "aria-multiselectable": "true",
    "aria-colcount": COLUMNS.length + 1,
  });
  #sorter = new TaskSorter();
  /** @type {Sort} */
  #sort;
  /** @type {string[]} */
  #names = [];
  #isOrderStale = true;

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {import("./frame_loop.js").FrameLoop} options.loop
   * @param {AbortSignal} options.signal
   * @param {(name: string) => void} options.open
   * @param {Sort} options.sort
   * @param {(sort: Sort) => void} options.onSort
   */
  constructor(model, { loop, signal, open, sort, onSort }) {
    this.#model = model;
    this.#loop = loop;
    this.#open = open;
    this.#sort = sort;
    this.#onSort = onSort;
    this.#scroller.append(this.#head);
    this.#rows = new VirtualRows(this.#scroller, {
      rowHeight: ROW_HEIGHT,
      createRow: () => this.#createRow(),
      onScroll: () => loop.request(),
    });
    this.#keys = new ListKeys(model, {
      names: () => this.#names,
      pageSize: () => this.#rows.pageSize,
      reveal: (index) => this.#rows.reveal(index),
      open,
    });
    this.element = this.#scroller;
    this.#drawHead();
    this.#listen(signal);
    loop.add(() => this.#paint());
  }

  /** Update what changes with time, and the order: rows that move more often cannot be read. */
  tick() {
    if (this.#sort.column !== "") {
      this.#isOrderStale = true;
    }
    this.#redraw();
  }

  show() {
    this.#isOrderStale = true;
    this.#redraw();
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    const redraw = () => this.#redraw();
    /** @type {(event: Event) => void} */
    const redrawNames = (event) => {
      const { detail } = /** @type {CustomEvent<Set<string>>} */ (event);
      if (this.#rows.invalidateIf((index) => detail.has(this.#names[index] ?? ""))) {
        this.#loop.request();
      }
    };
    this.#model.addEventListener("tasks", redrawNames, { signal });
    this.#model.addEventListener("selection", redrawNames, { signal });
    const reorder = () => this.show();
    for (const type of ["focus", "labels"]) {
      this.#model.addEventListener(type, redraw, { signal });
    }
    this.#model.addEventListener("order", reorder, { signal });
    this.#model.addEventListener("filter", reorder, { signal });
    this.#scroller.addEventListener(
      "keydown",
      (event) => {
        if (event.target === this.#scroller) {
          this.#keys.handle(event);
        }
      },
      { signal },
    );
    const resize = new ResizeObserver(redraw);
    resize.observe(this.#scroller);
    signal.addEventListener("abort", () => resize.disconnect());
  }

  #redraw() {
    this.#rows.invalidate();
    this.#loop.request();
  }

  #paint() {
    if (this.element.hidden) {
      return;
    }
    if (this.#isOrderStale) {
      this.#isOrderStale = false;
      this.#names = this.#sorter.sort(this.#model, this.#model.visibleNames(), this.#sort);
      this.#rows.setCount(this.#names.length);
      this.#scroller.setAttribute("aria-rowcount", String(this.#names.length + 1));
    }
    this.#rows.paint();
    markActive(this.#scroller);
  }

  #drawHead() {
    const cells = COLUMNS.map(({ key, label }) => {
      const isSorted = this.#sort.column === key;
      const order = this.#sort.descending ? "descending" : "ascending";
      return h(
        "div",
        {
          class: `cell cell-${key}`,
          role: "columnheader",
          "aria-sort": isSorted ? order : "none",
        },
        h(
          "button",
          { type: "button", class: "plain sort", onclick: () => this.#sortBy(key) },
          label,
          isSorted && h("span", { "aria-hidden": "true" }, this.#sort.descending ? "▼" : "▲"),
        ),
      );
    });
    const box = h(
      "div",
      { class: "cell cell-select", role: "columnheader" },
      h("span", { class: "visually-hidden" }, "Selected"),
    );
    this.#head.replaceChildren(box, ...cells);
  }

  /**
   * Sort by a column, then in the other direction, then not.
   *
   * @param {string} column
   */
  #sortBy(column) {
    const { column: current, descending } = this.#sort;
    if (column !== current) {
      this.#sort = { column, descending: false };
    } else {
      this.#sort = descending ? { column: "", descending: false } : { column, descending: true };
    }
    this.#drawHead();
    const sorted = this.#head.querySelector(`.cell-${column} button`);
    if (sorted instanceof HTMLElement) {
      sorted.focus();
    }
    this.#onSort(this.#sort);
    this.show();
  }

  #createRow() {
    const select = h("div", { class: "cell cell-select", role: "gridcell" });
    const cells = COLUMNS.map(({ key }) => h("div", { class: `cell cell-${key}`, role: "gridcell" }));
    const element = h("div", { class: "table-row", role: "row" }, select, cells);
    const text = h("span");
    let mark = stateMark(undefined);
    let shownState = "";
    cells[0]?.append(mark, text);
    element.addEventListener("click", (event) => {
      const name = this.#names[Number(element.dataset.index)];
      if (name === undefined) {
        return;
      }
      if (event.target === select) {
        this.#model.toggle(name);
        this.#model.setFocus(name);
      } else {
        this.#keys.click(event, name);
      }
    });
    element.addEventListener("dblclick", () => this.#open(this.#names[Number(element.dataset.index)] ?? ""));
    /** @param {number} index */
    const fill = (index) => {
      const model = this.#model;
      const task = model.store.tasks.get(this.#names[index] ?? "");
      element.dataset.index = String(index);
      element.id = `table-row-${index}`;
      element.setAttribute("aria-rowindex", String(index + 2));
      if (task === undefined) {
        return;
      }
      const isSelected = model.selected.has(task.name);
      element.setAttribute("aria-selected", String(isSelected));
      element.classList.toggle("focused", model.focused === task.name);
      setText(select, isSelected ? "✓" : "");
      if (shownState !== task.state) {
        shownState = task.state;
        const next = stateMark(task.state);
        mark.replaceWith(next);
        mark = next;
        element.dataset.state = stateInfo(task.state).key;
      }
      const now = model.freshness.serverNow();
      for (const [column, { text: textOf }] of COLUMNS.entries()) {
        const cell = column === 0 ? text : /** @type {HTMLElement} */ (cells[column]);
        const content = textOf(model, task, now);
        if (cell.textContent !== content) {
          cell.textContent = content;
          cell.title = content;
        }
      }
    };
    return { element, fill };
  }
}
