// What the agent has told us: files by group, routes, events. No document.

import { Rate } from "./rate.js";

const EVENTS_KEPT = 50;
const ACTIVE = new Set(["Copying", "Verifying"]);
const WAITING = ["Held", "Paused", "InQueue", "Ready", "Growing", "Discovered"];
const WAITING_RANK = Object.fromEntries(WAITING.map((status, rank) => [status, rank]));
const STATUSES = { active: [...ACTIVE], waiting: WAITING, failed: ["Failed"], completed: ["Completed"] };
const MANY_CHANGES = 1000; // sorting everything anew is cheaper than so many insertions

const later = (a, b) => compare(b.completed_at, a.completed_at) || compare(a.id, b.id);
const ORDER = {
  active: (a, b) =>
    Number(a.status === "Paused") - Number(b.status === "Paused") ||
    compare(a.started_at, b.started_at) ||
    compare(a.id, b.id),
  waiting: (a, b) =>
    WAITING_RANK[a.status] - WAITING_RANK[b.status] ||
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

/**
 * Each group is kept in its order: 100,000 files cannot be sorted at every draw. Of many files the agent tells
 * only some (`partial`): then the routes say how many there are, and pages of the others are taken in by
 * `admit`. Whatever is here is always up to date, since the agent tells of every change.
 */
export class State {
  files = new Map();
  routes = new Map();
  events = [];
  rates = new Map();
  partial = false;
  #seq = null;
  #held = {}; // files here, by status
  #asked = null; // what has changed since a page was asked for
  #groups = emptyGroups();
  #searchable = new WeakMap();

  /** Takes a message in; false if one before it was missed. */
  apply(message, nowMs) {
    if (message.type === "snapshot") {
      this.#begin(message, nowMs);
    } else {
      if (message.seq !== this.#seq + 1) return false;
      this.#take(message.changed, message.removed, nowMs);
      message.changed.forEach((file) => this.#asked?.add(file.id));
      message.removed.forEach((id) => this.#asked?.add(id));
    }
    this.#seq = message.seq;
    message.routes.forEach((route) => this.routes.set(route.name, route));
    this.events = [...this.events, ...message.events].slice(-EVENTS_KEPT);
    return true;
  }

  /** A page of files is about to be asked for; what this returns goes to `admit` with the answer. */
  ask() {
    return (this.#asked = new Set());
  }

  /** Takes in a page, except what has changed since it was asked for; false if all is new since. */
  admit(asked, files, nowMs) {
    if (asked !== this.#asked) return false;
    this.#asked = null;
    this.#take(files.filter((file) => !asked.has(file.id)), [], nowMs);
    return true;
  }

  count(group) {
    const here = this.#groups[group].length;
    if (!this.partial) return here;
    const told = STATUSES[group].reduce((sum, status) => sum + this.#told(status), 0);
    const begun = this.#groups.active.filter((file) => file.status === "Paused").length;
    return Math.max(here, told + ({ active: begun, waiting: -begun }[group] ?? 0));
  }

  countHeld() {
    return this.partial ? this.#told("Held") : (this.#held.Held ?? 0);
  }

  /** The statuses of the group of which not all files are here, in its order. */
  missing(group) {
    if (!this.partial) return [];
    return STATUSES[group].filter((status) => this.#told(status) > (this.#held[status] ?? 0));
  }

  /** How many files of a status there are, as the routes tell. */
  #told(status) {
    return [...this.routes.values()].reduce((sum, route) => sum + (route.counts[status] ?? 0), 0);
  }

  /** Read only: a group in its order, only those whose path or route contains `needle`. */
  list(group, needle) {
    const files = this.#groups[group];
    if (!needle) return files;
    const wanted = searchable(needle);
    return files.filter((file) => this.#text(file).includes(wanted));
  }

  #begin({ files, total = files.length }, nowMs) {
    this.files.clear();
    this.routes.clear();
    this.events = [];
    this.partial = total > files.length;
    this.#held = {};
    this.#asked = null;
    this.#takeMany(files, [], nowMs);
    [...this.rates.keys()].filter((id) => !this.files.has(id)).forEach((id) => this.rates.delete(id));
  }

  #take(changed, removed, nowMs) {
    if (changed.length + removed.length > MANY_CHANGES) {
      this.#takeMany(changed, removed, nowMs);
      return;
    }
    changed.forEach((file) => {
      this.#lift(file.id);
      this.#put(file, nowMs);
      const files = this.#groups[groupOf(file)];
      files.splice(placeOf(file, files, ORDER[groupOf(file)]), 0, file);
    });
    removed.forEach((id) => {
      this.#lift(id);
      this.#forget(id);
    });
  }

  #takeMany(changed, removed, nowMs) {
    changed.forEach((file) => this.#put(file, nowMs));
    removed.forEach((id) => this.#forget(id));
    this.#groups = emptyGroups();
    this.files.forEach((file) => this.#groups[groupOf(file)].push(file));
    Object.entries(this.#groups).forEach(([group, files]) => files.sort(ORDER[group]));
  }

  /** Takes a file out of its group. */
  #lift(id) {
    const file = this.files.get(id);
    if (!file) return;
    const files = this.#groups[groupOf(file)];
    files.splice(placeOf(file, files, ORDER[groupOf(file)]), 1);
  }

  #put(file, nowMs) {
    const old = this.files.get(file.id);
    this.files.set(file.id, file);
    this.#tally(old, -1);
    this.#tally(file, 1);
    if (groupOf(file) !== "active") {
      this.rates.delete(file.id);
      return;
    }
    if ((old && old.status !== file.status) || !this.rates.has(file.id)) this.rates.set(file.id, new Rate());
    this.rates.get(file.id).add(progressOf(file).done, nowMs);
  }

  #forget(id) {
    this.#tally(this.files.get(id), -1);
    this.files.delete(id);
    this.rates.delete(id);
  }

  #tally(file, change) {
    if (file) this.#held[file.status] = (this.#held[file.status] ?? 0) + change;
  }

  #text(file) {
    if (!this.#searchable.has(file)) this.#searchable.set(file, searchable(`${file.path}\n${file.route}`));
    return this.#searchable.get(file);
  }
}

/** Where a file stands in a sorted list, or belongs. */
function placeOf(file, files, order) {
  let [first, end] = [0, files.length];
  while (first < end) {
    const middle = (first + end) >> 1;
    if (order(files[middle], file) < 0) first = middle + 1;
    else end = middle;
  }
  return first;
}

function emptyGroups() {
  return { active: [], waiting: [], failed: [], completed: [] };
}

/** The same letters typed or stored in another Unicode form (NFD on macOS) are the same. */
function searchable(text) {
  return text.normalize("NFC").toLowerCase();
}

function compare(a, b) {
  const [left, right] = [a ?? "", b ?? ""];
  return left < right ? -1 : left > right ? 1 : 0;
}
