// SPDX-License-Identifier: Apache-2.0
// The dashboard in a browser: node tests/web/browser.mjs FLYBALL MODULES SCREENSHOTS. Prints TAP; the last line is the total.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { double } from "./double.mjs";
import { check, end, flyball, folder, looks, open, picture, same, serve, write } from "./harness.mjs";

const SHOP = `facts:
  order:    {id: string, customer: string, amount: double}
  customer: {id: string, tier: string}
rules:
  - name: big order from a bronze customer
    when:
      - order as o: o.amount > 10000.0
      - customer as c: c.id == o.customer && c.tier == "bronze"
    then:
      - emit: hold
        with: {order: "\${{ o.id }}"}
`;
const DEPLOY = `name: deploy
description: Builds, tests and rolls out
inputs: {env: {type: string, default: staging}}
steps:
  - {id: fetch, run: [sh, -c, "for i in 1 2 3; do echo fetch $i; sleep 0.1; done"]}
  - {id: lint, needs: [fetch], run: [sh, -c, "echo linting"]}
  - {id: build, needs: [fetch], run: [sh, -c, "for i in 1 2 3 4 5 6; do echo compile $i; done; until [ -e GOON ]; do sleep 0.1; done"]}
  - {id: unit, needs: [build], run: [sh, -c, "echo 12 tests"]}
  - {id: gate, needs: [unit, lint], approve: "roll out to \${{ inputs.env }}?"}
  - {id: roll, needs: [gate], run: [sh, -c, "echo rolling"]}
outputs: {env: "\${{ inputs.env }}"}
`;
const FAIL = `name: fails
steps:
  - {id: good, run: ["true"]}
  - {id: bad, needs: [good], run: [sh, -c, "echo it is broken >&2; exit 3"]}
  - {id: after, needs: [bad], run: ["true"]}
`;
const SLEEP = `name: sleeps
steps:
  - {id: long, run: [sleep, "600"]}
`;
const JSONS = { "Content-Type": "application/json" };
const FACTS = [{ type: "order", id: "o1", customer: "c1", amount: 25000 }, { type: "customer", id: "c1", tier: "bronze" }];

