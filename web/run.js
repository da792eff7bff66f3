// SPDX-License-Identifier: Apache-2.0
// One run: its steps as a graph and as a table over time, what each did, logs as they are written, and what a person may decide.
import { card, clockText, confirm, count, h, kindOf, moment, problem, seconds, show, state, throttle, valueText } from "./ui.js";
import { get, may, send } from "./api.js";
import { live, on } from "./live.js";
import { graph, legend } from "./dag.js";
import { change } from "./runs.js";

const LINES = 5000; // of a log that are kept in the page
const ROW = 31, SPARE = 20; // of the table of steps: a row's height in pixels, rows beyond those seen
const OVER = ["ok", "failed", "timeout", "cancelled"];
const FILTERS = { all: () => true, "not done": (step) => !["ok", "skipped"].includes(step.state), failed: (step) => kindOf(step.state) === "bad", running: (step) => step.state === "running", waiting: (step) => step.state === "waiting" };

// ── Logs ──

/** follow(step): shows the log of a step, or of all with "". */
function logView() {
  const text = h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "Log" }), stick = h("input", { type: "checkbox", checked: true });
  let abort = null, pending = "", held = [], lines = 0, waiting = false, over = true;

  const countLines = (piece) => piece.split("\n").length - 1;
  function flush() {
    waiting = false;
    if (!pending) return;
    // At most what can be kept: what a flood brought before is never drawn.
    if (pending.length > 200 * LINES) pending = pending.slice(-200 * LINES);
    const over = countLines(pending) - LINES;
    if (over > 0) {
      let at = 0;
      for (let i = 0; i < over; i++) at = pending.indexOf("\n", at) + 1;
      pending = pending.slice(at);
    }
    // A block of whole lines: the browser lays out that one alone.
    const whole = pending.lastIndexOf("\n") + 1, n = countLines(pending), piece = h("div", null, pending.slice(0, whole));
    if (!whole) return;
    pending = pending.slice(whole);
    text.append(piece);
    held.push([piece, n]);
    lines += n;
    while (held.length > 1 && lines - held[0][1] > LINES) {
      held[0][0].remove();
      lines -= held.shift()[1];
    }
    if (stick.checked) text.scrollTop = text.scrollHeight;
  }
  function add(piece) {
    pending += piece;
    if (waiting) return;
    waiting = true;
    if (document.hidden) setTimeout(flush, 500);
    else requestAnimationFrame(flush);
  }

  async function follow(id, step) {
    abort?.abort();
    const mine = abort = new AbortController();
    const query = `v1/runs/${encodeURIComponent(id)}/logs?follow=true${step ? `&step=${encodeURIComponent(step)}` : ""}`;
    [pending, held, lines, over] = ["", [], 0, false];
    text.replaceChildren();
    try {
      const response = await send("GET", query, { accept: "text/plain", signal: mine.signal });
      const bytes = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await bytes.read();
        if (done || mine.signal.aborted) break;
        add(value);
      }
      if (pending && !pending.endsWith("\n")) add("\n");
      if (!mine.signal.aborted && !held.length && !pending) text.textContent = "Nothing was written.";
    } catch (error) {
      if (!mine.signal.aborted) text.textContent = error.status === 404 ? "Nothing was written." : error.message;
    }
    if (!mine.signal.aborted) over = true;
  }
  text.addEventListener("wheel", (event) => { if (event.deltaY < 0) stick.checked = false; }, { passive: true });
  return { text, follow, over: () => over, control: h("label", { class: "inline" }, stick, "Follow"), end: () => abort?.abort() };
}

// ── Steps over time ──

