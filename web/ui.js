// SPDX-License-Identifier: Apache-2.0
// What all pages share: elements, numbers and times as people read them, states, problems.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** An element: h("p", {class: "soft"}, "text", …). Text stays text: nothing that comes from the server becomes HTML. */
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
/** The same for SVG. */
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

export function button(text, onclick, properties) {
  return h("button", { type: "button", onclick, ...properties }, text);
}

/** A card with a heading; `end` stands at the right of it. */
export function card(title, properties, ...children) {
  const { end, ...rest } = properties || {};
  return h("section", { ...rest, class: `card ${rest.class || ""}` },
    h("header", null, h("h2", null, title), end && h("div", { class: "end row" }, end)), ...children);
}

/** columns: [heading, "n" (a number) | "wide" | ""]; rows: lists of nodes or texts. */
export function table(caption, columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", null,
    h("caption", { class: "unseen" }, caption),
    h("thead", null, h("tr", null, columns.map(([name, kind]) => h("th", { scope: "col", class: kind || false }, name)))),
    h("tbody", null, rows.map((row) => h("tr", null, row.map((cell, i) => h("td", { class: columns[i][1] || false }, cell)))))));
}

// ── Numbers and times ──

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]];

/** 12,345 stands as 12.3k only where there is no room: `count` is exact. */
export const count = (n) => (n === undefined || n === null ? "–" : typeof n === "bigint" ? String(n) : grouped.format(n));

/** "1 firing", "2 firings". */
export const many = (n, word) => `${count(n)} ${word}${n === 1 || n === 1n ? "" : "s"}`;

export function short(n) {
  if (!Number.isFinite(n)) return "–";
  const size = Math.abs(n);
  for (const [unit, name] of UNITS)
    if (size >= unit) return trim(n / (name === "k" ? 1e3 : unit)) + name;
  return size >= 100 || Number.isInteger(n) ? grouped.format(n) : trim(n);
}

function trim(n) {
  const digits = Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : Math.abs(n) >= 0.1 || n === 0 ? 2 : 4;
  return String(Number(n.toFixed(digits)));
}

/** Seconds as people say them: 41 µs, 3.2 ms, 1.5 s, 2 min 05 s. */
export function seconds(t) {
  if (!Number.isFinite(t)) return "–";
  if (t === 0) return "0 s";
  if (t < 1e-6) return `${trim(t * 1e9)} ns`;
  if (t < 1e-3) return `${trim(t * 1e6)} µs`;
  if (t < 1) return `${trim(t * 1e3)} ms`;
  if (t < 60) return `${trim(t)} s`;
  const whole = Math.round(t);
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const clockText = (date) => clock.format(date);

/** A moment; today's without the day. The whole of it, in UTC, stands in the title. */
export function moment(text) {
  if (!text) return "–";
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return String(text);
  const today = date.toDateString() === new Date().toDateString();
  return h("time", { datetime: text, title: text, class: "nowrap" }, (today ? clock : day).format(date));
}

export const shorten = (text, length = 12) => (text && text.length > length ? text.slice(0, length) : text || "");

/** A value of a fact as its JSON, big whole numbers too. */
export function valueText(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(valueText).join(", ")}]`;
  if (value && typeof value === "object")
    return `{${Object.entries(value).map(([key, item]) => `${key}: ${valueText(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}
export const fieldsText = (fields) => Object.entries(fields || {}).map(([key, value]) => `${key}: ${valueText(value)}`).join(", ");

// ── States ──

const SIGNS = {
  good: "M3 8.5l3.5 3.5L13 4.5", bad: "M4 4l8 8M12 4l-8 8", busy: "M5 3l8 5-8 5z", wait: "M8 2a6 6 0 1 0 .01 0M8 5v3.5l2.5 1.5",
  rest: "M3.5 8h9",
};
const KINDS = {
  done: "good", ok: "good", succeeded: "good", live: "good", running: "busy", started: "busy", open: "good", up: "good", cached: "good", approved: "good", queued: "wait",
  failed: "bad", failing: "bad", error: "bad", timeout: "bad", "timed out": "bad", lost: "bad", down: "bad", doubt: "bad", interrupted: "bad", critical: "bad", rejected: "bad",
  waiting: "wait", connecting: "wait", polling: "wait", paused: "wait", warning: "wait", warn: "wait",
};
export const kindOf = (name) => KINDS[name] || "rest";

export function state(name, text) {
  const kind = kindOf(name);
  return h("span", { class: `state ${kind}` }, s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: SIGNS[kind] })), text || name);
}

// ── Messages ──

/** A failure as the server told it: what, where, what helps. */
export function problem(error, again) {
  const where = error.line ? ` (${error.file ? `${error.file}, ` : ""}line ${error.line}${error.column ? `, column ${error.column}` : ""})` : "";
  return h("div", { class: "problem", role: "alert" },
    h("p", null, h("b", null, error.title || "It did not work"), error.code && [" ", h("span", { class: "tag" }, error.code)]),
    h("p", null, (error.detail || error.message || "") + where),
    error.hint && h("p", { class: "soft" }, error.hint),
    error.request && h("small", null, "Request ", h("code", null, error.request)),
    again && h("div", null, button("Try again", again)));
}

/** What is not there, and what would bring it. */
export function missing(title, ...text) {
  return h("div", { class: "note" }, h("h2", null, title), text.map((line) => h("p", null, line)));
}

export function toast(text) {
  const node = h("div", { class: "toast" }, text);
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), 6000);
}

/** Asks before something that cannot be taken back. True: yes. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    const node = h("dialog", { "aria-labelledby": "confirm-title", onclose: () => { resolve(node.returnValue === "yes"); node.remove(); } },
      h("form", { method: "dialog" }, h("h2", { id: "confirm-title" }, title), h("p", null, text),
        h("div", { class: "row" }, h("button", { value: "yes", class: "bad" }, yes), h("button", { value: "no" }, "No"))));
    // `form-action` of the policy does not bind method=dialog: nothing is sent.
    document.body.append(node);
    node.showModal();
  });
}

/** Calls fn once the calls of it have paused for `wait` milliseconds. */
export function debounce(fn, wait) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(fn, wait); };
}

/** Calls fn at once, then at most every `wait` milliseconds, and once after the last call. */
export function throttle(fn, wait) {
  let timer = 0, again = false;
  const rest = () => {
    timer = 0;
    if (!again) return;
    again = false;
    timer = setTimeout(rest, wait);
    fn();
  };
  return () => {
    if (timer) { again = true; return; }
    timer = setTimeout(rest, wait);
    fn();
  };
}

/** Shows `content` in `place`, replacing what was there. */
export function show(place, ...content) {
  place.replaceChildren(...content.flat(Infinity).filter(Boolean));
  return place;
}
