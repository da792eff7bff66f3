// SPDX-License-Identifier: Apache-2.0
// Lines over time, as SVG: colours follow the theme, prints are sharp, and the values under the pointer (or, with the arrow keys, under
// the cursor) stand as text below.
import { clockText, h, s, short } from "./ui.js";

/** A small line without axes. The element's `set(values)` draws. */
export function sparkline(label) {
  const area = s("path", { class: "area" }), line = s("path", { class: "line" });
  const node = s("svg", { class: "spark", viewBox: "0 0 100 34", preserveAspectRatio: "none", role: "img", "aria-label": label }, area, line);
  node.set = (values) => {
    const known = values.filter(Number.isFinite), top = Math.max(...known, 0) || 1;
    if (known.length < 2) return;
    const step = 100 / (values.length - 1);
    const d = values.map((value, i) => `${i ? "L" : "M"}${(i * step).toFixed(2)} ${(32 - 30 * ((value || 0) / top)).toFixed(2)}`).join("");
    line.setAttribute("d", d);
    area.setAttribute("d", `${d}L100 34L0 34Z`);
  };
  return node;
}

/** Steps of 1, 2 or 5 times a power of ten. */
export function ticks(low, high, most) {
  const span = high - low || Math.abs(high) || 1, raw = span / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((n) => n * power >= raw) * power, list = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-6; n++) list.push(n * step || 0);
  return list;
}

const LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 22;

function extent(points, series, zero) {
  let low = zero ? 0 : Infinity, high = zero ? 0 : -Infinity;
  for (const point of points)
    for (const { get, band } of series)
      for (const value of [get(point), ...(band ? band(point) : [])])
        if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
  if (!Number.isFinite(low)) return [0, 1];
  if (low === high) return zero || low === 0 ? [0, high || 1] : [low - Math.abs(low) * 0.05, high + Math.abs(high) * 0.05];
  return [low, high + (high - low) * 0.06];
}

function path(points, x, y, get) {
  let d = "", pen = "M";
  points.forEach((point, i) => {
    const value = get(point);
    if (!Number.isFinite(value)) { pen = "M"; return; }
    d += `${pen}${x(point, i).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return d;
}

/**
 * options: label; series: [{name, get(point), band?(point): [low, high]}]; format(value); height; zero (the axis begins there); time(point): ms;
 * xName(point): what a point is called; marks(points): [{index, text}]. `draw(points)` draws.
 */
export function chart(options) {
  const { label, series, format = short, height = 170, zero = true, time = (point) => point.time, marks } = options;
  const xName = options.xName || ((point) => clockText(new Date(time(point))));
  const svg = s("svg", { height, role: "img", "aria-label": label });
  const keys = series.map((one, i) => {
    const value = h("b");
    return { value, node: h("span", { class: "key" }, s("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, s("path", { d: "M0 4H22", class: `c${(i % 4) + 1}` })), `${one.name} `, value) };
  });
  const when = h("span"), status = h("span", { class: "unseen", "aria-live": "polite" });
  const cursor = s("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
  const node = h("figure", { class: "chart", tabindex: "0", "aria-label": `${label}. The arrow keys read the values.` }, svg, h("figcaption", null, keys.map((key) => key.node), when, status));
  let points = [], at = -1, x = () => 0, width = 0;

  function read(speak) {
    const point = points[at < 0 ? points.length - 1 : at];
    keys.forEach((key, i) => { key.value.textContent = point ? format(series[i].get(point)) : "–"; });
    when.textContent = point && at >= 0 ? xName(point) : "";
    cursor.setAttribute("visibility", at >= 0 && point ? "visible" : "hidden");
    if (point) for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(point, at));
    if (speak && point) status.textContent = `${xName(point)}: ${series.map((one) => `${one.name} ${format(one.get(point))}`).join(", ")}`;
  }

  function draw(list) {
    points = list;
    width = svg.clientWidth || 400;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [low, high] = extent(points, series, zero), inner = width - LEFT - RIGHT;
    const first = points.length ? time(points[0]) : 0, span = points.length > 1 ? time(points.at(-1)) - first : 0;
    x = options.even || !(span > 0) ? (point, i) => LEFT + (points.length > 1 ? (inner * i) / (points.length - 1) : inner / 2) : (point) => LEFT + (inner * (time(point) - first)) / span;
    const y = (value) => height - BOTTOM - ((height - TOP - BOTTOM) * (value - low)) / (high - low || 1);
    const parts = ticks(low, high, height / 45).map((value) => [
      s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 7, y: y(value) + 4, "text-anchor": "end" }, format(value))]);
    if (points.length > 1) {
      parts.push(s("text", { x: LEFT, y: height - 5 }, xName(points[0])), s("text", { x: width - RIGHT, y: height - 5, "text-anchor": "end" }, xName(points.at(-1))));
      for (const { index, text } of marks ? marks(points) : [])
        parts.push(s("line", { class: "c2", x1: x(points[index], index), x2: x(points[index], index), y1: TOP, y2: height - BOTTOM }), s("text", { x: x(points[index], index) + 4, y: TOP + 9 }, text));
    }
    series.forEach((one, i) => {
      if (one.band && points.length > 1) {
        const back = points.map((point, at) => [point, at]).reverse().map(([point, at]) => `L${x(point, at).toFixed(1)} ${y(one.band(point)[0]).toFixed(1)}`).join("");
        parts.push(s("path", { class: `band f${(i % 4) + 1}`, d: `${path(points, x, y, (point) => one.band(point)[1])}${back}Z` }));
      }
      parts.push(s("path", { class: `c${(i % 4) + 1}`, d: path(points, x, y, one.get) }));
      if (options.dots || points.length === 1) for (const [index, point] of points.entries()) if (Number.isFinite(one.get(point))) parts.push(s("circle", { class: `f${(i % 4) + 1}`, cx: x(point, index), cy: y(one.get(point)), r: 2.5 }));
    });
    svg.replaceChildren(...parts.flat(Infinity), cursor);
    if (at >= points.length) at = points.length - 1;
    read(false);
  }

  svg.addEventListener("pointermove", (event) => {
    const place = event.clientX - svg.getBoundingClientRect().left;
    let best = -1, near = Infinity;
    points.forEach((point, i) => { const far = Math.abs(x(point, i) - place); if (far < near) [best, near] = [i, far]; });
    at = best;
    read(false);
  });
  svg.addEventListener("pointerleave", () => { at = -1; read(false); });
  node.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") at = -1;
    else if (!move || !points.length) return;
    else at = Math.min(points.length - 1, Math.max(0, (at < 0 ? points.length - 1 : at) + move));
    event.preventDefault();
    read(true);
  });
  node.addEventListener("blur", () => { at = -1; read(false); });
  new ResizeObserver(() => { if (svg.clientWidth && svg.clientWidth !== width) draw(points); }).observe(svg);
  node.draw = draw;
  return node;
}