/** Only the rows that are seen, and some above and below, are there; the others are two gaps of their height. On paper all are. */
function waterfall(onpick) {
  const filter = h("select", { "aria-label": "Steps shown" }, Object.keys(FILTERS).map((name) => h("option", null, name)));
  const search = h("input", { type: "search", placeholder: "Find a step", "aria-label": "Find a step", size: "16" });
  const gap = () => { const cell = h("td", { colspan: "5" }); return { cell, node: h("tr", { class: "gap", "aria-hidden": "true" }, cell) }; };
  const body = h("tbody"), above = gap(), below = gap(), span = h("span", { class: "soft" });
  const whole = h("table", null, h("caption", { class: "unseen" }, "Steps over time"),
    h("thead", null, h("tr", null, ["Step", "State", "Tries", "Took", "When"].map((name, i) => h("th", { scope: "col", class: i === 2 || i === 3 ? "n" : false }, name)))), body);
  const node = h("div", { class: "scroll falls", tabindex: "0", role: "region", "aria-label": "Steps over time" }, whole);
  const known = new Map(), paper = matchMedia("print");
  let steps = [], chosen = [], from = 0, to = 1, picked = "", order = "", top = 0, tall = 600;

  function row(step) {
    const bar = h("span", { class: "bar" }), cells = { state: h("td"), tries: h("td", { class: "n" }), took: h("td", { class: "n" }) };
    const name = h("button", { type: "button", class: "link", title: step.id, onclick: () => onpick(step.id) }, step.id);
    return { node: h("tr", null, h("td", null, name, step.tool && h("small", null, ` ${step.tool}`)), cells.state, cells.tries, cells.took, h("td", { class: "when" }, bar)), bar, cells, told: "" };
  }
  function tell(it, step, number) {
    const now = step.state === "running" ? Date.now() : 0, told = `${step.state} ${step.attempts} ${step.seconds} ${step.error ? 1 : 0} ${JSON.stringify(step.items) || ""}`;
    if (it.told !== told) {
      it.told = told;
      show(it.cells.state, state(step.state), step.items && h("small", null, ` ${count(step.items.done)} of ${count(step.items.begun)}`));
      it.cells.tries.textContent = step.attempts > 0 ? step.attempts : "";
      it.bar.className = `bar ${kindOf(step.state)}`;
    }
    const began = Date.parse(step.started), ended = step.ended ? Date.parse(step.ended) : now;
    it.cells.took.textContent = step.seconds !== undefined && step.seconds !== null && !now ? seconds(step.seconds) : now && began ? seconds(Math.max(0, (now - began) / 1000)) : "";
    it.node.setAttribute("aria-selected", step.id === picked ? "true" : "false");
    it.node.setAttribute("aria-rowindex", number + 2);
    it.bar.hidden = !began;
    if (!began) return;
    it.bar.style.left = `${(100 * (began - from)) / (to - from)}%`;
    it.bar.style.width = `${(100 * Math.max(0, (ended || began) - began)) / (to - from)}%`;
  }
  function draw() {
    const first = paper.matches ? 0 : Math.max(0, Math.floor(top / ROW) - SPARE), last = paper.matches ? chosen.length : Math.min(chosen.length, Math.ceil((top + tall) / ROW) + SPARE);
    const seen = chosen.slice(first, last).map((step, i) => {
      if (!known.has(step.id)) known.set(step.id, row(step));
      const it = known.get(step.id);
      tell(it, step, first + i);
      return it.node;
    });
    above.cell.style.height = `${first * ROW}px`;
    below.cell.style.height = `${(chosen.length - last) * ROW}px`;
    const next = `${first} ${last} ${chosen.map((step) => step.id).join("\0")}`;
    if (next === order) return;
    order = next;
    whole.setAttribute("aria-rowcount", chosen.length + 1);
    show(body, first > 0 && above.node, seen, last < chosen.length && below.node);
  }
  function choose() {
    const now = Date.now();
    chosen = steps.filter((step) => FILTERS[filter.value](step) && step.id.includes(search.value.trim()));
    // Fewer rows than before may end above what was seen: the gap above them would keep the table long and empty.
    const end = Math.max(0, chosen.length * ROW - tall);
    if (top > end) node.scrollTop = top = end;
    [from, to] = [Infinity, -Infinity];
    for (const step of steps) {
      const began = Date.parse(step.started);
      if (!began) continue;
      from = Math.min(from, began);
      to = Math.max(to, began, step.ended ? Date.parse(step.ended) : step.state === "running" ? now : 0);
    }
    span.textContent = from < Infinity ? `${clockText(new Date(from))} to ${clockText(new Date(to))}, ${seconds((to - from) / 1000)}` : "";
    to = Math.max(from + 1, to);
    draw();
  }
  filter.addEventListener("change", choose);
  search.addEventListener("input", choose);
  node.addEventListener("scroll", () => { top = node.scrollTop; draw(); }, { passive: true });
  const sizes = new ResizeObserver(([entry]) => { tall = entry.contentRect.height; draw(); });
  sizes.observe(node);
  paper.addEventListener("change", draw);
  return { node, control: [span, search, filter], set(list) { steps = list; choose(); },
    pick(id) {
      picked = id;
      const at = chosen.findIndex((step) => step.id === id) * ROW;
      if (at >= 0 && (at < top || at > top + tall - 3 * ROW)) node.scrollTop = top = Math.max(0, at - tall / 2);
      draw();
    },
    end() { sizes.disconnect(); paper.removeEventListener("change", draw); } };
}

