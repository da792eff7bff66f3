// SPDX-License-Identifier: Apache-2.0
// Steps and what they need, as layers from left to right, on a canvas: a thousand steps are drawn in a few milliseconds. Zoom, pan and a
// way through it with the keyboard; the table of steps beside it tells the same to those who do not see it.
import { h, kindOf, state } from "./ui.js";

const WIDE = 156, TALL = 30, ACROSS = 72, DOWN = 14;
const MOST_BENDS = 20000; // points of lines over several layers; more lines go straight
const MARKS = { good: "M3 8.5l3.5 3.5L13 4.5", bad: "M4 4l8 8M12 4l-8 8", busy: "M5 3l8 5-8 5z", wait: "M8 2a6 6 0 1 0 .01 0M8 5v3.5l2.5 1.5", rest: "M3.5 8h9" };

// ── Where each step stands ──

/** The longest way to a step is its layer. A step in a circle, which a mission cannot have, stays in the first. */
function layers(steps) {
  const at = new Map(steps.map((step, i) => [step.id, i])), needs = steps.map((step) => (step.needs || []).map((id) => at.get(id)).filter((i) => i !== undefined));
  const feeds = steps.map(() => []), left = needs.map((list) => list.length), layer = steps.map(() => 0);
  needs.forEach((list, i) => list.forEach((from) => feeds[from].push(i)));
  const ready = left.flatMap((n, i) => (n ? [] : [i]));
  while (ready.length) {
    const i = ready.pop();
    for (const to of feeds[i]) {
      layer[to] = Math.max(layer[to], layer[i] + 1);
      if (!--left[to]) ready.push(to);
    }
  }
  return { needs, feeds, layer };
}

/** Nearest places to those wanted, in this order, each with room for its size (pool adjacent violators). */
export function spread(wanted, sizes) {
  const pools = [], offsets = [];
  sizes.forEach((size, i) => offsets.push(i ? offsets[i - 1] + (sizes[i - 1] + size) / 2 : 0));
  wanted.forEach((want, i) => {
    pools.push({ sum: want - offsets[i], count: 1 });
    while (pools.length > 1 && pools.at(-2).sum / pools.at(-2).count > pools.at(-1).sum / pools.at(-1).count) {
      const last = pools.pop();
      pools.at(-1).sum += last.sum;
      pools.at(-1).count += last.count;
    }
  });
  return pools.flatMap((pool) => Array(pool.count).fill(pool.sum / pool.count)).map((place, i) => place + offsets[i]);
}

/** Lines over several layers get a point in each, which makes its way as steps do; `ways[from, to]` are these points. */
function bendPoints(layer, needs) {
  const points = [], ways = new Map();
  needs.forEach((list, to) => list.forEach((from) => {
    const way = [];
    for (let n = layer[from] + 1; n < layer[to] && points.length < MOST_BENDS; n++) {
      way.push(layer.length + points.length);
      points.push(n);
    }
    ways.set(from * layer.length + to, way);
  }));
  return { points, ways };
}

/** {x, y, needs, feeds, layer, rows, ways} by the steps' numbers. Neighbours pull a step towards them, forth and back a few times. */
export function layout(steps) {
  const { needs, feeds, layer } = layers(steps), { points, ways } = bendPoints(layer, needs);
  const all = [...layer, ...points], before = all.map(() => []), after = all.map(() => []), rows = [];
  needs.forEach((list, to) => list.forEach((from) => {
    const path = [from, ...ways.get(from * steps.length + to), to];
    for (let i = 0; i + 1 < path.length; i++) { after[path[i]].push(path[i + 1]); before[path[i + 1]].push(path[i]); }
  }));
  all.forEach((n, i) => (rows[n] ||= []).push(i));
  const y = all.map(() => 0), tall = (i) => (i < steps.length ? TALL + DOWN : DOWN);
  for (const row of rows) spread(row.map(() => 0), row.map(tall)).forEach((place, n) => { y[row[n]] = place; });
  const mean = (list, other) => (list.length ? list.reduce((sum, i) => sum + y[i], 0) / list.length : other);
  const rounds = all.length > 2000 ? 6 : 12;
  for (let round = 0; round < rounds; round++) {
    const pull = round % 2 ? after : before;
    for (const row of round % 2 ? [...rows].reverse() : rows) {
      const want = new Map(row.map((i) => [i, mean(pull[i], y[i])]));
      row.sort((a, b) => want.get(a) - want.get(b) || a - b);
      spread(row.map((i) => want.get(i)), row.map(tall)).forEach((place, n) => { y[row[n]] = place; });
    }
  }
  return { needs, feeds, layer, y, x: all.map((n) => n * (WIDE + ACROSS)), rows: rows.map((row) => row.filter((i) => i < steps.length)), ways };
}