async function frame(server) {
  const page = await open(server.url);
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  check("the title is that of the page", (await page.title()) === "Overview · Flyball", await page.title());
  // With the keyboard alone: the way past the menu, then the menu.
  await page.keyboard.press("Tab");
  same("the first stop leads past the menu", await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  same("and does", await page.evaluate(() => document.activeElement.id), "main");
  check("without leaving the page", await page.getByRole("heading", { name: "Overview", level: 1 }).isVisible());
  await page.getByRole("link", { name: "Playground" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Playground", level: 1 }).waitFor();
  same("a new page takes the focus", await page.evaluate(() => document.activeElement.textContent), "Playground");
  same("and is marked in the menu", await page.locator("nav [aria-current=page]").innerText(), "Playground");
  await page.getByRole("button", { name: /^Theme/ }).click();
  const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor + getComputedStyle(document.documentElement).backgroundColor);
  await page.getByRole("button", { name: /^Theme/ }).click();
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor + getComputedStyle(document.documentElement).backgroundColor);
  check("dark is not light", light !== dark, light);
  await page.reload();
  check("the theme stays", await page.getByRole("button", { name: /^Theme: dark/ }).isVisible());
  await page.goto(`${server.url}/#/nowhere`);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  check("an unknown page says so", true);
  await page.context().close();
}

async function overview(server) {
  const page = await open(server.url);
  for (let i = 0; i < 20; i++)
    await fetch(`${server.url}/v1/evaluate`, { method: "POST", headers: JSONS, body: JSON.stringify({ ruleset: "shop", facts: FACTS }) });
  await page.getByText("POST /v1/evaluate").waitFor();
  const row = page.getByRole("row", { name: /POST \/v1\/evaluate/ });
  await page.waitForFunction(() => [...document.querySelectorAll("tr")].some((tr) => tr.cells[0].textContent === "POST /v1/evaluate" && Number(tr.cells[1].textContent) >= 20));
  check("each route is counted", /^POST \/v1\/evaluate\s+2\d\s+0\s+0/.test(await row.innerText()), await row.innerText());
  check("a server without a project says how to load one", await page.getByText("No project is loaded").isVisible());
  await page.waitForFunction(() => document.querySelector(".spark path.line")?.getAttribute("d")?.includes("L"));
  check("rates are drawn", await page.locator("figure.chart path.c1").first().getAttribute("d"));
  await page.locator("figure.chart").first().focus();
  await page.keyboard.press("ArrowLeft");
  check("a plot is read with the arrow keys", /Requests\/s/.test(await page.locator("figure.chart [aria-live]").first().textContent()));
  await looks(page, "overview");
  await page.setViewportSize({ width: 390, height: 800 });
  same("a narrow page does not scroll sideways", await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await picture(page, "overview-narrow");
  await page.context().close();
}

const rules = (page) => page.getByRole("textbox", { name: "Rules" });

async function playground(server) {
  const page = await open(`${server.url}/#/playground`);
  await page.getByRole("heading", { name: "1 decision" }).waitFor();
  check("an example is evaluated at once", await page.locator(".decision").getByText("hold", { exact: true }).isVisible());
  check("and says why", await page.locator(".why").getByText(/big order from a bronze customer/).isVisible());
  await looks(page, "playground");
  for (const name of await page.getByLabel("Examples").locator("option").allInnerTexts()) {
    if (name === "Examples") continue;
    await page.getByLabel("Examples").selectOption({ label: name });
    await page.waitForFunction((first) => document.querySelector("textarea").value !== first, await rules(page).inputValue(), { timeout: 1000 }).catch(() => {});
    await page.locator(".results:not(.stale) .decision").first().waitFor();
    check(`example in the browser: ${name}`, (await page.locator(".editor.rules mark.wrong").count()) === 0);
  }
  await page.getByLabel("Examples").selectOption({ label: "Orders to hold" });
  await page.getByRole("heading", { name: "1 decision" }).waitFor();
  // A mistake, typed.
  await rules(page).fill((await rules(page).inputValue()).replace("when:", "wen:"));
  await page.getByRole("heading", { name: /errors in the rules/ }).waitFor();
  check("an error is marked where it is", (await page.locator(".editor.rules mark.wrong").first().innerText()) === "wen", await page.locator(".editor.rules pre").innerHTML());
  await page.getByRole("button", { name: "7:5" }).click();
  check("and told under the cursor", /unknown key `wen`.*did you mean `when`/.test(await page.locator(".editor.rules .says").innerText()), await page.locator(".editor.rules .says").innerText());
  same("the cursor stands there", await page.evaluate(() => document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionStart + 3)), "wen");
  await looks(page, "playground-error");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.type("h");
  await page.getByRole("heading", { name: "1 decision" }).waitFor();
  check("mended as it is typed", (await page.locator("mark.wrong").count()) === 0);
  // Facts.
  const facts = page.getByRole("textbox", { name: "Facts" });
  await facts.fill('{"type": "order", "id": "o1", "customer": "c1", "amount": "much"}\n{"type": "customer", "id": 9007199254740993\n');
  await page.locator(".editor.facts mark.wrong").first().waitFor();
  await page.getByText("field `amount` of `order` takes double").first().waitFor();
  check("a fact that does not fit is marked, and one that is none", (await page.locator(".editor.facts .gutter .wrong").allInnerTexts()).map((text) => text.trim()).join() === "●1,●2", await page.locator(".editor.facts .gutter").innerText());
  await rules(page).fill("rules:\n  - name: big\n    when: [n as x]\n    then: [{emit: big, with: {v: \"${{ x.v }}\"}}]\n");
  await facts.fill('{"type": "n", "v": 9007199254740993}');
  await page.getByText("v: 9007199254740993").first().waitFor();
  check("large whole numbers keep their digits", true);
  // Shared.
  await page.getByRole("button", { name: "Share" }).click();
  await page.waitForURL(/playground\/s\//);
  const other = await open(page.url());
  await other.getByText("v: 9007199254740993").first().waitFor();
  same("an address has it all", await rules(other).inputValue(), await rules(page).inputValue());
  await other.context().close();
  // A line that follows, and the way out.
  await rules(page).fill("");
  await rules(page).pressSequentially("rules:\n- name: x\nwhen:\n- n as y");
  same("lines begin where they should", await rules(page).inputValue(), "rules:\n  - name: x\n    when:\n      - n as y");
  await page.keyboard.press("Tab");
  check("Tab leaves the editor", await page.evaluate(() => document.activeElement.tagName !== "TEXTAREA" || document.activeElement.getAttribute("aria-label") !== "Rules"));
  const many = `rules:\n${Array.from({ length: 3000 }, (_, i) => `  - {name: r${i}, when: [n as x], then: [{emit: d${i}}]}`).join("\n")}\n`;
  await rules(page).evaluate((area, text) => { area.value = text; area.dispatchEvent(new Event("input")); area.focus(); area.setSelectionRange(20000, 20000); }, many);
  await page.getByRole("heading", { name: "0 decisions" }).waitFor();
  const spent = await page.evaluate(() => Math.min(...Array.from({ length: 5 }, () => {
    const began = performance.now();
    document.execCommand("insertText", false, "x");
    document.querySelector("textarea").getBoundingClientRect();
    return performance.now() - began;
  })));
  check(`a key in 3,000 lines is not felt (${Math.round(spent)} ms)`, spent < 500, spent);
  await page.context().close();
}

async function tokens() {
  const digest = (text) => createHash("sha256").update(text).digest("hex");
  const file = write("tokens", `viewer vera ${digest("see")}\noperator otto ${digest("do")}\nadmin ada ${digest("all")}\n`);
  const server = await serve(["-r", `shop=${write("shop.yaml", SHOP)}`, "--tokens", file, "--state", `${folder}/guarded`, "-m", write("deploy.yaml", DEPLOY)]);
  const page = await open(server.url);
  await page.getByText("This server wants to know who you are").waitFor();
  await looks(page, "signed-out");
  await page.locator("main").getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Token").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("The server does not know this token.").waitFor();
  check("a wrong token is told", true);
  await looks(page, "sign-in");
  await page.getByLabel("Token").fill("see");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign out vera" }).waitFor();
  await page.getByText("GET /v1/me").waitFor();
  check("a token opens the pages", true);
  await page.goto(`${server.url}/#/playground`);
  await page.getByText("Your token does not admit this").waitFor();
  check("a viewer is told that evaluating is not hers", await page.getByText("needs the role operator; yours is viewer").isVisible());
  await page.goto(`${server.url}/#/runs`);
  await page.getByRole("cell", { name: "deploy" }).waitFor();
  same("and is offered nothing to start", await page.getByRole("button", { name: /^Start/ }).count(), 0);
  await page.getByRole("button", { name: "Sign out vera" }).click();
  await page.getByText("This server wants to know who you are").waitFor();
  same("signed out, the token is gone", await page.evaluate(() => Object.values(sessionStorage).includes("see")), false);
  await page.context().close();
  await server.stop();
}

async function rulesets(server) {
  const page = await open(`${server.url}/#/rules`);
  await page.getByRole("link", { name: "shop" }).click();
  await page.getByRole("heading", { name: "shop", level: 1 }).waitFor();
  await page.getByRole("button", { name: "big order from a bronze customer" }).click();
  check("a rule leads to its source", /name: big order/.test(await page.locator("div.source .here").innerText()), await page.locator("div.source").innerText());
  await page.getByRole("textbox", { name: "Facts to try" }).fill(FACTS.map((fact) => JSON.stringify(fact)).join("\n"));
  await page.keyboard.press("Control+Enter");
  await page.locator(".decision").getByText("hold", { exact: true }).waitFor();
  check("a decision is explained", /o = order.*id: "o1"/s.test(await page.locator(".why").innerText()), await page.locator(".why").innerText());
  same("and counted for its rule", (await page.getByRole("row", { name: /big order/ }).locator("td").last().innerText()), "1");
  const firings = page.getByRole("row", { name: /big order/ }).locator("td").nth(4), before = Number(await firings.innerText());
  await page.waitForFunction((before) => Number(document.querySelector("tbody tr td:nth-child(5)").textContent) > before, before);
  check("firings follow what the server does", true);
  await looks(page, "ruleset");
  const made = await (await fetch(`${server.url}/v1/sessions`, { method: "POST", headers: JSONS, body: '{"ruleset": "shop"}' })).json();
  await page.goto(`${server.url}/#/rules`);
  await page.getByRole("link", { name: made.id.slice(0, 16) }).waitFor();
  await looks(page, "rules");
  await page.getByRole("link", { name: made.id.slice(0, 16) }).click();
  await page.getByRole("textbox", { name: "Facts to assert" }).fill(JSON.stringify(FACTS));
  await page.getByRole("button", { name: "Assert and fire" }).click();
  await page.locator(".decision").getByText("hold", { exact: true }).waitFor();
  await page.getByRole("cell", { name: /tier: "bronze"/ }).waitFor();
  check("with its reasons", /tier: "bronze"/.test(await page.locator(".why").innerText()), await page.locator(".decision").innerText());
  check("and each rule's firings", /big order from a bronze customer\s+5\s+1\s+1\s+0/.test(await page.getByRole("region", { name: "Rules" }).innerText()), await page.getByRole("region", { name: "Rules" }).innerText());
  await looks(page, "session");
  await page.getByLabel("Type of facts").fill("order");
  await page.keyboard.press("Enter");
  await page.getByRole("cell", { name: /tier: "bronze"/ }).waitFor({ state: "detached" });
  check("facts are asked for by type", await page.getByRole("cell", { name: /amount: 25000/ }).isVisible());
  await page.getByLabel("Condition in CEL").fill("fact.amount >");
  await page.keyboard.press("Enter");
  await page.locator(".problem").waitFor();
  check("a wrong condition is told", true);
  await page.getByLabel("Condition in CEL").fill("");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /^Retract fact/ }).first().click();
  await page.getByText("None that fit.").waitFor();
  check("a fact is retracted", true);
  await page.context().close();
}

