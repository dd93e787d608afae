import assert from "node:assert/strict";
import { test } from "node:test";

import { cellSize, cornerOf, layOut, move, positionAt } from "../../../server/taskgate_server/console/js/grid_layout.js";

/** Two steps of 25 and 7 tasks, ten columns. */
function twoSteps() {
  const width = 10 * 22;
  return layOut([{ start: 0, count: 25 }, { start: 25, count: 7 }], width);
}

test("each cell is found at its own place, and only there", () => {
  const layout = twoSteps();
  assert.equal(layout.columns, 10);
  for (let position = 0; position < layout.count; position += 1) {
    const { x, y } = cornerOf(layout, position);
    assert.equal(positionAt(layout, x + 1, y + 1), position);
    assert.ok(y + layout.cell <= layout.height);
    assert.ok(x + layout.cell <= layout.width);
  }
  assert.equal(positionAt(layout, -1, 30), -1);
  assert.equal(positionAt(layout, 5, 1), -1, "a heading");
  const { x, y } = cornerOf(layout, 24);
  assert.equal(positionAt(layout, x + layout.pitch, y), -1, "after the last cell of a step");
  assert.equal(positionAt(layout, 1000, y), -1);
});

test("arrow keys keep the column across steps where it exists", () => {
  const layout = twoSteps();
  assert.equal(move(layout, 3, "ArrowDown"), 13);
  assert.equal(move(layout, 18, "ArrowDown"), 24, "a shorter last row");
  assert.equal(move(layout, 23, "ArrowDown"), 28, "the next step");
  assert.equal(move(layout, 28, "ArrowUp"), 23);
  assert.equal(move(layout, 3, "ArrowUp"), 3);
  assert.equal(move(layout, 31, "ArrowDown"), 31);
  assert.equal(move(layout, 24, "ArrowRight"), 25);
  assert.equal(move(layout, 0, "ArrowLeft"), 0);
  assert.equal(move(layout, 31, "ArrowRight"), 31);
});

test("other keys move between steps, and to both ends", () => {
  const layout = twoSteps();
  assert.equal(move(layout, 12, "PageDown"), 25);
  assert.equal(move(layout, 12, "PageUp"), 0);
  assert.equal(move(layout, 25, "PageUp"), 0);
  assert.equal(move(layout, 30, "PageUp"), 25);
  assert.equal(move(layout, 30, "PageDown"), 30);
  assert.equal(move(layout, 12, "Home"), 0);
  assert.equal(move(layout, 12, "End"), 31);
  assert.equal(move(layout, 12, "x"), -1);
});

test("a grid without tasks has no cells", () => {
  const layout = layOut([], 500);
  assert.equal(positionAt(layout, 5, 5), -1);
  assert.equal(move(layout, 0, "ArrowDown"), -1);
  assert.deepEqual(cornerOf(layout, 0), { x: 0, y: 0 });
});

test("10,000 tasks fit on canvases of every browser", () => {
  for (const width of [320, 1280]) {
    const layout = layOut([{ start: 0, count: 10_000 }], width);
    assert.ok(layout.height < 16_384 / 3, `${layout.height} px high`);
  }
  assert.ok(cellSize(10_000) >= 8);
});
