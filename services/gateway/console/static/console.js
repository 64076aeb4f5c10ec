// The console: one stream of frames, and the parts of the page that each takes from it.

import { Charts } from "./charts.js";
import { Clicks } from "./clicks.js";
import { byId, replaceHtml, say } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Field } from "./field.js";
import { Size } from "./size.js";
import { follow } from "./stream.js";

const LIVE = { live: "live", reconnecting: "reconnecting", waiting: "connecting" };

const drawer = new Drawer();
const field = new Field(byId("field"), byId("cell-told"));
const takers = [field, new Charts(), new Clicks(), drawer, new Size()];

function take(frame) {
  if (frame.version && frame.version !== document.body.dataset.version) {
    location.reload(); // another release answers now
    return;
  }
  for (const [name, html] of Object.entries(frame.parts ?? {})) {
    const part = byId(`part-${name}`);
    // A form under somebody's hands is not taken away.
    if (!part.contains(document.activeElement) && !part.contains(drawer.opener)) replaceHtml(part, html);
    else late.set(part, html);
  }
  for (const taker of takers) taker.update(frame);
}

const late = new Map();
document.addEventListener("focusout", () => {
  setTimeout(() => {
    for (const [part, html] of late) {
      if (part.contains(document.activeElement)) continue;
      replaceHtml(part, html);
      late.delete(part);
    }
  });
});

function show(state) {
  const pill = byId("live");
  if (pill.textContent === LIVE[state]) return;
  pill.textContent = LIVE[state];
  pill.className = `live ${state}`;
}

document.addEventListener("click", (event) => {
  const clicked = event.target.closest(".click-link");
  if (clicked) {
    // The same click again would only join the first one's trace.
    const url = new URL(clicked.href);
    url.searchParams.set("gclid", `console-${crypto.getRandomValues(new Uint32Array(1))[0].toString(16)}`);
    clicked.href = url;
    return;
  }
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const link = event.target.closest('a[href^="/console/clicks/"]');
  if (!link || link.closest(".drawer-head")) return;
  event.preventDefault();
  drawer.open(link.pathname.split("/").at(-1));
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.matches("#find")) {
    event.preventDefault();
    drawer.open(byId("click-id").value.trim().toLowerCase());
  } else if (form.classList.contains("trace-now")) {
    event.preventDefault();
    await trace(form);
  }
});

async function trace(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const headers = { Accept: "application/json" };
    const response = await fetch(form.action, { method: "POST", headers, body: new URLSearchParams(new FormData(form)) });
    const answer = await response.json();
    if (response.ok) drawer.open(answer.click_id);
    else say(answer.message);
  } catch {
    say("The gateway does not answer.");
  } finally {
    button.disabled = false;
  }
}

follow(take, show);
