// SPDX-License-Identifier: Apache-2.0
// What the browser tests stand on: a real server, a real browser, checks as TAP, axe, screenshots.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const [program, modules, shots] = process.argv.slice(2, 5).map((name) => path.resolve(name));
export const flyball = program;
const require = createRequire(path.join(modules, "x.js"));
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
export const folder = fs.mkdtempSync(path.join(os.tmpdir(), "flyball-web-"));

let number = 0, failed = 0;
export function check(name, good, got = "") {
  number++;
  if (!good) failed++;
  console.log(`${good ? "ok" : "not ok"} ${number} - ${name}`);
  if (!good) console.log(`# ${(typeof got === "string" ? got : JSON.stringify(got)).slice(0, 2000)}`.replaceAll("\n", "\n# "));
}
export const same = (name, got, want) => check(name, JSON.stringify(got) === JSON.stringify(want), `got ${JSON.stringify(got)}, not ${JSON.stringify(want)}`);

const started = [];

/** A server on a free port; resolves to {url, stop}. */
export function serve(options = [], file = "") {
  const child = spawn(flyball, ["serve", "-l", "127.0.0.1:0", ...options], { stdio: ["ignore", "ignore", "pipe"] });
  started.push(child);
  return new Promise((resolve, reject) => {
    let text = "";
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${text}`)));
    child.stderr.on("data", (bytes) => {
      text += bytes;
      const url = /listening on (http:\S+)/.exec(text)?.[1];
      if (url) resolve({ url, stop: () => new Promise((done) => { child.removeAllListeners("exit"); child.on("exit", done); child.kill("SIGTERM"); }) });
    });
  });
}

export function write(name, text) {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
  return file;
}

export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
export const oops = []; // errors of pages that no test asked for

export async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => oops.push(`${page.url()}: ${error.stack}`));
  page.on("console", (line) => { if (line.type() === "error" && !/Failed to load resource|ERR_/.test(line.text())) oops.push(`${page.url()}: ${line.text()}`); });
  page.setDefaultTimeout(30000);
  await page.goto(url);
  return page;
}

/** No serious fault by axe, in light and in dark; pictures of both in the folder of screenshots. */
export async function looks(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const bad = violations.filter((one) => ["serious", "critical"].includes(one.impact));
    check(`${name}: axe finds no serious fault (${colorScheme})`, !bad.length, bad.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`).join("\n"));
    await page.screenshot({ path: path.join(shots, `${name}-${colorScheme}.png`), fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light" });
}

export const picture = (page, name) => page.screenshot({ path: path.join(shots, `${name}.png`) });

export async function end() {
  check("no page had an error of its own", !oops.length, oops.join("\n"));
  await browser.close();
  for (const child of started) child.kill("SIGKILL");
  fs.rmSync(folder, { recursive: true, force: true });
  console.log(`1..${number}`);
  console.log(`${number - failed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
}
fs.mkdirSync(shots, { recursive: true });
