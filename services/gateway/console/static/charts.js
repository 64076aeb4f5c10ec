// The last hour in two charts.

import { byId } from "./dom.js";

const HOUR = 3600;
const LEAST = 120;
const HEIGHT = 150;

export class Charts {
  #times = [];
  #utilization = [];
  #grants = [];
  #plots = [];

  constructor() {
    this.#draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.#resize()).observe(byId("chart-utilization"));
  }

  update(frame) {
    if (frame.full) {
      this.#times = [];
      this.#utilization = [];
      this.#grants = [];
      for (const point of frame.series) this.#add(point);
    }
    if (frame.point) this.#add(frame.point);
    if (frame.full || frame.point) this.#show();
  }

  #add([time, utilization, grants]) {
    this.#times.push(time);
    this.#utilization.push(utilization * 100);
    this.#grants.push(grants);
    while (this.#times.length && this.#times[0] < time - HOUR) {
      this.#times.shift();
      this.#utilization.shift();
      this.#grants.shift();
    }
  }

  #show() {
    this.#plots[0].setData([this.#times, this.#utilization]);
    this.#plots[1].setData([this.#times, this.#grants]);
    this.#caption("chart-utilization", "Utilization", `${Math.round(this.#utilization.at(-1) ?? 0)} %`);
    this.#caption("chart-grants", "Grants per second", (this.#grants.at(-1) ?? 0).toFixed(1));
  }

  #caption(id, name, value) {
    const chart = byId(id);
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `${name} over the last hour; now ${value}`);
    chart.previousElementSibling.replaceChildren(name, " ", Object.assign(document.createElement("b"), { textContent: value }));
  }

  #draw() {
    for (const plot of this.#plots) plot.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.#plots = [
      this.#plot("chart-utilization", this.#utilization, colour, "cooldown", [0, 100], (value) => `${value} %`),
      this.#plot("chart-grants", this.#grants, colour, "in-use", null, (value) => String(value)),
    ];
  }

  #plot(id, values, colour, line, range, format) {
    const axis = {
      stroke: colour("quiet"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { show: false },
      font: "11px ui-sans-serif, system-ui, sans-serif",
    };
    const options = {
      width: byId(id).clientWidth || 300,
      height: HEIGHT,
      padding: [8, 26, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: {
        x: { range: () => [Math.min(this.#times[0] ?? Infinity, now() - LEAST), now()] },
        y: { range: range ?? ((_plot, _least, most) => [0, Math.max(1, (most ?? 0) * 1.15)]) },
      },
      axes: [
        { ...axis, size: 24, space: 80, values: (_plot, splits) => splits.map(splits.at(-1) - splits[0] < 600 ? precise : clock) },
        { ...axis, size: 46, values: (_plot, splits) => splits.map(format) },
      ],
      series: [
        {},
        { stroke: colour(line), width: 2, fill: `color-mix(in srgb, ${colour(line)} 18%, transparent)`, points: { show: false } },
      ],
    };
    return new uPlot(options, [this.#times, values], byId(id));
  }

  #resize() {
    for (const plot of this.#plots) {
      plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT });
    }
  }
}

const now = () => Date.now() / 1000;
const teller = (parts) => {
  const form = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hour12: false, ...parts });
  return (time) => form.format(new Date(time * 1000));
};
const clock = teller({});
const precise = teller({ second: "2-digit" });
