/** Where the cells of the grid are. It has no DOM. */

const HEADING = 26;
const SPACE = 8;

/**
 * @typedef {object} Block
 * @property {number} start position of the first task
 * @property {number} count
 * @property {number} headingTop
 * @property {number} top of the cells
 */

/**
 * @typedef {object} Layout
 * @property {number} cell size of a cell in CSS pixels, without the gap
 * @property {number} pitch distance between two cells
 * @property {number} columns
 * @property {number} width
 * @property {number} height
 * @property {number} count number of all tasks
 * @property {Block[]} blocks
 */

/**
 * Return the size of a cell for a number of tasks. Below 8 pixels shapes cannot be distinguished, so large grids become
 * higher instead.
 *
 * @param {number} count
 */
export function cellSize(count) {
  if (count <= 400) {
    return 20;
  }
  return count <= 2_500 ? 14 : 10;
}

/**
 * @param {{start: number, count: number}[]} groups
 * @param {number} width in CSS pixels
 * @returns {Layout}
 */
export function layOut(groups, width) {
  const count = groups.reduce((sum, group) => sum + group.count, 0);
  const cell = cellSize(count);
  const pitch = cell + (cell > 10 ? 2 : 1);
  const columns = Math.max(1, Math.floor((width + pitch - cell) / pitch));
  let top = 0;
  const blocks = groups.map((group) => {
    const block = { start: group.start, count: group.count, headingTop: top, top: top + HEADING };
    top = block.top + Math.ceil(group.count / columns) * pitch + SPACE;
    return block;
  });
  return { cell, pitch, columns, width, height: top, count, blocks };
}

/**
 * Return the block of a task.
 *
 * @param {Layout} layout
 * @param {number} position
 * @returns {Block | undefined}
 */
function blockOf(layout, position) {
  const { blocks } = layout;
  let low = 0;
  let high = blocks.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (/** @type {Block} */ (blocks[middle]).start <= position) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return blocks[low];
}

/**
 * Return the top left corner of a cell.
 *
 * @param {Layout} layout
 * @param {number} position
 * @returns {{x: number, y: number}}
 */
export function cornerOf(layout, position) {
  const block = blockOf(layout, position);
  if (block === undefined) {
    return { x: 0, y: 0 };
  }
  const offset = position - block.start;
  return {
    x: (offset % layout.columns) * layout.pitch,
    y: block.top + Math.floor(offset / layout.columns) * layout.pitch,
  };
}

/**
 * Return the position of the task at a point, or -1.
 *
 * @param {Layout} layout
 * @param {number} x
 * @param {number} y
 */
export function positionAt(layout, x, y) {
  const column = Math.floor(x / layout.pitch);
  if (x < 0 || column >= layout.columns) {
    return -1;
  }
  for (const block of layout.blocks) {
    const row = Math.floor((y - block.top) / layout.pitch);
    const offset = row * layout.columns + column;
    if (row >= 0 && offset < block.count) {
      return block.start + offset;
    }
  }
  return -1;
}

/**
 * Return the position to which a key moves, or -1 if the key does not move.
 *
 * @param {Layout} layout
 * @param {number} position
 * @param {string} key a value of KeyboardEvent.key
 */
export function move(layout, position, key) {
  const last = layout.count - 1;
  if (last < 0) {
    return -1;
  }
  switch (key) {
    case "ArrowLeft":
      return Math.max(0, position - 1);
    case "ArrowRight":
      return Math.min(last, position + 1);
    case "ArrowUp":
      return moveRow(layout, position, -1);
    case "ArrowDown":
      return moveRow(layout, position, 1);
    case "PageUp":
      return moveBlock(layout, position, -1);
    case "PageDown":
      return moveBlock(layout, position, 1);
    case "Home":
      return 0;
    case "End":
      return last;
    default:
      return -1;
  }
}

/**
 * Move to the next row, which may be in the next block. The column stays if that row has it.
 *
 * @param {Layout} layout
 * @param {number} position
 * @param {1 | -1} direction
 */
function moveRow(layout, position, direction) {
  const block = /** @type {Block} */ (blockOf(layout, position));
  const offset = position - block.start;
  const column = offset % layout.columns;
  const row = Math.floor(offset / layout.columns) + direction;
  const rows = Math.ceil(block.count / layout.columns);
  if (row >= 0 && row < rows) {
    return block.start + Math.min(row * layout.columns + column, block.count - 1);
  }
  const next = layout.blocks[layout.blocks.indexOf(block) + direction];
  if (next === undefined) {
    return position;
  }
  const lastRow = Math.floor((next.count - 1) / layout.columns) * layout.columns;
  return next.start + Math.min((direction < 0 ? lastRow : 0) + column, next.count - 1);
}

/**
 * Move to the first task of the previous or next block.
 *
 * @param {Layout} layout
 * @param {number} position
 * @param {1 | -1} direction
 */
function moveBlock(layout, position, direction) {
  const block = /** @type {Block} */ (blockOf(layout, position));
  if (direction < 0 && position > block.start) {
    return block.start;
  }
  return layout.blocks[layout.blocks.indexOf(block) + direction]?.start ?? position;
}
