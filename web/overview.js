// SPDX-License-Identifier: Apache-2.0
// How the server does: rates, times, failures, alerts, where facts come from, what happens now.
import { card, clockText, count, debounce, fieldsText, h, missing, moment, problem, seconds, short, show, state, table } from "./ui.js";
import { chart, sparkline } from "./chart.js";
import { get } from "./api.js";
import { addBuckets, live, on, quantile } from "./live.js";

const FEED = 200; // lines of what happens; more is no use to eyes
const TILES = [
  ["Requests", "/s", (now) => short(now.requestRate), (one) => one.requestRate],
  ["Median time", "", (now) => seconds(now.p50), (one) => one.p50],
  ["99 % are within", "", (now) => seconds(now.p99), (one) => one.p99],
  ["Failures", "/s", (now) => short(now.errorRate), (one) => one.errorRate],
  ["Facts", "/s", (now) => short(now.factRate), (one) => one.factRate],
  ["Firings", "/s", (now) => short(now.firingRate), (one) => one.firingRate],
];

function tiles() {
  const parts = TILES.map(([name, unit, text, value]) => {
    const number = h("span", { class: "figure" }, "–"), line = sparkline(`${name}, the last minutes`);
    const node = h("div", { class: "tile" }, h("dt", null, name), h("dd", null, number, unit && h("span", null, unit), line));
    return { node, number, line, text, value };
  });
  const node = h("dl", { class: "tiles" }, parts.map((part) => part.node));
  node.draw = () => {
    const stats = live.stats.slice(-120), now = stats.at(-1);
    for (const part of parts) {
      part.number.textContent = now ? part.text(now) : "–";
      part.line.set(stats.map(part.value));
    }
  };
  return node;
}

// ── What each route does ──

function routeRows(registry) {
  const of = (name) => registry.metrics.find((metric) => metric.name === name)?.series || [];
  const rows = new Map();
  const row = (labels) => {
    const key = `${labels.method} ${labels.route}`;
    if (!rows.has(key)) rows.set(key, { name: labels.route ? key : "(none of these)", total: 0, refused: 0, failed: 0 });
    return rows.get(key);
  };
  for (const one of of("flyball_http_requests")) {
    const it = row(one.labels);
    it.total += one.value;
    if (one.labels.status === "4xx") it.refused += one.value;
    if (one.labels.status === "5xx") it.failed += one.value;
  }
  for (const one of of("flyball_http_request_seconds")) row(one.labels).buckets = addBuckets([one]);
  return [...rows.values()].filter((it) => it.total).sort((a, b) => b.total - a.total);
}

async function routes(place) {
  try {
    const rows = routeRows(await get("metrics"));
    show(place, rows.length ? table("Requests by route", [["Route"], ["Requests", "n"], ["Refused", "n"], ["Failed", "n"], ["Median", "n"], ["99 %", "n"]],
      rows.map((it) => [h("code", null, it.name), count(it.total), count(it.refused), it.failed ? state("failed", count(it.failed)) : "0",
        seconds(quantile(it.buckets || [], 0.5)), seconds(quantile(it.buckets || [], 0.99))])) : h("p", { class: "empty" }, "Nobody has asked anything yet."));
  } catch (error) { show(place, problem(error)); }
}

// ── The project ──

function project(loop) {
  const list = (name, columns, rows) => rows.length > 0 && [h("h3", null, name), table(name, columns, rows)];
  return h("div", { class: "stack" },
    list("Sources", [["Source"], ["Kind"], ["State"], ["Facts", "n"], ["Errors", "n"], ["Last"]],
      (loop.sources || []).map((it) => [[it.name, it.error && h("div", { class: "soft" }, it.error)], it.kind, state(it.state), count(it.facts), count(it.errors), moment(it.last)])),
    list("Rulebooks", [["Rulebook"], ["Rules", "n"], ["Facts", "n"], ["Firings", "n"], ["Waiting", "n"]],
      (loop.rulebooks || []).map((it) => [it.name, count(it.rules), count(it.facts), count(it.firings), count(it.waiting)])),
    list("Sinks", [["Sink"], ["Kind"], ["Delivered", "n"], ["Waiting", "n"], ["Failed", "n"], ["Errors", "n"]],
      (loop.sinks || []).map((it) => [[it.name, it.error && h("div", { class: "soft" }, it.error)], it.kind, count(it.delivered), count(it.waiting), it.failed ? state("failed", count(it.failed)) : "0", count(it.errors)])),
    list("Schedules", [["Schedule"], ["When"], ["Next"], ["Last"]],
      (loop.schedules || []).map((it) => [it.name, h("code", null, it.cron, it.zone ? ` ${it.zone}` : ""), moment(it.next), moment(it.last)])),
    loop.queue && h("p", { class: "soft" }, `Queue: ${count(loop.queue.depth)} of ${count(loop.queue.limit)} waiting, ${count(loop.queue.dropped)} dropped.`));
}

