// What the agent has told us: files by group, routes, events. No document.

import { Rate } from "./rate.js";

const EVENTS_KEPT = 50;
const ACTIVE = new Set(["Copying", "Verifying"]);
const WAITING_RANK = ["Held", "Paused", "InQueue", "Ready", "Growing", "Discovered"];

const later = (a, b) => compare(b.completed_at, a.completed_at) || compare(a.id, b.id);
const ORDER = {
  active: (a, b) =>
    Number(a.status === "Paused") - Number(b.status === "Paused") ||
    compare(a.started_at, b.started_at) ||
    compare(a.id, b.id),
  waiting: (a, b) =>
    WAITING_RANK.indexOf(a.status) - WAITING_RANK.indexOf(b.status) ||
    compare(a.discovered_at, b.discovered_at) ||
    compare(a.id, b.id),
  failed: later,
  completed: later,
};

/** active | waiting | failed | completed. A paused file is active only if its copy had begun. */
export function groupOf(file) {
  if (file.status === "Completed") return "completed";
  if (file.status === "Failed") return "failed";
  if (ACTIVE.has(file.status) || (file.status === "Paused" && file.started_at)) return "active";
  return "waiting";
}

/** How far a transfer is, in bytes; the file may still be growing. */
export function progressOf(file) {
  const copied = file.bytes_copied;
  const done = file.status === "Verifying" ? file.bytes_verified : copied;
  return { copied, verified: file.bytes_verified, done, left: Math.max(0, file.file_size - done) };
}

export class State {
  files = new Map();
  routes = new Map();
  events = [];
  rates = new Map();
  #seq = null;
  #groups = emptyGroups();
  #ordered = {};
  #searchable = new WeakMap();

  /** Takes a message in; false if one before it was missed. */
  apply(message, nowMs) {
    if (message.type === "snapshot") {
      this.#clear();
      message.files.forEach((file) => this.#put(file, nowMs));
    } else {
      if (message.seq !== this.#seq + 1) return false;
      message.changed.forEach((file) => this.#put(file, nowMs));
      message.removed.forEach((id) => this.#remove(id));
    }
    this.#seq = message.seq;
    message.routes.forEach((route) => this.routes.set(route.name, route));
    this.events = [...this.events, ...message.events].slice(-EVENTS_KEPT);
    return true;
  }

  count(group) {
    return this.#groups[group].size;
  }

  countHeld() {
    const order = this.#order("waiting");
    const end = order.findIndex((id) => this.files.get(id).status !== "Held");
    return end < 0 ? order.length : end;
  }

  /** The files of a group in their order, only those whose path or route contains `needle`. */
  list(group, needle) {
    const files = this.#order(group).map((id) => this.files.get(id));
    if (!needle) return files;
    const wanted = searchable(needle);
    return files.filter((file) => this.#text(file).includes(wanted));
  }

  #clear() {
    this.files.clear();
    this.routes.clear();
    this.rates.clear();
    this.events = [];
    this.#groups = emptyGroups();
    this.#ordered = {};
  }

  #put(file, nowMs) {
    const old = this.files.get(file.id);
    const group = groupOf(file);
    if (old && groupOf(old) !== group) this.#remove(file.id);
    this.files.set(file.id, file);
    this.#groups[group].add(file.id);
    if (old?.status !== file.status || old.completed_at !== file.completed_at) delete this.#ordered[group];
    if (group !== "active") return;
    if (old?.status !== file.status || !this.rates.has(file.id)) this.rates.set(file.id, new Rate());
    this.rates.get(file.id).add(progressOf(file).done, nowMs);
  }

  #remove(id) {
    const file = this.files.get(id);
    if (!file) return;
    const group = groupOf(file);
    this.files.delete(id);
    this.rates.delete(id);
    this.#groups[group].delete(id);
    delete this.#ordered[group];
  }

  #order(group) {
    this.#ordered[group] ??= [...this.#groups[group]]
      .map((id) => this.files.get(id))
      .sort(ORDER[group])
      .map((file) => file.id);
    return this.#ordered[group];
  }

  #text(file) {
    if (!this.#searchable.has(file)) this.#searchable.set(file, searchable(`${file.path}\n${file.route}`));
    return this.#searchable.get(file);
  }
}

function emptyGroups() {
  return { active: new Set(), waiting: new Set(), failed: new Set(), completed: new Set() };
}

/** The same letters typed or stored in another Unicode form (NFD on macOS) are the same. */
function searchable(text) {
  return text.normalize("NFC").toLowerCase();
}

function compare(a, b) {
  const [left, right] = [a ?? "", b ?? ""];
  return left < right ? -1 : left > right ? 1 : 0;
}
