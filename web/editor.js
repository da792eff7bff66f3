// SPDX-License-Identifier: Apache-2.0
// A textarea with line numbers, colours and errors under the text. The textarea stays what it is (undo, selection, screen readers, Tab that
// leaves it); the colours lie beneath it, and only lines that changed are drawn anew.
import { h, many } from "./ui.js";

const MOST = 400000; // characters that are coloured

// Each finds one piece of a line: [class, expression]; the first that fits where the last one ended wins.
const YAML = [
  ["m", /(?:^|(?<=\s))#.*/y], ["x", /"\$\{\{(?:\\.|[^"\\])*"|\$\{\{.*?\}\}/y],
  ["k", /(?:(?<=^\s*(?:- )*)|(?<=[{,]\s*))(?:[\w.$-]+(?: [\w.$-]+)*|"(?:\\.|[^"\\])*")(?=\s*:(?:\s|$))/y],
  ["t", /"(?:\\.|[^"\\])*"|'(?:''|[^'])*'/y], ["d", /(?<![\w.])(?:-?\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?(?:ms|[smhd])?|true|false|null)(?![\w.])/y],
];
const JSONS = [["k", /"(?:\\.|[^"\\])*"(?=\s*:)/y], ["t", /"(?:\\.|[^"\\])*"/y], ["d", /-?\d[\d.eE+-]*|\b(?:true|false|null)\b/y]];

/** [class, from, to] of a line. */
function pieces(line, grammar) {
  const found = [];
  for (let at = 0; at < line.length;) {
    let end = at;
    for (const [kind, expression] of grammar) {
      expression.lastIndex = at;
      const match = expression.exec(line);
      if (match && match[0]) { end = at + match[0].length; found.push([kind, at, end]); break; }
    }
    at = end > at ? end : at + 1;
  }
  return found;
}

/** Columns count code points; a string counts UTF-16 units. */
const unit = (line, column) => [...line].slice(0, Math.max(0, column - 1)).join("").length;

function underlined(line, column) {
  if (!column) return [0, line.length];
  const from = Math.min(unit(line, column), Math.max(0, line.length - 1)), word = /^[\w.$-]+/.exec(line.slice(from));
  return [from, from + (word ? word[0].length : 1)];
}

function paint(line, grammar, faults) {
  const wrong = faults.map((fault) => underlined(line, fault.column)), parts = grammar ? pieces(line, grammar) : [];
  const cuts = [...new Set([0, line.length, ...parts.flatMap(([, from, to]) => [from, to]), ...wrong.flat()])].filter((at) => at <= line.length).sort((a, b) => a - b);
  const node = h("div");
  for (let i = 0; i + 1 < cuts.length; i++) {
    const text = line.slice(cuts[i], cuts[i + 1]), inside = ([from, to]) => from <= cuts[i] && cuts[i + 1] <= to;
    const kind = parts.find(([, from, to]) => inside([from, to]))?.[0];
    const piece = kind ? h("span", { class: kind }, text) : document.createTextNode(text);
    node.append(wrong.some(inside) ? h("mark", { class: "wrong" }, piece) : piece);
  }
  return node;
}

let numbers = 0;

/** options: label, language ("yaml", "json"), value, oninput(text), class. */
export function editor(options) {
  const id = `editor-${++numbers}`, grammar = options.language === "yaml" ? YAML : JSONS;
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" }), back = h("pre", { "aria-hidden": "true" });
  const area = h("textarea", { id, "aria-label": options.label, "aria-describedby": `${id}-says`, spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off" });
  const says = h("div", { class: "says", id: `${id}-says`, "aria-live": "polite" });
  const page = h("div", { class: "page" }, gutter, h("div", { class: "sheet" }, back, area));
  const node = h("div", { class: `editor ${options.class || ""}` }, page, says);
  let drawn = [], drawnMargin = "", faults = [], calm = options.hint || "";

  const keyOf = (line, i) => `${line}\0${faults.filter((fault) => fault.line === i + 1).map((fault) => fault.column).join()}`;

  /** Lines before and after those that changed keep their elements. */
  function draw() {
    const lines = area.value.split("\n"), colours = area.value.length <= MOST ? grammar : null;
    const keys = lines.map(keyOf);
    let head = 0, tail = 0;
    while (head < keys.length && head < drawn.length && keys[head] === drawn[head]) head++;
    while (tail < keys.length - head && tail < drawn.length - head && keys[keys.length - 1 - tail] === drawn[drawn.length - 1 - tail]) tail++;
    for (let i = drawn.length - tail; i > head; i--) back.children[i - 1].remove();
    const next = back.children[head] || null, fresh = document.createDocumentFragment();
    for (let i = head; i < keys.length - tail; i++) fresh.append(paint(lines[i], colours, faults.filter((fault) => fault.line === i + 1)));
    back.insertBefore(fresh, next);
    drawn = keys;
    const wrong = new Set(faults.map((fault) => fault.line)), margin = `${lines.length} ${[...wrong]}`;
    if (margin === drawnMargin) return;
    drawnMargin = margin;
    gutter.replaceChildren(...lines.map((line, i) => (wrong.has(i + 1) ? h("span", { class: "wrong" }, `●${i + 1}\n`) : `${i + 1}\n`)));
  }

  /** What is wrong where the cursor is. */
  function tell() {
    const line = area.value.slice(0, area.selectionStart).split("\n").length;
    const here = faults.filter((fault) => fault.line === line);
    const text = here.length ? here.map((fault) => fault.detail + (fault.hint ? ` (${fault.hint})` : "")).join("; ")
      : faults.length ? many(faults.length, "error") : calm;
    if (says.textContent !== text) says.textContent = text;
    says.classList.toggle("wrong", faults.length > 0);
  }

  function changed() {
    faults = faults.filter((fault) => fault.line <= area.value.split("\n").length);
    draw();
    tell();
    options.oninput?.(area.value);
  }

  area.addEventListener("input", changed);
  for (const name of ["keyup", "click", "focus"]) area.addEventListener(name, tell);
  // A new line begins where the one before began, deeper after a key without a value.
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.shiftKey || event.isComposing || options.language !== "yaml") return;
    const line = area.value.slice(0, area.selectionStart).split("\n").at(-1), indent = /^ */.exec(line)[0];
    const deeper = /:\s*$/.test(line) ? (/^\s*- /.test(line) ? "    " : "  ") : /^\s*- /.test(line) && /^\s*- name:/.test(line) ? "  " : "";
    event.preventDefault();
    document.execCommand("insertText", false, `\n${indent}${deeper}`);
  });

  const api = {
    node,
    get text() { return area.value; },
    set(text) { area.value = text; faults = []; drawn = []; back.replaceChildren(); draw(); tell(); page.scrollTo(0, 0); },
    /** [{line, column, detail, hint}] */
    setFaults(list) { faults = list.filter((fault) => fault.line); area.setAttribute("aria-invalid", faults.length ? "true" : "false"); draw(); tell(); },
    setHint(text) { calm = text; tell(); },
    goTo(line, column) {
      const lines = area.value.split("\n"), before = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
      const at = before + unit(lines[line - 1] || "", column || 1);
      area.focus({ preventScroll: true });
      area.setSelectionRange(at, at);
      page.scrollTo(0, Math.max(0, (line - 4) * 20));
      tell();
    },
  };
  api.set(options.value || "");
  return api;
}
