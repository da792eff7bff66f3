// SPDX-License-Identifier: Apache-2.0
// Rules and facts on the left, what follows from them on the right, as you type. Nothing is kept on the server; the address has it all.
import { card, count, debounce, h, many, problem, seconds, show, toast } from "./ui.js";
import { decision } from "./why.js";
import { editor } from "./editor.js";
import { EXAMPLES } from "./examples.js";
import { get, me, may, post } from "./api.js";

const PAUSE = 300; // ms after the last key
const SHOWN = 100; // decisions at once
const KEEP = "flyball.playground";

// ── Shared by address ──

const packed = async (bytes, stream) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

export async function encode(state) {
  const bytes = await packed(new TextEncoder().encode(JSON.stringify(state)), new CompressionStream("deflate-raw"));
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export async function decode(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
  const state = JSON.parse(new TextDecoder().decode(await packed(bytes, new DecompressionStream("deflate-raw"))));
  return { rules: String(state.rules ?? ""), facts: String(state.facts ?? ""), now: String(state.now ?? "") };
}

// ── Facts: a line each, or an array ──

function where(text, message) {
  const at = /position (\d+)/.exec(message), before = text.slice(0, at ? Number(at[1]) : 0).split("\n");
  return { line: before.length, column: [...before.at(-1)].length + 1 };
}

const plain = (message) => message.replace(/ in JSON at position.*| \(line .*| at position.*/, "").replace(/, (?:\.\.\.)?".*" is not valid JSON/, "");

/** The facts' own text, so that no number is changed on the way; `lines[i]` is where fact i stands. */
export function readFacts(text) {
  const faults = [], facts = [], lines = [];
  if (/^\s*\[/.test(text)) {
    try {
      const list = JSON.parse(text);
      list.forEach(() => lines.push(0));
      return { faults, facts: text.trim().slice(1, -1), lines };
    } catch (error) { return { faults: [{ ...where(text, error.message), detail: plain(error.message) }], facts: "", lines }; }
  }
  text.split("\n").forEach((line, i) => {
    if (!line.trim()) return;
    try {
      JSON.parse(line);
      facts.push(line.trim());
      lines.push(i + 1);
    } catch (error) {
      const place = where(line, error.message);
      faults.push({ line: i + 1, column: /end of|unterminated/i.test(error.message) ? [...line].length : place.column, detail: plain(error.message) });
    }
  });
  return { faults, facts: facts.join(","), lines };
}

// ── What came of it ──

function more(list, draw, place, from = 0) {
  place.append(...list.slice(from, from + SHOWN).map(draw));
  if (list.length > from + SHOWN) {
    const next = h("button", { type: "button", onclick: () => { next.remove(); more(list, draw, place, from + SHOWN); } }, `Show more (${count(list.length - from - SHOWN)})`);
    place.append(next);
  }
}

function verdict(answer, trip, go) {
  const { stats } = answer, decisions = h("div");
  more(answer.decisions, (it) => decision(it, go, answer.decisions.length < 4), decisions);
  return [
    card(many(stats.decisions, "decision"), { class: "results" },
      answer.decisions.length ? decisions : h("p", { class: "empty" }, "No rule decided anything.")),
    answer.logs.length > 0 && card("Log", {}, h("ul", { class: "faults" }, answer.logs.slice(0, SHOWN).map((it) => h("li", null, it.text || it.message || JSON.stringify(it))))),
    answer.errors.length > 0 && card("Errors", {}, h("ul", { class: "faults" }, answer.errors.slice(0, SHOWN).map((it) => h("li", null, h("span", { class: "tag" }, it.code), ` ${it.detail}`)))),
    card("Cost", {}, h("dl", { class: "pairs" }, [["Facts", count(stats.facts)], ["Refused", count(stats.refused)], ["Firings", count(stats.firings)], ["On the server", seconds(stats.nanos / 1e9)], ["With the way there and back", seconds(trip / 1000)]]
      .map(([name, text]) => [h("dt", null, name), h("dd", null, text)]))),
  ];
}

function faultList(faults, go) {
  return card(`${many(faults.length, "error")} in the rules`, { role: "alert" }, h("ul", { class: "faults" }, faults.map((fault) => h("li", null,
    fault.line ? h("button", { type: "button", class: "link where", onclick: () => go(fault.line, fault.column) }, `${fault.line}:${fault.column}`) : "",
    " ", fault.detail, fault.hint && h("span", { class: "soft" }, ` (${fault.hint})`)))));
}

// ── The page ──

async function begin({ path, query }) {
  if (path[0] === "s" && path[1]) {
    try { return await decode(path[1]); } catch { toast("This address holds no rules that can be read."); }
  }
  if (query.get("ruleset")) {
    const name = query.get("ruleset");
    try { return { rules: (await get(`v1/rulesets/${encodeURIComponent(name)}`)).source, facts: "", now: "" }; } catch (error) { toast(error.message); }
  }
  try { return JSON.parse(sessionStorage.getItem(KEEP)) || EXAMPLES[0]; } catch { return EXAMPLES[0]; }
}

export function render(root, from) {
  const results = h("div", { class: "stack", role: "region", "aria-label": "What follows", tabindex: "-1" }), said = h("span", { class: "unseen", role: "status" });
  let running = null, ended = false;
  const later = debounce(() => evaluate(), PAUSE);
  const rules = editor({ label: "Rules", language: "yaml", class: "rules", oninput: later, hint: "YAML. Evaluated as you type; Ctrl+Enter at once." });
  const facts = editor({ label: "Facts", language: "json", class: "facts", oninput: later, hint: "A fact a line, or a JSON array." });
  const now = h("input", { type: "text", placeholder: "as the facts say", size: "22", oninput: later, pattern: "\\d{4}-.*Z?" });
  const menu = h("select", { "aria-label": "Examples", onchange: () => { if (menu.value) { put(EXAMPLES[menu.value]); evaluate(); } menu.value = ""; } },
    h("option", { value: "" }, "Examples"), EXAMPLES.map((one, i) => h("option", { value: i }, one.name)));

  function put(state) {
    rules.set(state.rules);
    facts.set(state.facts);
    now.value = state.now || "";
  }
  const state = () => ({ rules: rules.text, facts: facts.text, now: now.value.trim() });

  function refused(error, read) {
    const faults = error.errors || (error.line ? [error] : []);
    const own = faults.filter((fault) => (fault.file || "").startsWith("rulebook"));
    rules.setFaults(own);
    if (own.length) show(results, faultList(faults, rules.goTo));
    else show(results, problem(error, evaluate));
    facts.setFaults(read.faults);
    said.textContent = error.message;
  }

  async function evaluate() {
    running?.abort();
    const mine = running = new AbortController(), read = readFacts(facts.text), began = performance.now();
    try { sessionStorage.setItem(KEEP, JSON.stringify(state())); } catch { /* too much to keep */ }
    facts.setFaults(read.faults);
    if (!may("operator")) return show(results, problem({ title: "Your token does not admit this", detail: `Evaluating needs the role operator; yours is ${me().role}.` }));
    results.classList.add("stale");
    const body = `{"rulebook":${JSON.stringify(rules.text)},"explain":true${now.value.trim() ? `,"now":${JSON.stringify(now.value.trim())}` : ""},"facts":[${read.facts}]}`;
    try {
      const answer = await post("v1/evaluate", body, { signal: mine.signal });
      if (ended) return;
      rules.setFaults([]);
      // "fact 7: …" is the seventh that was sent, from 0.
      const wrong = answer.errors.map((it) => ({ number: /^fact (\d+): (.*)$/s.exec(it.detail), it })).filter((one) => one.number)
        .map(({ number, it }) => ({ line: read.lines[number[1]], column: 0, detail: number[2], hint: it.hint }));
      facts.setFaults([...read.faults, ...wrong]);
      show(results, verdict(answer, performance.now() - began, rules.goTo));
      said.textContent = `${many(answer.stats.decisions, "decision")}, ${many(answer.errors.length, "error")}`;
    } catch (error) {
      if (error.name === "AbortError" || ended) return;
      refused(error, read);
    }
    results.classList.remove("stale");
  }

  async function share() {
    const address = `${location.href.replace(/#.*/, "")}#/playground/s/${await encode(state())}`;
    history.replaceState(null, "", address);
    try { await navigator.clipboard.writeText(address); toast("The address is copied: whoever opens it sees these rules and facts."); } catch { toast("The address of this page holds the rules and facts now."); }
  }

  show(root,
    h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Playground"), h("div", { class: "end" }, menu, h("button", { type: "button", onclick: share }, "Share"), h("button", { type: "button", class: "main", onclick: evaluate }, "Evaluate"))),
    h("div", { class: "play" },
      h("div", { class: "stack" },
        card("Rules", {}, rules.node),
        card("Facts", { end: h("label", { class: "inline" }, "Clock", now) }, facts.node)),
      h("div", { class: "stack" }, said, results)));
  root.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); evaluate(); } });
  begin(from).then((first) => { if (!ended) { put(first); evaluate(); } });
  return () => { ended = true; running?.abort(); };
}
