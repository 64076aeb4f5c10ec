// Clicks as they happen. A page keeps the newest of each kind, however many come.

import { byId, fragment } from "./dom.js";

const KEPT = 40;

export class Clicks {
  #list = byId("click-list");
  #pause = byId("pause");
  #only = byId("only-other");
  #rows = new Map();
  #held = null; // rows that wait while paused

  constructor() {
    this.#pause.addEventListener("click", () => this.#toggle());
    this.#only.addEventListener("change", () => this.#list.classList.toggle("only-other", this.#only.checked));
  }

  update(frame) {
    if (!frame.clicks) return;
    if (this.#held) {
      this.#held = [...this.#held, ...frame.clicks].slice(-2 * KEPT);
      this.#pause.textContent = `Resume (${this.#held.length} new)`;
      return;
    }
    this.#show(frame.clicks);
  }

  #show(clicks) {
    const fresh = document.createDocumentFragment();
    for (const [id, html] of clicks) {
      const row = fragment(html);
      const known = this.#rows.get(id);
      this.#rows.set(id, row);
      if (!known) {
        fresh.prepend(row);
        continue;
      }
      if (Number(known.dataset.version) > Number(row.dataset.version)) {
        this.#rows.set(id, known);
        continue;
      }
      const focused = known.contains(document.activeElement);
      known.replaceWith(row);
      if (focused) row.querySelector("a").focus();
    }
    this.#list.prepend(fresh);
    this.#prune();
    byId("no-clicks").hidden = this.#rows.size > 0;
  }

  #prune() {
    const counts = { landing: 0, other: 0 };
    for (const row of [...this.#list.children]) {
      counts[row.dataset.kind] += 1;
      if (counts[row.dataset.kind] > KEPT) {
        row.remove();
        this.#rows.delete(row.dataset.click);
      }
    }
  }

  #toggle() {
    const held = this.#held;
    this.#held = held ? null : [];
    this.#pause.textContent = held ? "Pause" : "Resume";
    this.#pause.setAttribute("aria-pressed", String(!held));
    if (held) this.#show(held);
  }
}
