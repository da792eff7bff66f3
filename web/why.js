// SPDX-License-Identifier: Apache-2.0
// Why a decision was made, as a tree: the rule, what it was bound to, and for facts that rules made, the firing that made each.
import { fieldsText, h, valueText } from "./ui.js";

/** Facts that firings made, by their number. */
function makers(chain) {
  const byFact = new Map();
  for (const firing of chain || []) for (const fact of firing.made || []) byFact.set(fact, firing);
  return byFact;
}

const ruleLink = (it, go) => (go && it.line ? h("button", { type: "button", class: "link", onclick: () => go(it.line) }, `${it.rule}, line ${it.line}`) : `${it.rule}${it.line ? `, line ${it.line}` : ""}`);

function made(firing, context, above) {
  if (above.includes(firing.firing)) return h("li", null, `firing ${firing.firing}, told above`);
  return h("li", null, "made by ", ruleLink(firing, context.go), ` (firing ${firing.firing})`,
    h("ul", null, (firing.facts || []).map((id) => fact(id, context, [...above, firing.firing]))));
}

function fact(id, context, above) {
  const known = context.facts.get(id), firing = context.makers.get(id);
  const head = [h("span", { class: "soft" }, `fact ${id} `), known && [h("b", null, known.type), " ", h("span", { class: "fields" }, fieldsText(known.fields))]];
  return firing ? h("li", null, h("details", { open: above.length < 4 }, h("summary", null, head), h("ul", null, made(firing, context, above)))) : h("li", null, head);
}

function binding([name, it], context) {
  const head = [h("code", null, name), " = "];
  if (it.type === undefined) return h("li", null, head, h("span", { class: "fields" }, valueText(it.value)));
  const body = [h("b", null, it.type), " ", h("span", { class: "fields" }, fieldsText(it.fields))], firing = context.makers.get(it.fact);
  if (!firing) return h("li", null, head, body);
  return h("li", null, h("details", { open: true }, h("summary", null, head, body), h("ul", null, made(firing, context, []))));
}

/** go(line) shows a line of the rulebook. */
export function whyTree(why, go) {
  const facts = new Map();
  for (const it of Object.values(why.bindings || {})) if (it.fact !== undefined) facts.set(it.fact, it);
  const context = { go, facts, makers: makers(why.chain) };
  return h("div", { class: "why" }, h("ul", null, Object.entries(why.bindings || {}).map((entry) => binding(entry, context))));
}

/** A decision with its fields, rule and tree. */
export function decision(it, go, open) {
  return h("div", { class: "decision" },
    h("div", { class: "what" }, h("b", null, it.decision), it.rule && h("span", { class: "soft" }, "by ", ruleLink(it, go))),
    h("div", { class: "fields" }, fieldsText(it.fields)),
    it.why && h("details", { open }, h("summary", null, "Why"), whyTree(it.why, go)));
}
