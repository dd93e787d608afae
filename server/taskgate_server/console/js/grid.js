/** The grid of all tasks: one cell per task, grouped by step. Only cells whose tasks have changed are drawn. */

import { CellSprites, onColoursChanged } from "./cell_sprites.js";
import { describe } from "./describe.js";
import { h } from "./dom.js";
import { cellSize, cornerOf, layOut, move, positionAt } from "./grid_layout.js";
import { GridHeadings } from "./grid_headings.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */
/** @typedef {import("./frame_loop.js").FrameLoop} FrameLoop */

/** Time for drawing in one frame; what is left is drawn in the next one. */
const FRAME_MS = 6;
/** While tasks are added, the cells are placed no more often than this. */
const LAYOUT_MS = 150;
/** Cells between two looks at the clock. */
const CELLS_PER_LOOK = 128;

const HELP =
  "Arrow keys move between tasks, Page Up and Page Down between steps, Enter opens a task, Space selects it. " +
  "The table has the same tasks as text.";

/** The tasks of a model on a canvas. */
export class TaskGrid {
  element;
  #model;
  #loop;
  #open;
  #now;
  #canvas = h("canvas", { "aria-hidden": "true" });
  #ring = h("div", { class: "grid-ring", hidden: true });
  #tip = h("div", { class: "grid-tip", hidden: true });
  #spoken = h("div", { class: "visually-hidden", role: "status" });
  #surface = h("div", {
    class: "grid-surface",
    role: "application",
    tabindex: 0,
    "aria-roledescription": "task grid",
    "aria-describedby": "grid-help",
  });
  #context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
  #sprites = new CellSprites();
  #headings;
  #layout = layOut([], 1);
  #width = 0;
  #ratio = 1;
  #isLayoutStale = true;
  #laidOutAt = -Infinity;
  /** Positions to draw. @type {Set<number>} */
  #dirty = new Set();
  /** From this position on, all cells are drawn. */
  #drawFrom = Infinity;

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {FrameLoop} options.loop
   * @param {AbortSignal} options.signal
   * @param {(name: string) => void} options.open
   * @param {() => number} [options.now] milliseconds on a monotonic clock
   */
  constructor(model, { loop, signal, open, now = () => performance.now() }) {
    this.#model = model;
    this.#loop = loop;
    this.#open = open;
    this.#now = now;
    this.#headings = new GridHeadings(model);
    this.#surface.append(this.#canvas, this.#headings.element, this.#ring);
    const help = h("p", { id: "grid-help", class: "visually-hidden" }, HELP);
    this.element = h("div", { class: "grid" }, help, this.#surface, this.#tip, this.#spoken);
    this.#listenToModel(signal);
    this.#listenToUser(signal);
    loop.add(() => this.#paint());
  }

  /** Update what changes with time. */
  tick() {
    if (!this.element.hidden) {
      this.#headings.update();
    }
  }

  /** Draw again after the element was hidden. */
  show() {
    this.#invalidateLayout();
  }

  /** @param {AbortSignal} signal */
  #listenToModel(signal) {
    const model = this.#model;
    /** @type {(event: Event) => void} */
    const drawNames = (event) => {
      for (const name of /** @type {CustomEvent<Set<string>>} */ (event).detail) {
        this.#drawName(name);
      }
    };
    model.addEventListener("tasks", drawNames, { signal });
    model.addEventListener("selection", drawNames, { signal });
    model.addEventListener("order", () => this.#invalidateLayout(), { signal });
    model.addEventListener("filter", () => this.#drawAll(), { signal });
    model.addEventListener("labels", () => this.#headings.update(), { signal });
    model.addEventListener("focus", () => this.#moveRing(), { signal });
    onColoursChanged(() => {
      this.#sprites.invalidate();
      this.#invalidateLayout();
    }, signal);
    const resize = new ResizeObserver(() => this.#resized());
    resize.observe(this.#surface);
    signal.addEventListener("abort", () => resize.disconnect());
  }

  /** @param {AbortSignal} signal */
  #listenToUser(signal) {
    const surface = this.#surface;
    surface.addEventListener("keydown", (event) => this.#pressed(event), { signal });
    surface.addEventListener("pointermove", (event) => this.#hovered(event), { signal });
    surface.addEventListener("pointerleave", () => (this.#tip.hidden = true), { signal });
    surface.addEventListener("click", (event) => this.#clicked(event), { signal });
    surface.addEventListener("blur", () => (this.#tip.hidden = true), { signal });
    surface.addEventListener(
      "focus",
      () => {
        const { names, positions } = this.#model.order;
        if (!positions.has(this.#model.focused) && names[0] !== undefined) {
          this.#model.setFocus(names[0]);
        } else {
          this.#moveRing();
        }
      },
      { signal },
    );
  }

  #resized() {
    if (this.#surface.clientWidth !== this.#width || devicePixelRatio !== this.#ratio) {
      this.#invalidateLayout();
    }
  }

  #invalidateLayout() {
    this.#isLayoutStale = true;
    this.#loop.request();
  }

  #drawAll() {
    this.#drawFrom = 0;
    this.#loop.request();
  }

  /** @param {string} name */
  #drawName(name) {
    const position = this.#model.order.positions.get(name);
    if (position !== undefined) {
      this.#dirty.add(position);
      this.#loop.request();
    }
  }

  /** Return whether cells are left for the next frame. */
  #paint() {
    if (this.element.hidden) {
      this.#dirty.clear();
      return false;
    }
    const now = this.#now();
    if (this.#isLayoutStale) {
      if (now < this.#laidOutAt + LAYOUT_MS) {
        return true;
      }
      this.#laidOutAt = now;
      this.#layOut();
    }
    const end = now + FRAME_MS;
    let looks = 0;
    const isLate = () => (looks += 1) % CELLS_PER_LOOK === 0 && this.#now() > end;
    for (const position of this.#dirty) {
      this.#dirty.delete(position);
      this.#drawCell(position);
      if (isLate()) {
        return true;
      }
    }
    while (this.#drawFrom < this.#layout.count) {
      this.#drawCell(this.#drawFrom);
      this.#drawFrom += 1;
      if (isLate()) {
        return true;
      }
    }
    this.#drawFrom = Infinity;
    return false;
  }

  #layOut() {
    this.#isLayoutStale = false;
    const { order } = this.#model;
    const previous = this.#layout;
    this.#width = this.#surface.clientWidth;
    const groups = order.groups.map(({ start, names }) => ({ start, count: names.length }));
    this.#layout = layOut(groups, this.#width);
    this.#ratio = devicePixelRatio;
    this.#sprites.draw(cellSize(order.names.length), this.#ratio);
    const { width, height, columns, pitch } = this.#layout;
    const isSamePlace = previous.width === width && previous.columns === columns && previous.pitch === pitch;
    if (!isSamePlace || previous.height !== height) {
      this.#surface.style.height = `${height}px`;
      this.#canvas.style.width = `${width}px`;
      this.#canvas.style.height = `${height}px`;
      this.#canvas.width = Math.round(width * this.#ratio); // also clears it
      this.#canvas.height = Math.round(height * this.#ratio);
    } else {
      this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    }
    this.#headings.place(this.#layout);
    this.#dirty.clear();
    this.#drawFrom = 0;
    this.#surface.setAttribute(
      "aria-label",
      `Grid of ${order.names.length} tasks in ${order.groups.length} groups`,
    );
    this.#moveRing();
  }

  /** @param {number} position */
  #drawCell(position) {
    const model = this.#model;
    const name = model.order.names[position];
    const task = name === undefined ? undefined : model.store.tasks.get(name);
    if (name === undefined || task === undefined) {
      return;
    }
    const isSelected = model.selected.has(name);
    const { x, y } = cornerOf(this.#layout, position);
    this.#sprites.copy(
      this.#context,
      task.state,
      isSelected ? "selected" : model.isVisible(name) ? "plain" : "dimmed",
      Math.round(x * this.#ratio),
      Math.round(y * this.#ratio),
    );
  }

  #moveRing() {
    const { focused, order } = this.#model;
    const position = order.positions.get(focused);
    this.#ring.hidden = position === undefined;
    if (position === undefined || this.#isLayoutStale) {
      return;
    }
    const { x, y } = cornerOf(this.#layout, position);
    const { cell } = this.#layout;
    this.#ring.style.transform = `translate(${x - 2}px, ${y - 2}px)`;
    this.#ring.style.width = `${cell + 4}px`;
    this.#ring.style.height = `${cell + 4}px`;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const model = this.#model;
    const position = model.order.positions.get(model.focused) ?? 0;
    const target = event.altKey || event.ctrlKey || event.metaKey ? -1 : move(this.#layout, position, event.key);
    const name = model.order.names[target];
    if (name !== undefined) {
      model.setFocus(name);
      this.#ring.scrollIntoView({ block: "nearest", inline: "nearest" });
      this.#showTip(name, true);
    } else if (event.key === "Enter" && model.focused) {
      this.#open(model.focused);
    } else if (event.key === " " && model.focused) {
      model.toggle(model.focused);
      this.#showTip(model.focused, true);
    } else if (event.key === "Escape") {
      this.#tip.hidden = true;
      return;
    } else {
      return;
    }
    event.preventDefault();
  }

  /** @param {MouseEvent} event */
  #nameAt(event) {
    const box = this.#canvas.getBoundingClientRect();
    const position = positionAt(this.#layout, event.clientX - box.left, event.clientY - box.top);
    return this.#model.order.names[position];
  }

  /** @param {PointerEvent} event */
  #hovered(event) {
    const name = this.#nameAt(event);
    this.#surface.classList.toggle("over-task", name !== undefined);
    if (name === undefined) {
      this.#tip.hidden = true;
    } else {
      this.#showTip(name, false);
    }
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const name = this.#nameAt(event);
    if (name === undefined || (event.target instanceof Element && event.target.closest("a"))) {
      return;
    }
    this.#model.setFocus(name);
    if (event.ctrlKey || event.metaKey || event.shiftKey) {
      this.#model.toggle(name);
    } else {
      this.#open(name);
    }
  }

  /**
   * @param {string} name
   * @param {boolean} speak
   */
  #showTip(name, speak) {
    const model = this.#model;
    const task = model.store.tasks.get(name);
    const position = model.order.positions.get(name);
    if (task === undefined || position === undefined) {
      return;
    }
    const [title = "", ...more] = describe(model, task);
    if (speak) {
      this.#spoken.textContent = [title, ...more].join(". ");
    }
    this.#tip.replaceChildren(h("strong", null, title), ...more.map((line) => h("div", null, line)));
    this.#tip.hidden = false;
    const { x, y } = cornerOf(this.#layout, position);
    const { cell, width } = this.#layout;
    const isRight = x > width / 2;
    this.#tip.style.left = isRight ? "auto" : `${x + cell + 8}px`;
    this.#tip.style.right = isRight ? `${width - x + 8}px` : "auto";
    this.#tip.style.top = `${y}px`;
  }
}
