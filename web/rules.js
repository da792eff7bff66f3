// SPDX-License-Identifier: Apache-2.0
// Rulesets, their rules with how often each decided, their source, and any decision explained; sessions that clients hold.
import { card, count, fieldsText, h, many, moment, problem, shorten, show, table, throttle } from "./ui.js";
import { decision } from "./why.js";
import { editor } from "./editor.js";
import { get, may, post, send } from "./api.js";
import { on } from "./live.js";
import { readFacts } from "./playground.js";

const MOST = 200; // facts of a session shown

// ── All of them ──

async function list(root) {
  const rulesets = h("div"), sessions = h("div");
  async function load() {
    try {
      const all = (await get("v1/rulesets")).rulesets;
      show(rulesets, all.length ? table("Rulesets", [["Ruleset"], ["Rules", "n"], ["Version", "n"], ["Since"], ["Text's SHA-256"]], all.map((set) => [
        h("a", { href: `#/rules/${encodeURIComponent(set.name)}` }, set.name), count(set.rules), count(set.version), moment(set.created), h("code", { title: set.hash }, shorten(set.hash))]))
        : h("p", { class: "empty" }, "None. ", h("code", null, "flyball serve --rules FILE"), " brings one, or ", h("code", null, "PUT /v1/rulesets/NAME"), "."));
    } catch (error) { show(rulesets, problem(error, load)); }
  }
  async function loadSessions() {
    try {
      const all = (await get("v1/sessions")).sessions;
      show(sessions, all.length ? table("Sessions", [["Session"], ["Ruleset"], ["Version", "n"], ["Facts", "n"], ["Firings", "n"], ["Waiting", "n"]], all.map((one) => [
        h("a", { class: "mono", href: `#/rules/session/${encodeURIComponent(one.id)}` }, shorten(one.id, 16)), one.ruleset, count(one.version), count(one.facts), count(one.firings), count(one.waiting)]))
        : h("p", { class: "empty" }, "Nobody holds one."));
    } catch (error) { show(sessions, problem(error, loadSessions)); }
  }
  show(root, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Rules")), h("div", { class: "stack" }, card("Rulesets", {}, rulesets), card("Sessions", {}, sessions)));
  load();
  loadSessions();
  const timer = setInterval(() => { if (!document.hidden) loadSessions(); }, 5000), end = on("ruleset", throttle(load, 1000));
  return () => { clearInterval(timer); end(); };
}

// ── One ruleset ──

/** Facts to try, what they lead to, and how often each rule decided. */
function tryOut(name, fired, go) {
  const place = h("div", { "aria-live": "polite" });
  const facts = editor({ label: "Facts to try", language: "json", class: "facts", hint: "A fact a line. Ctrl+Enter evaluates." });
  async function run() {
    const read = readFacts(facts.text);
    facts.setFaults(read.faults);
    try {
      const answer = await post("v1/evaluate", `{"ruleset":${JSON.stringify(name)},"explain":true,"facts":[${read.facts}]}`);
      const wrong = answer.errors.map((it) => ({ number: /^fact (\d+): (.*)$/s.exec(it.detail), it })).filter((one) => one.number).map(({ number }) => ({ line: read.lines[number[1]], detail: number[2] }));
      facts.setFaults([...read.faults, ...wrong]);
      fired(answer.decisions.map((it) => ({ rule: it.rule, n: 1 })));
      show(place, h("p", { class: "soft" }, `${many(answer.stats.facts, "fact")}, ${many(answer.stats.firings, "firing")}, ${many(answer.stats.decisions, "decision")}`),
        answer.decisions.slice(0, 100).map((it) => decision(it, go, answer.decisions.length < 4)),
        answer.errors.slice(0, 20).map((it) => h("p", null, h("span", { class: "tag" }, it.code), ` ${it.detail}`)));
    } catch (error) { show(place, problem(error)); }
  }
  facts.node.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); } });
  return h("div", { class: "stack" }, facts.node, h("div", null, h("button", { type: "button", class: "main", onclick: run }, "Evaluate")), place);
}

