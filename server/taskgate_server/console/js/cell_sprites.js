/** Pictures of the grid's cells, drawn once for each state, so that a cell costs one copy. */

import { h } from "./dom.js";
import { STATES, stateInfo } from "./states.js";

/** How a cell looks: as it is, outside of the filter, or selected. */
const VARIANTS = /** @type {const} */ (["plain", "dimmed", "selected"]);
/** @typedef {typeof VARIANTS[number]} Variant */

const SHAPE_SIZE = 16;
const DIMMED = 0.15;

/** One row of pictures for each variant, one column for each state. */
export class CellSprites {
  #canvas = document.createElement("canvas");
  #columns = new Map(STATES.map(({ key }, index) => [key, index]));
  #size = 0;
  #isStale = true;

  /** Draw again when needed: the colours have changed. */
  invalidate() {
    this.#isStale = true;
  }

  /**
   * Draw all pictures with the current colours, unless they are there.
   *
   * @param {number} cell size in CSS pixels
   * @param {number} ratio device pixels per CSS pixel
   */
  draw(cell, ratio) {
    const size = Math.round(cell * ratio);
    if (size === this.#size && !this.#isStale) {
      return;
    }
    this.#size = size;
    this.#isStale = false;
    this.#canvas.width = this.#size * STATES.length;
    this.#canvas.height = this.#size * VARIANTS.length;
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    for (const [column, info] of STATES.entries()) {
      const colours = coloursOf(info.key);
      for (const [row, variant] of VARIANTS.entries()) {
        context.save();
        context.translate(column * this.#size, row * this.#size);
        context.scale(this.#size / SHAPE_SIZE, this.#size / SHAPE_SIZE);
        drawCell(context, info, colours, variant, SHAPE_SIZE / cell);
        context.restore();
      }
    }
  }

  /**
   * Copy a picture.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {string} state
   * @param {Variant} variant
   * @param {number} x in device pixels
   * @param {number} y
   */
  copy(context, state, variant, x, y) {
    const size = this.#size;
    const column = this.#columns.get(stateInfo(state).key) ?? 0;
    const row = VARIANTS.indexOf(variant);
    context.clearRect(x, y, size, size);
    context.drawImage(this.#canvas, column * size, row * size, size, size, x, y, size, size);
  }
}

/** @typedef {{area: string, ink: string, edge: string, text: string}} Colours */

/**
 * Return the colours that the style sheets give to a state.
 *
 * @param {string} key
 * @returns {Colours}
 */
function coloursOf(key) {
  const probe = h("span", { class: `state-${key}`, hidden: true });
  document.body.append(probe);
  const style = getComputedStyle(probe);
  /** @type {(name: string) => string} */
  const read = (name) => style.getPropertyValue(name).trim() || "gray";
  const colours = {
    area: read("--state"),
    ink: read("--state-ink"),
    edge: read("--state-edge"),
    text: read("--text"),
  };
  probe.remove();
  return colours;
}

/**
 * @param {CanvasRenderingContext2D} context scaled so that the cell has the size of a shape
 * @param {import("./states.js").StateInfo} info
 * @param {Colours} colours
 * @param {Variant} variant
 * @param {number} pixel the size of a CSS pixel on that scale
 */
function drawCell(context, { key, shape }, { area, ink, edge, text }, variant, pixel) {
  const isSelected = variant === "selected";
  const inset = (isSelected ? 1.25 : 0.5) * pixel;
  context.globalAlpha = variant === "dimmed" ? DIMMED : 1;
  context.beginPath();
  context.roundRect(inset, inset, SHAPE_SIZE - 2 * inset, SHAPE_SIZE - 2 * inset, 2);
  context.fillStyle = area;
  context.fill();
  context.lineWidth = 2 * inset;
  context.strokeStyle = isSelected ? text : edge;
  context.stroke();
  // Small cells need bolder shapes, or these would be thinner than a pixel.
  context.lineWidth = Math.max(2, 1.4 * pixel);
  context.lineCap = "round";
  context.lineJoin = "round";
  context.strokeStyle = ink;
  context.stroke(new Path2D(shape));
  if (key === "running") {
    context.fillStyle = ink; // as in style.css
    context.fill(new Path2D(shape));
  }
}

/**
 * Call back when the colours change, until the signal is aborted.
 *
 * @param {() => void} callback
 * @param {AbortSignal} signal
 */
export function onColoursChanged(callback, signal) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", callback, { signal });
  addEventListener("themechange", callback, { signal }); // the user has chosen a mode
}
