const RATIO = 16 / 9;
const GAP = 10;

/**
 * Arranges equal tiles so that they are as large as possible, or the first one large and the rest in a strip.
 *
 * @param {HTMLElement} grid
 * @param {number} count of tiles in the grid
 * @param {boolean} emphasised whether the first tile is the main one
 */
export function arrange(grid, count, emphasised) {
  const { clientWidth: width, clientHeight: height } = grid;
  if (width === 0 || height === 0 || count === 0) return;
  if (emphasised && count > 1) {
    const beside = width > height * 1.2;
    const strip = beside ? Math.min(260, width * 0.24) : Math.min(150, height * 0.26);
    grid.style.setProperty('--strip', `${Math.floor(strip)}px`);
    grid.dataset.strip = beside ? 'side' : 'below';
    return;
  }
  delete grid.dataset.strip;
  const best = fit(count, width, height);
  grid.style.setProperty('--tile-width', `${Math.floor(best.width)}px`);
  grid.style.setProperty('--tile-height', `${Math.floor(best.height)}px`);
}

/**
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @returns {{width: number, height: number}} of one tile, in pixels
 */
export function fit(count, width, height) {
  let best = { width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cell = { width: (width - GAP * (columns - 1)) / columns, height: (height - GAP * (rows - 1)) / rows };
    // A tile may be as narrow as a portrait and as wide as a picture: no strip of nothing around it.
    const ratio = Math.min(RATIO, Math.max(count === 1 ? 0.4 : 0.75, cell.width / cell.height));
    const tile = Math.min(cell.width, cell.height * ratio);
    if (tile * (tile / ratio) > best.width * best.height) best = { width: tile, height: tile / ratio };
  }
  return best;
}