async function one(root, name, query) {
  const version = query.get("version");
  const at = `v1/rulesets/${encodeURIComponent(name)}${version ? `?version=${encodeURIComponent(version)}` : ""}`, set = await get(at);
  const cells = new Map(), lines = h("ol", null, set.source.split("\n").map((line) => h("li", null, line || " "))), source = h("div", { class: "source", tabindex: "0", role: "region", "aria-label": "Source" }, lines);
  const go = (line) => {
    const place = lines.children[line - 1];
    if (!place) return;
    for (const other of source.querySelectorAll(".here")) other.classList.remove("here");
    place.classList.add("here");
    source.scrollTop = place.offsetTop - source.offsetTop - 60;
    source.focus();
  };
  const fired = (events) => {
    for (const event of events) {
      // A project's decisions of one moment come as one event, which names the rule of one of them.
      const cell = cells.get(event.rule || event.sample?.rule);
      if (!cell) continue;
      cell.n += event.rule ? event.n || 1 : 1;
      cell.node.textContent = count(cell.n);
    }
  };
  const rows = (set.members || []).map((rule) => {
    const cell = { n: 0, node: h("span", null, "0"), firings: h("span", null, rule.firings === undefined ? "not counted" : count(rule.firings)) };
    cells.set(rule.name, cell);
    return [[h("button", { type: "button", class: "link", onclick: () => go(rule.line) }, rule.name), rule.description && h("div", { class: "soft" }, rule.description)],
      count(rule.salience), rule.enabled ? "" : h("span", { class: "tag" }, "off"), count(rule.line), cell.firings, cell.node];
  });
  const load = async () => {
    try {
      for (const rule of (await get(at)).members) if (cells.has(rule.name)) cells.get(rule.name).firings.textContent = rule.firings === undefined ? "not counted" : count(rule.firings);
    } catch { /* the next one tells */ }
  };
  show(root, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, name), h("span", { class: "soft" }, `version ${set.version}, `, moment(set.created)),
    h("div", { class: "end" }, set.version > 1 && h("a", { class: "button", href: `#/rules/${encodeURIComponent(name)}?version=${set.version - 1}` }, "Version before"),
      h("a", { class: "button", href: `#/playground?ruleset=${encodeURIComponent(name)}` }, "Open in the playground"))),
  h("div", { class: "grid" },
    h("div", { class: "half stack" },
      card("Rules", {}, table("Rules", [["Rule"], ["Salience", "n"], [""], ["Line", "n"], ["Firings", "n"], ["Seen", "n"]], rows), h("small", null, "Firings are those of evaluations since the server began; seen are decisions while this page was open: of the project (of those made at once, one) and of facts tried below.")),
      may("operator") && card("Why would it decide?", {}, tryOut(name, fired, go))),
    card("Source", { class: "half" }, source)));
  const timer = setInterval(() => { if (!document.hidden) load(); }, 3000), end = on("decision", fired);
  return () => { clearInterval(timer); end(); };
}

// ── One session ──

async function session(root, id) {
  const at = `v1/sessions/${encodeURIComponent(id)}`, about = h("span", { class: "soft" }), place = h("div"), rules = h("div"), said = h("div", { "aria-live": "polite" });
  const type = h("input", { type: "text", placeholder: "type", "aria-label": "Type of facts", size: "12" }), where = h("input", { type: "text", placeholder: 'fact.amount > 100.0', "aria-label": "Condition in CEL over `fact`", size: "28" });
  const facts = editor({ label: "Facts to assert", language: "json", class: "facts", hint: "A fact a line, or an array." });

  async function load() {
    const query = new URLSearchParams({ limit: MOST });
    if (type.value.trim()) query.set("type", type.value.trim());
    if (where.value.trim()) query.set("where", where.value.trim());
    try {
      const stands = await get(at), answer = await get(`${at}/facts?${query}`);
      about.textContent = `of ${stands.ruleset}, version ${stands.version}; ${many(stands.facts, "fact")}, ${many(stands.firings, "firing")}`;
      show(rules, table("Rules", [["Rule"], ["Line", "n"], ["Matches", "n"], ["Firings", "n"], ["Errors", "n"]], (stands.rules || []).map((rule) => [rule.name, count(rule.line), count(rule.activations), count(rule.firings), count(rule.errors)])));
      show(place, answer.facts.length ? table("Facts", [["Fact", "n"], ["Type"], ["Fields", "wide"], [""]], answer.facts.map((it) => {
        const number = it.id ?? it.fact, { id: _, fact: __, type: kind, fields, ...rest } = it;
        return [String(number), kind, h("code", null, fieldsText(fields || rest)), may("operator") && h("button", { type: "button", class: "quiet", "aria-label": `Retract fact ${number}`, onclick: () => change("DELETE", `/${number}`) }, "Retract")];
      })) : h("p", { class: "empty" }, "None that fit."));
    } catch (error) { show(place, problem(error, load)); }
  }
  async function change(method, path, body) {
    try {
      const answer = JSON.parse(await (await send(method, `${at}/facts${path}?explain=true`, body ? { body } : {})).text() || "{}");
      show(said, h("p", { class: "soft" }, many(answer.firings ?? 0, "firing")), (answer.decisions || []).slice(0, 100).map((it) => decision(it, null, answer.decisions.length < 4)), (answer.errors || []).map((it) => h("p", null, h("span", { class: "tag" }, it.code), ` ${it.detail}`)));
      load();
    } catch (error) { show(said, problem(error)); }
  }
  const assert = () => {
    const read = readFacts(facts.text);
    facts.setFaults(read.faults);
    if (!read.faults.length) change("POST", "", `[${read.facts}]`);
  };
  show(root, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Session ", h("span", { class: "mono" }, shorten(id, 16))), about), h("div", { class: "grid" },
    card("Facts", { class: "half", end: h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); load(); } }, type, where, h("button", null, "Ask")) }, place),
    card("Rules", { class: "half" }, rules),
    may("operator") && card("Assert", { class: "half" }, h("div", { class: "stack" }, facts.node, h("div", null, h("button", { type: "button", class: "main", onclick: assert }, "Assert and fire")), said))));
  load();
}

export function render(root, { path, query }) {
  let end = null, ended = false;
  if (path[0]) show(root, h("h1", { tabindex: "-1" }, path[0] === "session" ? "Session" : path[0]));
  const open = path[0] === "session" && path[1] ? session(root, path[1]) : path[0] ? one(root, path[0], query) : list(root);
  open.then((last) => { end = last; if (ended) end?.(); }, (error) => show(root, h("h1", { tabindex: "-1" }, path[0]), problem(error)));
  return () => { ended = true; end?.(); };
}
