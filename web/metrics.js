// SPDX-License-Identifier: Apache-2.0
// Plots of what the server counts, for as long as the page is open, and of measurements kept over time with their changes.
import { card, count, h, missing, moment, problem, seconds, short, shorten, show, table } from "./ui.js";
import { chart } from "./chart.js";
import { get } from "./api.js";
import { addBuckets, quantile } from "./live.js";

const EVERY = 2000, KEPT = 450, SERIES = 4;
// Kept while other pages are looked at: {name: {metric, points}}.
const past = new Map();

// ── What the server counts ──

const label = (labels) => Object.values(labels).filter(Boolean).join(" ") || "all";

/** One point of a metric: totals as they are, buckets of a histogram together. */
function sample(metric, time) {
  if (metric.kind === "histogram") {
    const buckets = addBuckets(metric.series);
    return { time, count: metric.series.reduce((sum, one) => sum + (one.count || 0), 0), buckets };
  }
  return { time, values: Object.fromEntries(metric.series.map((one) => [label(one.labels), one.value])) };
}

function keep(registry) {
  const time = Date.parse(registry.time) || Date.now();
  for (const metric of registry.metrics) {
    const kept = past.get(metric.name) || { points: [] };
    past.set(metric.name, kept);
    kept.metric = metric;
    if (kept.points.at(-1)?.time === time) continue;
    kept.points.push(sample(metric, time));
    if (kept.points.length > KEPT) kept.points.shift();
  }
}

const busiest = (kept) => Object.entries(kept.points.at(-1).values || {}).filter(([, value]) => value).sort((a, b) => b[1] - a[1]).slice(0, SERIES).map(([name]) => name);

function rates(points, name) {
  return points.map((point, i) => {
    const before = points[i - 1];
    return before && point.time > before.time ? Math.max(0, ((point.values[name] ?? 0) - (before.values[name] ?? 0)) / ((point.time - before.time) / 1000)) : NaN;
  });
}

function fresh(points, share) {
  return points.map((point, i) => {
    if (!i) return NaN;
    const before = new Map(points[i - 1].buckets);
    return quantile(point.buckets.map(([limit, upTo]) => [limit, upTo - (before.get(limit) || 0)]), share);
  });
}

/** Points with a value for each line. */
function prepare(kept, names) {
  const { metric, points } = kept;
  const lines = metric.kind === "histogram" ? [fresh(points, 0.5), fresh(points, 0.99)] : names.map((name) => (metric.kind === "counter" ? rates(points, name) : points.map((point) => point.values[name])));
  return points.map((point, i) => ({ time: point.time, values: lines.map((line) => line[i]) }));
}

function plot(kept) {
  const { metric } = kept, histogram = metric.kind === "histogram", names = histogram ? ["Median", "99 %"] : busiest(kept).length ? busiest(kept) : Object.keys(kept.points.at(-1).values).slice(0, 1);
  const unit = /second/.test(metric.unit || metric.name) && histogram ? seconds : short;
  const node = chart({ label: metric.name, height: 130, format: unit, zero: true, series: names.map((name, i) => ({ name, get: (point) => point.values[i] })) });
  return { node, key: names.join("\0"), draw: () => node.draw(prepare(kept, names).slice(metric.kind === "gauge" ? 0 : 1)) };
}

function live(place, filter, hideQuiet) {
  const cards = new Map();
  return () => {
    const wanted = filter.value.trim().toLowerCase(), shown = [];
    for (const [name, kept] of [...past].sort((a, b) => a[0].localeCompare(b[0]))) {
      const quiet = kept.metric.kind === "histogram" ? !kept.points.at(-1).count : !busiest(kept).length;
      if ((wanted && !`${name} ${kept.metric.help}`.toLowerCase().includes(wanted)) || (hideQuiet.checked && quiet)) continue;
      let it = cards.get(name);
      const now = kept.metric.kind === "histogram" ? "" : busiest(kept).join("\0");
      if (!it || (now && it.now !== now)) {
        const drawn = plot(kept);
        it = { ...drawn, now, card: h("section", { class: "card third" }, h("header", null, h("h3", null, name), h("small", null, kept.metric.kind === "counter" ? "a second" : kept.metric.unit)), h("p", { class: "soft help" }, kept.metric.help), drawn.node) };
        cards.set(name, it);
      }
      shown.push(it);
    }
    const same = place.children.length === shown.length && shown.every((it, i) => place.children[i] === it.card);
    if (!same) show(place, shown.length ? shown.map((it) => it.card) : h("p", { class: "empty" }, "None that fit."));
    for (const it of shown) it.draw();
  };
}

