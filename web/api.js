// SPDX-License-Identifier: Apache-2.0
// Requests to the server, and who makes them. The token is kept for this tab only.

const KEY = "flyball.token";
const ROLES = ["none", "viewer", "operator", "admin"];

/** A failure as RFC 9457 has it; status 0: the server was not reached. */
export class Problem extends Error {
  constructor(fields) {
    super(fields.detail || fields.title || "it did not work");
    Object.assign(this, fields);
  }
  /** There is nothing at that path: this server does not have it (yet), or not with what it was started with. */
  get absent() { return this.status === 404 || this.status === 405 || this.status === 501; }
}

const watchers = new Set();
let who = { role: "none", open: false };

export const token = () => sessionStorage.getItem(KEY) || "";
export const me = () => who;
export const may = (role) => ROLES.indexOf(who.role) >= ROLES.indexOf(role);
export const onWho = (fn) => { watchers.add(fn); return () => watchers.delete(fn); };

/** Paths are relative to the page, so that the dashboard also works behind a proxy that puts it under a folder. */
export const url = (path) => new URL(path, document.baseURI.replace(/#.*/, ""));

/** Whole numbers that a double cannot hold come as BigInt. */
function exact(key, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !context || !/^-?\d+$/.test(context.source)) return value;
  return BigInt(context.source);
}

function headers(options) {
  const given = { Accept: options.accept || "application/json", ...options.headers };
  if (options.body !== undefined) given["Content-Type"] = options.type || "application/json";
  if (token()) given.Authorization = `Bearer ${token()}`;
  return given;
}

async function problemOf(response) {
  const text = await response.text().catch(() => "");
  let fields = {};
  try { fields = JSON.parse(text); } catch { fields = { detail: text.slice(0, 300) }; }
  return new Problem({ title: response.statusText || `HTTP ${response.status}`, ...fields, status: response.status,
    retry: Number(response.headers.get("Retry-After")) || 0 });
}

/** The response, if it is good; else throws a Problem. */
export async function send(method, path, options = {}) {
  let response;
  try {
    response = await fetch(url(path), { method, headers: headers(options), body: options.body, signal: options.signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ status: 0, title: "The server cannot be reached", detail: "It is down, or something between it and this page is." });
  }
  if (response.ok) return response;
  if (response.status === 401) document.dispatchEvent(new CustomEvent("flyball-signin"));
  throw await problemOf(response);
}

export async function get(path, options) {
  const response = await send("GET", path, options);
  return JSON.parse(await response.text(), exact);
}

/** `body`: an object, or JSON text. */
export async function post(path, body, options = {}) {
  const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
  const response = await send("POST", path, { ...options, body: text });
  const answer = await response.text();
  return answer ? JSON.parse(answer, exact) : {};
}

// ── Who ──

/** Asks the server whose token this is. */
export async function refresh() {
  try {
    who = await get("v1/me");
  } catch (error) {
    if (error.status === 0) throw error;
    who = { role: "none", open: false };
  }
  for (const fn of watchers) fn(who);
  return who;
}

/** Resolves to whether the token is known. */
export async function signIn(text) {
  const before = token();
  sessionStorage.setItem(KEY, text);
  if ((await refresh()).role !== "none") return true;
  if (before) sessionStorage.setItem(KEY, before);
  else sessionStorage.removeItem(KEY);
  return false;
}

export function signOut() {
  sessionStorage.removeItem(KEY);
  return refresh();
}