/** A server that keeps runs, with three missions and a history. */
async function workshop() {
  const history = `${folder}/history.db`;
  for (let i = 0; i < 24; i++) {
    const file = write("results.json", JSON.stringify({ type: "flyball.result.v1", bench: "rules", workload: "join", metric: "time", unit: "s", better: "less", samples: [1, 2, 3, 4, 5].map((n) => (i < 14 ? 0.5 : 0.65) + ((i * 7 + n * 3) % 5) / 1000) }) + "\n");
    execFileSync(flyball, ["history", "import", "--history", history, "--commit", `${(i + 1).toString(16).padStart(2, "0")}`.repeat(20), "--branch", "main", "--machine", "m", "--time", `2026-01-${String(i + 1).padStart(2, "0")}T00:00:00Z`, file], { stdio: "ignore" });
  }
  return serve(["--state", `${folder}/state`, "--history", history, "-m", write("deploy.yaml", DEPLOY.replace("GOON", `${folder}/goon`)), "-m", write("fails.yaml", FAIL), "-m", write("sleeps.yaml", SLEEP)]);
}

async function runs() {
  const server = await workshop(), page = await open(`${server.url}/#/runs`);
  await page.getByText("No mission has run yet.").waitFor();
  // By the keyboard alone.
  await page.getByRole("button", { name: "Start deploy" }).focus();
  await page.keyboard.press("Enter");
  await page.getByLabel(/^env/).waitFor();
  await looks(page, "run-start");
  await page.keyboard.type("production");
  await page.keyboard.press("Enter");
  await page.waitForURL(/runs\/2/);
  await page.getByRole("row", { name: /build.*running/ }).waitFor();
  await picture(page, "run-live");
  check("a step is seen at work", true);
  await page.locator("pre.log").getByText("compile 6").waitFor();
  check("its log is followed", true);
  write("goon", "");
  await page.getByText("waits: roll out to production?").first().waitFor();
  await looks(page, "run-waiting");
  await page.getByLabel("Why").first().fill("it is good");
  await page.getByRole("button", { name: "Approve" }).first().click();
  await page.getByRole("row", { name: /^roll run ok/ }).waitFor();
  await page.locator(".head .state.good").waitFor();
  await page.locator("pre.log").getByText("rolling").waitFor();
  check("approved, the run ends well", /6 of 6 steps/.test(await page.locator(".head").innerText()), await page.locator(".head").innerText());
  await page.locator(".falls").getByRole("button", { name: "build", exact: true }).click();
  await page.getByRole("heading", { name: "build", level: 2 }).waitFor();
  check("what a step wrote", /compile 6/.test(await page.locator("pre.log.short").innerText()));
  await looks(page, "run");
  await page.emulateMedia({ media: "print" });
  await picture(page, "run-print");
  await page.emulateMedia({ media: "screen" });
  // One that fails, and once more from there.
  await page.goto(`${server.url}/#/runs`);
  await page.getByRole("button", { name: "Start fails" }).click();
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForURL(/runs\/2/);
  await page.getByRole("row", { name: /^bad run failed/ }).waitFor();
  await page.locator(".falls").getByRole("button", { name: "bad", exact: true }).click();
  await page.getByText("it is broken").first().waitFor();
  check("why a step failed", await page.locator("section.third .problem").isVisible());
  await looks(page, "run-failed");
  await page.getByRole("button", { name: "Run again from here" }).click();
  await page.getByRole("button", { name: "Run again", exact: true }).click();
  await page.getByText("The run goes on from there.").waitFor();
  check("a step is run again", true);
  // One that is cancelled.
  await page.goto(`${server.url}/#/runs`);
  await page.getByRole("button", { name: "Start sleeps" }).click();
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.getByRole("row", { name: /^long run running/ }).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Cancel it" }).click();
  await page.locator(".head").getByText("cancelled").waitFor();
  check("a run is cancelled", true);
  await page.goto(`${server.url}/#/runs`);
  await page.getByRole("row", { name: /sleeps/ }).first().waitFor();
  await looks(page, "runs");
  await page.getByLabel("Mission", { exact: true }).selectOption("fails");
  await page.getByRole("link", { name: /^2026|^20/ }).nth(1).waitFor({ state: "detached" }).catch(() => {});
  const missions = await page.getByRole("region", { name: "Runs" }).locator("tbody tr td:nth-child(2)").allInnerTexts();
  check("runs of a mission", missions.length === 1 && missions[0] === "fails", missions);
  await page.goto(`${server.url}/#/runs/none`);
  await page.locator(".problem").waitFor();
  check("a run that is not there", /no such run/.test(await page.locator(".problem").innerText()));
  await page.goto(`${server.url}/#/audit`);
  await page.getByText("Chained").waitFor();
  check("the audit has it all", (await page.getByRole("cell", { name: "run.cancel" }).count()) === 1 && (await page.getByRole("cell", { name: "run.start" }).count()) === 3);
  await looks(page, "audit");
  await page.goto(`${server.url}/#/metrics`);
  await page.getByRole("heading", { name: "rules / join / time" }).waitFor();
  check("a change of what was measured is found", /\+\d+\.\d %/.test(await page.getByRole("region", { name: "Changes" }).innerText()), await page.getByRole("region", { name: "Changes" }).innerText());
  await page.waitForTimeout(2500);
  await looks(page, "history");
  await page.context().close();
  await server.stop();
}

