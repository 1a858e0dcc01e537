// Requests to the server, in one place: the key, errors as sentences, server-sent events.

const KEY = "textseq-key";

export class Refused extends Error {}

function headers() {
  const key = sessionStorage.getItem(KEY);
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function checked(answer) {
  if (answer.ok) return answer;
  if (answer.status === 401) askForKey();
  let sentence = `the server answered with status ${answer.status}`;
  try {
    const { error } = await answer.json();
    sentence = error.message ?? error;
  } catch { /* not JSON */ }
  throw new Refused(sentence);
}

function askForKey() {
  const form = document.getElementById("key");
  form.hidden = false;
  form.onsubmit = (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, form.elements.key.value);
    location.reload();
  };
}

/** The JSON of a GET, or of a POST if there is a body. */
export async function ask(path, body, signal) {
  const how = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  return (await checked(await fetch(path, { ...how, headers: headers(), signal }))).json();
}

/** The objects of a stream of server-sent events. */
export async function* events(path, body, signal) {
  const answer = await checked(
    await fetch(path, { method: "POST", body: JSON.stringify(body), headers: headers(), signal }));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (waiting + value).split("\n\n");
    waiting = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Refused(event.error.message);
      yield event;
    }
  }
}

/** Show an error of work, unless the user stopped it; an earlier error goes, but not with `again`, work that is repeated. */
export async function trying(work, { again = false } = {}) {
  const problem = document.getElementById("problem");
  if (!again) problem.hidden = true;
  try {
    return await work();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    problem.textContent = error instanceof Refused ? error.message : `The server cannot be reached (${error.message}).`;
    problem.hidden = false;
    return undefined;
  }
}

const running = new Set();

/** Do work that may take long: it gets a signal, and the page shows that it runs and a button that stops it. */
export async function working(work) {
  const stop = new AbortController(), busy = document.getElementById("busy");
  const timer = setTimeout(() => { running.add(stop); busy.hidden = false; }, 400);
  document.getElementById("busy-stop").onclick = () => { for (const other of running) other.abort(); };
  const result = await trying(() => work(stop.signal));
  clearTimeout(timer);
  running.delete(stop);
  busy.hidden = running.size === 0;
  return result;
}

/** An element with attributes, properties that begin with a dot, and children. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith(".")) made[key.slice(1)] = value;
    else if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Fill a select with names; the chosen one stays chosen if it is among them. */
export function offer(select, names, labels = names) {
  const chosen = select.value;
  select.replaceChildren(...names.map((name, n) => element("option", { value: name }, labels[n])));
  if (names.includes(chosen)) select.value = chosen;
  select.disabled = names.length === 0;
}

/** Make the children of an element reachable by arrow keys; `use(child)` on Enter and click, `show(child)` on the way. */
export function walkable(container, { use = () => {}, show = () => {} }) {
  const mark = (child) => {
    const before = container.querySelector(".active");
    before?.classList.remove("active");
    before?.removeAttribute("id");
    child.classList.add("active");
    child.id = `${container.id}-active`;
    container.setAttribute("aria-activedescendant", child.id);
    show(child);
  };
  if (!container.hasAttribute("role")) container.setAttribute("role", "group");
  container.tabIndex = 0;
  container.addEventListener("keydown", (event) => {
    const children = [...container.querySelectorAll("[data-n]")];
    const at = children.indexOf(container.querySelector(".active"));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: children.length - 1 }[event.key];
    if (to !== undefined && children.length) {
      mark(children[Math.min(Math.max(to, 0), children.length - 1)]);
      event.preventDefault();
    } else if (event.key === "Enter" && at >= 0) {
      use(children[at]);
      event.preventDefault();
    }
  });
  container.addEventListener("click", (event) => {
    const child = event.target.closest("[data-n]");
    if (child) { mark(child); use(child); }
  });
  container.addEventListener("pointerover", (event) => {
    const child = event.target.closest("[data-n]");
    if (child) show(child);
  });
}