// ── What was measured over time ──

async function showSeries(place, series) {
  const query = new URLSearchParams({ bench: series.bench || "", workload: series.workload, metric: series.metric });
  const answer = await get(`v1/history/series?${query}`);
  const name = [series.bench, series.workload, series.metric].filter(Boolean).join(" / ");
  const unit = /^(s|seconds)$/.test(series.unit) ? seconds : /^(ns|nanoseconds)$/.test(series.unit) ? (value) => seconds(value / 1e9) : (value) => `${short(value)} ${series.unit || ""}`;
  const plotted = chart({ label: name, height: 240, format: unit, zero: false, dots: true, even: true, time: (point) => Date.parse(point.at),
    xName: (point) => `${(point.at || "").slice(0, 10)} ${shorten(point.commit, 10)}`, series: [{ name: "Median", get: (point) => point.median, band: (point) => [point.low, point.high] }],
    marks: (points) => answer.changes.map((change) => ({ index: points.findIndex((point) => point.at === change.at), text: `${change.to > change.from ? "+" : ""}${(100 * (change.to / change.from - 1)).toFixed(1)} %` })).filter((mark) => mark.index >= 0) });
  show(place, h("h3", null, name), plotted,
    answer.changes.length ? table("Changes", [["Since"], ["Commit"], ["From", "n"], ["To", "n"], ["By", "n"]], answer.changes.map((change) => [moment(change.at), h("code", null, shorten(change.commit)), unit(change.from), unit(change.to), `${change.to > change.from ? "+" : ""}${(100 * (change.to / change.from - 1)).toFixed(1)} %`]))
      : h("p", { class: "soft" }, "No change that is more than chance."));
  plotted.draw(answer.points);
}

async function history(place) {
  try {
    const all = (await get("v1/history")).series, detail = h("div", { class: "stack" });
    if (!all.length) return show(place, h("p", { class: "empty" }, "Nothing has been measured yet: ", h("code", null, "flyball bench --save"), " keeps results."));
    const open = (series) => showSeries(detail, series).catch((error) => show(detail, problem(error)));
    show(place, h("div", { class: "stack" }, detail, table("Series", [["Measured"], ["Metric"], ["Unit"], ["Runs", "n"]], all.map((series) => [
      h("button", { type: "button", class: "link", onclick: () => open(series) }, [series.bench, series.workload].filter(Boolean).join(" / ")), series.metric, series.unit, count(series.runs)]))));
    open(all[0]);
  } catch (error) { show(place, error.absent ? missing("No measurements are kept here", h("span", null, "A history made by ", h("code", null, "flyball bench"), " stands here with its baselines, trends and changes, if the server has one.")) : problem(error, () => history(place))); }
}

export function render(root) {
  const place = h("div", { class: "grid plots" }), kept = h("div"), failed = h("div");
  const filter = h("input", { type: "search", placeholder: "Find a metric", "aria-label": "Find a metric" }), quiet = h("input", { type: "checkbox", checked: true });
  const draw = live(place, filter, quiet);
  let ended = false;
  async function load() {
    try {
      keep(await get("v1/metrics").catch((error) => { if (error.absent) return get("metrics"); throw error; }));
      if (ended) return;
      show(failed);
      draw();
    } catch (error) { if (!ended) show(failed, problem(error, load)); }
  }
  filter.addEventListener("input", draw);
  quiet.addEventListener("change", draw);
  show(root, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Metrics"), h("div", { class: "end" }, h("label", { class: "inline" }, quiet, "Only what counts something"), filter)),
    h("div", { class: "stack" }, failed, place, card("Measured over time", {}, kept)));
  load();
  history(kept);
  const timer = setInterval(() => { if (!document.hidden) load(); }, EVERY);
  return () => { ended = true; clearInterval(timer); };
}
