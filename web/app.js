// SPDX-License-Identifier: Apache-2.0
// The frame around the pages: which one is shown, who looks at it, how the connection stands, light and dark.
import { h, problem, show, state, toast } from "./ui.js";
import { may, me, onWho, refresh, signIn, signOut, token } from "./api.js";
import { connect, live, on } from "./live.js";
import * as overview from "./overview.js";

const PAGES = [
  ["overview", "Overview", () => overview],
  ["runs", "Runs", () => import("./runs.js")],
  ["rules", "Rules", () => import("./rules.js")],
  ["playground", "Playground", () => import("./playground.js")],
  ["metrics", "Metrics", () => import("./metrics.js")],
  ["audit", "Audit", () => import("./audit.js")],
];
const main = document.getElementById("main");
let leave = null, shown = 0;

// ── Pages ──

/** "#/rules/shop?version=2": {page: "rules", path: ["shop"], query}. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  return { page: page || "overview", path: rest.filter(Boolean), query: new URLSearchParams(query || "") };
}

function mark(page) {
  const nav = document.getElementById("nav");
  show(nav, PAGES.map(([id, name]) => h("a", { href: `#/${id}`, "aria-current": id === page ? "page" : false }, name)));
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

async function open(moved) {
  const where = place(), turn = ++shown;
  const entry = PAGES.find(([id]) => id === where.page);
  leave?.();
  leave = null;
  mark(where.page);
  document.title = `${entry ? entry[1] : "Not found"} · Flyball`;
  const root = h("div");
  try {
    if (!entry) {
      show(root, h("h1", { tabindex: "-1" }, "There is no such page"), h("p", null, h("a", { href: "#/overview" }, "Overview")));
    } else if (token() === "" && me().role === "none") {
      show(root, h("h1", { tabindex: "-1" }, entry[1]), h("div", { class: "note" }, h("h2", null, "This server wants to know who you are"),
        h("p", null, "It answers only those who have a token."), h("button", { type: "button", class: "main", onclick: askToken }, "Sign in")));
    } else {
      const page = await entry[2]();
      if (turn !== shown) return;
      leave = page.render(root, where) || null;
    }
  } catch (error) {
    const changed = error instanceof TypeError && /import/i.test(error.message);
    show(root, h("h1", { tabindex: "-1" }, entry[1]), problem(changed ? { title: "The server has changed", detail: "It has another version of this page now." } : error, () => location.reload()));
    if (!changed) console.error(error);
  }
  show(main, root);
  window.scrollTo(0, 0);
  const heading = root.querySelector("h1");
  if (heading) document.title = `${heading.textContent} · Flyball`;
  if (moved) (heading || main).focus({ preventScroll: true });
}

// ── Who ──

function askToken() {
  if (document.querySelector("dialog[open]")) return;
  const input = h("input", { type: "password", id: "token", autocomplete: "off", required: true }), says = h("p", { role: "alert" });
  const dialog = h("dialog", { "aria-labelledby": "sign-title", onclose: () => dialog.remove() },
    h("form", { onsubmit: async (event) => {
      event.preventDefault();
      try {
        if (await signIn(input.value.trim())) { dialog.close(); connect(); open(false); toast(`Signed in as ${me().name} (${me().role})`); return; }
        says.textContent = "The server does not know this token.";
      } catch (error) { says.textContent = error.message; }
      input.select();
    } },
    h("h2", { id: "sign-title" }, "Sign in"),
    h("label", { class: "field" }, "Token", input), says,
    h("small", null, "It is kept until this tab is closed, and sent to this server only."),
    h("div", { class: "row" }, h("button", { class: "main" }, "Sign in"), h("button", { type: "button", onclick: () => dialog.close() }, "Not now"))));
  document.body.append(dialog);
  dialog.showModal();
}

function showWho() {
  const sign = document.getElementById("sign"), who = me();
  sign.hidden = who.open;
  sign.textContent = who.role === "none" ? "Sign in" : `Sign out ${who.name}`;
  sign.title = who.role === "none" ? "With a token of this server" : `Role: ${who.role}`;
  sign.onclick = who.role === "none" ? askToken : async () => { await signOut(); connect(); open(false); };
}

// ── How it stands ──

const LIVE = { live: ["live", "Live"], polling: ["polling", "Polling"], connecting: ["connecting", "Connecting"], down: ["down", "Not reached"], "signed out": ["rest", "Signed out"] };
const showLive = () => show(document.getElementById("live"), state(...(LIVE[live.state] || ["rest", live.state])));

const THEMES = ["auto", "light", "dark"];
function theme(next) {
  let name = localStorage.getItem("flyball.theme") || "auto";
  if (next) {
    name = THEMES[(THEMES.indexOf(name) + 1) % 3];
    localStorage.setItem("flyball.theme", name);
  }
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const control = document.getElementById("theme");
  control.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[name];
  control.setAttribute("aria-label", `Theme: ${name}. Changes it.`);
  control.onclick = () => theme(true);
}

theme(false);
onWho(showWho);
on("state", showLive);
showLive();
document.addEventListener("flyball-signin", () => { if (token()) askToken(); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", () => open(true));
try {
  await refresh();
} catch { /* the page says so */ }
showWho();
if (may("viewer")) connect();
open(false);
