// A card for each route, and the summary of all routes.

import * as format from "./format.js";
import { STATUS_WORDS, icon, setIcon } from "./icons.js";
import { attribute, h, text } from "./nodes.js";

const SHOWN = ["Copying", "Verifying", "Paused", "InQueue", "Ready", "Growing", "Discovered", "Held", "Failed"];

/** The state of all routes as {kind: ok | quiet | bad, text}. */
export function overall(routes, nowMs) {
  const faults = routes.flatMap((route) => problems(route, nowMs).map((problem) => `${route.name}: ${problem}`));
  if (faults.length) return { kind: "bad", text: faults.join("; ") };
  if (!routes.length) return { kind: "quiet", text: "No routes are configured" };
  const paused = routes.filter((route) => route.paused).map((route) => route.name);
  if (paused.length) return { kind: "quiet", text: `All destinations usable; paused: ${paused.join(", ")}` };
  return { kind: "ok", text: "All destinations usable" };
}

function problems(route, nowMs) {
  const { outage, source_error: sourceError } = route;
  return [
    ...(outage ? [`outage ${words(outage.reason)} since ${format.clock(outage.since, nowMs)}`] : []),
    ...(sourceError ? ["source not readable"] : []),
  ];
}

function words(reason) {
  return reason.replaceAll("_", " ");
}

export function routeCard({ pause, resume }) {
  const name = h("h3");
  const paused = h("span", { class: "badge" }, icon("pause"), "Paused");
  const sign = icon("pause");
  const label = h("span");
  let current;
  const button = h("button",
    { type: "button", onclick: () => (current.paused ? resume(current) : pause(current)) }, sign, label);
  const source = h("bdi");
  const destination = h("bdi");
  const outage = banner();
  const sourceError = banner();
  const unreadable = banner();
  const held = banner();
  const space = spaceBar();
  const counts = h("ul", { class: "counts" });
  const rate = h("strong");
  const queue = h("span");
  const node = h("li", { class: "card" },
    h("div", { class: "head" }, name, paused, button),
    h("p", { class: "way" }, source, icon("arrow"), destination),
    outage.node, sourceError.node, unreadable.node, held.node,
    h("p", { class: "pace" }, rate, queue),
    counts, space.node);
  const update = (route, nowMs) => {
    current = route;
    text(name, route.name);
    attribute(node, "data-trouble", route.outage || route.source_error ? "" : null);
    paused.hidden = !route.paused;
    setIcon(sign, route.paused ? "play" : "pause");
    text(label, route.paused ? "Resume" : "Pause");
    attribute(button, "aria-label", `${route.paused ? "Resume" : "Pause"} route ${route.name}`);
    text(source, route.source);
    attribute(source, "title", route.source);
    text(destination, route.destination);
    attribute(destination, "title", route.destination);
    outage.update(route.outage && outageText(route.outage, nowMs), route.outage?.detail);
    sourceError.update(route.source_error && "Source not readable", route.source_error);
    const closed = route.unreadable_folders;
    unreadable.update(closed.length && "Folders that cannot be read", closed.map(inWords).join("; "));
    held.update(route.held.length && "Files are held", route.held.map(({ files, why }) => `${files}: ${why}`).join("; "));
    text(rate, format.rate(route.rate_bytes_s));
    text(queue, `${format.bytes(route.queue_bytes)} to go`);
    showCounts(counts, route.counts);
    space.update(route);
  };
  return { node, update };
}

function inWords({ folder, reason }) {
  return `${format.visible(folder)} (${reason})`;
}

function outageText(outage, nowMs) {
  const lasted = format.duration((nowMs - Date.parse(outage.since)) / 1000);
  return `Outage: ${words(outage.reason)} since ${format.clock(outage.since, nowMs)} (${lasted})`;
}

function banner() {
  const title = h("strong");
  const detail = h("span");
  const node = h("div", { class: "banner" }, icon("warning"), h("p", {}, title, detail));
  return {
    node,
    update(what, more) {
      node.hidden = !what;
      text(title, what || "");
      text(detail, more || "");
    },
  };
}

function spaceBar() {
  const fill = h("i");
  const meter = h("span", { role: "meter", class: "meter", "aria-label": "Space used at the destination" }, fill);
  const words = h("span");
  const node = h("p", { class: "space" }, meter, words);
  return {
    node,
    update({ checked, destination_free_bytes: free, destination_total_bytes: total, low_space_bytes: low }) {
      const known = free !== null && total;
      const used = known ? Math.round(100 * (1 - free / total)) : 0;
      meter.hidden = !known;
      attribute(meter, "aria-valuenow", used);
      attribute(meter, "data-full", free < low ? "" : null);
      fill.style.width = `${used}%`;
      const size = known ? ` of ${format.bytes(total)}` : "";
      text(words, free === null ? (checked ? "Free space not known" : "Not reached yet") : `${format.bytes(free)} free${size}`);
    },
  };
}

function showCounts(list, counts) {
  const shown = SHOWN.filter((status) => counts[status]);
  const key = shown.map((status) => `${status}${counts[status]}`).join();
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...shown.map((status) =>
    h("li", { "data-status": status },
      h("b", {}, format.number(counts[status])), ` ${(STATUS_WORDS[status] ?? status).toLowerCase()}`)));
}
