// SPDX-License-Identifier: Apache-2.0
// The stream of events: read with the token (which EventSource cannot send), taken up again where it broke off, and handed on once a
// frame, so that ten thousand events a second cost a page no more than one redraw.
import { Problem, get, send } from "./api.js";

const HELD = 20000; // events that wait for the next frame; the oldest of more are let go, and counted
const SILENCE = 15000; // ms without a byte: the server sends stats each second, so the connection is dead
const HISTORY = 600; // seconds of stats

const subscribers = new Map();
const pending = [];
let lost = 0, scheduled = false, lastId = "", running = null, pollTimer = 0;

export const live = { state: "connecting", stats: [], events: 0, lost: 0 };

/** fn(list of events) at most once a frame; kind "*": all kinds, "state": how the connection stands, "gap": events were lost. */
export function on(kind, fn) {
  if (!subscribers.has(kind)) subscribers.set(kind, new Set());
  subscribers.get(kind).add(fn);
  return () => subscribers.get(kind).delete(fn);
}

function tell(kind, value) {
  for (const fn of subscribers.get(kind) || []) fn(value);
}

function setState(name) {
  if (live.state === name) return;
  live.state = name;
  tell("state", name);
}

// ── Once a frame ──

function flush() {
  scheduled = false;
  const batch = pending.splice(0), kinds = new Map();
  for (const event of batch) {
    if (!kinds.has(event.kind)) kinds.set(event.kind, []);
    kinds.get(event.kind).push(event);
  }
  for (const stats of kinds.get("stats") || []) keep(stats);
  if (lost) {
    live.lost += lost;
    lost = 0;
    tell("gap", batch);
  }
  for (const [kind, list] of kinds) tell(kind, list);
  if (batch.length) tell("*", batch);
}

/** Frames do not come while nobody looks; a timer does. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  if (document.hidden) setTimeout(flush, 500);
  else requestAnimationFrame(flush);
}

function receive(kind, id, data) {
  if (id) lastId = id;
  let fields;
  try { fields = JSON.parse(data); } catch { return; }
  live.events++;
  if (kind === "gap") lost += Number(fields.missed) || 1;
  pending.push({ ...fields, kind, id });
  if (pending.length > HELD) {
    const gone = pending.length - HELD / 2;
    pending.splice(0, gone);
    lost += gone;
  }
  schedule();
}

// ── Stats ──

/** Totals become rates by what lies between two of them. */
function keep(now) {
  const before = live.stats.at(-1), at = now.at ? Date.parse(now.at) : Date.now();
  const span = before ? (at - before.time) / 1000 : 0;
  const rate = (name) => (before && span > 0 ? Math.max(0, (now[name] - before[name]) / span) : 0);
  if (before && span <= 0) return;
  live.stats.push({ ...now, time: at, requestRate: now.rate ?? rate("requests"), errorRate: rate("errors"), factRate: rate("facts"), firingRate: rate("firings") });
  if (live.stats.length > HISTORY) live.stats.shift();
}

const sum = (metric, pick = () => true) => (metric ? metric.series.filter(pick).reduce((total, one) => total + (one.value || 0), 0) : 0);

/** Buckets of all series together, without what came before; the value below which a share of them lies, as a line through its bucket. */
export function quantile(buckets, share) {
  const total = buckets.length ? buckets.at(-1)[1] : 0;
  if (!total) return NaN;
  let below = 0, low = 0;
  for (const [limit, upTo] of buckets) {
    if (upTo >= share * total) return Number.isFinite(limit) ? low + (limit - low) * ((share * total - below) / (upTo - below || 1)) : low;
    [low, below] = [limit, upTo];
  }
  return low;
}

export function addBuckets(series) {
  const all = new Map();
  for (const one of series) for (const [limit, upTo] of one.buckets || []) all.set(limit, (all.get(limit) || 0) + upTo);
  const last = series.reduce((total, one) => total + (one.count || 0), 0);
  return [...all.entries(), [Infinity, last]];
}

let bucketsBefore = new Map();

function statsOf(registry) {
  const metric = (name) => registry.metrics.find((one) => one.name === name);
  const requests = metric("flyball_http_requests"), times = metric("flyball_http_request_seconds");
  const all = addBuckets(times ? times.series : []);
  const fresh = all.map(([limit, upTo]) => [limit, upTo - (bucketsBefore.get(limit) || 0)]);
  bucketsBefore = new Map(all);
  return { kind: "stats", at: registry.time, requests: sum(requests), errors: sum(requests, (one) => one.labels.status === "5xx"),
    facts: sum(metric("flyball_facts")), firings: sum(metric("flyball_firings")), p50: quantile(fresh, 0.5), p99: quantile(fresh, 0.99) };
}

/** A server without the stream is asked for its metrics instead. */
async function poll() {
  try {
    const stats = statsOf(await get("metrics"));
    keep(stats);
    setState("polling");
    tell("stats", [stats]);
  } catch (error) {
    setState(error.status === 401 ? "signed out" : "down");
  }
}

// ── The stream ──

/** Lines of text/event-stream, in whatever pieces they come. */
export function reader(receiver) {
  let rest = "", kind = "message", id = "", data = [];
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line) {
        if (data.length) receiver(kind, id, data.join("\n"));
        [kind, id, data] = ["message", "", []];
      } else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line.startsWith("event:")) kind = line.slice(6).trim();
      else if (line.startsWith("id:")) id = line.slice(3).trim();
    }
  };
}

/** Until the connection ends; throws if it was not good. */
async function follow(abort) {
  const response = await send("GET", "v1/events", { accept: "text/event-stream", headers: lastId ? { "Last-Event-ID": lastId } : {}, signal: abort.signal });
  if (!(response.headers.get("Content-Type") || "").startsWith("text/event-stream")) throw new Problem({ status: 404, title: "No stream of events" });
  setState("live");
  const take = reader(receive), bytes = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let timer;
  const watch = () => { clearTimeout(timer); timer = setTimeout(() => abort.abort(), SILENCE); };
  try {
    for (;;) {
      watch();
      const { value, done } = await bytes.read();
      if (done) return;
      take(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});

async function run(stop) {
  let wait = 500;
  while (!stop.signal.aborted) {
    const abort = new AbortController(), end = () => abort.abort();
    stop.signal.addEventListener("abort", end, { once: true });
    const began = Date.now();
    try {
      await follow(abort);
    } catch (error) {
      if (stop.signal.aborted) return;
      if (error.absent) {
        if (!pollTimer) { poll(); pollTimer = setInterval(poll, 2000); }
        await pause(30000, stop.signal);
        continue;
      }
      if (error.status === 401 || error.status === 403) return setState("signed out");
      if (error.retry) wait = Math.max(wait, error.retry * 1000);
    } finally {
      stop.signal.removeEventListener("abort", end);
    }
    if (stop.signal.aborted) return;
    setState("connecting");
    if (Date.now() - began > 5000) wait = 500;
    await pause(wait * (0.75 + Math.random() / 2), stop.signal);
    wait = Math.min(wait * 2, 10000);
  }
}

/** Anew, as another person perhaps. */
export function connect() {
  running?.abort();
  clearInterval(pollTimer);
  pollTimer = 0;
  running = new AbortController();
  setState("connecting");
  run(running);
}
