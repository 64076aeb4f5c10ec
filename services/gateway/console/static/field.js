// The pool as a field of cells. Only cells whose look has changed are painted again, so ten thousand stay cheap.

import { span } from "./dom.js";
import { arrange } from "./layout.js";

const STATES = ["free", "in use", "cooling down", "unhealthy", "drained", "in a state of a newer release"];
const [FREE, IN_USE, COOLDOWN, UNHEALTHY, DRAINED] = [0, 1, 2, 3, 4];
const COLOURS = ["available", "in-use", "cooldown", "unhealthy", "drained", "drained"];
const HEIGHT = 330;
const WRITTEN_FROM = 30; // the size of a cell that has room for a number

export class Field {
  #canvas;
  #told;
  #paper;
  #cells = new Map();
  #resting = new Set();
  #layout = null;
  #colours = {};
  #offset = 0; // the pool's clock less ours, in seconds
  #usual = 60; // how long an IP rests if nothing else is known
  #dirty = new Set();
  #stale = true;
  #width = 0;
  #focus = null;
  #hint;

  constructor(canvas, told) {
    this.#canvas = canvas;
    this.#told = told;
    this.#hint = told.textContent;
    this.#paper = canvas.getContext("2d");
    this.#readColours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#readColours());
    new ResizeObserver(() => this.#resized()).observe(canvas.parentElement);
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#look(this.#focus ?? this.#inOrder()[0]));
    canvas.addEventListener("blur", () => this.#look(null));
    canvas.addEventListener("pointermove", (event) => this.#look(this.#at(event.offsetX, event.offsetY)));
    canvas.addEventListener("pointerleave", () => this.#look(null));
    this.#loop();
  }

  update(frame) {
    this.#offset = frame.now - Date.now() / 1000;
    if (frame.load) this.#usual = frame.load.cooldown;
    if (frame.full) {
      this.#cells.clear();
      this.#resting.clear();
      this.#dirty.clear();
      this.#stale = true;
    }
    for (const values of frame.cells ?? []) this.#take(values);
    for (const id of frame.gone ?? []) {
      this.#resting.delete(this.#cells.get(id));
      this.#cells.delete(id);
      this.#stale = true;
    }
  }

  get summary() {
    return { cells: this.#cells.size, resting: this.#resting.size };
  }

  #take([id, address, country, provider, state, until, cooldown, failures]) {
    const known = this.#cells.get(id);
    const cell = known ?? { id, key: -1 };
    if (!known || known.country !== country) this.#stale = true;
    const left = until - this.#now();
    // Whoever saw the IP before its rest began saw the rest whole; else the usual length has to do.
    const whole = known && known.state !== COOLDOWN ? left : Math.max(left, cooldown ?? this.#usual);
    const total = state === COOLDOWN && known?.state === COOLDOWN ? Math.max(known.total, left) : whole;
    Object.assign(cell, { address, country, provider, state, until, failures, total: Math.max(total, 0.001) });
    this.#cells.set(id, cell);
    if (state === COOLDOWN) this.#resting.add(cell);
    else this.#resting.delete(cell);
    this.#dirty.add(cell);
  }

  #now() {
    return Date.now() / 1000 + this.#offset;
  }

  #loop() {
    let painted = 0;
    const step = (time) => {
      requestAnimationFrame(step);
      if (time - painted < 120) return;
      painted = time;
      this.#paint();
    };
    requestAnimationFrame(step);
  }

  #paint() {
    if (!this.#width) return;
    if (this.#stale) this.#arrange();
    const now = this.#now();
    for (const cell of this.#resting) {
      if (cell.until <= now) {
        // The rest is over by the clock; the server says the same a moment later.
        cell.state = FREE;
        this.#resting.delete(cell);
      }
      this.#dirty.add(cell);
    }
    for (const cell of this.#dirty) this.#paintCell(cell, now);
    this.#dirty.clear();
    if (this.#focus) this.#ring(now);
  }

  #arrange() {
    this.#stale = false;
    const groups = new Map();
    for (const cell of this.#cells.values()) {
      if (!groups.has(cell.country)) groups.set(cell.country, []);
      groups.get(cell.country).push(cell);
    }
    const sorted = [...groups].sort(([one], [other]) => (one < other ? -1 : 1));
    for (const [, cells] of sorted) cells.sort((one, other) => one.id - other.id);
    this.#layout = arrange(sorted.map(([country, cells]) => ({ country, cells })), this.#width, HEIGHT);
    const ratio = devicePixelRatio || 1;
    const height = Math.max(64, this.#layout.height);
    this.#canvas.width = Math.round(this.#width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    this.#canvas.style.height = `${height}px`;
    this.#paper.scale(ratio, ratio);
    this.#paper.textBaseline = "middle";
    const { pitch, blocks } = this.#layout;
    for (const block of blocks) {
      this.#paper.font = "600 11px ui-sans-serif, system-ui, sans-serif";
      this.#paper.textAlign = "left";
      this.#paper.fillStyle = this.#colours.quiet;
      this.#paper.fillText(block.country.toUpperCase(), block.x, block.y - 9);
      block.cells.forEach((cell, number) => {
        cell.x = block.x + (number % block.columns) * pitch;
        cell.y = block.y + Math.floor(number / block.columns) * pitch;
        cell.key = -1;
        this.#dirty.add(cell);
      });
    }
    // The cells may be new ones, and the keyboard may have been here before there was any.
    if (this.#focus) this.#focus = this.#cells.get(this.#focus.id) ?? null;
    if (document.activeElement === this.#canvas) this.#look(this.#focus ?? this.#inOrder()[0]);
  }

  #paintCell(cell, now) {
    if (cell.x === undefined) return;
    const { size } = this.#layout;
    const left = cell.state === COOLDOWN ? Math.max(0, cell.until - now) : 0;
    const level = cell.state === COOLDOWN ? Math.ceil(Math.min(1, left / cell.total) * size) : 0;
    const written = size >= WRITTEN_FROM;
    const key = cell.state * 1e7 + level * 1e4 + (written ? Math.ceil(left) % 1e4 : 0);
    if (cell.key === key) return;
    cell.key = key;
    const paper = this.#paper;
    const { x, y } = cell;
    paper.clearRect(x - 1, y - 1, size + 2, size + 2);
    paper.save();
    if (size >= 14) {
      paper.beginPath();
      paper.roundRect(x, y, size, size, Math.min(6, size / 5));
      paper.clip();
    }
    paper.fillStyle = cell.state === COOLDOWN ? this.#colours.track : this.#colours[COLOURS[cell.state]];
    paper.fillRect(x, y, size, size);
    if (level) {
      paper.fillStyle = this.#colours.cooldown;
      paper.fillRect(x, y + size - level, size, level);
    }
    this.#mark(cell, size);
    if (written) this.#write(cell, left, size);
    paper.restore();
  }

  // States that need an operator differ by more than colour.
  #mark({ state, x, y }, size) {
    if (size < 6 || (state !== UNHEALTHY && state !== DRAINED)) return;
    const paper = this.#paper;
    paper.strokeStyle = this.#colours.ground;
    paper.lineWidth = Math.max(1, size / 12);
    paper.beginPath();
    const inset = size * 0.28;
    paper.moveTo(x + inset, y + size - inset);
    paper.lineTo(x + size - inset, y + inset);
    if (state === UNHEALTHY) {
      paper.moveTo(x + inset, y + inset);
      paper.lineTo(x + size - inset, y + size - inset);
    }
    paper.stroke();
  }

  #write({ state, x, y, address }, left, size) {
    if (state === UNHEALTHY || state === DRAINED) return;
    const paper = this.#paper;
    paper.font = `600 ${Math.round(size / 3.1)}px ui-monospace, monospace`;
    paper.textAlign = "center";
    paper.fillStyle = this.#colours[state === IN_USE ? "on-in-use" : state === COOLDOWN ? "on-cooldown" : "on-available"];
    const host = address.slice(0, address.lastIndexOf(":"));
    const name = host.slice(host.lastIndexOf(host.includes(".") ? "." : ":"));
    paper.fillText(state === COOLDOWN ? `${Math.ceil(left)}` : name.slice(0, 5), x + size / 2, y + size / 2 + 1);
  }

  #ring() {
    const { x, y } = this.#focus;
    const { size } = this.#layout;
    this.#paper.strokeStyle = this.#colours.ink;
    this.#paper.lineWidth = 1.5;
    this.#paper.strokeRect(x - 0.25, y - 0.25, size + 0.5, size + 0.5);
    this.#focus.key = -1; // painted over when the look moves on
    this.#tell();
  }

  #look(cell) {
    if (this.#focus === cell) return;
    if (this.#focus) {
      this.#focus.key = -1;
      this.#dirty.add(this.#focus);
    }
    this.#focus = cell ?? null;
    this.#tell();
  }

  #tell() {
    const cell = this.#focus;
    let text = this.#hint;
    if (cell) {
      const left = cell.until - this.#now();
      const rest = cell.state === COOLDOWN ? `, free in ${span(Math.max(0, left))}` : "";
      const failures = cell.failures ? `, ${cell.failures} failures in a row` : "";
      text = `${cell.address} · ${cell.country.toUpperCase()} · ${cell.provider} · ${STATES[cell.state]}${rest}${failures}`;
    }
    if (this.#told.textContent !== text) this.#told.textContent = text;
  }

  #key(event) {
    const order = this.#inOrder();
    if (!order.length) return;
    const at = Math.max(0, order.indexOf(this.#focus));
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    let next;
    if (event.key in steps) next = order[Math.min(order.length - 1, Math.max(0, at + steps[event.key]))];
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") next = this.#beside(order, order[at], event.key);
    else if (event.key === "Escape") this.#canvas.blur();
    if (next) {
      event.preventDefault();
      this.#look(next);
    }
  }

  #beside(order, cell, key) {
    const down = key === "ArrowDown" ? 1 : -1;
    let best = cell;
    let least = Infinity;
    for (const other of order) {
      const away = (other.y - cell.y) * down;
      const distance = away * 4 + Math.abs(other.x - cell.x);
      if (away > 0 && distance < least) [best, least] = [other, distance];
    }
    return best;
  }

  #inOrder() {
    return this.#layout?.blocks.flatMap((block) => block.cells) ?? [];
  }

  #at(x, y) {
    if (!this.#layout) return null;
    const { pitch, blocks } = this.#layout;
    for (const block of blocks) {
      const column = Math.floor((x - block.x) / pitch);
      const row = Math.floor((y - block.y) / pitch);
      if (column >= 0 && column < block.columns && row >= 0) {
        const cell = block.cells[row * block.columns + column];
        if (cell) return cell;
      }
    }
    return null;
  }

  #resized() {
    const width = Math.floor(this.#canvas.parentElement.clientWidth);
    if (width !== this.#width) {
      this.#width = width;
      this.#stale = true;
    }
  }

  #readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    for (const name of [...COLOURS, "track", "quiet", "ink", "on-available", "on-in-use", "on-cooldown"]) {
      this.#colours[name] = read(name);
    }
    this.#colours.ground = read("card");
    this.#stale = true;
  }
}
