// One click, opened beside the page; it follows its trace for as long as that goes on.

import { byId, make, replaceHtml, say } from "./dom.js";

const ASK_AGAIN = 1_000;

export class Drawer {
  #dialog = byId("drawer");
  #body = make("div", { class: "drawer-body" });
  #alone = make("a", { class: "quiet" }, "Link to this click");
  #id = null;
  #opener = null;
  #progress = null;
  #asking = false;
  #ended = true;
  #asked = 0;

  constructor() {
    const close = make("button", { type: "button", "aria-label": "Close" }, "✕");
    close.addEventListener("click", () => this.#dialog.close());
    this.#dialog.append(make("div", { class: "drawer-head" }, this.#alone, close), this.#body);
    this.#dialog.addEventListener("close", () => this.#closed());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
  }

  // Where the focus goes back to: the page leaves it alone meanwhile.
  get opener() {
    return this.#opener;
  }

  open(id) {
    if (!this.#dialog.open) this.#opener = document.activeElement;
    this.#id = id;
    this.#ended = false;
    this.#progress = null;
    this.#alone.href = `/console/clicks/${id}`;
    this.#body.replaceChildren(make("p", { class: "quiet" }, "Waiting for the click …"));
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#ask(true);
  }

  update(frame) {
    if (!this.#id || this.#ended) return;
    const progress = frame.progress?.[this.#id] ?? null;
    const told = frame.clicks?.some(([id]) => id === this.#id);
    if (told || progress !== this.#progress || performance.now() - this.#asked > ASK_AGAIN) {
      this.#progress = progress;
      this.#ask(false);
    }
  }

  #closed() {
    this.#id = null;
    this.#body.replaceChildren();
    // The row that was opened may have gone out of the list since.
    if (!this.#opener?.isConnected) byId("click-list").querySelector("a")?.focus();
    this.#opener = null;
  }

  async #ask(first) {
    if (this.#asking) return;
    this.#asking = true;
    this.#asked = performance.now();
    const id = this.#id;
    try {
      const answer = await fetch(`/console/clicks/${id}?fragment`);
      if (id === this.#id && answer.ok) this.#show(await answer.text(), first);
    } catch {
      // the next frame asks again
    } finally {
      this.#asking = false;
      if (this.#id && id !== this.#id) this.#ask(true);
    }
  }

  #show(html, first) {
    replaceHtml(this.#body, html);
    const article = this.#body.firstElementChild;
    this.#ended = "ended" in article.dataset;
    if (first) article.querySelector("h2").focus();
    if (this.#ended && !first) say(`The trace has ended: ${article.querySelector(".badge").textContent}`);
  }
}
