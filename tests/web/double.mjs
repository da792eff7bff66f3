// SPDX-License-Identifier: Apache-2.0
// A server with what no mission of a test has: a run of a thousand steps, and events by the ten thousands. The dashboard itself, and all
// else, is that of the real server behind it.
import http from "node:http";

const STATES = ["ok", "ok", "ok", "ok", "failed", "running", "waiting", "skipped", "pending", "pending"];

/** 1,000 steps in 40 layers, some of which need steps many layers away. */
export function bigRun(count = 1000) {
  const began = Date.now() - 40000, wide = 25;
  const steps = Array.from({ length: count }, (_, i) => {
    const layer = Math.floor(i / wide), state = layer < 20 ? "ok" : STATES[(i * 7) % STATES.length];
    const needs = layer ? [`step-${(layer - 1) * wide + ((i * 3) % wide)}`, ...(i % 2 ? [`step-${(layer - 1) * wide + ((i * 5 + 1) % wide)}`] : []), ...(layer > 5 && i % 9 === 0 ? [`step-${(layer - 5) * wide + (i % wide)}`] : [])] : [];
    const at = (ms) => new Date(began + layer * 900 + (i % wide) * 13 + ms).toISOString(), done = ["ok", "failed"].includes(state);
    return { id: `step-${i}`, tool: "run", needs: [...new Set(needs)], state, attempts: state === "pending" ? 0 : 1, ...(state !== "pending" && { started: at(0) }), ...(done && { ended: at(800), seconds: 0.8 }), ...(state === "failed" && { error: "exit code 3" }) };
  });
  const of = (...names) => steps.filter((step) => names.includes(step.state)).length;
  return { id: "big", mission: "big", state: "running", started: new Date(began).toISOString(), seconds: 60, steps, waits: [], inputs: {},
    counts: { total: count, done: of("ok", "skipped"), failed: of("failed"), running: of("running"), waiting: of("waiting") } };
}

/** rate: events a second; they end after `total`. Resolves to {url, sent(), hang(), ids, stop}. */
export function double(real, { rate = 10000, total = 50000, run = bigRun() } = {}) {
  const open = new Set(), asked = [];
  const moving = run.steps.filter((step) => step.state === "running").map((step) => step.id);
  let id = 0, sent = 0;
  const head = (kind, data) => `id: ${++id}\nevent: ${kind}\ndata: ${JSON.stringify({ at: new Date().toISOString(), ...data })}\n\n`;
  function event(i) {
    if (i % 3 === 0) return head("step", { run: "big", step: moving[i % moving.length], state: ["running", "ok"][i & 1], attempts: 1, seconds: 0.1 });
    if (i % 3 === 1) return head("decision", { source: "flood", rule: `rule ${i % 50}`, n: 1 });
    return head("fact", { source: "flood", n: 10 });
  }
  function events(request, response) {
    asked.push(request.headers["last-event-id"] || "");
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    open.add(response);
    response.on("close", () => open.delete(response));
  }
  let second = 0;
  const timer = setInterval(() => {
    if (!open.size) return;
    let text = "";
    for (let i = 0; i < rate / 50 && sent < total; i++) text += event(sent++);
    if (second++ % 50 === 0) text += head("stats", { requests: second * 2, rate: 100, errors: 0, p50: 0.001, p99: 0.004, facts: sent * 10, firings: sent, runs: { running: 1 } });
    if (text) for (const response of open) response.write(text);
  }, 20);
  function logs(response) {
    response.writeHead(200, { "Content-Type": "text/plain" });
    let line = 0;
    const more = setInterval(() => {
      let text = "";
      for (let i = 0; i < 400; i++) text += `step-${line % 1000} | line ${line++} of a log that never seems to end\n`;
      response.write(text);
      if (line >= 40000) { clearInterval(more); response.end(`the end\n`); }
    }, 50);
    response.on("close", () => clearInterval(more));
  }
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    if (pathname === "/v1/events") return events(request, response);
    if (pathname === "/v1/runs/big") { response.writeHead(200, { "Content-Type": "application/json" }); return response.end(JSON.stringify(run)); }
    if (pathname === "/v1/runs/big/logs") return logs(response);
    const on = http.request(real + request.url, { method: request.method, headers: request.headers }, (answer) => { response.writeHead(answer.statusCode, answer.headers); answer.pipe(response); });
    on.on("error", () => response.destroy());
    return request.pipe(on);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({
    url: `http://127.0.0.1:${server.address().port}`, asked, sent: () => sent,
    hang: () => { for (const response of open) response.destroy(); },
    stop: () => { clearInterval(timer); server.closeAllConnections(); server.close(); },
  })));
}