// ── One step ──

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, (key, item) => (typeof item === "bigint" ? String(item) : item), 2));

function decide(id, wait, after) {
  const note = h("input", { type: "text", placeholder: "Why (kept in the journal)", "aria-label": "Why" });
  const say = (decision) => async () => { if (await change(id, "approve", { step: wait.step, decision, ...(note.value && { note: note.value }) })) after(); };
  return h("div", { class: "decide" }, h("p", null, state("waiting", wait.step), ` waits: ${wait.for}`),
    may("operator") && h("div", { class: "row" }, note, h("button", { type: "button", class: "main", onclick: say("approve") }, wait.doubt ? "It was done" : "Approve"), h("button", { type: "button", class: "bad", onclick: say("reject") }, "Reject")));
}

function stepView(id, run, step, actions) {
  const over = OVER.includes(run.state);
  const pair = (name, value) => value !== undefined && value !== null && value !== "" && [h("dt", null, name), h("dd", null, value)];
  return h("div", { class: "stack" },
    h("div", { class: "row" }, state(step.state), step.tool && h("span", { class: "tag" }, step.tool), step.attempts > 1 && h("span", { class: "soft" }, `${step.attempts} tries`)),
    (run.waits || []).filter((wait) => wait.step === step.id || wait.step.startsWith(`${step.id}[`)).map((wait) => decide(id, wait, actions.load)),
    step.error && h("div", { class: "problem" }, h("p", null, step.error)),
    h("dl", { class: "pairs" }, pair("Needs", (step.needs || []).join(", ")), pair("Started", step.started && moment(step.started)), pair("Took", step.seconds !== undefined && seconds(step.seconds)), pair("Writes", step.line)),
    step.output !== undefined && h("div", null, h("h3", null, "Output"), h("pre", { class: "log short", tabindex: "0", role: "region", "aria-label": "Output" }, asText(step.output))),
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => actions.log(step.id) }, "Its log"),
      over && may("operator") && h("button", { type: "button", onclick: async () => {
        if (await confirm(`Run again from ${step.id}?`, "This step and all that need it run once more.", "Run again") && await change(id, "retry", { from: step.id })) actions.load();
      } }, "Run again from here")));
}

// ── The page ──

