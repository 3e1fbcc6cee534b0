// Rows of files: active, waiting, failed, completed. Each function returns {node, update(file, …)}.

import * as format from "./format.js";
import { statusMark } from "./icons.js";
import { attribute, h, text } from "./nodes.js";
import { progressOf } from "./state.js";
import { positionItem, positionRow } from "./table.js";

const LEVELS = {
  read_back: ["Read back", "Read back from the storage and compared with the source"],
  read_back_cached: ["Read back, cached", "Read back, possibly from this machine's cache, and compared"],
  hash: ["Hash", "Hashed while copying; not read back"],
  size: ["Size only", "Only the size was compared"],
};

/** A file's name with its folder, isolated from the text around it. */
function nameOf() {
  const folder = h("span", { class: "folder" });
  const base = h("span", { class: "base" });
  const node = h("bdi", { class: "name" }, folder, base);
  return {
    node,
    update(file) {
      const [path, name] = format.splitPath(file.path);
      text(folder, path);
      text(base, name);
      attribute(node, "title", format.visible(file.file_path));
    },
  };
}

export function activeItem({ cancel }) {
  const status = statusMark();
  const name = nameOf();
  const route = h("span", { class: "tag" });
  let current;
  const button = h("button", { type: "button", onclick: () => cancel(current) }, "Cancel");
  const percent = h("strong", { class: "percent" });
  const copied = h("progress", { max: 100 });
  const verified = h("progress", { max: 100, class: "verified" });
  const figures = h("span", { class: "figures" });
  const proof = h("span", { class: "proof" });
  const why = h("p", { class: "reason" });
  const node = h("li", { class: "transfer" },
    h("div", { class: "head" }, name.node, route, status.node, button),
    h("div", { class: "bars" }, copied, verified), percent,
    h("p", { class: "facts" }, figures, proof), why);
  const update = (file, rate, nowMs) => {
    current = file;
    const { copied: bytesCopied, verified: bytesVerified } = progressOf(file);
    const shown = format.visible(file.path);
    const verifiedPercent = file.file_size ? (100 * bytesVerified) / file.file_size : 0;
    status.update(file.status);
    name.update(file);
    text(route, file.route);
    attribute(button, "aria-label", `Cancel ${shown}`);
    attribute(copied, "aria-label", `${shown}: copied`);
    attribute(verified, "aria-label", `${shown}: verified`);
    attribute(copied, "value", file.copy_progress);
    attribute(verified, "value", Math.min(100, verifiedPercent));
    text(percent, `${Math.floor(file.copy_progress)} %`);
    text(figures, `${format.bytes(bytesCopied)} of ${format.bytes(file.file_size)}${speedText(file, rate)}`);
    text(proof, `${format.bytes(bytesVerified)} verified`);
    text(why, file.status === "Paused" ? reasonOf(file, nowMs) : "");
    attribute(node, "data-status", file.status);
  };
  return { node, update };
}

/** " · 110 MB/s · 12 s left"; parts that are not known are left out. */
function speedText(file, rate) {
  if (file.status === "Paused" || rate === null) return "";
  const left = rate > 0 ? ` · ${format.duration(progressOf(file).left / rate)} left` : "";
  return ` · ${format.rate(rate)}${left}`;
}

function reasonOf(file, nowMs) {
  if (!file.why || !file.until) return file.why;
  return `${file.why} · ${format.countdown(file.until, nowMs)}`;
}

export function waitingRow() {
  const status = statusMark();
  const name = nameOf();
  const cell = (name, ...children) => h("span", { role: "cell", class: name }, ...children);
  const [why, route, size, until] = ["why", "route", "size", "until"].map((name) => cell(name));
  const node = h("div", { role: "row", class: "line" },
    cell("status", status.node), cell("file", name.node), why, route, size, until);
  const update = (file, position, nowMs) => {
    positionRow(node, position);
    attribute(node, "data-status", file.status);
    status.update(file.status);
    name.update(file);
    text(why, file.why);
    attribute(why, "title", file.why);
    text(route, file.route);
    text(size, format.bytes(file.file_size));
    text(until, format.countdown(file.until, nowMs));
  };
  return { node, update };
}

export function failedItem({ retry }) {
  const name = nameOf();
  const about = h("span", { class: "facts" });
  const error = h("p", { class: "error" });
  let current;
  const button = h("button", { type: "button", onclick: () => retry(current) }, "Retry");
  const status = statusMark();
  status.update("Failed");
  const node = h("div", { role: "listitem", class: "line" }, status.node, name.node, about, error, button);
  const update = (file, position, nowMs) => {
    current = file;
    positionItem(node, position);
    name.update(file);
    const tries = format.plural(file.retry_count, "attempt", "attempts");
    text(about, `${file.route} · ${format.clock(file.completed_at, nowMs)} · ${tries}`);
    text(error, file.error_message ?? "No reason was given.");
    attribute(error, "title", file.error_message);
    attribute(button, "aria-label", `Retry ${format.visible(file.path)}`);
  };
  return { node, update };
}

export function completedItem() {
  const status = statusMark();
  const name = nameOf();
  const at = h("time");
  const size = h("span");
  const level = h("span", { class: "level" });
  const hash = h("span", { class: "hash" });
  const destination = h("bdi", { class: "destination" });
  status.update("Completed");
  const node = h("div", { role: "listitem", class: "line" },
    status.node, name.node, at, h("span", { class: "facts" }, size, level, hash), destination);
  const update = (file, position, nowMs) => {
    const [word, meaning] = LEVELS[file.verified_level] ?? ["Not verified", ""];
    positionItem(node, position);
    name.update(file);
    text(at, format.clock(file.completed_at, nowMs, { seconds: true }));
    attribute(at, "datetime", file.completed_at);
    text(size, format.bytes(file.file_size));
    text(level, word);
    attribute(level, "title", meaning);
    attribute(level, "data-level", file.verified_level);
    text(hash, file.hash ? format.shortHash(file.hash) : "");
    attribute(hash, "title", file.hash);
    const kept = file.kept_because ? ` · its source could not be removed: ${file.kept_because}` : "";
    const where = format.visible(`${file.destination_path ?? ""}${kept}`);
    text(destination, where);
    attribute(destination, "title", where);
  };
  return { node, update };
}