const WATCH = `name: watch
rulebooks: [rules.yaml]
sources:
  - {name: inbox, http: true}
  - {name: log, tail: nowhere.log, parse: ndjson, type: entry}
sinks:
  - {name: out, file: out.ndjson}
`;
const WATCH_RULES = `rules:
  - name: a large order
    when: [{order as o: "o.amount > 100.0"}]
    then: [{emit: hold, with: {order: "\${{ o.id }}"}}]
`;

async function project() {
  write("watch/flyball.yaml", WATCH);
  write("watch/rules.yaml", WATCH_RULES);
  const server = await serve(["--project", `${folder}/watch`, "--state", `${folder}/watch-state`]), page = await open(server.url);
  await page.getByRole("row", { name: /^inbox http ok/ }).waitFor();
  check("sources tell how they do", await page.getByRole("row", { name: /nowhere\.log.*failing/ }).isVisible());
  await page.getByText("Live", { exact: true }).waitFor();
  const sent = await fetch(`${server.url}/v1/facts`, { method: "POST", headers: JSONS, body: '{"type": "order", "id": "o1", "amount": 500}' });
  same("a fact is taken", sent.status, 200);
  await page.locator("ol.feed").getByText("a large order").waitFor();
  check("a decision of the project is seen as it is made", true);
  await page.getByRole("row", { name: /^out file 1 0 0/ }).waitFor();
  check("and what became of it", true);
  await looks(page, "project");
  await page.goto(`${server.url}/#/rules/rules`);
  await page.getByRole("row", { name: /a large order/ }).waitFor();
  await page.context().close();
  await server.stop();
}

