// SPDX-License-Identifier: Apache-2.0
// Who changed what, newest first.
import { card, count, h, missing, moment, problem, shorten, show, state, table, throttle } from "./ui.js";
import { get } from "./api.js";
import { on } from "./live.js";

const PAGE = 100;

function chained(events) {
  if (!events.length) return h("p", { class: "empty" }, "Nobody has changed anything yet.");
  if (!events.every((it) => it.hash)) return h("p", null, state("warning", "In memory only"), h("span", { class: "soft" }, " The server has no folder for its state, so these are gone when it ends."));
  return h("p", null, state("rest", "Chained"), h("span", { class: "soft" }, " Each entry's hash covers the one before. Whether the chain holds is checked on the server's machine, not by this page: "),
    h("code", null, "flyball audit verify STATE/audit"), h("span", { class: "soft" }, `. Newest: ${shorten(events[0].hash, 16)}`));
}

export function render(root) {
  const stands = h("div"), place = h("div"), pager = h("div", { class: "row pager" });
  const pages = [""];
  let ended = false;
  async function load() {
    try {
      const answer = await get(`v1/audit?limit=${PAGE}${pages.at(-1) ? `&after=${pages.at(-1)}` : ""}`);
      if (ended) return;
      if (pages.length === 1) show(stands, chained(answer.events));
      show(place, answer.events.length > 0 && table("Audit", [["No.", "n"], ["When"], ["Who"], ["What"], ["Target", "wide"], ["Hash"]], answer.events.map((it) => [
        count(it.n), moment(it.at), it.who, h("code", null, it.what), it.target, it.hash ? h("code", { title: it.hash }, shorten(it.hash, 10)) : ""])));
      show(pager, pages.length > 1 && h("button", { type: "button", onclick: () => { pages.pop(); load(); } }, "Newer"),
        answer.next && h("button", { type: "button", onclick: () => { pages.push(answer.next); load(); } }, "Older"));
    } catch (error) { if (!ended) show(place, error.absent ? missing("This server keeps no audit", "It does not have the route for it.") : problem(error, load)); }
  }
  show(root, h("div", { class: "head" }, h("h1", { tabindex: "-1" }, "Audit")), h("div", { class: "stack" }, card("Who changed what", {}, stands, place, pager)));
  load();
  const end = on("audit", throttle(() => { if (pages.length === 1) load(); }, 1000));
  return () => { ended = true; end(); };
}
