/** The timeline: when each task ran, in which state it ended, how often it was retried, and on what. */

import { describe, endOf, titleWithStep } from "./describe.js";
import { h, setText } from "./dom.js";
import * as format from "./quantities.js";
import { ListKeys } from "./list_keys.js";
import { TaskSorter } from "./sorting.js";
import { stateInfo, stateMark } from "./states.js";
import { TimeScale } from "./timeline_scale.js";
import { VirtualRows, markActive } from "./virtual_rows.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */
/** @typedef {import("./task_record.js").Task} Task */

const ROW_HEIGHT = 28;
const ZOOM = 0.6;
const PAN = 0.25;
const BY_START = { column: "start", descending: false };

/** The tasks of a model that pass the filter, in the order in which they started. */
export class Timeline {
  element;
  #model;
  #loop;
  #rows;
  #keys;
  #open;
  #sorter = new TaskSorter();
  #scale = new TimeScale();
  #axis = h("div", { class: "timeline-axis", "aria-hidden": "true" });
  #span = h("p", { class: "small quiet numeric", role: "status" });
  #scroller = h("div", {
    class: "timeline",
    role: "listbox",
    tabindex: 0,
    "aria-label": "Timeline of tasks in the order in which they started",
    "aria-multiselectable": "true",
    "aria-describedby": "timeline-help",
  });
  /** @type {string[]} */
  #names = [];
  #isOrderStale = true;
  #axisKey = "";

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {import("./frame_loop.js").FrameLoop} options.loop
   * @param {AbortSignal} options.signal
   * @param {(name: string) => void} options.open
   */
  constructor(model, { loop, signal, open }) {
    this.#model = model;
    this.#loop = loop;
    this.#open = open;
    this.#scroller.append(this.#axis);
    this.#rows = new VirtualRows(this.#scroller, {
      rowHeight: ROW_HEIGHT,
      createRow: () => this.#createRow(),
      onScroll: () => loop.request(),
    });
    this.#rows.body.setAttribute("role", "presentation");
    this.#keys = new ListKeys(model, {
      names: () => this.#names,
      pageSize: () => this.#rows.pageSize,
      reveal: (index) => this.#rows.reveal(index),
      open,
    });
    this.element = h("div", { class: "timeline-view" }, this.#toolbar(), this.#scroller);
    this.#listen(signal);
    loop.add(() => this.#paint());
  }

  /** Move the end of running tasks, and the order. */
  tick() {
    this.show();
  }

  show() {
    this.#isOrderStale = true;
    this.#redraw();
  }

  #toolbar() {
    /** @type {(label: string, text: string, action: () => void) => HTMLElement} */
    const button = (label, text, action) =>
      h("button", { type: "button", "aria-label": label, title: label, onclick: () => this.#adjust(action) }, text);
    return h(
      "div",
      { class: "row" },
      button("Zoom in (+)", "+", () => this.#scale.zoom(ZOOM)),
      button("Zoom out (-)", "−", () => this.#scale.zoom(1 / ZOOM)),
      button("Show everything (0)", "All", () => this.#scale.reset()),
      this.#span,
      h(
        "p",
        { class: "visually-hidden", id: "timeline-help" },
        "Up and down move between tasks, plus and minus zoom, left and right move in time, 0 shows everything.",
      ),
    );
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
    for (const type of ["focus", "labels"]) {
      this.#model.addEventListener(type, redraw, { signal });
    }
    for (const type of ["order", "filter"]) {
      this.#model.addEventListener(type, () => this.show(), { signal });
    }
    this.#scroller.addEventListener(
      "keydown",
      (event) => {
        const action = this.#zoomAction(event);
        if (action) {
          event.preventDefault();
          this.#adjust(action);
        } else {
          this.#keys.handle(event);
        }
      },
      { signal },
    );
    this.#scroller.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
    const resize = new ResizeObserver(redraw);
    resize.observe(this.#scroller);
    signal.addEventListener("abort", () => resize.disconnect());
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {(() => void) | undefined}
   */
  #zoomAction(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return undefined; // the browser's own zoom
    }
    /** @type {Record<string, () => void>} */
    const actions = {
      "+": () => this.#scale.zoom(ZOOM),
      "=": () => this.#scale.zoom(ZOOM),
      "-": () => this.#scale.zoom(1 / ZOOM),
      0: () => this.#scale.reset(),
      ArrowLeft: () => this.#scale.pan(-PAN),
      ArrowRight: () => this.#scale.pan(PAN),
    };
    return actions[event.key];
  }

  /**
   * Zoom around the pointer while Ctrl is pressed, as browsers do; without it the list scrolls.
   *
   * @param {WheelEvent} event
   */
  #wheel(event) {
    if (event.ctrlKey) {
      event.preventDefault();
      const box = this.#axis.getBoundingClientRect();
      const centre = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
      this.#adjust(() => this.#scale.zoom(event.deltaY < 0 ? ZOOM : 1 / ZOOM, centre));
    }
  }

  /** @param {() => void} action */
  #adjust(action) {
    action();
    this.#redraw();
  }

  #redraw() {
    this.#rows.invalidate();
    this.#loop.request();
  }

  #paint() {
    if (this.element.hidden) {
      return;
    }
    const now = this.#model.freshness.serverNow();
    if (this.#isOrderStale) {
      this.#isOrderStale = false;
      this.#names = this.#sorter.sort(this.#model, this.#model.visibleNames(), BY_START);
      this.#rows.setCount(this.#names.length);
      this.#setDomain(now);
    }
    this.#drawAxis(now);
    this.#rows.paint();
    markActive(this.#scroller);
  }

  /** @param {number} now */
  #setDomain(now) {
    let from = Infinity;
    let to = -Infinity;
    for (const name of this.#names) {
      const task = this.#model.store.tasks.get(name);
      if (task === undefined || Number.isNaN(task.startTime)) {
        continue;
      }
      from = Math.min(from, task.startTime);
      to = Math.max(to, endOf(task, now));
    }
    if (from <= to) {
      this.#scale.setDomain(from, to);
    }
  }

  /** @param {number} now */
  #drawAxis(now) {
    const { from, to } = this.#scale;
    const width = this.#axis.clientWidth;
    const key = `${Math.round(from / 1000)} ${Math.round(to / 1000)} ${width}`;
    if (key === this.#axisKey) {
      return;
    }
    this.#axisKey = key;
    const offset = -new Date(from).getTimezoneOffset() * 60_000;
    const { step, times } = this.#scale.ticks(width, offset);
    this.#axis.replaceChildren(
      ...times.map((time) =>
        h("span", { style: { left: `${this.#scale.place(time) * 100}%` } }, format.tick(time, step)),
      ),
    );
    const shown = this.#scale.isZoomed ? "Shows" : "Everything:";
    const span = `${format.time(from, now)} to ${format.time(to, now)}`;
    setText(this.#span, this.#names.length > 0 ? `${shown} ${span}` : "");
  }

  #createRow() {
    const title = h("span", { class: "timeline-title" });
    const bar = h("div", { class: "timeline-bar" });
    const note = h("span", { class: "timeline-note small quiet" });
    const track = h("div", { class: "timeline-track" }, bar, note);
    const label = h("div", { class: "timeline-label" });
    const element = h("div", { class: "timeline-row", role: "option" }, label, track);
    let mark = stateMark(undefined);
    let shownState = "";
    label.append(mark, title);
    const nameOf = () => this.#names[Number(element.dataset.index)] ?? "";
    element.addEventListener("click", (event) => this.#keys.click(event, nameOf()));
    element.addEventListener("dblclick", () => this.#open(nameOf()));
    /** @param {number} index */
    const fill = (index) => {
      const model = this.#model;
      const task = model.store.tasks.get(this.#names[index] ?? "");
      element.dataset.index = String(index);
      element.id = `timeline-row-${index}`;
      element.setAttribute("aria-posinset", String(index + 1));
      element.setAttribute("aria-setsize", String(this.#names.length));
      if (task === undefined) {
        return;
      }
      element.setAttribute("aria-selected", String(model.selected.has(task.name)));
      element.classList.toggle("focused", model.focused === task.name);
      if (shownState !== task.state) {
        shownState = task.state;
        const next = stateMark(task.state);
        mark.replaceWith(next);
        mark = next;
        bar.className = `timeline-bar state-${stateInfo(task.state).key}`;
      }
      setText(title, titleWithStep(model, task));
      element.title = describe(model, task).join("\n");
      this.#placeBar(task, bar, note);
    };
    return { element, fill };
  }

  /**
   * @param {Task} task
   * @param {HTMLElement} bar
   * @param {HTMLElement} note
   */
  #placeBar(task, bar, note) {
    const now = this.#model.freshness.serverNow();
    const end = endOf(task, now);
    const left = this.#scale.place(task.startTime);
    const right = this.#scale.place(end);
    const isHidden = !(right >= 0 && left <= 1); // also for NaN
    bar.hidden = isHidden;
    note.hidden = isHidden;
    if (isHidden) {
      return;
    }
    const from = Math.max(0, left);
    const to = Math.min(1, right);
    bar.style.left = `${from * 100}%`;
    bar.style.width = `max(3px, ${(to - from) * 100}%)`;
    const retries = task.retryCount > 0 ? `retried ${task.retryCount} ×` : "";
    const time = format.duration(end - task.startTime);
    setText(note, [time, retries, task.instance].filter(Boolean).join(" · "));
    const isAtEnd = to > 0.7;
    note.style.left = isAtEnd ? "auto" : `calc(${to * 100}% + 6px)`;
    note.style.right = isAtEnd ? `calc(${(1 - from) * 100}% + 6px)` : "auto";
  }
}
