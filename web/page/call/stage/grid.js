/** A camera's picture. */
const WIDE = 16 / 9;
/** The narrowest aspect ratio of a tile; on an upright stage tiles may be square. */
const NARROW = 4 / 3;
const SQUARE = 1;
/** Somebody alone on the stage fills it, on a phone too. */
const UPRIGHT = 9 / 16;
const GAP = 10;
/** The smallest tile, in pixels, on which a name is readable. */
const LEAST = { width: 100, height: 64 };
/** With more tiles than this, there are pages. */
const MOST = 49;

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Rectangle in pixels, from the upper corner at which a line begins
 * @typedef {{perPage: number, place: (count: number) => Rectangle[]}} Arrangement how many tiles a page has, and where
 *   that many lie
 */

/**
 * Equal tiles of the greatest size that fits.
 *
 * @param {number} width of the stage
 * @param {number} height of the stage
 * @returns {Arrangement}
 */
export function grid(width, height) {
  const most = { columns: capacity(width, LEAST.width), rows: capacity(height, LEAST.height) };
  return {
    perPage: Math.max(1, Math.min(MOST, most.columns * most.rows)),
    place: (count) => rows(fit(count, width, height, most), count, width, height),
  };
}

/**
 * One large tile, which is the first, and the others in a strip beside or below it.
 *
 * @param {number} width of the stage
 * @param {number} height of the stage
 * @returns {Arrangement}
 */
export function strip(width, height) {
  const beside = width > height * 1.2;
  const [length, across] = beside ? [height, width] : [width, height];
  const least = beside ? LEAST.height : LEAST.width;
  const breadth = Math.floor(beside ? clamp(across * 0.24, LEAST.width, 260) : clamp(across * 0.26, LEAST.height, 150));
  const wanted = Math.max(least, Math.floor(beside ? breadth / WIDE : breadth * WIDE));
  return {
    perPage: 1 + Math.min(MOST, Math.max(1, capacity(length, least))),
    place: (count) => {
      const others = count - 1;
      if (others < 1) return [{ x: 0, y: 0, width: Math.floor(width), height: Math.floor(height) }];
      const room = Math.max(1, Math.floor(across) - breadth - GAP);
      const extent = Math.min(wanted, Math.floor((length - GAP * (others - 1)) / others));
      const begin = Math.floor((length - extent * others - GAP * (others - 1)) / 2);
      const along = Array.from({ length: others }, (_, index) => begin + index * (extent + GAP));
      const turned = (/** @type {Rectangle} */ { x, y, ...size }) => ({ x: y, y: x, width: size.height, height: size.width });
      const all = [{ x: 0, y: 0, width: room, height: Math.floor(length) },
        ...along.map((y) => ({ x: room + GAP, y, width: breadth, height: extent }))];
      return beside ? all : all.map(turned);
    },
  };
}

/**
 * Columns and size of this number of equal tiles.
 *
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @param {{columns: number, rows: number}} [most] that are large enough to be read
 * @returns {{columns: number, width: number, height: number}} of one tile, in whole pixels
 */
export function fit(count, width, height, most = { columns: count, rows: count }) {
  const narrow = count === 1 ? UPRIGHT : height > width ? SQUARE : NARROW;
  let best = { columns: 1, width: 0, height: 0 };
  let worth = 0;
  for (let columns = 1; columns <= Math.min(count, most.columns); columns += 1) {
    const lines = Math.ceil(count / columns);
    if (lines > most.rows && columns < most.columns) continue;
    const cell = { width: (width - GAP * (columns - 1)) / columns, height: (height - GAP * (lines - 1)) / lines };
    const ratio = clamp(cell.width / cell.height, narrow, WIDE);
    const tile = { width: Math.floor(Math.min(cell.width, cell.height * ratio)), height: Math.floor(Math.min(cell.height, cell.width / ratio)) };
    // A tile that crops a picture has to be larger by this factor.
    const seen = tile.width * tile.height * Math.sqrt(ratio / WIDE);
    if (seen > worth) [best, worth] = [{ columns, ...tile }, seen];
  }
  return best;
}

/**
 * @param {{columns: number, width: number, height: number}} tile
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @returns {Rectangle[]} in rows; a last one that is not full is centred
 */
function rows({ columns, ...tile }, count, width, height) {
  const lines = Math.ceil(count / columns);
  const top = Math.floor((height - lines * tile.height - GAP * (lines - 1)) / 2);
  return Array.from({ length: count }, (_, index) => {
    const line = Math.floor(index / columns);
    const inLine = line === lines - 1 ? count - line * columns : columns;
    const start = Math.floor((width - inLine * tile.width - GAP * (inLine - 1)) / 2);
    return { x: start + (index % columns) * (tile.width + GAP), y: top + line * (tile.height + GAP), ...tile };
  });
}

/** How many items of a length fit into a row. @param {number} room @param {number} each */
const capacity = (room, each) => Math.max(1, Math.floor((room + GAP) / (each + GAP)));

/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