async function metrics(server) {
  const page = await open(`${server.url}/#/metrics`);
  await page.getByText("flyball_http_requests", { exact: true }).waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll(".plots .chart path.c1")].some((path) => (path.getAttribute("d") || "").split("L").length > 2));
  check("counters are drawn as rates", true);
  await page.getByLabel("Find a metric").fill("sessions");
  await page.getByText("flyball_http_requests", { exact: true }).waitFor({ state: "detached" });
  check("metrics are found by name", await page.getByText("flyball_sessions", { exact: true }).isVisible());
  await page.getByLabel("Find a metric").fill("");
  await looks(page, "metrics");
  await page.context().close();
}

/** Frames a second, and the longest wait for one, in so many milliseconds. */
const frames = (page, ms) => page.evaluate((ms) => new Promise((resolve) => {
  const began = performance.now();
  let last = began, longest = 0, count = 0;
  const frame = (now) => {
    longest = Math.max(longest, now - last);
    last = now;
    count++;
    if (now - began < ms) requestAnimationFrame(frame);
    else resolve({ longest, rate: (1000 * count) / (now - began) });
  };
  requestAnimationFrame(frame);
}), ms);

async function flood(server) {
  const other = await double(server.url, { rate: 10000, total: 50000 });
  const page = await open(other.url);
  await page.getByText("flood").first().waitFor();
  const { rate, longest } = await frames(page, 4000), began = Date.now();
  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("heading", { name: "Audit", level: 1 }).waitFor();
  const click = Date.now() - began;
  check(`10,000 events a second: ${Math.round(rate)} frames a second, ${Math.round(longest)} ms the longest, ${click} ms for a click`, rate > 5 && longest < 1500 && click < 3000, { rate, longest, click });
  await page.getByRole("link", { name: "Overview" }).click();
  await page.waitForTimeout(300);
  for (let i = 0; i < 100 && other.sent() < 50000; i++) await page.waitForTimeout(200);
  const got = await page.evaluate(async () => {
    const { live } = await import(document.querySelector("script[type=module]").src.replace("app.js", "live.js"));
    for (let i = 0; i < 50 && live.events < 50000; i++) await new Promise((done) => setTimeout(done, 100));
    return { events: live.events, lost: live.lost, lines: document.querySelectorAll("ol.feed li").length };
  });
  check("none is lost, and the list stays short", got.events >= 50000 && got.lost === 0 && got.lines > 0 && got.lines <= 200, got);
  await picture(page, "overview-flood");
  // Broken off, and taken up where it was.
  other.hang();
  for (let i = 0; i < 100 && other.asked.length < 2; i++) await page.waitForTimeout(100);
  check("a stream that broke off is taken up after the last event", Number(other.asked.at(-1)) >= 50000, other.asked);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.context().close();
  other.stop();
}