// ── Drawing ──

const COLOURS = ["good", "bad", "busy", "wait", "rest", "line", "card", "ink", "accent", "edge"];

/** options.onpick(id): a step was chosen. Returns {node, set(steps), pick(id)}. */
export function graph(options) {
  const canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": "Steps and what they need. The arrow keys go from step to step, + and - zoom, 0 shows all, Enter opens a step." });
  const probe = h("span", { hidden: true }), said = h("span", { class: "unseen", "aria-live": "polite" });
  const zoomers = h("div", { class: "zoomers" }, [["+", "Zoom in", () => zoom(1.3)], ["−", "Zoom out", () => zoom(1 / 1.3)], ["All", "Show all", () => fit()]]
    .map(([text, label, onclick]) => h("button", { type: "button", "aria-label": label, onclick }, text)));
  const node = h("div", { class: "graph" }, canvas, zoomers, probe, said);
  const marks = Object.fromEntries(Object.entries(MARKS).map(([kind, d]) => [kind, new Path2D(d)]));
  let steps = [], plan = null, shape = "", scale = 1, left = 0, top = 0, chosen = -1, waiting = false, colours = {}, font = "", touched = false;

  function readColours() {
    probe.hidden = false;
    for (const name of COLOURS) {
      probe.style.color = `var(--${name})`;
      colours[name] = getComputedStyle(probe).color;
    }
    probe.hidden = true;
    font = `13px ${getComputedStyle(canvas).fontFamily}`;
  }

  let width = 600, height = 300; // as the page last had it: to ask for it in each frame would lay the page out each time

  function edges(context) {
    const x = (i) => plan.x[i] * scale + left, y = (i) => plan.y[i] * scale + top;
    const seen = (from, to) => x(to) > 0 && x(from) + WIDE * scale < width + ACROSS * scale && Math.max(y(from), y(to)) > -height && Math.min(y(from), y(to)) < 2 * height;
    for (const strong of [false, true]) {
      context.beginPath();
      plan.needs.forEach((list, to) => list.forEach((from) => {
        if ((from === chosen || to === chosen) !== strong || !seen(from, to)) return;
        let x1 = plan.x[from] + WIDE, y1 = plan.y[from] + TALL / 2;
        context.moveTo(x1, y1);
        for (const i of [...plan.ways.get(from * steps.length + to), to]) {
          const x2 = plan.x[i], y2 = plan.y[i] + TALL / 2, bend = Math.min(ACROSS, (x2 - x1) / 2);
          context.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
          if (i !== to) context.lineTo(x2 + WIDE, y2);
          [x1, y1] = [x2 + WIDE, y2];
        }
      }));
      context.strokeStyle = strong ? colours.accent : colours.edge;
      context.globalAlpha = strong ? 1 : 0.6;
      context.lineWidth = Math.max(strong ? 2 : 1.25, (strong ? 1.6 : 0.8) / scale);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  function box(context, i, detail) {
    const step = steps[i], colour = colours[kindOf(step.state)], x = plan.x[i], y = plan.y[i];
    context.beginPath();
    context.roundRect(x, y, WIDE, TALL, 6);
    context.fillStyle = colours.card;
    context.fill();
    context.strokeStyle = i === chosen ? colours.accent : colour;
    context.lineWidth = i === chosen ? 3 : 1.5;
    context.stroke();
    if (!detail) {
      context.globalAlpha = 0.35;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = 1;
      return;
    }
    context.save();
    context.translate(x + 9, y + 7);
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.stroke(marks[kindOf(step.state)]);
    context.restore();
    context.fillStyle = colours.ink;
    let text = step.id;
    if (context.measureText(text).width > WIDE - 42) {
      while (text.length > 2 && context.measureText(`${text}…`).width > WIDE - 42) text = text.slice(0, -1);
      text += "…";
    }
    context.fillText(text, x + 32, y + TALL / 2 + 0.5);
  }

  function draw() {
    waiting = false;
    if (!plan || !canvas.isConnected) return;
    const ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
    context.font = font;
    context.textBaseline = "middle";
    const near = (x, y) => (x + WIDE) * scale + left > 0 && x * scale + left < width && (y + TALL) * scale + top > 0 && y * scale + top < height;
    edges(context);
    for (let i = 0; i < steps.length; i++) if (near(plan.x[i], plan.y[i])) box(context, i, scale > 0.45);
    if (chosen >= 0 && near(plan.x[chosen], plan.y[chosen])) box(context, chosen, scale > 0.45);
  }

  function later() {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
  }

  // ── Moving about ──

  function fit() {
    if (!plan || !steps.length) return;
    const low = Math.min(...plan.y), wide = Math.max(...plan.x) + WIDE, tall = Math.max(...plan.y) + TALL - low;
    scale = Math.min(1.1, (width - 32) / wide, (height - 32) / tall);
    left = (width - wide * scale) / 2;
    top = (height - tall * scale) / 2 - low * scale;
    touched = false;
    later();
  }

  function zoom(by, x = width / 2, y = height / 2) {
    const next = Math.min(3, Math.max(0.02, scale * by));
    left = x - ((x - left) * next) / scale;
    top = y - ((y - top) * next) / scale;
    scale = next;
    touched = true;
    later();
  }

  function reveal(i) {
    const edge = 40;
    if (scale < 0.45) zoom(0.8 / scale, plan.x[i] * scale + left, plan.y[i] * scale + top);
    const x = plan.x[i] * scale + left, y = plan.y[i] * scale + top;
    left += Math.max(edge - x, 0) + Math.min(width - edge - WIDE * scale - x, 0);
    top += Math.max(edge - y, 0) + Math.min(height - edge - TALL * scale - y, 0);
    touched = true;
  }

  function choose(i, speak) {
    if (i < 0 || i >= steps.length) return;
    chosen = i;
    if (speak) {
      reveal(i);
      said.textContent = `${steps[i].id}, ${steps[i].state}${steps[i].needs?.length ? `, needs ${steps[i].needs.join(", ")}` : ""}`;
    }
    later();
  }

  function step(key) {
    if (chosen < 0) return choose(0, true);
    const beside = (list) => list.reduce((best, i) => (best < 0 || Math.abs(plan.y[i] - plan.y[chosen]) < Math.abs(plan.y[best] - plan.y[chosen]) ? i : best), -1);
    if (key === "ArrowRight") choose(beside(plan.feeds[chosen]), true);
    else if (key === "ArrowLeft") choose(beside(plan.needs[chosen]), true);
    else {
      const row = plan.rows[plan.layer[chosen]];
      choose(row[row.indexOf(chosen) + (key === "ArrowDown" ? 1 : -1)] ?? -1, true);
    }
  }

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && !event.shiftKey) step(event.key);
    else if (event.key.startsWith("Arrow")) { left += { ArrowLeft: 60, ArrowRight: -60 }[event.key] || 0; top += { ArrowUp: 60, ArrowDown: -60 }[event.key] || 0; touched = true; later(); }
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") fit();
    else if (event.key === "Enter" && chosen >= 0) options.onpick?.(steps[chosen].id);
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return; // the page scrolls
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, left, top, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4;
    if (!drag.moved) return;
    [left, top] = [drag.left + event.clientX - drag.x, drag.top + event.clientY - drag.y];
    touched = true;
    later();
  });
  canvas.addEventListener("pointerup", (event) => {
    const click = drag && !drag.moved;
    drag = null;
    if (!click || !plan) return;
    const x = (event.offsetX - left) / scale, y = (event.offsetY - top) / scale;
    const hit = steps.findIndex((one, i) => x >= plan.x[i] && x <= plan.x[i] + WIDE && y >= plan.y[i] && y <= plan.y[i] + TALL);
    if (hit >= 0) { choose(hit, false); options.onpick?.(steps[hit].id); }
  });
  const sizes = new ResizeObserver(([entry]) => {
    ({ width, height } = entry.contentRect);
    if (touched) later();
    else fit();
  });
  sizes.observe(canvas);
  const dark = matchMedia("(prefers-color-scheme: dark)"), recolour = () => { readColours(); later(); };
  dark.addEventListener("change", recolour);
  const watch = new MutationObserver(recolour);
  watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });

  return {
    node,
    set(list) {
      const now = list === steps ? shape : list.map((one) => `${one.id}:${(one.needs || []).join()}`).join(";"), fresh = now !== shape;
      steps = list;
      if (fresh) { shape = now; plan = layout(list); chosen = -1; }
      if (!colours.ink) readColours();
      if (fresh) fit();
      else later();
    },
    pick(id) { const i = steps.findIndex((one) => one.id === id); if (i >= 0) { chosen = i; if (touched) reveal(i); later(); } },
    end() { sizes.disconnect(); dark.removeEventListener("change", recolour); watch.disconnect(); },
  };
}

/** What the signs mean. */
export const legend = () => h("div", { class: "row legend" }, ["ok", "running", "waiting", "failed", "pending"].map((name) => state(name)));
