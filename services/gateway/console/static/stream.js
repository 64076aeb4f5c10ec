// The one stream of events, and whether it is alive.

const SILENCE = 25_000; // the server says something every 10 s
const RETRY = 2_000;

export function follow(onFrame, onState) {
  let source;
  let timer;

  function connect() {
    source?.close();
    source = new EventSource("/console/events");
    source.onopen = () => onState("live");
    source.onmessage = (event) => {
      alive();
      onFrame(JSON.parse(event.data));
    };
    source.onerror = () => {
      onState("reconnecting");
      // The browser tries again by itself after a lost connection, and gives up after an answer that is no stream.
      if (source.readyState === EventSource.CLOSED) {
        later(revive, RETRY);
      }
    };
    alive();
  }

  function alive() {
    later(connect, SILENCE);
  }

  function later(action, delay) {
    clearTimeout(timer);
    timer = setTimeout(action, delay);
  }

  async function revive() {
    try {
      const answer = await fetch("/console", { cache: "no-store" });
      if (answer.status === 401) {
        location.reload(); // the session is over: the page asks for the token
        return;
      }
    } catch {
      // not there yet
    }
    connect();
  }

  connect();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && source.readyState === EventSource.CLOSED) connect();
  });
}
