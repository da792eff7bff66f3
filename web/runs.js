// SPDX-License-Identifier: Apache-2.0
// Runs of missions, newest first, as they come; missions to start. "#/runs/ID" is one of them.
import { card, count, h, missing, moment, problem, seconds, shorten, show, state, table, throttle, toast } from "./ui.js";
import { get, may, post } from "./api.js";
import { live, on } from "./live.js";
import { renderRun } from "./run.js";

const PAGE = 50;
const STATES = ["running", "queued", "waiting", "interrupted", "ok", "failed", "timeout", "cancelled"];

// ── Starting one ──

/** The text of a field as the input's type; what is no JSON stays text. */
export function inputValue(type, text) {
  if (type === "string" || type === "") return text;
  try { return JSON.parse(text); } catch { return text; }
}

function start(mission) {
  const fields = (mission.inputs || []).map((input) => ({ input, node: input.type === "bool"
    ? h("select", null, h("option", { value: "" }, "as the mission says"), h("option", null, "true"), h("option", null, "false"))
    : h("input", { type: "text", required: input.required, placeholder: input.default === undefined ? "" : typeof input.default === "string" ? input.default : JSON.stringify(input.default) }) }));
  const says = h("div");
  const dialog = h("dialog", { "aria-labelledby": "start-title", onclose: () => dialog.remove() }, h("form", { onsubmit: async (event) => {
    event.preventDefault();
    const inputs = {};
    for (const { input, node } of fields) if (node.value !== "") inputs[input.name] = inputValue(input.type, node.value);
    try {
      const answer = await post(`v1/missions/${encodeURIComponent(mission.name)}/runs`, { inputs });
      dialog.close();
      location.hash = `#/runs/${encodeURIComponent(answer.id)}`;
    } catch (error) { show(says, problem(error)); }
  } },
  h("h2", { id: "start-title" }, `Start ${mission.name}`), mission.description && h("p", null, mission.description),
  fields.map(({ input, node }) => h("label", { class: "field" }, `${input.name} (${input.type || "any"}${input.required ? ", needed" : ""})${input.description ? `: ${input.description}` : ""}`, node)), says,
  h("div", { class: "row" }, h("button", { class: "main" }, "Start"), h("button", { type: "button", onclick: () => dialog.close() }, "Not now"))));
  document.body.append(dialog);
  dialog.showModal();
}

function missionTable(list) {
  if (!list.length) return h("p", { class: "empty" }, "None. ", h("code", null, "flyball serve --state DIR --mission FILE"), " brings one.");
  return table("Missions", [["Mission"], ["Steps", "n"], ["Version", "n"], [""]], list.map((mission) => [
    [h("b", null, mission.name), mission.description && h("div", { class: "soft" }, mission.description)], count(mission.steps), mission.version ? count(mission.version) : shorten(mission.hash),
    may("operator") && h("button", { type: "button", "aria-label": `Start ${mission.name}`, onclick: () => start(mission) }, "Start")]));
}

// ── The list ──

function bar(steps) {
  const total = steps.total || 1, part = (kind, n) => n > 0 && h("span", { class: kind });
  const node = h("span", { class: "progress", role: "img", "aria-label": `${steps.done} of ${steps.total} steps done, ${steps.failed} failed, ${steps.running} running, ${steps.waiting} waiting` });
  for (const [kind, n] of [["good", steps.done], ["bad", steps.failed], ["busy", steps.running], ["wait", steps.waiting]]) {
    const piece = part(kind, n);
    if (!piece) continue;
    piece.style.width = `${(100 * n) / total}%`;
    node.append(piece);
  }
  return node;
}

const rows = (runs) => table("Runs", [["Run"], ["Mission"], ["State"], ["Steps", "n"], [""], ["Started"], ["Took", "n"]], runs.map((run) => [
  h("a", { href: `#/runs/${encodeURIComponent(run.id)}`, class: "mono nowrap" }, run.id), run.mission, state(run.state),
  `${count(run.steps.done)} / ${count(run.steps.total)}`, bar(run.steps), moment(run.started), seconds(run.seconds)]));

export function render(root, where) {
  if (where.path[0]) return renderRun(root, where.path[0]);
  const place = h("div"), missionPlace = h("div"), pager = h("div", { class: "row pager" });
  const mission = h("select", { "aria-label": "Mission" }, h("option", { value: "" }, "All missions"));
  const which = h("select", { "aria-label": "State" }, h("option", { value: "" }, "All states"), STATES.map((name) => h("option", null, name)));
  const pages = [where.query.get("after") || ""];
  let ended = false;

  async function load() {
    const query = new URLSearchParams({ limit: PAGE });
    if (mission.value) query.set("mission", mission.value);
    if (which.value) query.set("state", which.value);
    if (pages.at(-1)) query.set("after", pages.at(-1));
    try {
      const answer = await get(`v1/runs?${query}`);
      if (ended) return;
      show(place, answer.runs.length ? rows(answer.runs) : h("p", { class: "empty" }, mission.value || which.value ? "None that fit." : "No mission has run yet."));
      show(pager,
        pages.length > 1 && h("button", { type: "button", onclick: () => { pages.pop(); load(); } }, "Newer"),
        answer.next && h("button", { type: "button", onclick: () => { pages.push(answer.next); load(); } }, "Older"));
    } catch (error) {
      if (ended) return;
      show(place, error.absent ? missing("This server has no runs", "Missions run on a server that has a folder for them.", h("span", null, "Start it with ", h("code", null, "flyball serve --state DIR"), ".")) : problem(error, load));
    }
  }

  async function loadMissions() {
    try {
      const list = (await get("v1/missions")).missions;
      if (ended) return;
      show(missionPlace, missionTable(list));
      const was = mission.value;
      show(mission, h("option", { value: "" }, "All missions"), list.map((one) => h("option", null, one.name)));
      mission.value = was;
    } catch (error) { if (!ended) show(missionPlace, error.absent ? h("p", { class: "empty" }, "This server has none.") : problem(error)); }
  }

  for (const choice of [mission, which]) choice.addEventListener("change", () => { pages.splice(0, pages.length, ""); load(); });
  show(root, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Runs"), h("div", { class: "end" }, mission, which)),
    h("div", { class: "stack" }, card("Runs", {}, place, pager), card("Missions", {}, missionPlace)));
  load();
  loadMissions();
  const soon = throttle(load, 1000);
  const ends = [on("run", soon), on("gap", soon), on("mission", throttle(loadMissions, 1000))];
  const timer = setInterval(() => { if (!document.hidden && (live.state !== "live" || place.querySelector(".state.busy"))) load(); }, 4000);
  return () => { ended = true; clearInterval(timer); ends.forEach((end) => end()); };
}

/** Says what came of a change of a run. */
export async function change(id, what, body) {
  try {
    await post(`v1/runs/${encodeURIComponent(id)}/${what}`, body ?? {});
    toast({ cancel: "The run is being cancelled.", resume: "The run goes on.", approve: "Your decision is recorded.", retry: "The run goes on from there." }[what]);
    return true;
  } catch (error) {
    toast(`${error.title || "It did not work"}: ${error.message}`);
    return false;
  }
}
