// How many IPs a load needs: sliders that begin where the pool is, and an answer from the pool manager.

import { byId, make, span } from "./dom.js";

const PAUSE = 120;

const logarithmic = (low, high) => ({
  read: (at) => low * (high / low) ** at,
  place: (value) => Math.log(Math.max(low, value) / low) / Math.log(high / low),
});

const SLIDERS = {
  rate: { scale: logarithmic(0.01, 1_000), text: (value) => `${tidy(value)} / s`, parameter: "clicks_per_second" },
  trace: { scale: logarithmic(0.05, 60), text: span, parameter: "trace_time" },
  cooldown: { scale: { read: (at) => 600 * at * at, place: (value) => Math.sqrt(value / 600) }, text: span, parameter: "cooldown" },
  loss: { scale: logarithmic(0.0001, 0.2), text: (value) => `${tidy(value * 100)} %`, parameter: "target_loss" },
  added: {
    scale: { read: (at) => Math.round(most * (2 * at - 1)), place: (value) => (value / most + 1) / 2 },
    text: (value) => (value > 0 ? `+${value}` : `${value}`),
    parameter: "added_ips",
  },
};
let most = 100;

const tidy = (value) => (value >= 99.5 ? value.toFixed(0) : value >= 9.95 ? value.toFixed(1) : value.toPrecision(2));

export class Size {
  #values = { rate: 1, trace: 1, cooldown: 60, loss: 0.01, added: 0 };
  #live = true;
  #timer = 0;
  #number = 0;
  #button = byId("size-live");

  constructor() {
    for (const name of Object.keys(SLIDERS)) {
      byId(`size-${name}`).addEventListener("input", (event) => {
        this.#setLive(false);
        this.#values[name] = SLIDERS[name].scale.read(event.target.valueAsNumber / 1000);
        this.#label(name);
        this.#later();
      });
    }
    this.#button.addEventListener("click", () => {
      this.#setLive(true);
      Object.assign(this.#values, { loss: 0.01, added: 0 });
      this.#load = null;
    });
    byId("size-form").addEventListener("submit", (event) => event.preventDefault());
  }

  #load = null;

  update(frame) {
    if (!this.#live || !frame.load) return;
    const load = JSON.stringify(frame.load);
    if (load === this.#load) return;
    this.#load = load;
    Object.assign(this.#values, frame.load);
    for (const name of Object.keys(SLIDERS)) this.#place(name);
    this.#later();
  }

  #setLive(live) {
    this.#live = live;
    this.#button.setAttribute("aria-pressed", String(live));
    // What changes by itself every few seconds is not read out; what one asks for is.
    byId("size-answer").setAttribute("aria-live", live ? "off" : "polite");
  }

  #place(name) {
    byId(`size-${name}`).value = 1000 * SLIDERS[name].scale.place(this.#values[name]);
    this.#label(name);
  }

  #label(name) {
    const text = SLIDERS[name].text(this.#values[name]);
    byId(`size-${name}-value`).textContent = text;
    byId(`size-${name}`).setAttribute("aria-valuetext", text);
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE);
  }

  async #ask() {
    const number = ++this.#number;
    const query = new URLSearchParams();
    for (const [name, { parameter }] of Object.entries(SLIDERS)) query.set(parameter, this.#values[name]);
    try {
      const response = await fetch(`/console/estimate?${query}`);
      const answer = await response.json();
      if (number !== this.#number) return;
      if (response.ok) this.#show(answer);
      else this.#tell(answer.message);
    } catch {
      this.#tell("The pool manager does not answer.");
    }
  }

  #show(answer) {
    const present = answer.present_ips - this.#values.added;
    if (present > 0 && most !== Math.max(10, present)) {
      most = Math.max(10, present);
      this.#place("added");
    }
    const missing = answer.erlang_b_ips - answer.present_ips;
    const verdict = missing > 0 ? `${missing} more than there are` : `${-missing} fewer than there are`;
    const loss = answer.present_loss;
    const facts = [
      ["With the present", `${answer.present_ips} IPs, ${loss < 0.00005 ? "0" : tidy(loss * 100)} % of clicks find none`],
      ["Busy on average", `${tidy(answer.offered_load)} IPs`],
      ["Rule of thumb", `${answer.rule_of_thumb_ips} IPs`],
    ];
    if (answer.time_to_exhaustion !== null) facts.push(["Runs dry in", span(answer.time_to_exhaustion)]);
    byId("size-answer").replaceChildren(
      make("p", { class: missing > 0 ? "verdict warn" : "verdict" }, make("b", {}, `${answer.erlang_b_ips} IPs`), ` needed, ${missing === 0 ? "as many as there are" : verdict}`),
      make("dl", { class: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    );
  }

  #tell(text) {
    byId("size-answer").replaceChildren(make("p", { class: "quiet" }, text));
  }
}
