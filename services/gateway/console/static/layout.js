// Where each cell of the pool lies: one block for each country, the blocks side by side, in the largest cells that fit.

const PITCHES = [56, 46, 38, 32, 26, 22, 18, 15, 13, 11, 9, 8, 7, 6, 5];
const LABEL = 18;
const BLOCK_GAP = 14;
const STRIP_GAP = 10;
const LABEL_WIDTH = 26;

// Returns { pitch, size, height, blocks: [{ country, cells, x, y, columns }] }.
export function arrange(groups, width, wantedHeight) {
  for (const pitch of PITCHES) {
    const best = bestRows(groups, width, pitch);
    if (best.height <= wantedHeight || pitch === PITCHES.at(-1)) return best;
  }
}

function bestRows(groups, width, pitch) {
  const largest = Math.max(1, ...groups.map((group) => group.cells.length));
  let best;
  for (let rows = 1; ; rows = Math.ceil(rows * 1.25)) {
    const made = place(groups, width, pitch, rows);
    if (!best || made.height < best.height) best = made;
    if (rows >= largest || rows > 200) return best;
  }
}

function place(groups, width, pitch, rows) {
  const most = Math.max(1, Math.floor(width / pitch));
  const blocks = [];
  let [x, y, tallest] = [0, 0, 0];
  for (const { country, cells } of groups) {
    const columns = Math.min(most, Math.ceil(cells.length / rows));
    const wide = Math.max(LABEL_WIDTH, columns * pitch);
    if (x && x + wide > width) {
      y += LABEL + tallest + STRIP_GAP;
      [x, tallest] = [0, 0];
    }
    blocks.push({ country, cells, x, y: y + LABEL, columns });
    tallest = Math.max(tallest, Math.ceil(cells.length / columns) * pitch);
    x += wide + BLOCK_GAP;
  }
  const gap = pitch >= 26 ? 4 : pitch >= 13 ? 2 : 1;
  return { pitch, size: pitch - gap, height: y + LABEL + tallest, blocks };
}