async function thousand(server) {
  const other = await double(server.url, { rate: 2000, total: 20000 });
  const page = await open(`${other.url}/#/runs/big`), began = Date.now();
  await page.waitForFunction(() => document.querySelector(".falls table")?.getAttribute("aria-rowcount") === "1001");
  const shown = Date.now() - began, spent = await page.evaluate(async () => {
    const { layout } = await import(document.querySelector("script[type=module]").src.replace("app.js", "dag.js"));
    const run = await (await fetch("v1/runs/big")).json(), began = performance.now(), plan = layout(run.steps), took = performance.now() - began;
    // No two steps of a layer lie upon each other, and each stands to the right of what it needs.
    const close = plan.rows.some((row) => row.some((i, n) => n && plan.y[i] - plan.y[row[n - 1]] < 30));
    return { took, close, left: run.steps.some((step, i) => plan.needs[i].some((from) => plan.x[from] >= plan.x[i])) };
  });
  check(`1,000 steps are laid out in ${Math.round(spent.took)} ms, shown after ${shown} ms`, spent.took < 3000 && shown < 15000, { ...spent, shown });
  check("no step lies upon another, each right of what it needs", !spent.close && !spent.left, spent);
  const { rate, longest } = await frames(page, 3000);
  check(`and go on with 2,000 events a second: ${Math.round(rate)} frames a second, ${Math.round(longest)} ms the longest`, rate > 4 && longest < 2500, { rate, longest });
  await picture(page, "run-1000");
  const canvas = page.locator(".graph canvas");
  await canvas.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  check("the arrow keys go from step to step", /^step-\d+, \w+, needs step-\d+/.test(await page.locator(".graph [aria-live]").textContent()), await page.locator(".graph [aria-live]").textContent());
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Its log" }).waitFor();
  check("Enter opens it", /^step-\d+$/.test(await page.locator("section.third h2").innerText()));
  await picture(page, "run-1000-step");
  await page.getByLabel("Steps shown").selectOption("failed");
  await page.getByLabel("Steps shown").selectOption("all");
  check("of 1,000 rows those that are seen are there", (await page.locator(".falls tbody tr").count()) < 80);
  await page.locator(".falls").evaluate((node) => { node.scrollTop = node.scrollHeight; });
  await page.getByRole("button", { name: "step-999", exact: true }).waitFor();
  check("the last one is at the end", (await page.locator(".falls").evaluate((node) => node.scrollHeight)) > 29000);
  await page.getByLabel("Steps shown").selectOption("failed");
  check("failed steps alone, seen from the end of all", (await page.locator(".falls tbody tr").count()) > 10 && (await page.locator(".falls .state.good").count()) === 0);
  await page.getByLabel("Find a step").fill("step-77");
  check("a step is found by name", (await page.locator(".falls tbody tr").count()) < 12);
  await page.locator("pre.log").first().getByText("the end").waitFor({ timeout: 60000 });
  const kept = await page.locator("pre.log").first().evaluate((node) => node.textContent.split("\n").length);
  check(`of a log of 40,000 lines the last ${kept} stay`, kept > 4000 && kept < 10002, kept);
  await page.context().close();
  other.stop();
}

async function gone() {
  const server = await serve();
  const page = await open(server.url);
  await page.getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  await page.goto(`${server.url}/#/playground`);
  await page.getByRole("heading", { name: "1 decision" }).waitFor();
  await server.stop();
  await page.getByRole("button", { name: "Evaluate" }).click();
  await page.getByText("The server cannot be reached").waitFor();
  check("a server that is gone is told", true);
  await page.context().close();
}

try {
  const server = await serve(["-r", `shop=${write("shop.yaml", SHOP)}`]);
  const chosen = process.argv.slice(5);
  for (const part of [frame, overview, playground, rulesets, runs, project, metrics, flood, thousand, tokens, gone].filter((one) => !chosen.length || chosen.includes(one.name))) {
    try { await part(server); } catch (error) { check(part.name, false, error.stack); }
  }
} finally {
  await end();
}