async function sources(place) {
  try {
    show(place, project(await get("v1/loop")));
  } catch (error) {
    show(place, error.absent ? missing("No project is loaded", "With a project, facts come from files, commands and schedules, and this tells how each does.",
      h("span", null, "Start the server with ", h("code", null, "flyball serve --project DIR"), ".")) : problem(error));
  }
}

// ── What happens ──

const alertText = (it) => it.text || fieldsText(it.fields || {});

const TELLS = {
  run: (it) => [`${it.mission || ""} `, h("a", { href: `#/runs/${encodeURIComponent(it.run)}` }, it.run), " ", state(it.state)],
  step: (it) => [h("a", { href: `#/runs/${encodeURIComponent(it.run)}` }, it.run), ` ${it.step} `, state(it.state), it.error && ` ${it.error}`],
  decision: (it) => {
    const one = it.sample || it;
    return [one.decision && h("b", null, `${one.decision} `), one.fields && `${fieldsText(one.fields)} `, h("span", { class: "soft" }, `by ${one.rule || it.source || ""}${it.n > 1 ? `, and ${count(it.n - 1)} more` : ""}`)];
  },
  fact: (it) => `${it.source || "facts"}: ${count(it.n)}`,
  alert: (it) => [state(it.level || "warning", it.name), ` ${alertText(it)}`],
  ruleset: (it) => `${it.name} is version ${it.version} now${it.by ? `, by ${it.by}` : ""}`,
  source: (it) => [`${it.name} `, state(it.state), it.error && ` ${it.error}`],
  audit: (it) => `${it.who} ${it.what} ${it.target || ""}`,
  gap: (it) => `${count(it.missed)} events were missed`,
};

/** Drawn four times a second at most: nobody reads faster, and each line costs. */
function feed(list) {
  let fresh = [], timer = 0;
  const draw = () => {
    timer = 0;
    if (list.firstChild?.className === "empty") list.replaceChildren();
    list.prepend(...fresh.reverse().map((event) => h("li", null, h("span", { class: "what" }, clockText(new Date(event.at || Date.now()))),
      h("span", { class: "what" }, event.kind), h("span", null, TELLS[event.kind](event)))));
    while (list.children.length > FEED) list.lastChild.remove();
    fresh = [];
  };
  return (batch) => {
    fresh = [...fresh, ...batch.filter((event) => TELLS[event.kind]).slice(-FEED)].slice(-FEED);
    if (fresh.length && !timer) timer = setTimeout(draw, 250);
  };
}

function alerts(place) {
  const known = new Map();
  const draw = () => show(place, known.size ? table("Alerts", [["Alert"], ["Says"], ["Since"]],
    [...known.values()].slice(-20).reverse().map((it) => [state(it.level || "warning", it.name), alertText(it), moment(it.at)])) : h("p", { class: "empty" }, "None since this page was opened."));
  draw();
  return (batch) => {
    for (const it of batch) {
      known.delete(it.name);
      if (!["ok", "resolved", "cleared"].includes(it.level)) known.set(it.name, it);
    }
    draw();
  };
}

export function render(root) {
  const figures = tiles(), routesPlace = h("div"), sourcesPlace = h("div"), alertsPlace = h("div");
  const list = h("ol", { class: "feed", tabindex: "0", "aria-label": "What happens, newest first" }, h("li", { class: "empty" }, "Nothing yet."));
  const rates = chart({ label: "Requests and facts a second", series: [{ name: "Requests/s", get: (one) => one.requestRate }, { name: "Failures/s", get: (one) => one.errorRate }] });
  const times = chart({ label: "Time of requests", format: seconds, series: [{ name: "Median", get: (one) => one.p50 }, { name: "99 %", get: (one) => one.p99 }] });
  const about = h("span", { class: "soft" });
  show(root, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Overview"), about), h("div", { class: "stack" }, figures,
    h("div", { class: "grid" },
      card("Requests", { class: "half" }, rates), card("Time of requests", { class: "half" }, times),
      card("Alerts", { class: "half" }, alertsPlace), card("What happens", { class: "half" }, list),
      card("Sources and schedules", {}, sourcesPlace), card("Routes", {}, routesPlace))));
  const draw = () => {
    figures.draw();
    rates.draw(live.stats.slice(-300));
    times.draw(live.stats.slice(-300));
  };
  get("healthz").then((it) => { about.textContent = `Flyball ${it.version}`; }).catch(() => {});
  routes(routesPlace);
  sources(sourcesPlace);
  requestAnimationFrame(draw);
  const timer = setInterval(() => { if (!document.hidden) { routes(routesPlace); sources(sourcesPlace); } }, 5000);
  const ends = [on("stats", draw), on("*", feed(list)), on("alert", alerts(alertsPlace)), on("source", debounce(() => sources(sourcesPlace), 500))];
  return () => { clearInterval(timer); ends.forEach((end) => end()); };
}
