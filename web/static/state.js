// The state received from the agent: files by group, routes, events. No document.

import { Rate } from "./rate.js";

const EVENTS_KEPT = 50;
const ACTIVE = new Set(["Copying", "Verifying"]);
const WAITING = ["Held", "Paused", "InQueue", "Ready", "Growing", "Discovered"];
const WAITING_RANK = Object.fromEntries(WAITING.map((status, rank) => [status, rank]));
const STATUSES = { active: [...ACTIVE], waiting: WAITING, failed: ["Failed"], completed: ["Completed"] };
const MANY_CHANGES = 1000; // sorting everything is cheaper than more insertions

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
 * Each group is kept sorted, because 100,000 files cannot be sorted at every draw. Of many files the agent sends
 * only some (`partial`); then the counts of the routes say how many there are, and `admit` merges pages of the
 * others. Files held here are always up to date, because the agent sends every change.
 */
export class State {
  files = new Map();
  routes = new Map();
  events = [];
  rates = new Map();
  partial = false;
  #seq = null;
  #loaded = {}; // number of files held here, by status
  #changedSince = null; // ids of files that changed since a page was requested
  #groups = emptyGroups();
  #searchable = new WeakMap();

  /** Applies a message; false if one before it was missed. */
  apply(message, nowMs) {
    if (message.type === "snapshot") {
      this.#reset(message, nowMs);
    } else {
      if (message.seq !== this.#seq + 1) return false;
      this.#merge(message.changed, message.removed, nowMs);
      message.changed.forEach((file) => this.#changedSince?.add(file.id));
      message.removed.forEach((id) => this.#changedSince?.add(id));
    }
    this.#seq = message.seq;
    message.routes.forEach((route) => this.routes.set(route.name, route));
    this.events = [...this.events, ...message.events].slice(-EVENTS_KEPT);
    return true;
  }

  /** Call before requesting a page of files; pass the result to `admit` with the answer. */
  ask() {
    return (this.#changedSince = new Set());
  }

  /** Merges a page, except files that changed since its request; false if a snapshot came in between. */
  admit(changedSince, files, nowMs) {
    if (changedSince !== this.#changedSince) return false;
    this.#changedSince = null;
    this.#merge(files.filter((file) => !changedSince.has(file.id)), [], nowMs);
    return true;
  }

  count(group) {
    const here = this.#groups[group].length;
    if (!this.partial) return here;
    const reported = STATUSES[group].reduce((sum, status) => sum + this.#reported(status), 0);
    const begun = this.#groups.active.filter((file) => file.status === "Paused").length;
    return Math.max(here, reported + ({ active: begun, waiting: -begun }[group] ?? 0));
  }

  countHeld() {
    return this.partial ? this.#reported("Held") : (this.#loaded.Held ?? 0);
  }

  /** The statuses of the group that have files which are not held here, in the group's order. */
  missing(group) {
    if (!this.partial) return [];
    return STATUSES[group].filter((status) => this.#reported(status) > (this.#loaded[status] ?? 0));
  }

  /** The number of files of a status, from the counts of the routes. */
  #reported(status) {
    return [...this.routes.values()].reduce((sum, route) => sum + (route.counts[status] ?? 0), 0);
  }

  /** Read only: the sorted files of a group whose path or route contains `needle`. */
  list(group, needle) {
    const files = this.#groups[group];
    if (!needle) return files;
    const wanted = searchable(needle);
    return files.filter((file) => this.#text(file).includes(wanted));
  }

  #reset({ files, total = files.length }, nowMs) {
    this.files.clear();
    this.routes.clear();
    this.events = [];
    this.partial = total > files.length;
    this.#loaded = {};
    this.#changedSince = null;
    this.#mergeMany(files, [], nowMs);
    [...this.rates.keys()].filter((id) => !this.files.has(id)).forEach((id) => this.rates.delete(id));
  }

  #merge(changed, removed, nowMs) {
    if (changed.length + removed.length > MANY_CHANGES) {
      this.#mergeMany(changed, removed, nowMs);
      return;
    }
    changed.forEach((file) => {
      this.#removeFromGroup(file.id);
      this.#put(file, nowMs);
      const files = this.#groups[groupOf(file)];
      files.splice(indexOf(file, files, ORDER[groupOf(file)]), 0, file);
    });
    removed.forEach((id) => {
      this.#removeFromGroup(id);
      this.#delete(id);
    });
  }

  #mergeMany(changed, removed, nowMs) {
    changed.forEach((file) => this.#put(file, nowMs));
    removed.forEach((id) => this.#delete(id));
    this.#groups = emptyGroups();
    this.files.forEach((file) => this.#groups[groupOf(file)].push(file));
    Object.entries(this.#groups).forEach(([group, files]) => files.sort(ORDER[group]));
  }

  /** Takes a file out of its group. */
  #removeFromGroup(id) {
    const file = this.files.get(id);
    if (!file) return;
    const files = this.#groups[groupOf(file)];
    files.splice(indexOf(file, files, ORDER[groupOf(file)]), 1);
  }

  #put(file, nowMs) {
    const old = this.files.get(file.id);
    this.files.set(file.id, file);
    this.#countStatus(old, -1);
    this.#countStatus(file, 1);
    if (groupOf(file) !== "active") {
      this.rates.delete(file.id);
      return;
    }
    if ((old && old.status !== file.status) || !this.rates.has(file.id)) this.rates.set(file.id, new Rate());
    this.rates.get(file.id).add(progressOf(file).done, nowMs);
  }

  #delete(id) {
    this.#countStatus(this.files.get(id), -1);
    this.files.delete(id);
    this.rates.delete(id);
  }

  #countStatus(file, change) {
    if (file) this.#loaded[file.status] = (this.#loaded[file.status] ?? 0) + change;
  }

  #text(file) {
    if (!this.#searchable.has(file)) this.#searchable.set(file, searchable(`${file.path}\n${file.route}`));
    return this.#searchable.get(file);
  }
}

/** The index of a file in a sorted list, or where to insert it. */
function indexOf(file, files, order) {
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

/** For comparisons: one Unicode form, because macOS stores names in NFD, and lower case. */
function searchable(text) {
  return text.normalize("NFC").toLowerCase();
}

function compare(a, b) {
  const [left, right] = [a ?? "", b ?? ""];
  return left < right ? -1 : left > right ? 1 : 0;
}