export function renderRun(root, id) {
  const title = h("h1", { tabindex: "-1", class: "mono" }, id), about = h("span"), buttons = h("div", { class: "end" });
  const failed = h("div"), decisions = h("div", { class: "stack" }), facts = h("div", { class: "grid" }), detail = h("div", {}, h("p", { class: "empty" }, "Choose a step in the graph or in the table."));
  const logs = logView(), logOf = h("span", { class: "soft" }, "of all steps"), allLogs = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => log("") }, "All steps");
  const detailTitle = h("h2", null, "Step");
  let run = null, byId = new Map(), picked = "", logStep = "", ended = false;
  const falls = waterfall(pick), dag = graph({ onpick: pick });

  function log(step) {
    logStep = step;
    logOf.textContent = step ? `of ${step}` : "of all steps";
    allLogs.hidden = !step;
    logs.follow(id, step);
  }
  function pick(step) {
    picked = step;
    dag.pick(step);
    falls.pick(step);
    drawDetail();
  }
  function drawDetail() {
    const step = byId.get(picked);
    if (!step) return;
    detailTitle.textContent = step.id;
    // What a person is writing there stays.
    if (detail.contains(document.activeElement) && document.activeElement.tagName === "INPUT") return;
    show(detail, stepView(id, run, step, { load, log }));
  }

  function drawHead() {
    const over = OVER.includes(run.state), say = (text, what, kind) => h("button", { type: "button", class: kind, onclick: async () => {
      if (what === "cancel" && !(await confirm("Cancel this run?", "Steps that work are ended, and no other begins.", "Cancel it"))) return;
      if (await change(id, what)) load();
    } }, text);
    const counts = run.counts || {};
    show(about, run.mission, " ", state(run.state), h("span", { class: "soft" }, ` ${count(counts.done)} of ${count(counts.total)} steps${counts.failed ? `, ${count(counts.failed)} failed` : ""}, ${seconds(run.seconds)}`));
    show(buttons, may("operator") && !over && say("Cancel", "cancel", "bad"), may("operator") && run.state === "interrupted" && say("Resume", "resume", "main"));
    show(failed, run.error && h("div", { class: "problem" }, h("p", null, run.error)));
    const busy = decisions.contains(document.activeElement) && document.activeElement.tagName === "INPUT";
    if (!busy) show(decisions, (run.waits || []).map((wait) => decide(id, wait, load)));
    show(facts, [["Inputs", run.inputs], ["Outputs", run.outputs]].filter(([, map]) => map && Object.keys(map).length)
      .map(([name, map]) => card(name, { class: "half" }, h("dl", { class: "pairs" }, Object.entries(map).map(([key, value]) => [h("dt", null, key), h("dd", { class: "mono" }, valueText(value))])))));
  }
  function draw() {
    drawHead();
    dag.set(run.steps);
    falls.set(run.steps);
    drawDetail();
  }

  async function load() {
    try {
      const answer = await get(`v1/runs/${encodeURIComponent(id)}`);
      if (ended) return;
      const first = !run, goesOn = run && run.state !== answer.state && answer.state !== "waiting";
      run = answer;
      byId = new Map(run.steps.map((step) => [step.id, step]));
      draw();
      // The log of a run that stood still has ended; what was written since is in a new one.
      if (first || (goesOn && logs.over())) log(logStep);
    } catch (error) { if (!ended) show(failed, problem(error, load)); }
  }

  /** What an event tells is shown at once; the rest of it comes with the next load. */
  function steps(batch) {
    let mine = false;
    for (const event of batch) {
      if (event.run !== id) continue;
      mine = true;
      const step = byId.get(event.step);
      if (!step || event.item !== undefined || event.state === "again") continue;
      if (event.state === "running" && step.state !== "running") step.started = event.at;
      if (["ok", "failed", "timeout"].includes(event.state)) step.ended = event.at;
      step.state = event.state;
      step.attempts = event.attempts ?? event.attempt ?? step.attempts;
      if (event.seconds !== undefined) step.seconds = event.seconds;
      if (event.error) step.error = event.error;
    }
    if (!mine || !run) return;
    dag.set(run.steps);
    redraw();
    again();
  }
  const redraw = throttle(() => { if (run && !ended) { falls.set(run.steps); drawDetail(); } }, 250), again = throttle(() => { if (!ended) load(); }, 2000);

  show(root, h("div", { class: "head" }, title, about, buttons), h("div", { class: "stack" }, failed, decisions,
    card("Steps", { end: legend() }, dag.node),
    h("div", { class: "grid" },
      card("Over time", { class: "two-thirds", end: falls.control }, falls.node),
      h("section", { class: "card third", "aria-live": "off" }, h("header", null, detailTitle), detail),
      card("Log", { end: [logOf, allLogs, logs.control] }, logs.text)),
    facts));
  load();
  const mine = (batch) => { if (batch.some((event) => event.run === id)) { again(); setTimeout(again, 300); } };
  const ends = [on("step", steps), on("run", mine), on("gap", () => again())];
  const timer = setInterval(() => {
    if (document.hidden || !run || OVER.includes(run.state)) return;
    if (live.state === "live") falls.set(run.steps);
    else load();
  }, 2000);
  return () => { ended = true; clearInterval(timer); ends.forEach((end) => end()); logs.end(); dag.end(); falls.end(); };
}
