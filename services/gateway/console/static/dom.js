// What every part of the page does with elements.

export const byId = (id) => document.getElementById(id);

// HTML comes from our own server alone, which escapes whatever is not its own.
export function replaceHtml(element, html) {
  const scroll = element.scrollTop;
  element.innerHTML = html;
  element.scrollTop = scroll;
  localTimes(element);
}

export function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  localTimes(template.content);
  return template.content.firstElementChild;
}

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

// Times come in UTC; whoever looks reads their own.
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.title = moment.toString();
    if (/^\d\d:\d\d:\d\d$/.test(time.textContent)) time.textContent = clock.format(moment);
  }
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  const left = Math.round(seconds);
  if (left < 6000) return `${Math.floor(left / 60)} min ${String(left % 60).padStart(2, "0")} s`;
  return `${Math.floor(left / 3600)} h ${String(Math.floor((left % 3600) / 60)).padStart(2, "0")} min`;
}

export function say(text) {
  byId("spoken").textContent = text;
}
